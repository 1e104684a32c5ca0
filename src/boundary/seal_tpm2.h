/* PATH.tpm2: what a TPM needs, together with its own secrets and values of PCRs, to give the KEK.
 * "KHTPM2", u16 version, u32 PCRs of the SHA-256 bank, 32 bytes policy digest, name of the primary
 * key (u32 length), TPM2B_PUBLIC, TPM2B_PRIVATE (each u32 length), SHA-256 of all of this: nothing
 * in it is secret, and the last one only tells damage from another TPM. */
#ifndef BOUNDARY_SEAL_TPM2_H
#define BOUNDARY_SEAL_TPM2_H

#include <tss2/tss2_tpm2_types.h>
#include "boundary/seal_internal.h"

#define TPM2_BLOB_MAX 2048u

struct tpm2_blob {
    uint32_t pcrs;
    uint8_t policy[32];
    TPM2B_NAME primary;
    TPM2B_PUBLIC pub;
    TPM2B_PRIVATE priv;
};
/* buf[TPM2_BLOB_MAX] */
HSM_MUST_USE hsm_err tpm2_blob_encode(const struct tpm2_blob *b, uint8_t *buf, size_t *ret_n);
HSM_MUST_USE hsm_err tpm2_blob_decode(struct bytes in, struct tpm2_blob *ret);

#endif
