#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include "boundary/quote.h"

#define LABEL     "keyhold evidence tpm2 1"
#define POINT_LEN 65u /* uncompressed, P-256 */
#define DER_MAX   80u

static void pkey_done(EVP_PKEY **p)
{
    EVP_PKEY_free(*p);
}

static void pkey_ctx_done(EVP_PKEY_CTX **p)
{
    EVP_PKEY_CTX_free(*p);
}

static void md_done(EVP_MD_CTX **p)
{
    EVP_MD_CTX_free(*p);
}

static void sig_done(ECDSA_SIG **p)
{
    ECDSA_SIG_free(*p);
}

static hsm_err hash(struct bytes b, uint8_t ret[QUOTE_DIGEST_LEN])
{
    return EVP_Digest(b.p, b.n, ret, NULL, EVP_sha256(), NULL) == 1 ? HSM_OK : HSM_E_INTERNAL;
}

hsm_err quote_ak(const struct quote *q, uint8_t ret[QUOTE_DIGEST_LEN])
{
    return hash(q->public, ret);
}

hsm_err quote_qualify(const struct evidence *e, const uint8_t spki[QUOTE_DIGEST_LEN],
                      uint8_t ret[QUOTE_DIGEST_LEN])
{
    uint8_t text[256];
    struct wr w = wr_of(text, sizeof text);
    wr_str(&w, LABEL);
    wr_bytes(&w, spki, QUOTE_DIGEST_LEN);
    wr_bytes(&w, e->measurement, sizeof e->measurement);
    wr_lv(&w, bytes_str(e->pool));
    wr_u32(&w, e->partition);
    wr_lv(&w, bytes_str(e->protection));
    TRY(wr_ok(&w));
    return hash(wr_view(&w), ret);
}

/* ---- signature ---- */

static EVP_PKEY *ak_key(const struct quote *q)
{
    uint8_t point[POINT_LEN] = {POINT_CONVERSION_UNCOMPRESSED};
    char group[] = "P-256";
    memcpy(point + 33 - q->x.n, q->x.p, q->x.n);
    memcpy(point + 65 - q->y.n, q->y.p, q->y.n);
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point),
        OSSL_PARAM_construct_end(),
    };
    EVP_PKEY *key = NULL;
    DEFER(pkey_ctx_done) EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    if (c == NULL || EVP_PKEY_fromdata_init(c) != 1 ||
        EVP_PKEY_fromdata(c, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
        return NULL;
    return key;
}

static size_t signature_der(const struct quote *q, uint8_t der[DER_MAX])
{
    DEFER(sig_done) ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(q->r.p, (int)q->r.n, NULL);
    BIGNUM *s = BN_bin2bn(q->s.p, (int)q->s.n, NULL);
    if (sig == NULL || r == NULL || s == NULL || ECDSA_SIG_set0(sig, r, s) != 1) {
        BN_free(r);
        BN_free(s);
        return 0;
    }
    int n = i2d_ECDSA_SIG(sig, NULL);
    if (n <= 0 || n > (int)DER_MAX)
        return 0;
    return i2d_ECDSA_SIG(sig, &der) == n ? (size_t)n : 0;
}

static bool is_signed(const struct quote *q)
{
    uint8_t der[DER_MAX];
    size_t n = signature_der(q, der);
    DEFER(pkey_done) EVP_PKEY *key = ak_key(q);
    DEFER(md_done) EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool ok = n > 0 && key != NULL && md != NULL &&
              EVP_DigestVerifyInit(md, NULL, EVP_sha256(), NULL, key) == 1 &&
              EVP_DigestVerify(md, der, n, q->attest.p, q->attest.n) == 1;
    ERR_clear_error();
    return ok;
}

/* The qualified name of a primary key: SHA-256(handle of its hierarchy || its name). */
static bool is_primary(const struct quote *q, const uint8_t ak[QUOTE_DIGEST_LEN])
{
    uint8_t text[4 + 2 + QUOTE_DIGEST_LEN];
    uint8_t want[QUOTE_DIGEST_LEN];
    struct wr w = wr_of(text, sizeof text);
    wr_u32(&w, QUOTE_AK_HIERARCHY);
    wr_u16(&w, 0x000b); /* TPM_ALG_SHA256 */
    wr_bytes(&w, ak, QUOTE_DIGEST_LEN);
    return hash(wr_view(&w), want) == HSM_OK && bytes_eq(q->signer, bytes_of(want, sizeof want));
}

/* ---- policy ---- */

static bool is_among(struct bytes digest, const uint8_t (*list)[QUOTE_DIGEST_LEN], unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (bytes_eq(digest, bytes_of(list[i], QUOTE_DIGEST_LEN)))
            return true;
    return false;
}

hsm_err quote_check(const struct evidence *e, const uint8_t spki[QUOTE_DIGEST_LEN],
                    const struct peer_policy *p, const char **why)
{
    struct quote q;
    uint8_t ak[QUOTE_DIGEST_LEN], want[QUOTE_DIGEST_LEN];
    *why = "the evidence of its platform cannot be verified: it is no quote of a TPM";
    if (quote_decode(bytes_of(e->platform, e->platform_n), &q) != HSM_OK ||
        quote_ak(&q, ak) != HSM_OK || quote_qualify(e, spki, want) != HSM_OK)
        return HSM_E_DENIED;
    *why = "its attestation key is not accepted (peers.aks)";
    if (!is_among(bytes_of(ak, sizeof ak), p->ak, p->ak_n))
        return HSM_E_DENIED;
    *why = "its quote is not signed by its attestation key";
    if (!is_signed(&q) || !is_primary(&q, ak))
        return HSM_E_DENIED;
    *why = "its quote was made for another certificate or other evidence";
    if (!bytes_eq(q.qualifying, bytes_of(want, sizeof want)))
        return HSM_E_DENIED;
    *why = "its quote is of other PCRs than peers.pcrs.select";
    if (q.pcrs != peer_policy_pcrs(p))
        return HSM_E_DENIED;
    *why = "its PCRs have values that are not accepted (peers.pcrs.digests): its machine was "
           "started with something else";
    if (p->pcr_digest_n > 0 && !is_among(q.pcr_digest, p->pcr_digest, p->pcr_digest_n))
        return HSM_E_DENIED;
    *why = "";
    return HSM_OK;
}
