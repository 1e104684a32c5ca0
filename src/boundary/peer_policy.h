/* Which evidence a boundary accepts of another one: member "peers" of pool.json. */
#ifndef BOUNDARY_PEER_POLICY_H
#define BOUNDARY_PEER_POLICY_H

#include "boundary/evidence.h"
#include "codec/json.h"

#define PEER_MEASUREMENTS_MAX 16u
#define PEER_AKS_MAX          16u
#define PEER_PCR_DIGESTS_MAX  16u
#define PEER_PCRS             24u

struct peer_policy {
    uint8_t measurement[PEER_MEASUREMENTS_MAX][EVIDENCE_MEASUREMENT_LEN];
    unsigned measurement_n; /* 0: exactly the own one */
    unsigned providers;     /* bits 1 << enum evidence_provider; 0: the own one or a stronger one */
    /* Of evidence of a TPM: */
    uint8_t ak[PEER_AKS_MAX]
              [32]; /* attestation keys, see quote.h; none: such evidence is refused */
    unsigned ak_n;
    uint32_t pcrs; /* bit i: PCR i of the SHA-256 bank; see peer_policy_pcrs() */
    uint8_t pcr_digest[PEER_PCR_DIGESTS_MAX][32];
    unsigned pcr_digest_n; /* 0: their values are not compared */
};
/* Those that quotes have to be of, and the own one is of. */
uint32_t peer_policy_pcrs(const struct peer_policy *p);
/* The value of "peers"; HSM_E_BAD_PARAMETER, *why static. */
HSM_MUST_USE hsm_err peer_policy_parse(const struct json_doc *d, uint32_t v,
                                       struct peer_policy *ret, const char **why);
/* HSM_E_DENIED, *why static. Whether the platform's part is genuine is not asked here. */
HSM_MUST_USE hsm_err peer_policy_check(const struct peer_policy *p, const struct evidence *own,
                                       const struct evidence *peer, const char **why);

#endif
