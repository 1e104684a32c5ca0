#include "codec/jwe.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include "base/ct.h"
#include "codec/base64url.h"
#include "codec/json.h"

#define IV_LEN        16
#define TAG_LEN       32
#define MAC_KEY_LEN   32
#define BLOCK_LEN     16
#define HASH_LEN      64
#define RSA_BYTES_MAX 2048
#define HEADER_TOKENS 64
/* {"alg":"RSA-OAEP-256","enc":"A256CBC-HS512","kid":""} */
#define HEADER_FIXED 64
/* An escaped character of the kid takes up to six. */
#define KID_GROWTH 6
#define KID_MAX    512
#define HEADER_MAX (HEADER_FIXED + KID_GROWTH * KID_MAX)

static void mac_done(EVP_MAC **m)
{
    EVP_MAC_free(*m);
}
static void mac_ctx_done(EVP_MAC_CTX **c)
{
    EVP_MAC_CTX_free(*c);
}
static void cipher_ctx_done(EVP_CIPHER_CTX **c)
{
    EVP_CIPHER_CTX_free(*c);
}
static void pkey_ctx_done(EVP_PKEY_CTX **c)
{
    EVP_PKEY_CTX_free(*c);
}

size_t jwe_text_max(size_t n, size_t kid_len, size_t modulus)
{
    return b64_encoded_max(HEADER_FIXED + KID_GROWTH * kid_len) + b64_encoded_max(modulus) +
           b64_encoded_max(IV_LEN) + b64_encoded_max(n + BLOCK_LEN) + b64_encoded_max(TAG_LEN) + 4;
}

/* HMAC-SHA-512 over AAD, IV, ciphertext and the bit length of the AAD; the first half is the tag.
 */
static bool tag_of(const uint8_t cek[JWE_CEK_LEN], struct bytes aad, struct bytes iv,
                   struct bytes ct, uint8_t tag[TAG_LEN])
{
    uint8_t al[8];
    uint8_t full[HASH_LEN];
    size_t n = 0;
    char digest[] = "SHA512";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    be64_put(al, (uint64_t)aad.n * 8);
    DEFER(mac_done) EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    DEFER(mac_ctx_done) EVP_MAC_CTX *ctx = mac == NULL ? NULL : EVP_MAC_CTX_new(mac);
    if (ctx == NULL || EVP_MAC_init(ctx, cek, MAC_KEY_LEN, params) != 1 ||
        EVP_MAC_update(ctx, aad.p, aad.n) != 1 || EVP_MAC_update(ctx, iv.p, iv.n) != 1 ||
        EVP_MAC_update(ctx, ct.p, ct.n) != 1 || EVP_MAC_update(ctx, al, sizeof al) != 1 ||
        EVP_MAC_final(ctx, full, &n, sizeof full) != 1 || n != sizeof full)
        return false;
    memcpy(tag, full, TAG_LEN);
    secret_wipe(full, sizeof full);
    return true;
}

/* AES-256-CBC with the second half of the key; out has room for in.n + BLOCK_LEN. */
static bool cbc(bool encrypt, const uint8_t cek[JWE_CEK_LEN], const uint8_t iv[IV_LEN],
                struct bytes in, uint8_t *out, size_t *ret_len)
{
    int n1 = 0;
    int n2 = 0;
    DEFER(cipher_ctx_done) EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    if (in.n > INT32_MAX - BLOCK_LEN || ctx == NULL ||
        EVP_CipherInit_ex2(ctx, EVP_aes_256_cbc(), cek + MAC_KEY_LEN, iv, encrypt, NULL) != 1)
        return false;
    if (in.n > 0 && EVP_CipherUpdate(ctx, out, &n1, in.p, (int)in.n) != 1)
        return false;
    if (EVP_CipherFinal_ex(ctx, out + n1, &n2) != 1)
        return false;
    *ret_len = (size_t)n1 + (size_t)n2;
    return true;
}

/* Append base64url. */
static void put_part(struct wr *out, struct bytes part)
{
    size_t need = part.n / 3 * 4 + (part.n % 3 == 0 ? 0 : part.n % 3 + 1);
    if (out->overflow || out->cap - out->n < need) {
        out->overflow = true;
        return;
    }
    out->n += b64u_encode((char *)out->p + out->n, part.p, part.n);
}

