/* A TPM makes its attestation key and a quote. In a process without the pool's keys only. */
#ifndef BOUNDARY_QUOTE_TPM2_H
#define BOUNDARY_QUOTE_TPM2_H

#include "boundary/quote.h"

#define QUOTE_TCTI_MAX 256u

/* What "--evidence" says: "software" or "tpm2[:TCTI]"; tcti[QUOTE_TCTI_MAX]: "" for the former.
 * HSM_E_BAD_PARAMETER. */
HSM_MUST_USE hsm_err quote_spec_parse(const char *text, enum evidence_provider *ret, char *tcti);

/* pcrs: a set of PCRs of the SHA-256 bank. platform[EVIDENCE_PLATFORM_MAX], *ret_n: see
 * quote_encode(); text[cap]: what is wrong. */
HSM_MUST_USE hsm_err quote_tpm2_make(const char *tcti, const uint8_t qualifying[QUOTE_DIGEST_LEN],
                                     uint32_t pcrs, uint8_t *platform, size_t *ret_n, char *text,
                                     size_t cap);
/* The attestation key only, as in pool.json. */
HSM_MUST_USE hsm_err quote_tpm2_ak(const char *tcti, uint8_t ret[QUOTE_DIGEST_LEN], char *text,
                                   size_t cap);

#endif
