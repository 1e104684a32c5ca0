#include "boundary/seal_record.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include "base/ct.h"

#define SEAL_FORMAT 1u
#define NONCE_LEN   12u
#define KEY_LEN     32u
#define BLOCK_LEN   64u
#define AAD_LEN     (16u + RID_LEN + 8u + 1u)

enum derived {
    KEY_INDEX,
    KEY_RECORD,
    KEY_PRIVATE,
    KEY_TXN,
    KEY_DIGEST,
    KEY_LEASE,
    KEY__COUNT
};

struct sealer {
    struct uuid pool;
    uint8_t (*key)[KEY_LEN]; /* in secret memory */
};

/* HMAC with the key blocks hashed beforehand. */
struct hmac_key {
    EVP_MD_CTX *inner;
    EVP_MD_CTX *outer;
};

struct seal_ctx {
    const struct sealer *s;
    EVP_MD *sha256;
    EVP_CIPHER *gcm;
    EVP_MD_CTX *md;
    EVP_CIPHER_CTX *seal[2]; /* record, private */
    EVP_CIPHER_CTX *open[2];
    struct hmac_key hmac[KEY__COUNT]; /* those that are HMAC keys */
};

hsm_err sealer_new(const struct roots *roots, struct sealer **ret)
{
    static const char *const label[KEY__COUNT] = {
        [KEY_INDEX] = "index",     [KEY_RECORD] = "record", [KEY_PRIVATE] = "private",
        [KEY_TXN] = "transaction", [KEY_DIGEST] = "digest", [KEY_LEASE] = "lease",
    };
    struct sealer *s = (struct sealer *)calloc(1, sizeof *s);
    if (s == NULL)
        return HSM_E_NOMEM;
    s->pool = roots->pool;
    s->key = (uint8_t(*)[KEY_LEN])secret_alloc(sizeof s->key[0] * KEY__COUNT);
    hsm_err err = s->key == NULL ? HSM_E_NOMEM : HSM_OK;
    for (unsigned i = 0; i < KEY__COUNT && err == HSM_OK; i++)
        err = roots_derive(roots, label[i], bytes_of(NULL, 0), s->key[i]);
    if (err != HSM_OK) {
        sealer_free(s);
        return err;
    }
    *ret = s;
    return HSM_OK;
}

void sealer_free(struct sealer *s)
{
    if (s == NULL)
        return;
    secret_free(s->key);
    free(s);
}

static hsm_err hmac_half(const struct seal_ctx *c, const uint8_t *key, uint8_t pad,
                         EVP_MD_CTX **ret)
{
    uint8_t block[BLOCK_LEN];
    for (unsigned i = 0; i < BLOCK_LEN; i++)
        block[i] = (uint8_t)((i < KEY_LEN ? key[i] : 0) ^ pad);
    *ret = EVP_MD_CTX_new();
    bool ok = *ret != NULL && EVP_DigestInit_ex2(*ret, c->sha256, NULL) == 1 &&
              EVP_DigestUpdate(*ret, block, sizeof block) == 1;
    secret_wipe(block, sizeof block);
    return ok ? HSM_OK : HSM_E_NOMEM;
}

static hsm_err cipher_pair(struct seal_ctx *c, unsigned at, const uint8_t *key)
{
    c->seal[at] = EVP_CIPHER_CTX_new();
    c->open[at] = EVP_CIPHER_CTX_new();
    if (c->seal[at] == NULL || c->open[at] == NULL)
        return HSM_E_NOMEM;
    if (EVP_EncryptInit_ex2(c->seal[at], c->gcm, key, NULL, NULL) != 1 ||
        EVP_DecryptInit_ex2(c->open[at], c->gcm, key, NULL, NULL) != 1)
        return HSM_E_NOMEM;
    return HSM_OK;
}

static hsm_err ctx_init(struct seal_ctx *c)
{
    static const enum derived hmacs[] = {KEY_INDEX, KEY_TXN, KEY_DIGEST, KEY_LEASE};
    c->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    c->gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    c->md = EVP_MD_CTX_new();
    if (c->sha256 == NULL || c->gcm == NULL || c->md == NULL)
        return HSM_E_NOMEM;
    TRY(cipher_pair(c, 0, c->s->key[KEY_RECORD]));
    TRY(cipher_pair(c, 1, c->s->key[KEY_PRIVATE]));
    for (size_t i = 0; i < sizeof hmacs / sizeof hmacs[0]; i++) {
        struct hmac_key *h = &c->hmac[hmacs[i]];
        TRY(hmac_half(c, c->s->key[hmacs[i]], 0x36, &h->inner));
        TRY(hmac_half(c, c->s->key[hmacs[i]], 0x5c, &h->outer));
    }
    return HSM_OK;
}