static hsm_err put_header(const char *alg, const char *kid, struct wr *out)
{
    char header[HEADER_MAX];
    struct wr h = wr_of(header, sizeof header);
    struct json_wr j = json_wr_of(&h);
    if (strlen(kid) > KID_MAX)
        return HSM_E_RANGE;
    json_obj_open(&j);
    json_name(&j, "alg");
    json_put_str(&j, alg);
    json_name(&j, "enc");
    json_put_str(&j, "A256CBC-HS512");
    json_name(&j, "kid");
    json_put_str(&j, kid);
    json_obj_close(&j);
    TRY(wr_ok(&h));
    put_part(out, wr_view(&h));
    return HSM_OK;
}

/* ct: room for plaintext.n + BLOCK_LEN bytes; may be where the plaintext is. */
static hsm_err seal_with(const uint8_t cek[JWE_CEK_LEN], const char *alg, const char *kid,
                         struct bytes encrypted_key, struct bytes plaintext, uint8_t *ct,
                         struct wr *out)
{
    uint8_t iv[IV_LEN];
    uint8_t tag[TAG_LEN];
    if (plaintext.n > INT32_MAX - 2 * BLOCK_LEN)
        return HSM_E_RANGE;
    HSM_ASSERT(RAND_bytes(iv, sizeof iv) == 1);
    size_t ct_n = 0;
    if (!cbc(true, cek, iv, plaintext, ct, &ct_n))
        return HSM_E_INTERNAL;
    size_t start = out->n;
    TRY(put_header(alg, kid, out));
    if (out->overflow)
        return HSM_E_RANGE;
    struct bytes aad = bytes_of(out->p + start, out->n - start);
    if (!tag_of(cek, aad, bytes_of(iv, sizeof iv), bytes_of(ct, ct_n), tag))
        return HSM_E_INTERNAL;
    wr_u8(out, '.');
    put_part(out, encrypted_key);
    wr_u8(out, '.');
    put_part(out, bytes_of(iv, sizeof iv));
    wr_u8(out, '.');
    put_part(out, bytes_of(ct, ct_n));
    wr_u8(out, '.');
    put_part(out, bytes_of(tag, sizeof tag));
    return wr_ok(out);
}

static hsm_err seal(const uint8_t cek[JWE_CEK_LEN], const char *alg, const char *kid,
                    struct bytes encrypted_key, struct bytes plaintext, struct wr *out)
{
    DEFER(secret_buf_done) struct secret_buf ct = {0};
    if (plaintext.n > INT32_MAX - 2 * BLOCK_LEN)
        return HSM_E_RANGE;
    TRY(secret_buf_new(&ct, plaintext.n + BLOCK_LEN));
    return seal_with(cek, alg, kid, encrypted_key, plaintext, ct.p, out);
}

hsm_err jwe_seal_dir(const uint8_t cek[JWE_CEK_LEN], const char *kid, struct bytes plaintext,
                     struct wr *out)
{
    return seal(cek, "dir", kid, (struct bytes){0}, plaintext, out);
}

hsm_err jwe_seal_dir_over(const uint8_t cek[JWE_CEK_LEN], const char *kid, uint8_t *buf, size_t n,
                          struct wr *out)
{
    return seal_with(cek, "dir", kid, (struct bytes){0}, bytes_of(buf, n), buf, out);
}

static bool set_oaep(EVP_PKEY_CTX *ctx)
{
    return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) == 1 &&
           EVP_PKEY_CTX_set_rsa_oaep_md(ctx, EVP_sha256()) == 1 &&
           EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, EVP_sha256()) == 1;
}

hsm_err jwe_seal_rsa(EVP_PKEY *rsa_public, const char *kid, struct bytes plaintext, struct wr *out)
{
    uint8_t encrypted[RSA_BYTES_MAX];
    size_t n = sizeof encrypted;
    DEFER(secret_buf_done) struct secret_buf cek = {0};
    if (EVP_PKEY_get_size(rsa_public) > RSA_BYTES_MAX || !EVP_PKEY_is_a(rsa_public, "RSA"))
        return HSM_E_CRYPTO;
    TRY(secret_buf_new(&cek, JWE_CEK_LEN));
    HSM_ASSERT(RAND_priv_bytes(cek.p, JWE_CEK_LEN) == 1);
    DEFER(pkey_ctx_done) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, rsa_public, NULL);
    if (ctx == NULL || EVP_PKEY_encrypt_init(ctx) != 1 || !set_oaep(ctx) ||
        EVP_PKEY_encrypt(ctx, encrypted, &n, cek.p, cek.n) != 1) {
        ERR_clear_error();
        return HSM_E_CRYPTO;
    }
    return seal(cek.p, "RSA-OAEP-256", kid, bytes_of(encrypted, n), plaintext, out);
}

