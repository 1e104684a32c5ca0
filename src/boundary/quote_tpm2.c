/* The attestation key is a primary key of the endorsement hierarchy, made from one fixed template:
 * the same key whenever it is made on this TPM, with nothing to be stored. It stays the same when
 * the TPM is cleared. "unique" makes it one that nothing else uses. */
#include "boundary/quote_tpm2.h"

#include <openssl/evp.h>
#include <tss2/tss2_mu.h>
#include "boundary/seal_internal.h"
#include "boundary/tpm2.h"

#define UNIQUE "keyhold attestation key 1"

_Static_assert(QUOTE_AK_ATTRIBUTES ==
                   (TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
                    TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA |
                    TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_SIGN_ENCRYPT),
               "attributes of the attestation key");

struct work {
    struct tpm2 dev;
    ESYS_TR ak;
    uint8_t public[QUOTE_PUBLIC_MAX];
    size_t public_n;
};

static void work_done(struct work *w)
{
    if (w->dev.esys != NULL)
        tpm2_flush(&w->dev, &w->ak);
    tpm2_close(&w->dev);
}

hsm_err quote_spec_parse(const char *text, enum evidence_provider *ret, char *tcti)
{
    tcti[0] = '\0';
    *ret = EVIDENCE_SOFTWARE;
    if (strcmp(text, "software") == 0)
        return HSM_OK;
    *ret = EVIDENCE_TPM2;
    const char *conf = strcmp(text, "tpm2") == 0        ? SEAL_TCTI_DEFAULT
                       : strncmp(text, "tpm2:", 5) == 0 ? text + 5
                                                        : "";
    return seal_tcti_take(bytes_str(conf), tcti, QUOTE_TCTI_MAX) ? HSM_OK : HSM_E_BAD_PARAMETER;
}

static hsm_err make_ak(struct work *w)
{
    static const TPM2B_SENSITIVE_CREATE no_auth = {0};
    static const TPM2B_DATA no_data = {0};
    static const TPML_PCR_SELECTION no_pcrs = {0};
    TPM2B_PUBLIC template = {
        .publicArea = {.type = TPM2_ALG_ECC,
                       .nameAlg = TPM2_ALG_SHA256,
                       .objectAttributes = QUOTE_AK_ATTRIBUTES,
                       .parameters.eccDetail = {.symmetric.algorithm = TPM2_ALG_NULL,
                                                .scheme.scheme = TPM2_ALG_ECDSA,
                                                .scheme.details.ecdsa.hashAlg = TPM2_ALG_SHA256,
                                                .curveID = TPM2_ECC_NIST_P256,
                                                .kdf.scheme = TPM2_ALG_NULL},
                       .unique.ecc = {.x.size = 32, .y.size = 32}}};
    memcpy(template.publicArea.unique.ecc.x.buffer, UNIQUE, sizeof UNIQUE - 1);
    TPM2B_PUBLIC *public = NULL;
    TSS2_RC rc = Esys_CreatePrimary(w->dev.esys, ESYS_TR_RH_ENDORSEMENT, ESYS_TR_PASSWORD,
                                    ESYS_TR_NONE, ESYS_TR_NONE, &no_auth, &template, &no_data,
                                    &no_pcrs, &w->ak, &public, NULL, NULL, NULL);
    if (rc == TSS2_RC_SUCCESS)
        rc = Tss2_MU_TPMT_PUBLIC_Marshal(&public->publicArea, w->public, sizeof w->public,
                                         &w->public_n);
    Esys_Free(public);
    return rc == TSS2_RC_SUCCESS
               ? HSM_OK
               : tpm2_failed(&w->dev,
                             "making its attestation key (has the endorsement hierarchy a "
                             "password?)",
                             rc);
}

static hsm_err make_quote(struct work *w, const uint8_t qualifying[QUOTE_DIGEST_LEN], uint32_t pcrs,
                          struct wr *out)
{
    static const TPMT_SIG_SCHEME of_the_key = {.scheme = TPM2_ALG_NULL};
    const TPML_PCR_SELECTION chosen = tpm2_selection(pcrs);
    TPM2B_DATA data = {.size = QUOTE_DIGEST_LEN};
    memcpy(data.buffer, qualifying, QUOTE_DIGEST_LEN);
    TPM2B_ATTEST *attest = NULL;
    TPMT_SIGNATURE *signature = NULL;
    uint8_t buf[sizeof(TPMT_SIGNATURE)];
    size_t n = 0;
    TSS2_RC rc = Esys_Quote(w->dev.esys, w->ak, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &data,
                            &of_the_key, &chosen, &attest, &signature);
    if (rc == TSS2_RC_SUCCESS)
        rc = Tss2_MU_TPMT_SIGNATURE_Marshal(signature, buf, sizeof buf, &n);
    if (rc == TSS2_RC_SUCCESS)
        quote_encode(bytes_of(attest->attestationData, attest->size), bytes_of(buf, n),
                     bytes_of(w->public, w->public_n), out);
    Esys_Free(attest);
    Esys_Free(signature);
    return rc == TSS2_RC_SUCCESS ? HSM_OK : tpm2_failed(&w->dev, "a quote", rc);
}

hsm_err quote_tpm2_make(const char *tcti, const uint8_t qualifying[QUOTE_DIGEST_LEN], uint32_t pcrs,
                        uint8_t *platform, size_t *ret_n, char *text, size_t cap)
{
    struct quote q;
    DEFER(work_done) struct work w = {.dev = {.text = text, .cap = cap}, .ak = ESYS_TR_NONE};
    struct wr out = wr_of(platform, EVIDENCE_PLATFORM_MAX);
    TRY(tpm2_open(&w.dev, tcti, pcrs));
    TRY(make_ak(&w));
    TRY(make_quote(&w, qualifying, pcrs, &out));
    if (wr_ok(&out) != HSM_OK || quote_decode(wr_view(&out), &q) != HSM_OK || q.pcrs != pcrs)
        return seal_say(HSM_E_UNAVAILABLE, text, cap, "the TPM made an unusual quote");
    *ret_n = out.n;
    return HSM_OK;
}

hsm_err quote_tpm2_ak(const char *tcti, uint8_t ret[QUOTE_DIGEST_LEN], char *text, size_t cap)
{
    DEFER(work_done) struct work w = {.dev = {.text = text, .cap = cap}, .ak = ESYS_TR_NONE};
    TRY(tpm2_open(&w.dev, tcti, 0));
    TRY(make_ak(&w));
    if (EVP_Digest(w.public, w.public_n, ret, NULL, EVP_sha256(), NULL) != 1)
        return seal_say(HSM_E_INTERNAL, text, cap, "SHA-256 failed");
    return HSM_OK;
}
