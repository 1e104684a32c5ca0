/* Evidence of provider "tpm2": a quote, in which a TPM says with its attestation key which values
 * its PCRs have, over a digest of everything else that the evidence says and of the key it is shown
 * with. Pure: bytes, structures of TPM 2.0 part 2, ECDSA; see docs/boundary.md. */
#ifndef BOUNDARY_QUOTE_H
#define BOUNDARY_QUOTE_H

#include "boundary/peer_policy.h"

#define QUOTE_DIGEST_LEN 32u
#define QUOTE_ATTEST_MAX 256u
#define QUOTE_SIGN_MAX   96u
#define QUOTE_PUBLIC_MAX 128u

/* TPMA_OBJECT of the attestation key: it never leaves its TPM, was made there, and signs nothing
 * but what the TPM says itself (fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, noDA,
 * restricted, sign). */
#define QUOTE_AK_ATTRIBUTES 0x00050472u
/* TPM_RH_ENDORSEMENT, in which it is a primary key. */
#define QUOTE_AK_HIERARCHY 0x4000000bu

struct quote {                                   /* parts of what was parsed */
    struct bytes attest;                         /* TPMS_ATTEST, which is signed */
    struct bytes signer, qualifying, pcr_digest; /* of it, 32 bytes each */
    uint32_t pcrs;                               /* of it; bit i: PCR i of the SHA-256 bank */
    struct bytes r, s;                           /* of the signature, 1 to 32 bytes */
    struct bytes public;                         /* TPMT_PUBLIC of the attestation key */
    struct bytes x, y;                           /* of it, 1 to 32 bytes */
};
/* The platform's part of evidence: TPMS_ATTEST, TPMT_SIGNATURE and TPMT_PUBLIC, as a TPM gave them.
 */
void quote_encode(struct bytes attest, struct bytes signature, struct bytes public, struct wr *w);
/* Strict: exactly the structures that a key and a command like ours can have. HSM_E_MALFORMED. */
HSM_MUST_USE hsm_err quote_decode(struct bytes platform, struct quote *ret);

/* SHA-256 of the attestation key's public area: its TPM name without the algorithm. */
HSM_MUST_USE hsm_err quote_ak(const struct quote *q, uint8_t ret[QUOTE_DIGEST_LEN]);
/* What the TPM is made to sign: everything of the evidence but the platform's part. spki: SHA-256
 * of the SubjectPublicKeyInfo of the certificate. */
HSM_MUST_USE hsm_err quote_qualify(const struct evidence *e, const uint8_t spki[QUOTE_DIGEST_LEN],
                                   uint8_t ret[QUOTE_DIGEST_LEN]);
/* Whether e is vouched for by a TPM that the policy names, in a state that it accepts.
 * HSM_E_DENIED, *why static. */
HSM_MUST_USE hsm_err quote_check(const struct evidence *e, const uint8_t spki[QUOTE_DIGEST_LEN],
                                 const struct peer_policy *p, const char **why);

#endif