hsm_err seal_ctx_new(const struct sealer *s, struct seal_ctx **ret)
{
    struct seal_ctx *c = (struct seal_ctx *)calloc(1, sizeof *c);
    if (c == NULL)
        return HSM_E_NOMEM;
    c->s = s;
    hsm_err err = ctx_init(c);
    if (err != HSM_OK) {
        seal_ctx_free(c);
        return err;
    }
    *ret = c;
    return HSM_OK;
}

void seal_ctx_free(struct seal_ctx *c)
{
    if (c == NULL)
        return;
    for (unsigned i = 0; i < KEY__COUNT; i++) {
        EVP_MD_CTX_free(c->hmac[i].inner);
        EVP_MD_CTX_free(c->hmac[i].outer);
    }
    for (unsigned i = 0; i < 2; i++) {
        EVP_CIPHER_CTX_free(c->seal[i]);
        EVP_CIPHER_CTX_free(c->open[i]);
    }
    EVP_MD_CTX_free(c->md);
    EVP_MD_free(c->sha256);
    EVP_CIPHER_free(c->gcm);
    free(c);
}

/* HMAC over the concatenation of up to three parts. */
static hsm_err hmac(struct seal_ctx *c, enum derived key, const struct bytes *part, size_t n,
                    uint8_t mac[SEAL_MAC_LEN])
{
    const struct hmac_key *h = &c->hmac[key];
    uint8_t inner[SEAL_MAC_LEN];
    bool ok = EVP_MD_CTX_copy_ex(c->md, h->inner) == 1;
    for (size_t i = 0; i < n && ok; i++)
        ok = EVP_DigestUpdate(c->md, part[i].p, part[i].n) == 1;
    ok = ok && EVP_DigestFinal_ex(c->md, inner, NULL) == 1 &&
         EVP_MD_CTX_copy_ex(c->md, h->outer) == 1 &&
         EVP_DigestUpdate(c->md, inner, sizeof inner) == 1 &&
         EVP_DigestFinal_ex(c->md, mac, NULL) == 1;
    return ok ? HSM_OK : HSM_E_NOMEM;
}

hsm_err seal_rid(struct seal_ctx *c, enum record_kind kind, struct bytes name, uint8_t rid[RID_LEN])
{
    uint8_t k = (uint8_t)kind;
    const struct bytes part[] = {bytes_of(&k, 1), name};
    return hmac(c, KEY_INDEX, part, 2, rid);
}

hsm_err seal_txn_mac(struct seal_ctx *c, const struct uuid *id, uint64_t seen,
                     const uint8_t past[SEAL_MAC_LEN], struct bytes ops, uint8_t mac[SEAL_MAC_LEN])
{
    uint8_t number[8];
    be64_put(number, seen);
    const struct bytes part[] = {bytes_of(id->b, sizeof id->b), bytes_of(number, sizeof number),
                                 bytes_of(past, SEAL_MAC_LEN), ops};
    return hmac(c, KEY_TXN, part, 4, mac);
}

hsm_err seal_lease_mac(struct seal_ctx *c, const struct uuid *nonce, uint64_t index,
                       const uint8_t past[SEAL_MAC_LEN], uint8_t mac[SEAL_MAC_LEN])
{
    uint8_t number[8];
    be64_put(number, index);
    const struct bytes part[] = {bytes_of(nonce->b, sizeof nonce->b),
                                 bytes_of(number, sizeof number), bytes_of(past, SEAL_MAC_LEN)};
    return hmac(c, KEY_LEASE, part, 3, mac);
}

/* One key, three uses: an element's text begins with the byte 1, the digest's own with 2, the
 * past's with 3. */
hsm_err seal_past_add(struct seal_ctx *c, uint8_t past[SEAL_MAC_LEN],
                      const uint8_t mac[SEAL_MAC_LEN], bool accepted)
{
    uint8_t text[2 + 2 * SEAL_MAC_LEN] = {3, accepted ? 1 : 0};
    memcpy(text + 2, past, SEAL_MAC_LEN);
    memcpy(text + 2 + SEAL_MAC_LEN, mac, SEAL_MAC_LEN);
    const struct bytes part = bytes_of(text, sizeof text);
    return hmac(c, KEY_DIGEST, &part, 1, past);
}

