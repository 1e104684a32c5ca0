#include "boundary/key_backup_seal.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include "boundary/seal_record.h"
#include "codec/jwe.h"

#define KID       "backup-protection-key"
#define NONCE_LEN 12u
#define KEY_LEN   32u

static hsm_err envelope_key(const struct roots *roots, struct secret_buf *ret)
{
    TRY(secret_buf_new(ret, JWE_CEK_LEN));
    return roots_derive_backup(roots, "keyhold key backup: envelope", bytes_of(NULL, 0), ret->p,
                               JWE_CEK_LEN);
}

hsm_err key_backup_close(const struct roots *roots, uint8_t *buf, size_t n, struct wr *out)
{
    DEFER(secret_buf_done) struct secret_buf cek = {0};
    TRY(envelope_key(roots, &cek));
    return jwe_seal_dir_over(cek.p, KID, buf, n, out);
}

hsm_err key_backup_open(const struct roots *roots, struct bytes text, uint8_t *buf, size_t cap,
                        struct key_backup *ret)
{
    DEFER(secret_buf_done) struct secret_buf cek = {0};
    struct bytes content;
    TRY(envelope_key(roots, &cek));
    if (jwe_open_dir_into(text, cek.p, KID, buf, cap, &content) != HSM_OK ||
        key_backup_parse(content, ret) != HSM_OK)
        return HSM_E_BACKUP_BLOB;
    return HSM_OK;
}

/* ---- private parts --------------------------------------------------------------------------- */
static void cipher_done(EVP_CIPHER_CTX **c)
{
    EVP_CIPHER_CTX_free(*c);
}

hsm_err key_backup_sealer_init(const struct roots *roots, const uint8_t salt[KEY_BACKUP_SALT_LEN],
                               struct key_backup_sealer *ret)
{
    struct key_backup_sealer s = {0};
    TRY(secret_buf_new(&s.key, KEY_LEN));
    hsm_err err = roots_derive_backup(roots, "keyhold key backup: private part",
                                      bytes_of(salt, KEY_BACKUP_SALT_LEN), s.key.p, KEY_LEN);
    if (err != HSM_OK) {
        key_backup_sealer_done(&s);
        return err;
    }
    *ret = s;
    return HSM_OK;
}

void key_backup_sealer_done(struct key_backup_sealer *s)
{
    secret_buf_done(&s->key);
}

hsm_err key_backup_seal_private(const struct key_backup_sealer *s, const struct uuid *id,
                                struct bytes secret_plain, uint8_t *out)
{
    uint8_t *tag = out + NONCE_LEN;
    uint8_t *ct = out + SEAL_PRIVATE_OVERHEAD;
    uint8_t none[16];
    int n;
    DEFER(cipher_done) EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    bool ok = c != NULL && RAND_bytes(out, NONCE_LEN) == 1 &&
              EVP_EncryptInit_ex2(c, EVP_aes_256_gcm(), s->key.p, out, NULL) == 1 &&
              EVP_EncryptUpdate(c, NULL, &n, id->b, sizeof id->b) == 1 &&
              EVP_EncryptUpdate(c, ct, &n, secret_plain.p, (int)secret_plain.n) == 1 &&
              EVP_EncryptFinal_ex(c, none, &n) == 1 &&
              EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, SEAL_TAG_LEN, tag) == 1;
    ERR_clear_error();
    return ok ? HSM_OK : HSM_E_NOMEM;
}

hsm_err key_backup_open_private(const struct key_backup_sealer *s, const struct uuid *id,
                                struct bytes sealed, struct secret_buf *ret)
{
    uint8_t tag[SEAL_TAG_LEN];
    uint8_t none[16];
    int n;
    if (sealed.n <= SEAL_PRIVATE_OVERHEAD || sealed.n > INT32_MAX)
        return HSM_E_BACKUP_BLOB;
    memcpy(tag, sealed.p + NONCE_LEN, sizeof tag);
    DEFER(secret_buf_done) struct secret_buf out = {0};
    TRY(secret_buf_new(&out, sealed.n - SEAL_PRIVATE_OVERHEAD));
    DEFER(cipher_done) EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    if (c == NULL || EVP_DecryptInit_ex2(c, EVP_aes_256_gcm(), s->key.p, sealed.p, NULL) != 1 ||
        EVP_DecryptUpdate(c, NULL, &n, id->b, sizeof id->b) != 1)
        return HSM_E_NOMEM;
    bool ok = EVP_DecryptUpdate(c, out.p, &n, sealed.p + SEAL_PRIVATE_OVERHEAD, (int)out.n) == 1 &&
              EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, SEAL_TAG_LEN, tag) == 1 &&
              EVP_DecryptFinal_ex(c, none, &n) == 1;
    ERR_clear_error();
    if (!ok)
        return HSM_E_BACKUP_BLOB;
    *ret = out;
    out = (struct secret_buf){0};
    return HSM_OK;
}
