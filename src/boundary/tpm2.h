/* A TPM 2.0, for the seal and for quotes: reaching it, its PCRs, what to say when it refuses. Only
 * in a process of its own (seal_helper.h). */
#ifndef BOUNDARY_TPM2_H
#define BOUNDARY_TPM2_H

#include <tss2/tss2_esys.h>
#include "base/bytes.h"

#define TPM2_NO_SESSIONS ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE
#define TPM2_PCRS        24u /* of the SHA-256 bank; a set of them: bit i is PCR i */
#define TPM2_PCRS_TEXT   80u
#define TPM2_TCTI_MAX    256u

struct tpm2 {
    TSS2_TCTI_CONTEXT *tcti;
    ESYS_CONTEXT *esys;
    char *text; /* text[cap]: what is wrong */
    size_t cap;
};
/* HSM_E_UNAVAILABLE: none there, or no SHA-256 bank with these PCRs. To be closed in any case. */
HSM_MUST_USE hsm_err tpm2_open(struct tpm2 *t, const char *tcti, uint32_t pcrs);
void tpm2_close(struct tpm2 *t);
void tpm2_flush(struct tpm2 *t, ESYS_TR *handle);
/* HSM_E_UNAVAILABLE, with the text. */
HSM_MUST_USE hsm_err tpm2_failed(const struct tpm2 *t, const char *what, TSS2_RC rc);
TPML_PCR_SELECTION tpm2_selection(uint32_t pcrs);
void tpm2_pcrs_text(uint32_t pcrs, char dst[TPM2_PCRS_TEXT]); /* "0,2,4" */

#endif
