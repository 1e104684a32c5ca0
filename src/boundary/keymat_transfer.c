/* Keys that come wrapped for a key exchange key. */
#include <openssl/rand.h>
#include "boundary/keymat_impl.h"
#include "codec/pkcs8.h"

#define AES_MAX   32u
#define PLAIN_CAP (KEYMAT_PRIVATE_MAX + 1024u)

static const struct {
    uint8_t oid[8];
    uint8_t n;
    enum key_curve crv;
} curves[] = {
    {{0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07}, 8, CRV_P256},
    {{0x2b, 0x81, 0x04, 0x00, 0x0a}, 5, CRV_P256K},
    {{0x2b, 0x81, 0x04, 0x00, 0x22}, 5, CRV_P384},
    {{0x2b, 0x81, 0x04, 0x00, 0x23}, 5, CRV_P521},
};

static enum key_curve curve_of(struct bytes oid)
{
    for (size_t i = 0; i < sizeof curves / sizeof curves[0]; i++)
        if (bytes_eq(oid, bytes_of(curves[i].oid, curves[i].n)))
            return curves[i].crv;
    return CRV_NONE;
}

/* The AES key, or a random one of the same length when the padding is wrong: what follows fails
 * then all the same, and takes the same time (the decryption itself is libcrypto's business). */
static hsm_err open_aes_key(struct keymat *kek, struct bytes c, struct secret_buf *work,
                            struct bytes *ret)
{
    const char *why = "";
    struct wire_crypto_result r = {0};
    const struct wire_crypto in = {.alg = ALG_RSA_OAEP, .value = c};
    uint8_t *spare = work->p + work->n - AES_MAX;
    if (RAND_priv_bytes(spare, AES_MAX) != 1)
        return keymat_failed(HSM_E_INTERNAL);
    hsm_err err = keymat_crypto(kek, KEY_OP_UNWRAP, &in, work->p, work->n - AES_MAX, &r, &why);
    if (err == HSM_E_NOMEM)
        return err;
    bool fits = err == HSM_OK && (r.value.n == 16 || r.value.n == 24 || r.value.n == AES_MAX);
    *ret = fits ? r.value : bytes_of(spare, AES_MAX);
    return HSM_OK;
}

static hsm_err unwrap(struct bytes aes_key, struct bytes c, struct secret_buf *out,
                      struct bytes *ret)
{
    DEFER(secret_buf_done) struct secret_buf part = {0};
    TRY(secret_buf_new(&part, 64 + AES_MAX));
    struct wr w = wr_of(part.p, part.n);
    keymat_head_put(&w, KTY_OCT, CRV_NONE, (uint32_t)aes_key.n * 8);
    wr_lv(&w, aes_key);
    TRY(wr_ok(&w));
    struct keymat *aes = NULL;
    TRY(keymat_open(wr_view(&w), &aes));
    const char *why = "";
    struct wire_crypto_result r = {0};
    const struct wire_crypto in = {.alg = ALG_CKM_AES_KEY_WRAP_PAD, .value = c};
    hsm_err err = keymat_crypto(aes, KEY_OP_UNWRAP, &in, out->p, out->n, &r, &why);
    keymat_unref(aes);
    *ret = r.value;
    return err;
}

static hsm_err numbers_of(struct bytes plain, struct keymat_spec *spec, struct key_numbers *ret)
{
    struct pkcs8_key k;
    if (spec->kty == KTY_OCT) {
        *ret = (struct key_numbers){.k = plain};
        return plain.n == 16 || plain.n == 24 || plain.n == 32 ? HSM_OK : HSM_E_MALFORMED;
    }
    TRY(pkcs8_parse(plain, &k));
    if (k.is_ec != (spec->kty == KTY_EC))
        return HSM_E_MALFORMED;
    if (k.is_ec) {
        enum key_curve crv = curve_of(k.curve);
        if (crv == CRV_NONE || (spec->crv != CRV_NONE && spec->crv != crv))
            return HSM_E_MALFORMED;
        spec->crv = crv;
    }
    *ret = k.num;
    return HSM_OK;
}

hsm_err keymat_transfer_open(struct keymat *kek, struct bytes wrapped, struct keymat_spec *spec,
                             struct secret_buf *ret_plain, struct key_numbers *ret_numbers,
                             const char **why)
{
    size_t modulus = kek->bits / 8;
    /* Two halves are the least that AES-KWP gives. */
    if (kek->kty != KTY_RSA || wrapped.n < modulus + 16 || (wrapped.n - modulus) % 8 != 0 ||
        wrapped.n - modulus > KEYMAT_PRIVATE_MAX) {
        *why = "Key transfer blob: the length of ciphertext does not fit the key exchange key.";
        return HSM_E_BAD_PARAMETER;
    }
    DEFER(secret_buf_done) struct secret_buf work = {0};
    DEFER(secret_buf_done) struct secret_buf out = {0};
    struct bytes aes_key, plain;
    TRY(secret_buf_new(&work, KEYMAT_RSA_MAX + 1024 + AES_MAX));
    TRY(secret_buf_new(&out, PLAIN_CAP));
    TRY(open_aes_key(kek, bytes_of(wrapped.p, modulus), &work, &aes_key));
    hsm_err err = unwrap(aes_key, bytes_of(wrapped.p + modulus, wrapped.n - modulus), &out, &plain);
    if (err == HSM_OK)
        err = numbers_of(plain, spec, ret_numbers);
    if (err == HSM_E_NOMEM)
        return err;
    if (err != HSM_OK) {
        *why = "Key transfer blob: it cannot be unwrapped to a key of this type.";
        return HSM_E_BAD_PARAMETER;
    }
    *ret_plain = out;
    out = (struct secret_buf){0};
    return HSM_OK;
}
