/* Seal provider "pkcs11": an AES-256 key of a token, which cannot leave it, encrypts the KEK with
 * AES-GCM. PATH.pkcs11: "KHPK11", u16 version, 16 bytes CKA_ID of that key (both authenticated),
 * 12 bytes nonce, the encrypted KEK with its tag, SHA-256 of all of this. */
#include <openssl/rand.h>
#include <stdio.h>
#include "boundary/seal_pkcs11.h"

#define MAGIC     "KHPK11"
#define VERSION   1u
#define ID_LEN    16u
#define HEAD_LEN  (8u + ID_LEN)
#define NONCE_LEN 12u
#define TAG_LEN   16u
#define BODY_LEN  (KEK_LEN + TAG_LEN)
#define FILE_LEN  (HEAD_LEN + NONCE_LEN + BODY_LEN)

struct wrapped {
    uint8_t head[HEAD_LEN];
    uint8_t nonce[NONCE_LEN];
    uint8_t body[BODY_LEN];
};

static void head_put(uint8_t head[HEAD_LEN], const uint8_t id[ID_LEN])
{
    struct wr w = wr_of(head, HEAD_LEN);
    wr_str(&w, MAGIC);
    wr_u16(&w, VERSION);
    wr_bytes(&w, id, ID_LEN);
}

static uint8_t *id_of(struct wrapped *w)
{
    return w->head + HEAD_LEN - ID_LEN;
}

static hsm_err wrapped_decode(struct bytes in, struct wrapped *ret)
{
    TRY(seal_sum_check(&in));
    struct rd r = rd_of(in);
    struct wrapped w;
    uint8_t expected[HEAD_LEN];
    TRY(rd_copy(&r, w.head, HEAD_LEN));
    TRY(rd_copy(&r, w.nonce, NONCE_LEN));
    TRY(rd_copy(&r, w.body, BODY_LEN));
    TRY(rd_end(&r));
    head_put(expected, id_of(&w));
    if (memcmp(expected, w.head, HEAD_LEN) != 0)
        return HSM_E_CORRUPT;
    *ret = w;
    return HSM_OK;
}

static hsm_err wrapped_write(const struct wrapped *w, const char *path, char *text, size_t cap)
{
    uint8_t buf[FILE_LEN + SEAL_SUM_LEN];
    struct wr out = wr_of(buf, sizeof buf);
    wr_bytes(&out, w->head, HEAD_LEN);
    wr_bytes(&out, w->nonce, NONCE_LEN);
    wr_bytes(&out, w->body, BODY_LEN);
    if (!seal_sum(wr_view(&out), buf + FILE_LEN))
        return seal_say(HSM_E_INTERNAL, text, cap, "no SHA-256");
    return seal_file_write(path, bytes_of(buf, sizeof buf), text, cap);
}

/* ---- the token's key ------------------------------------------------------------------------- */
static hsm_err make_key(const struct token *t, uint8_t id[ID_LEN], ck_object_handle_t *ret)
{
    unsigned char yes = 1;
    unsigned char no = 0;
    unsigned long len = 32;
    char label[] = "Keyhold seal";
    struct ck_mechanism how = {.mechanism = CKM_AES_KEY_GEN};
    struct ck_attribute with[] = {
        {CKA_TOKEN, &yes, 1},
        {CKA_PRIVATE, &yes, 1},
        {CKA_SENSITIVE, &yes, 1},
        {CKA_EXTRACTABLE, &no, 1},
        {CKA_ENCRYPT, &yes, 1},
        {CKA_DECRYPT, &yes, 1},
        {CKA_VALUE_LEN, &len, sizeof len},
        {CKA_LABEL, label, sizeof label - 1},
        {CKA_ID, id, ID_LEN},
    };
    ck_rv_t rv = t->f->C_GenerateKey(t->session, &how, with, sizeof with / sizeof with[0], ret);
    return rv == CKR_OK ? HSM_OK : token_failed(t, "making an AES-256 key", rv);
}

static hsm_err find_key(const struct token *t, uint8_t id[ID_LEN], const char *path,
                        ck_object_handle_t *ret)
{
    unsigned long class = CKO_SECRET_KEY;
    unsigned long n = 0;
    ck_object_handle_t found[2];
    struct ck_attribute what[] = {{CKA_CLASS, &class, sizeof class}, {CKA_ID, id, ID_LEN}};
    ck_rv_t rv = t->f->C_FindObjectsInit(t->session, what, 2);
    if (rv == CKR_OK)
        rv = t->f->C_FindObjects(t->session, found, 2, &n);
    (void)t->f->C_FindObjectsFinal(t->session);
    if (rv != CKR_OK)
        return token_failed(t, "looking for the key", rv);
    if (n != 1)
        return seal_say(HSM_E_DENIED, t->text, t->cap,
                        "the key that %s was encrypted with is not in this token: use the token it "
                        "was made with; without it, remove this partition and add a new one, or "
                        "restore the pool from its security domain",
                        path);
    unsigned char extractable = 1;
    unsigned char sensitive = 0;
    struct ck_attribute kind[] = {{CKA_EXTRACTABLE, &extractable, 1},
                                  {CKA_SENSITIVE, &sensitive, 1}};
    rv = t->f->C_GetAttributeValue(t->session, found[0], kind, 2);
    if (rv != CKR_OK || extractable != 0 || sensitive != 1)
        return seal_say(HSM_E_DENIED, t->text, t->cap,
                        "the token's key for %s could leave the token: it is not the one that was "
                        "made for it",
                        path);
    *ret = found[0];
    return HSM_OK;
}

