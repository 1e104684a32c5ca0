/* The bytes of a document in the store, under a key of the fabric: whoever writes to the files of
 * the store can remove the whole state or bring back an older one, but not make, change, mix or
 * leave out single documents. What is stored is not secret, and not encrypted. Pure. */
#ifndef FABRIC_STATE_SEAL_H
#define FABRIC_STATE_SEAL_H

#include "fabric/state.h"

#define STATE_RID_LEN      32
#define STATE_SEAL_KEY_LEN 32
#define STATE_SEAL_LEN     32
#define STATE_SEAL_MORE    128 /* bytes of a sealed document besides key and JSON, at most */

struct state_seal {
    uint8_t key[STATE_SEAL_KEY_LEN];
};

/* Which documents with which content there are: the order does not matter. */
struct state_sum {
    uint64_t n;
    uint8_t sum[32];
};

struct state_record {
    enum state_kind kind;
    struct bytes key, json; /* views */
    uint8_t mac[STATE_SEAL_LEN];
};

/* Of the record that holds a document, and of the head's. */
void state_rid(enum state_kind kind, struct bytes key, uint8_t rid[STATE_RID_LEN]);
void state_rid_head(uint8_t rid[STATE_RID_LEN]);

void state_seal_put(const struct state_seal *k, const struct document *d, struct wr *w);
/* HSM_E_CORRUPT: not sealed with this key for that record and revision, HSM_E_NOT_IMPLEMENTED: it
 * is, but holds what this version does not know. */
HSM_MUST_USE hsm_err state_seal_open(const struct state_seal *k, const uint8_t rid[STATE_RID_LEN],
                                     uint64_t revision, struct bytes sealed,
                                     struct state_record *ret);

void state_sum_add(const struct state_seal *k, struct state_sum *s, const struct document *d);
void state_sum_remove(const struct state_seal *k, struct state_sum *s, const struct document *d);
/* The head's record: everything that there is at that revision. */
void state_seal_head(const struct state_seal *k, uint64_t revision, const struct state_sum *s,
                     uint8_t ret[STATE_SEAL_LEN]);
/* Of a transaction: its id and operations. */
void state_seal_txn(const struct state_seal *k, struct bytes id, struct bytes ops,
                    uint8_t ret[STATE_SEAL_LEN]);

#endif