hsm_err seal_digest_element(struct seal_ctx *c, const uint8_t rid[RID_LEN], uint64_t revision,
                            const uint8_t tag[SEAL_TAG_LEN], uint8_t element[SEAL_MAC_LEN])
{
    uint8_t text[1 + RID_LEN + 8 + SEAL_TAG_LEN];
    text[0] = 1;
    memcpy(text + 1, rid, RID_LEN);
    be64_put(text + 1 + RID_LEN, revision);
    memcpy(text + 1 + RID_LEN + 8, tag, SEAL_TAG_LEN);
    const struct bytes part = bytes_of(text, sizeof text);
    return hmac(c, KEY_DIGEST, &part, 1, element);
}

hsm_err seal_digest_mac(struct seal_ctx *c, struct bytes text, uint8_t mac[SEAL_MAC_LEN])
{
    const uint8_t two = 2;
    const struct bytes part[] = {bytes_of(&two, 1), text};
    return hmac(c, KEY_DIGEST, part, 2, mac);
}

static void aad_make(const struct seal_ctx *c, const uint8_t *rid, uint64_t revision,
                     uint8_t aad[AAD_LEN])
{
    memcpy(aad, c->s->pool.b, 16);
    memcpy(aad + 16, rid, RID_LEN);
    be64_put(aad + 16 + RID_LEN, revision);
    aad[16 + RID_LEN + 8] = SEAL_FORMAT;
}

static bool enc_add(EVP_CIPHER_CTX *ctx, uint8_t *out, struct bytes in)
{
    int n;
    return in.n == 0 || EVP_EncryptUpdate(ctx, out, &n, in.p, (int)in.n) == 1;
}

static bool dec_add(EVP_CIPHER_CTX *ctx, uint8_t *out, struct bytes in)
{
    int n;
    return in.n == 0 || EVP_DecryptUpdate(ctx, out, &n, in.p, (int)in.n) == 1;
}

static bool enc_begin(EVP_CIPHER_CTX *ctx, uint8_t nonce[NONCE_LEN])
{
    return RAND_bytes(nonce, NONCE_LEN) == 1 &&
           EVP_EncryptInit_ex2(ctx, NULL, NULL, nonce, NULL) == 1;
}

static bool enc_end(EVP_CIPHER_CTX *ctx, uint8_t tag[SEAL_TAG_LEN])
{
    int n;
    uint8_t none[16];
    return EVP_EncryptFinal_ex(ctx, none, &n) == 1 &&
           EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, SEAL_TAG_LEN, tag) == 1;
}

static bool dec_end(EVP_CIPHER_CTX *ctx, const uint8_t tag[SEAL_TAG_LEN])
{
    int n;
    uint8_t none[16];
    uint8_t copy[SEAL_TAG_LEN];
    memcpy(copy, tag, sizeof copy);
    return EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, SEAL_TAG_LEN, copy) == 1 &&
           EVP_DecryptFinal_ex(ctx, none, &n) == 1;
}

hsm_err seal_record(struct seal_ctx *c, const uint8_t rid[RID_LEN], uint64_t revision,
                    enum record_kind kind, struct bytes name, struct bytes body, struct bytes tail,
                    struct wr *out)
{
    size_t clear = 1 + 4 + name.n + body.n;
    size_t total = 1 + NONCE_LEN + SEAL_TAG_LEN + 4 + clear + tail.n;
    if (name.n > RECORD_NAME_MAX || clear > INT32_MAX || out->overflow || out->cap - out->n < total)
        return HSM_E_TOO_LARGE;
    uint8_t head[1 + 4 + RECORD_NAME_MAX];
    struct wr hw = wr_of(head, sizeof head);
    wr_u8(&hw, (uint8_t)kind);
    wr_lv(&hw, name);
    uint8_t aad[AAD_LEN];
    aad_make(c, rid, revision, aad);
    uint8_t *p = out->p + out->n;
    uint8_t *ct = p + 1 + NONCE_LEN + SEAL_TAG_LEN + 4;
    EVP_CIPHER_CTX *ctx = c->seal[0];
    bool ok = enc_begin(ctx, p + 1) && enc_add(ctx, NULL, bytes_of(aad, sizeof aad)) &&
              enc_add(ctx, NULL, tail) && enc_add(ctx, ct, wr_view(&hw)) &&
              enc_add(ctx, ct + hw.n, body) && enc_end(ctx, p + 1 + NONCE_LEN);
    if (!ok)
        return HSM_E_INTERNAL;
    p[0] = SEAL_FORMAT;
    struct wr lw = wr_of(p + 1 + NONCE_LEN + SEAL_TAG_LEN, 4);
    wr_u32(&lw, (uint32_t)clear);
    if (tail.n > 0)
        memcpy(ct + clear, tail.p, tail.n);
    out->n += total;
    return HSM_OK;
}

struct sealed_parts {
    struct bytes nonce, tag, ct, tail;
};