static struct ck_gcm_params gcm_of(struct wrapped *w)
{
    return (struct ck_gcm_params){.iv_ptr = w->nonce,
                                  .iv_len = NONCE_LEN,
                                  .iv_bits = 8 * NONCE_LEN,
                                  .aad_ptr = w->head,
                                  .aad_len = HEAD_LEN,
                                  .tag_bits = 8 * TAG_LEN};
}

/* The nonce is read back: some tokens choose it themselves. */
static hsm_err wrap(const struct token *t, ck_object_handle_t key, uint8_t *kek, struct wrapped *w)
{
    unsigned long n = BODY_LEN;
    struct ck_gcm_params gcm = gcm_of(w);
    struct ck_mechanism how = {CKM_AES_GCM, &gcm, sizeof gcm};
    if (RAND_bytes(w->nonce, NONCE_LEN) != 1)
        return seal_say(HSM_E_INTERNAL, t->text, t->cap, "no random bytes");
    ck_rv_t rv = t->f->C_EncryptInit(t->session, &how, key);
    if (rv == CKR_OK)
        rv = t->f->C_Encrypt(t->session, kek, KEK_LEN, w->body, &n);
    return rv == CKR_OK && n == BODY_LEN ? HSM_OK : token_failed(t, "AES-GCM", rv);
}

static hsm_err unwrap(const struct token *t, ck_object_handle_t key, struct wrapped *w,
                      uint8_t *kek, const char *path)
{
    /* Some tokens want room for the tag as well. */
    DEFER(secret_buf_done) struct secret_buf plain = {0};
    if (secret_buf_new(&plain, BODY_LEN) != HSM_OK)
        return seal_say(HSM_E_NOMEM, t->text, t->cap, "out of memory");
    unsigned long n = BODY_LEN;
    struct ck_gcm_params gcm = gcm_of(w);
    struct ck_mechanism how = {CKM_AES_GCM, &gcm, sizeof gcm};
    ck_rv_t rv = t->f->C_DecryptInit(t->session, &how, key);
    if (rv == CKR_OK)
        rv = t->f->C_Decrypt(t->session, w->body, BODY_LEN, plain.p, &n);
    if (rv != CKR_OK || n != KEK_LEN)
        return seal_say(HSM_E_CORRUPT, t->text, t->cap, "%s does not open (CKR 0x%lx)", path, rv);
    memcpy(kek, plain.p, KEK_LEN);
    return HSM_OK;
}

static hsm_err make(struct token *t, const char *path, uint8_t *kek)
{
    struct wrapped w;
    struct wrapped back;
    uint8_t id[ID_LEN];
    ck_object_handle_t key = 0;
    if (RAND_priv_bytes(kek, KEK_LEN) != 1 || RAND_bytes(id, ID_LEN) != 1)
        return seal_say(HSM_E_INTERNAL, t->text, t->cap, "no random bytes for %s", path);
    head_put(w.head, id);
    TRY(make_key(t, id, &key));
    TRY(wrap(t, key, kek, &w));
    /* A token that only seems to do all this is found out now. */
    uint8_t *again = (uint8_t *)secret_alloc(KEK_LEN);
    if (again == NULL)
        return seal_say(HSM_E_NOMEM, t->text, t->cap, "out of memory");
    back = w;
    hsm_err err = find_key(t, id, path, &key);
    if (err == HSM_OK)
        err = unwrap(t, key, &back, again, path);
    if (err == HSM_OK && memcmp(again, kek, KEK_LEN) != 0)
        err = token_failed(t, "AES-GCM", CKR_OK);
    secret_free(again);
    TRY(err);
    return wrapped_write(&w, path, t->text, t->cap);
}

hsm_err seal_pkcs11_kek(const struct seal_spec *spec, const char *path, bool may_make, uint8_t *kek,
                        char *text, size_t cap)
{
    char kpath[SEAL_PATH_MAX];
    DEFER(secret_buf_done) struct secret_buf file = {0};
    struct wrapped w;
    TRY(seal_path(path, seal_suffix(spec->provider), kpath, text, cap));
    hsm_err err = seal_file_read(kpath, false, &file, text, cap);
    bool fresh = err == HSM_E_NOT_FOUND && may_make;
    if (!fresh)
        TRY(err);
    if (!fresh && wrapped_decode(bytes_of(file.p, file.n), &w) != HSM_OK)
        return seal_say(HSM_E_CORRUPT, text, cap,
                        "%s is damaged; restore it from a copy of the data directory", kpath);
    DEFER(token_done) struct token t = {.text = text, .cap = cap};
    TRY(token_open(&t, spec, path, fresh));
    if (fresh)
        return make(&t, kpath, kek);
    ck_object_handle_t key = 0;
    TRY(find_key(&t, id_of(&w), kpath, &key));
    return unwrap(&t, key, &w, kek, kpath);
}
