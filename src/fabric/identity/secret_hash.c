#include "fabric/identity/secret_hash.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include "base/ct.h"
#include "base/secret.h"
#include "codec/base64url.h"

#define SALT_LEN 16
#define HASH_LEN 32
/* 16 MiB and some tens of milliseconds for one password */
#define SCRYPT_N      16384u
#define SCRYPT_R      8u
#define SCRYPT_P      1u
#define SCRYPT_MEM    (64u << 20)
#define PASSWORD_MARK "scrypt14$"
#define DIGEST_MARK   "sha256$"

enum kind {
    KIND_PASSWORD,
    KIND_DIGEST
};

static hsm_err scrypt(struct bytes text, const uint8_t salt[SALT_LEN], uint8_t out[HASH_LEN])
{
    const char *p = text.n > 0 ? (const char *)text.p : "";
    return EVP_PBE_scrypt(p, text.n, salt, SALT_LEN, SCRYPT_N, SCRYPT_R, SCRYPT_P, SCRYPT_MEM, out,
                          HASH_LEN) == 1
               ? HSM_OK
               : HSM_E_NOMEM;
}

static void md_ctx_done(EVP_MD_CTX **c)
{
    EVP_MD_CTX_free(*c);
}

static hsm_err digest(struct bytes text, const uint8_t salt[SALT_LEN], uint8_t out[HASH_LEN])
{
    DEFER(md_ctx_done) EVP_MD_CTX *c = EVP_MD_CTX_new();
    if (c == NULL || EVP_DigestInit_ex(c, EVP_sha256(), NULL) != 1 ||
        EVP_DigestUpdate(c, salt, SALT_LEN) != 1 || EVP_DigestUpdate(c, text.p, text.n) != 1 ||
        EVP_DigestFinal_ex(c, out, NULL) != 1)
        return HSM_E_NOMEM;
    return HSM_OK;
}

static hsm_err compute(enum kind kind, struct bytes text, const uint8_t salt[SALT_LEN],
                       uint8_t out[HASH_LEN])
{
    return kind == KIND_PASSWORD ? scrypt(text, salt, out) : digest(text, salt, out);
}

static hsm_err make(enum kind kind, struct bytes text, char dst[SECRET_HASH_MAX])
{
    uint8_t salt[SALT_LEN], hash[HASH_LEN];
    char salt_text[32], hash_text[64];
    if (RAND_bytes(salt, sizeof salt) != 1)
        return HSM_E_INTERNAL;
    TRY(compute(kind, text, salt, hash));
    struct wr w = wr_of(dst, SECRET_HASH_MAX);
    wr_str(&w, kind == KIND_PASSWORD ? PASSWORD_MARK : DIGEST_MARK);
    wr_bytes(&w, salt_text, b64u_encode(salt_text, salt, sizeof salt));
    wr_str(&w, "$");
    wr_bytes(&w, hash_text, b64u_encode(hash_text, hash, sizeof hash));
    wr_u8(&w, 0);
    secret_wipe(hash, sizeof hash);
    return wr_ok(&w);
}

hsm_err secret_hash_password(struct bytes password, char dst[SECRET_HASH_MAX])
{
    return make(KIND_PASSWORD, password, dst);
}

hsm_err secret_hash_random(struct bytes secret, char dst[SECRET_HASH_MAX])
{
    return make(KIND_DIGEST, secret, dst);
}

static hsm_err take_part(struct bytes text, uint8_t *dst, size_t want)
{
    uint8_t raw[64];
    size_t n = 0;
    if (b64_decoded_max(text.n) > sizeof raw)
        return HSM_E_MALFORMED;
    TRY(b64u_decode(raw, text, &n));
    if (n != want)
        return HSM_E_MALFORMED;
    memcpy(dst, raw, want);
    return HSM_OK;
}

static hsm_err take(struct bytes text, enum kind *ret_kind, uint8_t salt[SALT_LEN],
                    uint8_t hash[HASH_LEN])
{
    static const char *const marks[] = {PASSWORD_MARK, DIGEST_MARK};
    for (size_t i = 0; i < 2; i++) {
        size_t n = strlen(marks[i]);
        if (text.n <= n || memcmp(text.p, marks[i], n) != 0)
            continue;
        struct bytes rest = bytes_of(text.p + n, text.n - n);
        const uint8_t *cut = memchr(rest.p, '$', rest.n);
        if (cut == NULL)
            return HSM_E_MALFORMED;
        size_t k = (size_t)(cut - rest.p);
        TRY(take_part(bytes_of(rest.p, k), salt, SALT_LEN));
        TRY(take_part(bytes_of(cut + 1, rest.n - k - 1), hash, HASH_LEN));
        *ret_kind = i == 0 ? KIND_PASSWORD : KIND_DIGEST;
        return HSM_OK;
    }
    return HSM_E_MALFORMED;
}

bool secret_hash_fits(struct bytes hash, struct bytes given)
{
    enum kind kind;
    uint8_t salt[SALT_LEN], want[HASH_LEN], is[HASH_LEN] = {0};
    if (take(hash, &kind, salt, want) != HSM_OK || compute(kind, given, salt, is) != HSM_OK)
        return false;
    bool same = ct_eq(want, is, sizeof is);
    secret_wipe(is, sizeof is);
    return same;
}

void secret_hash_waste(struct bytes given)
{
    static const uint8_t salt[SALT_LEN];
    uint8_t out[HASH_LEN];
    /* Without memory there is nothing to hide either: every password is refused then. */
    if (scrypt(given, salt, out) == HSM_OK)
        secret_wipe(out, sizeof out);
}

hsm_err secret_text_random(char *dst, size_t n)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    const unsigned letters = sizeof alphabet - 1;
    for (size_t i = 0; i < n;) {
        uint8_t byte;
        if (RAND_bytes(&byte, 1) != 1)
            return HSM_E_INTERNAL;
        /* Bytes past the largest multiple are drawn again: every letter is equally likely. */
        if (byte < 256 - 256 % letters)
            dst[i++] = alphabet[byte % letters];
    }
    dst[n] = 0;
    return HSM_OK;
}
