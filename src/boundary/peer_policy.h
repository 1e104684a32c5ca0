/* Which evidence a boundary accepts of another one: member "peers" of pool.json. */
#ifndef BOUNDARY_PEER_POLICY_H
#define BOUNDARY_PEER_POLICY_H

#include "boundary/evidence.h"
#include "codec/json.h"

#define PEER_MEASUREMENTS_MAX 16u

struct peer_policy {
    uint8_t measurement[PEER_MEASUREMENTS_MAX][EVIDENCE_MEASUREMENT_LEN];
    unsigned measurement_n; /* 0: exactly the own one */
    unsigned providers;     /* bits 1 << enum evidence_provider; 0: the own one or a stronger one */
};
/* The value of "peers"; HSM_E_BAD_PARAMETER, *why static. */
HSM_MUST_USE hsm_err peer_policy_parse(const struct json_doc *d, uint32_t v,
                                       struct peer_policy *ret, const char **why);
/* HSM_E_DENIED, *why static. Whether the platform's part is genuine is not asked here. */
HSM_MUST_USE hsm_err peer_policy_check(const struct peer_policy *p, const struct evidence *own,
                                       const struct evidence *peer, const char **why);

#endif
