#include "model/foreign.h"

#include <openssl/evp.h>

static const char purpose[] = "keyhold principal of an external issuer";

static void md_ctx_done(EVP_MD_CTX **c)
{
    EVP_MD_CTX_free(*c);
}

static bool add(EVP_MD_CTX *c, struct bytes b)
{
    uint8_t n[4];
    be32_put(n, (uint32_t)b.n);
    return EVP_DigestUpdate(c, n, sizeof n) == 1 && EVP_DigestUpdate(c, b.p, b.n) == 1;
}

hsm_err foreign_principal(struct bytes issuer, struct bytes subject, char ret[UUID_TEXT_LEN + 1])
{
    uint8_t d[32];
    struct uuid u;
    DEFER(md_ctx_done) EVP_MD_CTX *c = EVP_MD_CTX_new();
    if (c == NULL || EVP_DigestInit_ex(c, EVP_sha256(), NULL) != 1 || !add(c, bytes_str(purpose)) ||
        !add(c, issuer) || !add(c, subject) || EVP_DigestFinal_ex(c, d, NULL) != 1)
        return HSM_E_INTERNAL;
    memcpy(u.b, d, sizeof u.b);
    u.b[6] = (uint8_t)((u.b[6] & 0x0f) | 0x80);
    u.b[8] = (uint8_t)((u.b[8] & 0x3f) | 0x80);
    uuid_format(&u, ret);
    return HSM_OK;
}
