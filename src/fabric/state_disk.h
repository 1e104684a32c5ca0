/* What state_disk.c and state_load.c share. */
#ifndef FABRIC_STATE_DISK_H
#define FABRIC_STATE_DISK_H

#include "base/uuid.h"
#include "fabric/state_internal.h"
#include "fabric/state_seal.h"
#include "store/store.h"

#define STATE_TXN_BUF ((size_t)900000)

struct state_disk {
    struct state *state;
    struct store *store;
    struct state_handlers handlers;
    struct state_seal seal;
    struct state_sum sum;
    bool ready, proving;
    struct state_commit *current;
    struct uuid txn; /* of the current one */
    bool verdict_seen, accepted;
    void (*closed)(void *ctx);
    void *closed_ctx;
    uint8_t buf[STATE_TXN_BUF];
};

/* The key of DIR; made when there is no state yet. text[cap] says why not. */
HSM_MUST_USE hsm_err state_key_load(const char *dir, bool may_make, struct state_seal *ret,
                                    char *text, size_t cap);
/* Every record of the last flush. */
HSM_MUST_USE hsm_err state_load(struct state_disk *d, char *text, size_t cap);
/* A document with what is counted of it. */
HSM_MUST_USE hsm_err state_put_record(struct state_disk *d, const struct state_record *r,
                                      uint64_t revision);

#endif
