/* The pool's records in memory. Readers (handlers) hold the lock shared, the control thread changes
 * the state with the lock held exclusively: by loading what the store has, then by applying
 * committed transactions in order. Every record must authenticate under the pool's keys at its
 * revision; the digest over all records must be the one the boundary itself gave out. */
#ifndef BOUNDARY_STATE_H
#define BOUNDARY_STATE_H

#include <pthread.h>
#include <stdatomic.h>
#include "boundary/key_record.h"
#include "boundary/key_rotation.h"
#include "boundary/keymat.h"
#include "boundary/pool.h"
#include "boundary/record_table.h"
#include "boundary/roles.h"
#include "boundary/seal_record.h"
#include "model/key_class.h"
#include "model/setting.h"

#define STATE_DIGEST_LEN (1u + 5u * 8u + 2u * 32u + SEAL_MAC_LEN)
/* So many of the latest transactions are remembered, to compare with what others have seen. */
#define STATE_PAST_MAX 16384u

/* Name of a partition's audit mark: its number, but empty for the first one. */
#define AUDIT_MARK_NAME_MAX 10u
struct bytes audit_mark_name(uint32_t partition, char buf[AUDIT_MARK_NAME_MAX + 1]);
struct audit_mark {
    bool present;
    uint64_t seq;
    uint8_t hash[32];
};

struct state {
    pthread_rwlock_t lock;
    struct record_table records;
    struct key_index active, deleted;
    struct rotation_index rotations; /* of active keys */
    uint64_t version_n;
    uint64_t amount[KEY_CLASS__COUNT + 1]; /* of versions, by class */
    uint64_t stub_n; /* keys of which only versions were seen; 0 outside of loading and applying */
    bool has_pool;
    struct pool_info pool;
    uint32_t partition; /* whose own mark is kept below */
    struct audit_mark mark;
    bool setting[SETTING__COUNT];
    struct roles *roles;    /* borrowed */
    struct keycache *cache; /* borrowed */
    uint64_t index;         /* of the last applied transaction */
    uint64_t floor;
    uint64_t max_revision;              /* of the log */
    uint8_t sum[32];                    /* of digest elements, mod 2^256 */
    uint64_t applied_n;                 /* transactions ever applied */
    uint8_t past[SEAL_MAC_LEN];         /* hash of them, in order */
    uint64_t past_from;                 /* applied_n when loaded */
    uint8_t (*pasts)[SEAL_MAC_LEN];     /* what past was, by applied_n modulo STATE_PAST_MAX */
    uint64_t *past_index;               /* index of the last transaction of that past */
    atomic_uint_fast64_t next_revision; /* largest ever seen or given out here */
    uint8_t *scratch;                   /* control thread: opened records */
};
HSM_MUST_USE hsm_err state_new(struct roles *roles, struct keycache *cache, struct state **ret);
void state_free(struct state *s);

static inline void state_lock_shared(struct state *s)
{
    HSM_ASSERT(pthread_rwlock_rdlock(&s->lock) == 0);
}
static inline void state_lock_exclusive(struct state *s)
{
    HSM_ASSERT(pthread_rwlock_wrlock(&s->lock) == 0);
}
static inline void state_unlock(struct state *s)
{
    (void)pthread_rwlock_unlock(&s->lock);
}

/* ---- for handlers, lock held ---- */
/* Active or deleted key, any case; NULL when there is none. */
struct key *state_key(const struct state *s, struct bytes name);
/* Revision of a record now; 0 when absent. */
uint64_t state_revision(const struct state *s, const uint8_t rid[RID_LEN]);
/* A revision nobody has used. Thread-safe. */
uint64_t state_new_revision(struct state *s);

/* ---- control thread; these take the lock themselves. why: static text ---- */
struct state_claim {
    uint64_t index, floor, max_revision, count, applied_n;
    uint8_t sum[32], past[SEAL_MAC_LEN];
};
/* The digest as the store kept it; empty only for an empty store at index 0. */
HSM_MUST_USE hsm_err state_load_begin(struct state *s, struct seal_ctx *sc, uint64_t index,
                                      struct bytes digest, struct state_claim *ret,
                                      const char **why);
HSM_MUST_USE hsm_err state_load_record(struct state *s, struct seal_ctx *sc,
                                       const struct wire_record *r, const char **why);
HSM_MUST_USE hsm_err state_load_end(struct state *s, const struct state_claim *claim,
                                    const char **why);
/* One committed transaction. accepted is the store's verdict. HSM_E_CORRUPT: the gateway gave
 * something that no boundary of the pool made, or judged it wrongly; the state must not be used
 * further. */
HSM_MUST_USE hsm_err state_apply(struct state *s, struct seal_ctx *sc,
                                 const struct wire_apply *apply, struct uuid *ret_txn,
                                 const char **why);
/* What past was when index was that of the last applied transaction. false: it never was since the
 * state was loaded, or too long ago. */
bool state_past_at(const struct state *s, uint64_t index, uint8_t past[SEAL_MAC_LEN]);
/* STATE_DIGEST_LEN bytes for the store. */
HSM_MUST_USE hsm_err state_digest(const struct state *s, struct seal_ctx *sc, struct wr *out);

#endif
