/* What a boundary says of itself to another one: which program it is, of which pool and partition,
 * and what its platform can vouch for. Carried by the certificate of its join connections
 * (peer_cert.h), whose key it is bound to. Pure codec; see docs/boundary.md. */
#ifndef BOUNDARY_EVIDENCE_H
#define BOUNDARY_EVIDENCE_H

#include "base/bytes.h"

#define EVIDENCE_MEASUREMENT_LEN 32u
#define EVIDENCE_POOL_MAX        24u
#define EVIDENCE_PROTECTION_MAX  16u
#define EVIDENCE_PLATFORM_MAX    4096u
#define EVIDENCE_MAX             (EVIDENCE_PLATFORM_MAX + 256u) /* encoded */

/* Who vouches for the rest, in order of strength. */
enum evidence_provider {
    EVIDENCE_SOFTWARE, /* nobody */
    EVIDENCE_TPM2,
    EVIDENCE_SEV_SNP,
    EVIDENCE__PROVIDERS
};
const char *evidence_provider_name(enum evidence_provider p); /* static */
/* false: no such provider. */
bool evidence_provider_find(struct bytes name, enum evidence_provider *ret);

struct evidence {
    enum evidence_provider provider;
    uint8_t measurement[EVIDENCE_MEASUREMENT_LEN]; /* SHA-256 of the boundary's program */
    char pool[EVIDENCE_POOL_MAX + 1];
    uint32_t partition;
    char protection[EVIDENCE_PROTECTION_MAX + 1]; /* of the root secrets at rest */
    uint8_t platform[EVIDENCE_PLATFORM_MAX];      /* the provider's own */
    size_t platform_n;
};
void evidence_encode(const struct evidence *e, struct wr *w);
/* Strict: what it accepts is exactly what evidence_encode() writes. HSM_E_MALFORMED. */
HSM_MUST_USE hsm_err evidence_decode(struct bytes b, struct evidence *ret);

#endif