static hsm_err sealed_split(struct bytes sealed, struct sealed_parts *ret)
{
    struct rd r = rd_of(sealed);
    struct sealed_parts p;
    uint8_t format;
    TRY(rd_u8(&r, &format));
    TRY(rd_bytes(&r, NONCE_LEN, &p.nonce));
    TRY(rd_bytes(&r, SEAL_TAG_LEN, &p.tag));
    TRY(rd_lv(&r, r.n, &p.ct));
    if (format != SEAL_FORMAT || p.ct.n > INT32_MAX || r.n > INT32_MAX)
        return HSM_E_MALFORMED;
    p.tail = bytes_of(r.p, r.n);
    *ret = p;
    return HSM_OK;
}

static hsm_err clear_split(struct bytes clear, struct opened_record *ret)
{
    struct rd r = rd_of(clear);
    uint8_t kind;
    TRY(rd_u8(&r, &kind));
    TRY(rd_lv(&r, RECORD_NAME_MAX, &ret->name));
    if (kind < REC_POOL || kind > REC_SETTING)
        return HSM_E_MALFORMED;
    ret->kind = (enum record_kind)kind;
    ret->body = bytes_of(r.p, r.n);
    return HSM_OK;
}

hsm_err open_record(struct seal_ctx *c, const uint8_t rid[RID_LEN], uint64_t revision,
                    struct bytes sealed, uint8_t *buf, size_t cap, struct opened_record *ret)
{
    struct sealed_parts s;
    if (sealed_split(sealed, &s) != HSM_OK || s.ct.n > cap)
        return HSM_E_CORRUPT;
    uint8_t aad[AAD_LEN];
    aad_make(c, rid, revision, aad);
    EVP_CIPHER_CTX *ctx = c->open[0];
    bool ok = EVP_DecryptInit_ex2(ctx, NULL, NULL, s.nonce.p, NULL) == 1 &&
              dec_add(ctx, NULL, bytes_of(aad, sizeof aad)) && dec_add(ctx, NULL, s.tail) &&
              dec_add(ctx, buf, s.ct) && dec_end(ctx, s.tag.p);
    struct opened_record o = {.tail = s.tail};
    if (!ok || clear_split(bytes_of(buf, s.ct.n), &o) != HSM_OK)
        return HSM_E_CORRUPT;
    uint8_t expect[RID_LEN];
    TRY(seal_rid(c, o.kind, o.name, expect));
    if (!ct_eq(expect, rid, RID_LEN))
        return HSM_E_CORRUPT;
    memcpy(o.tag, s.tag.p, sizeof o.tag);
    *ret = o;
    return HSM_OK;
}

static void private_aad(const struct seal_ctx *c, const uint8_t *rid, uint8_t aad[16 + RID_LEN])
{
    memcpy(aad, c->s->pool.b, 16);
    memcpy(aad + 16, rid, RID_LEN);
}

hsm_err seal_private(struct seal_ctx *c, const uint8_t rid[RID_LEN], struct bytes secret_plain,
                     uint8_t *out)
{
    uint8_t aad[16 + RID_LEN];
    private_aad(c, rid, aad);
    EVP_CIPHER_CTX *ctx = c->seal[1];
    bool ok = enc_begin(ctx, out) && enc_add(ctx, NULL, bytes_of(aad, sizeof aad)) &&
              enc_add(ctx, out + SEAL_PRIVATE_OVERHEAD, secret_plain) &&
              enc_end(ctx, out + NONCE_LEN);
    return ok ? HSM_OK : HSM_E_INTERNAL;
}

hsm_err open_private(struct seal_ctx *c, const uint8_t rid[RID_LEN], struct bytes sealed,
                     struct secret_buf *ret)
{
    if (sealed.n <= SEAL_PRIVATE_OVERHEAD || sealed.n > INT32_MAX)
        return HSM_E_CORRUPT;
    uint8_t aad[16 + RID_LEN];
    private_aad(c, rid, aad);
    struct secret_buf out;
    TRY(secret_buf_new(&out, sealed.n - SEAL_PRIVATE_OVERHEAD));
    EVP_CIPHER_CTX *ctx = c->open[1];
    bool ok = EVP_DecryptInit_ex2(ctx, NULL, NULL, sealed.p, NULL) == 1 &&
              dec_add(ctx, NULL, bytes_of(aad, sizeof aad)) &&
              dec_add(ctx, out.p, bytes_of(sealed.p + SEAL_PRIVATE_OVERHEAD, out.n)) &&
              dec_end(ctx, sealed.p + NONCE_LEN);
    if (!ok) {
        secret_buf_done(&out);
        return HSM_E_CORRUPT;
    }
    *ret = out;
    return HSM_OK;
}
