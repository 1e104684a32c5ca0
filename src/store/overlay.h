/* Committed transactions that are not in LMDB yet, in log order, with an index of the newest
 * revision of every record they touch. One thread, but see overlay_pop(). */
#ifndef STORE_OVERLAY_H
#define STORE_OVERLAY_H

#include "base/bytes.h"
#include "store/store.h"

#define OVERLAY_BUCKETS 8192u

struct pend_op {
    const uint8_t *rid;
    uint64_t expected, revision;
    bool remove;
    struct bytes sealed;
    const struct pend *owner;
    struct pend_op *older; /* same bucket */
};

struct pend {
    struct pend *next;
    uint64_t index;
    bool accepted;
    bool acked; /* store_applied() was called; digest is set */
    uint64_t floor_after;
    uint8_t digest[STORE_DIGEST_MAX];
    size_t digest_len;
    size_t n_ops; /* 0 when rejected */
    struct pend_op *ops;
    size_t size;
    uint8_t *data; /* the transaction; ops point into it */
};

struct overlay {
    struct pend *first, *last;
    struct pend *unacked; /* first one without digest */
    size_t n, n_acked;
    size_t bytes;
    struct pend_op *buckets[OVERLAY_BUCKETS];
};

/* Revision a record has on disk, 0 when absent. */
typedef hsm_err (*overlay_base_fn)(void *ctx, const uint8_t *rid, uint64_t *ret);

/* Form of a transaction: HSM_E_MALFORMED, or HSM_OK and the number of operations. */
HSM_MUST_USE hsm_err overlay_check(struct bytes txn, size_t *ret_ops);

/* Judge a committed transaction and append it, accepted or not. floor: before it. Errors:
 * HSM_E_MALFORMED, HSM_E_NOMEM, or what base returned; nothing is changed then. */
HSM_MUST_USE hsm_err overlay_add(struct overlay *o, uint64_t index, struct bytes txn,
                                 uint64_t floor, overlay_base_fn base, void *ctx,
                                 const struct pend **ret);
/* The first unacknowledged transaction has that digest. HSM_E_RANGE: index is not its index. */
HSM_MUST_USE hsm_err overlay_ack(struct overlay *o, uint64_t index, struct bytes digest);
/* Forget the first n (they are in LMDB now). Until then they do not change but for the "next" of
 * the last one, so another thread may read them. */
void overlay_pop(struct overlay *o, size_t n);
void overlay_done(struct overlay *o);

#endif
