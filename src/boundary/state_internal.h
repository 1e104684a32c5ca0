/* Internal to state*.c. */
#ifndef BOUNDARY_STATE_INTERNAL_H
#define BOUNDARY_STATE_INTERNAL_H

#include "base/ct.h"
#include "boundary/state.h"

/* Open a sealed record and make it the current one; room in the table was reserved. Lock held
 * exclusively. HSM_E_CORRUPT: does not authenticate or does not fit. */
HSM_MUST_USE hsm_err state_put(struct state *s, struct seal_ctx *sc, const uint8_t rid[RID_LEN],
                               uint64_t revision, struct bytes sealed);
/* The record must exist. */
HSM_MUST_USE hsm_err state_drop(struct state *s, struct seal_ctx *sc, const uint8_t rid[RID_LEN]);

void state_saw_revision(struct state *s, uint64_t revision);
void state_sum_add(uint8_t sum[32], const uint8_t element[32]);
void state_sum_sub(uint8_t sum[32], const uint8_t element[32]);

#endif
