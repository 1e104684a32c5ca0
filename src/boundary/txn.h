/* A transaction under construction: sealed record changes in the form in which the store commits
 * them. The buffer is the caller's (one per worker); the finished bytes are the payload of a
 * CTL_PROPOSE frame. Not thread-safe. */
#ifndef BOUNDARY_TXN_H
#define BOUNDARY_TXN_H

#include "boundary/state.h"

#define TXN_OPS_MAX 890000u

struct txn {
    struct uuid id;
    struct wr w;             /* WIRE_PROPOSE holding WIRE_TXN */
    size_t outer, past, ops; /* positions of the past and of the open length fields */
    bool has_past;
    unsigned n;
    hsm_err err; /* first failure; txn_finish() reports it */
};
void txn_begin(struct txn *t, uint8_t *buf, size_t cap);
/* State lock held at least shared: the revision that the record has now is recorded, with the first
 * record also the past that the state has now. tail: see seal_record.h. */
HSM_MUST_USE hsm_err txn_add(struct txn *t, struct state *s, struct seal_ctx *sc,
                             enum record_kind kind, struct bytes name, struct bytes body,
                             struct bytes tail);
HSM_MUST_USE hsm_err txn_take(struct txn *t, struct state *s, struct seal_ctx *sc,
                              enum record_kind kind, struct bytes name);
/* Close and authenticate; *ret is the payload of CTL_PROPOSE. HSM_E_TOO_LARGE when it cannot be
 * committed in one piece. */
HSM_MUST_USE hsm_err txn_finish(struct txn *t, struct seal_ctx *sc, struct bytes *ret);

#endif
