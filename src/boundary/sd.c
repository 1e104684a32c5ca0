#include "boundary/sd.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdio.h>
#include "base/uuid.h"
#include "codec/json.h"
#include "codec/jwe.h"

#define MASTER_LEN    32u
#define SHARE_LEN     (2 * MASTER_LEN)
#define BACKUP_LEN    64u
#define ITEMS         3u
#define ITEM_MAX      8192u
#define POOL_NAME_MAX 255u

void sd_kdf(const uint8_t *key, size_t key_n, const char *label, const char *context, uint32_t bits,
            uint8_t out[64])
{
    /* One block of SP 800-108 in counter mode; clients are wrong about a second one. */
    HSM_ASSERT(bits <= 512 && bits % 8 == 0);
    uint8_t fixed[512];
    uint8_t mac[64];
    struct wr w = wr_of(fixed, sizeof fixed);
    wr_u32(&w, 1);
    wr_str(&w, label);
    wr_u8(&w, 0);
    wr_str(&w, context);
    wr_u32(&w, bits);
    HSM_ASSERT(wr_ok(&w) == HSM_OK);
    HSM_ASSERT(HMAC(EVP_sha512(), key, (int)key_n, fixed, w.n, mac, NULL) != NULL);
    memcpy(out, mac, bits / 8);
    secret_wipe(mac, sizeof mac);
}

/* ---- request --------------------------------------------------------------------------------- */
struct custodians {
    struct sd_cert cert[SD_CUSTODIANS_MAX];
    unsigned n;
    unsigned required;
};

static void custodians_done(struct custodians *c)
{
    for (unsigned i = 0; i < c->n; i++)
        sd_cert_done(&c->cert[i]);
}

static hsm_err refuse(const char *text, const char **why)
{
    *why = text;
    return HSM_E_BAD_PARAMETER;
}

static void bn_done(BIGNUM **p)
{
    BN_free(*p);
}

/* Whether a number of the key equals the bytes that were sent, leading zeros ignored. */
static bool number_is(const EVP_PKEY *key, const char *param, struct bytes sent)
{
    DEFER(bn_done) BIGNUM *have = NULL;
    DEFER(bn_done) BIGNUM *want = BN_bin2bn(sent.p, (int)sent.n, NULL);
    return want != NULL && EVP_PKEY_get_bn_param(key, param, &have) == 1 && BN_cmp(have, want) == 0;
}

static bool same_modulus(const EVP_PKEY *a, const EVP_PKEY *b)
{
    DEFER(bn_done) BIGNUM *na = NULL;
    DEFER(bn_done) BIGNUM *nb = NULL;
    return EVP_PKEY_get_bn_param(a, OSSL_PKEY_PARAM_RSA_N, &na) != 1 ||
           EVP_PKEY_get_bn_param(b, OSSL_PKEY_PARAM_RSA_N, &nb) != 1 || BN_cmp(na, nb) == 0;
}

static hsm_err custodian_add(struct custodians *c, struct bytes item, const char **why)
{
    struct wire_sd_cert sent;
    if (c->n == SD_CUSTODIANS_MAX)
        return refuse("The number of certificates must be 3 to 10.", why);
    TRY(wire_sd_cert_decode(item, &sent));
    TRY(sd_cert_parse(sent.der, &c->cert[c->n], why));
    struct sd_cert *added = &c->cert[c->n++];
    if ((sent.n.n > 0 && !number_is(added->key, OSSL_PKEY_PARAM_RSA_N, sent.n)) ||
        (sent.e.n > 0 && !number_is(added->key, OSSL_PKEY_PARAM_RSA_E, sent.e)))
        return refuse("n and e must be those of the certificate in x5c.", why);
    /* One custodian with two shares would undermine the quorum. */
    for (struct sd_cert *other = c->cert; other < added; other++) {
        if (same_modulus(other->key, added->key))
            return refuse("The certificates and their keys must be different.", why);
    }
    return HSM_OK;
}

