#include "boundary/tpm2.h"

#include <stdio.h>
#include <tss2/tss2_tctildr.h>
#include "boundary/seal_internal.h"

hsm_err tpm2_failed(const struct tpm2 *t, const char *what, TSS2_RC rc)
{
    return seal_say(HSM_E_UNAVAILABLE, t->text, t->cap, "the TPM: %s failed with 0x%x", what,
                    (unsigned)rc);
}

void tpm2_flush(struct tpm2 *t, ESYS_TR *handle)
{
    if (*handle != ESYS_TR_NONE)
        (void)Esys_FlushContext(t->esys, *handle);
    *handle = ESYS_TR_NONE;
}

void tpm2_close(struct tpm2 *t)
{
    Esys_Finalize(&t->esys);
    Tss2_TctiLdr_Finalize(&t->tcti);
}

TPML_PCR_SELECTION tpm2_selection(uint32_t pcrs)
{
    return (TPML_PCR_SELECTION){
        .count = 1,
        .pcrSelections[0] = {.hash = TPM2_ALG_SHA256,
                             .sizeofSelect = 3,
                             .pcrSelect = {(BYTE)pcrs, (BYTE)(pcrs >> 8), (BYTE)(pcrs >> 16)}}};
}

void tpm2_pcrs_text(uint32_t pcrs, char dst[TPM2_PCRS_TEXT])
{
    size_t n = 0;
    dst[0] = '\0';
    for (unsigned i = 0; i < TPM2_PCRS; i++)
        if ((pcrs >> i & 1) != 0)
            n += (size_t)snprintf(dst + n, TPM2_PCRS_TEXT - n, "%s%u", n == 0 ? "" : ",", i);
}

/* A TPM leaves out of a policy or a quote what it has no bank for: then it would hold for any
 * value. */
static hsm_err check_bank(struct tpm2 *t, uint32_t pcrs)
{
    TPMS_CAPABILITY_DATA *data = NULL;
    TSS2_RC rc = Esys_GetCapability(t->esys, TPM2_NO_SESSIONS, TPM2_CAP_PCRS, 0,
                                    TPM2_MAX_CAP_BUFFER, NULL, &data);
    if (rc != TSS2_RC_SUCCESS)
        return tpm2_failed(t, "listing its PCRs", rc);
    uint32_t have = 0;
    const TPML_PCR_SELECTION *banks = &data->data.assignedPCR;
    for (UINT32 i = 0; i < banks->count && i < TPM2_NUM_PCR_BANKS; i++)
        if (banks->pcrSelections[i].hash == TPM2_ALG_SHA256)
            for (unsigned j = 0; j < 3 && j < banks->pcrSelections[i].sizeofSelect; j++)
                have |= (uint32_t)banks->pcrSelections[i].pcrSelect[j] << (8 * j);
    Esys_Free(data);
    if ((have & pcrs) == pcrs)
        return HSM_OK;
    return seal_say(HSM_E_UNAVAILABLE, t->text, t->cap,
                    "the TPM has no SHA-256 bank for these PCRs; switch it on in the firmware");
}

hsm_err tpm2_open(struct tpm2 *t, const char *tcti, uint32_t pcrs)
{
    TSS2_RC rc = Tss2_TctiLdr_Initialize(tcti, &t->tcti);
    if (rc == TSS2_RC_SUCCESS)
        rc = Esys_Initialize(&t->esys, t->tcti, NULL);
    if (rc != TSS2_RC_SUCCESS)
        return seal_say(HSM_E_UNAVAILABLE, t->text, t->cap,
                        "no TPM at %s (0x%x): is it there, and may this user open it (group tss)?",
                        tcti, (unsigned)rc);
    return check_bank(t, pcrs);
}