enum {
    HEADER,
    KEY,
    IV,
    CIPHERTEXT,
    TAG,
    PARTS
};

static hsm_err split(struct bytes text, struct bytes part[PARTS])
{
    size_t from = 0;
    size_t k = 0;
    for (size_t i = 0; i <= text.n; i++) {
        if (i < text.n && text.p[i] != '.')
            continue;
        /* Padding is not part of the compact form. */
        if (k == PARTS || (i > from && text.p[i - 1] == '='))
            return HSM_E_CRYPTO;
        part[k++] = bytes_of(text.p + from, i - from);
        from = i + 1;
    }
    return k == PARTS ? HSM_OK : HSM_E_CRYPTO;
}

static bool member_is(const struct json_doc *d, const char *name, const char *value)
{
    char text[KID_MAX];
    size_t n;
    if (json_string(d, json_get(d, 0, name), text, sizeof text, &n) != HSM_OK)
        return false;
    return bytes_eq_str(bytes_of(text, n), value);
}

/* kid == NULL: any, or none. */
static hsm_err check_header(struct bytes part, const char *alg, const char *kid)
{
    uint8_t text[HEADER_MAX];
    size_t n;
    struct json_tok toks[HEADER_TOKENS];
    struct json_doc d;
    if (b64_decoded_max(part.n) > sizeof text || b64u_decode(text, part, &n) != HSM_OK ||
        json_parse(bytes_of(text, n), toks, HEADER_TOKENS, &d) != HSM_OK)
        return HSM_E_CRYPTO;
    /* Compression and critical extensions change the meaning of the rest; we have neither. */
    if (json_get(&d, 0, "zip") != JSON_NONE || json_get(&d, 0, "crit") != JSON_NONE)
        return HSM_E_CRYPTO;
    if (!member_is(&d, "alg", alg) || !member_is(&d, "enc", "A256CBC-HS512"))
        return HSM_E_CRYPTO;
    return kid == NULL || member_is(&d, "kid", kid) ? HSM_OK : HSM_E_CRYPTO;
}

/* Exactly n bytes. */
static hsm_err decode_exact(struct bytes part, uint8_t *dst, size_t n)
{
    uint8_t tmp[RSA_BYTES_MAX + 8];
    size_t got;
    if (n > RSA_BYTES_MAX || b64_decoded_max(part.n) > sizeof tmp)
        return HSM_E_CRYPTO;
    if (b64u_decode(tmp, part, &got) != HSM_OK || got != n)
        return HSM_E_CRYPTO;
    memcpy(dst, tmp, n);
    return HSM_OK;
}

/* Authenticate first; only then does the padding get looked at. buf: room for the decoded
 * ciphertext, which becomes the plaintext. */
static hsm_err open_into(struct bytes part[PARTS], const uint8_t cek[JWE_CEK_LEN], uint8_t *buf,
                         size_t *ret_n)
{
    uint8_t iv[IV_LEN];
    uint8_t tag[TAG_LEN];
    uint8_t want[TAG_LEN];
    size_t ct_n;
    TRY(decode_exact(part[IV], iv, sizeof iv));
    TRY(decode_exact(part[TAG], tag, sizeof tag));
    if (b64u_decode(buf, part[CIPHERTEXT], &ct_n) != HSM_OK || ct_n == 0 || ct_n % BLOCK_LEN != 0)
        return HSM_E_CRYPTO;
    if (!tag_of(cek, part[HEADER], bytes_of(iv, sizeof iv), bytes_of(buf, ct_n), want))
        return HSM_E_INTERNAL;
    bool authentic = ct_eq(tag, want, TAG_LEN);
    secret_wipe(want, sizeof want);
    if (!authentic)
        return HSM_E_CRYPTO;
    if (!cbc(false, cek, iv, bytes_of(buf, ct_n), buf, ret_n)) {
        ERR_clear_error();
        return HSM_E_CRYPTO;
    }
    return HSM_OK;
}