static hsm_err custodians_parse(const struct wire_sd_download *req, struct custodians *c,
                                const char **why)
{
    struct bytes list = req->certificates;
    struct bytes item;
    while (wire_list_next(&list, &item))
        TRY(custodian_add(c, item, why));
    if (c->n < SD_CUSTODIANS_MIN)
        return refuse("The number of certificates must be 3 to 10.", why);
    c->required = req->required == 0 ? 2 : req->required;
    if (c->required < 2 || c->required > c->n)
        return refuse("required must be at least 2 and at most the number of certificates.", why);
    return HSM_OK;
}

/* ---- items ----------------------------------------------------------------------------------- */
struct item {
    const char *tag;
    struct secret_buf mem;
    struct wr w;
};

struct items {
    struct item at[ITEMS];
};

static void items_done(struct items *s)
{
    for (unsigned i = 0; i < ITEMS; i++)
        secret_buf_done(&s->at[i].mem);
}

static hsm_err item_open(struct item *it, const char *tag, const char *magic)
{
    it->tag = tag;
    TRY(secret_buf_new(&it->mem, ITEM_MAX));
    it->w = wr_of(it->mem.p, it->mem.n);
    wr_str(&it->w, magic);
    wr_u32(&it->w, SD_FORMAT);
    return HSM_OK;
}

static hsm_err items_make(struct items *s, const struct roots *r, const char *pool_name,
                          uint64_t created_s)
{
    struct item *header = &s->at[0];
    struct item *owner = &s->at[1];
    struct item *keys = &s->at[2];
    TRY(item_open(owner, SD_TAG_OWNER, "KHSO"));
    wr_lv(&owner->w, bytes_of(r->owner_key.p, r->owner_key.n));
    wr_lv(&owner->w, bytes_of(r->audit_key.p, r->audit_key.n));
    wr_lv(&owner->w, bytes_of(r->owner_cert, r->owner_cert_n));
    TRY(item_open(keys, SD_TAG_ROOT_KEYS, "KHSK"));
    wr_lv(&keys->w, bytes_of(r->dek, ROOT_KEY_LEN));
    wr_lv(&keys->w, bytes_of(r->backup, BACKUP_LEN));

    /* The digests keep items of different domains from being put together. */
    TRY(item_open(header, SD_TAG_HEADER, "KHSD"));
    wr_bytes(&header->w, r->pool.b, sizeof r->pool.b);
    wr_u64(&header->w, created_s);
    wr_lv(&header->w, bytes_of(pool_name, strnlen(pool_name, POOL_NAME_MAX)));
    wr_u32(&header->w, ITEMS - 1);
    for (unsigned i = 1; i < ITEMS; i++) {
        uint8_t digest[32];
        const struct wr *w = &s->at[i].w;
        TRY(wr_ok(w));
        if (EVP_Digest(w->p, w->n, digest, NULL, EVP_sha256(), NULL) != 1)
            return HSM_E_INTERNAL;
        wr_lv(&header->w, bytes_str(s->at[i].tag));
        wr_bytes(&header->w, digest, sizeof digest);
    }
    return wr_ok(&header->w);
}

/* ---- file ------------------------------------------------------------------------------------ */
static hsm_err write_item(struct json_wr *j, const struct item *it, const uint8_t *master)
{
    uint8_t cek[JWE_CEK_LEN];
    sd_kdf(master, MASTER_LEN, it->tag, "", 512, cek);
    json_obj_open(j);
    json_name(j, "compact_jwe");
    json_str_open(j);
    hsm_err err = jwe_seal_dir(cek, it->tag, wr_view(&it->w), j->w);
    secret_wipe(cek, sizeof cek);
    TRY(err);
    json_str_close(j);
    json_name(j, "tag");
    json_put_str(j, it->tag);
    json_obj_close(j);
    return HSM_OK;
}

static hsm_err write_share(struct json_wr *j, const struct sd_cert *cert, const uint8_t *share)
{
    struct uuid id;
    char kid[UUID_TEXT_LEN + 1];
    uuid_new_v4(&id);
    uuid_format(&id, kid);
    json_obj_open(j);
    json_name(j, "enc_key");
    json_str_open(j);
    TRY(jwe_seal_rsa(cert->key, kid, bytes_of(share, SHARE_LEN), j->w));
    json_str_close(j);
    json_name(j, "x5t_256");
    json_put_str(j, cert->thumbprint);
    json_obj_close(j);
    return HSM_OK;
}

/* Members in alphabetical order, as the service writes them. */
static hsm_err write_file(struct json_wr *j, const struct items *s, const struct custodians *c,
                          const uint8_t *master, const uint8_t *shares)
{
    json_obj_open(j);
    json_name(j, "EncData");
    json_obj_open(j);
    json_name(j, "data");
    json_arr_open(j);
    for (unsigned i = 0; i < ITEMS; i++)
        TRY(write_item(j, &s->at[i], master));
    json_arr_close(j);
    json_name(j, "kdf");
    json_put_str(j, "sp108_kdf");
    json_obj_close(j);
    json_name(j, "SharedKeys");
    json_obj_open(j);
    json_name(j, "enc_shares");
    json_arr_open(j);
    for (unsigned i = 0; i < c->n; i++)
        TRY(write_share(j, &c->cert[i], shares + (size_t)i * SHARE_LEN));
    json_arr_close(j);
    json_name(j, "key_algorithm");
    json_put_str(j, "shamir_share");
    json_name(j, "required");
    json_put_int(j, c->required);
    json_obj_close(j);
    json_name(j, "version");
    json_put_int(j, 2);
    json_obj_close(j);
    return wr_ok(j->w);
}

static hsm_err make_file(const struct items *s, const struct custodians *c, struct wr *out)
{
    /* A new master key each time: shares of two downloads never go together, and this one is gone
     * when the function returns. */
    DEFER(secret_buf_done) struct secret_buf mem = {0};
    TRY(secret_buf_new(&mem, MASTER_LEN + (size_t)SD_CUSTODIANS_MAX * SHARE_LEN));
    uint8_t *master = mem.p;
    uint8_t *shares = mem.p + MASTER_LEN;
    uint8_t *share[SD_CUSTODIANS_MAX];
    for (unsigned i = 0; i < SD_CUSTODIANS_MAX; i++)
        share[i] = shares + (size_t)i * SHARE_LEN;
    if (RAND_priv_bytes(master, MASTER_LEN) != 1)
        return HSM_E_INTERNAL;
    TRY(sd_shamir_split(master, MASTER_LEN, c->n, c->required, share));
    struct json_wr j = json_wr_of(out);
    return write_file(&j, s, c, master, shares);
}

static hsm_err list_thumbprints(const struct custodians *c, char *dst, size_t cap)
{
    struct wr w = wr_of(dst, cap);
    for (unsigned i = 0; i < c->n; i++) {
        wr_str(&w, i > 0 ? "," : "");
        wr_str(&w, c->cert[i].thumbprint);
    }
    wr_u8(&w, 0);
    return wr_ok(&w);
}

hsm_err sd_download(const struct wire_sd_download *req, const struct roots *roots,
                    const char *pool_name, uint64_t created_s, struct wr *out, char *thumbprints,
                    size_t thumbprints_cap, const char **why)
{
    DEFER(custodians_done) struct custodians c = {0};
    DEFER(items_done) struct items s = {0};
    *why = hsm_err_text(HSM_E_BAD_PARAMETER);
    TRY(custodians_parse(req, &c, why));
    TRY(list_thumbprints(&c, thumbprints, thumbprints_cap));
    TRY(items_make(&s, roots, pool_name, created_s));
    hsm_err err = make_file(&s, &c, out);
    ERR_clear_error();
    return err;
}