static hsm_err open_parts(struct bytes part[PARTS], const uint8_t cek[JWE_CEK_LEN],
                          struct secret_buf *ret)
{
    DEFER(secret_buf_done) struct secret_buf plain = {0};
    struct secret_buf exact;
    size_t n;
    TRY(secret_buf_new(&plain, b64_decoded_max(part[CIPHERTEXT].n)));
    TRY(open_into(part, cek, plain.p, &n));
    TRY(secret_buf_new(&exact, n));
    memcpy(exact.p, plain.p, n);
    *ret = exact;
    return HSM_OK;
}

static hsm_err split_dir(struct bytes text, const char *kid, struct bytes part[PARTS])
{
    TRY(split(text, part));
    TRY(check_header(part[HEADER], "dir", kid));
    return part[KEY].n == 0 ? HSM_OK : HSM_E_CRYPTO;
}

hsm_err jwe_open_dir(struct bytes text, const uint8_t cek[JWE_CEK_LEN], const char *kid,
                     struct secret_buf *ret)
{
    struct bytes part[PARTS];
    TRY(split_dir(text, kid, part));
    return open_parts(part, cek, ret);
}

hsm_err jwe_open_dir_into(struct bytes text, const uint8_t cek[JWE_CEK_LEN], const char *kid,
                          uint8_t *buf, size_t cap, struct bytes *ret)
{
    struct bytes part[PARTS];
    size_t n;
    TRY(split_dir(text, kid, part));
    if (b64_decoded_max(part[CIPHERTEXT].n) > cap)
        return HSM_E_CRYPTO;
    TRY(open_into(part, cek, buf, &n));
    *ret = bytes_of(buf, n);
    return HSM_OK;
}

/* The content key of the message. Whatever is wrong with it, the result is a key: a random one
 * fails at the tag like any other wrong key, so that no answer tells bad OAEP from a bad tag. */
static hsm_err unwrap_cek(EVP_PKEY *rsa, struct bytes encrypted, struct secret_buf *cek)
{
    DEFER(secret_buf_done) struct secret_buf got = {0};
    TRY(secret_buf_new(&got, RSA_BYTES_MAX));
    HSM_ASSERT(RAND_priv_bytes(cek->p, JWE_CEK_LEN) == 1);
    size_t n = got.n;
    DEFER(pkey_ctx_done) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, rsa, NULL);
    if (ctx == NULL || EVP_PKEY_decrypt_init(ctx) != 1 || !set_oaep(ctx)) {
        ERR_clear_error();
        return HSM_E_INTERNAL;
    }
    int ok = EVP_PKEY_decrypt(ctx, got.p, &n, encrypted.p, encrypted.n);
    ERR_clear_error();
    uint32_t bad = ct_mask_nz32((uint32_t)(ok ^ 1)) | ct_mask_nz32((uint32_t)(n ^ JWE_CEK_LEN));
    for (size_t i = 0; i < JWE_CEK_LEN; i++)
        cek->p[i] = (uint8_t)ct_select32(bad, cek->p[i], got.p[i]);
    return HSM_OK;
}

hsm_err jwe_open_rsa(struct bytes text, EVP_PKEY *rsa_private, struct secret_buf *ret)
{
    struct bytes part[PARTS];
    uint8_t encrypted[RSA_BYTES_MAX];
    int size = EVP_PKEY_get_size(rsa_private);
    if (size <= 0 || size > RSA_BYTES_MAX || !EVP_PKEY_is_a(rsa_private, "RSA"))
        return HSM_E_CRYPTO;
    TRY(split(text, part));
    TRY(check_header(part[HEADER], "RSA-OAEP-256", NULL));
    TRY(decode_exact(part[KEY], encrypted, (size_t)size));
    DEFER(secret_buf_done) struct secret_buf cek = {0};
    TRY(secret_buf_new(&cek, JWE_CEK_LEN));
    TRY(unwrap_cek(rsa_private, bytes_of(encrypted, (size_t)size), &cek));
    return open_parts(part, cek.p, ret);
}
