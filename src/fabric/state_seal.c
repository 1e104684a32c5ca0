#include "fabric/state_seal.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/params.h>
#include <openssl/sha.h>
#include "base/ct.h"
#include "fabric/state_internal.h"

#define SEAL_VERSION  1
#define KIND_NAME_MAX 32

/* HMAC-SHA-256 over a label and parts, each with its length. A failure is one of libcrypto's
 * memory: there is nothing to go on with. */
static void mac_of(const struct state_seal *k, const char *label, const struct bytes *part,
                   size_t n, uint8_t ret[STATE_SEAL_LEN])
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char[]){"SHA256"}, 0),
        OSSL_PARAM_construct_end(),
    };
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *c = mac != NULL ? EVP_MAC_CTX_new(mac) : NULL;
    size_t len = 0;
    bool ok = c != NULL && EVP_MAC_init(c, k->key, sizeof k->key, params) == 1 &&
              EVP_MAC_update(c, (const uint8_t *)label, strlen(label) + 1) == 1;
    for (size_t i = 0; ok && i < n; i++) {
        uint8_t size[8];
        be64_put(size, part[i].n);
        ok = EVP_MAC_update(c, size, sizeof size) == 1 &&
             (part[i].n == 0 || EVP_MAC_update(c, part[i].p, part[i].n) == 1);
    }
    ok = ok && EVP_MAC_final(c, ret, &len, STATE_SEAL_LEN) == 1 && len == STATE_SEAL_LEN;
    EVP_MAC_CTX_free(c);
    EVP_MAC_free(mac);
    HSM_ASSERT(ok);
}

static void rid_of(const char *kind, struct bytes key, uint8_t rid[32])
{
    uint8_t text[KIND_NAME_MAX + STATE_KEY_MAX];
    struct wr w = wr_of(text, sizeof text);
    wr_bytes(&w, kind, strlen(kind) + 1);
    wr_bytes(&w, key.p, key.n);
    HSM_ASSERT(wr_ok(&w) == HSM_OK && SHA256(text, w.n, rid) != NULL);
}

void state_rid(enum state_kind kind, struct bytes key, uint8_t rid[32])
{
    rid_of(state_kind_name[kind], key, rid);
}

void state_rid_head(uint8_t rid[32])
{
    rid_of("", bytes_str(""), rid);
}

static void record_mac(const struct state_seal *k, const uint8_t rid[32], uint64_t revision,
                       struct bytes body, uint8_t mac[STATE_SEAL_LEN])
{
    uint8_t number[8];
    be64_put(number, revision);
    const struct bytes parts[] = {bytes_of(rid, 32), bytes_of(number, sizeof number), body};
    mac_of(k, "keyhold fabric document", parts, 3, mac);
}

void state_seal_put(const struct state_seal *k, const struct document *d, struct wr *w)
{
    uint8_t rid[32], mac[STATE_SEAL_LEN];
    size_t start = w->n;
    wr_u8(w, SEAL_VERSION);
    wr_lv(w, bytes_str(state_kind_name[d->kind]));
    wr_lv(w, d->key);
    wr_lv(w, d->json);
    if (wr_ok(w) != HSM_OK)
        return;
    state_rid(d->kind, d->key, rid);
    record_mac(k, rid, d->revision, bytes_of(w->p + start, w->n - start), mac);
    wr_bytes(w, mac, sizeof mac);
}

static hsm_err kind_of(struct bytes name, enum state_kind *ret)
{
    for (size_t i = 0; i < STATE__KINDS; i++) {
        if (bytes_eq_str(name, state_kind_name[i])) {
            *ret = (enum state_kind)i;
            return HSM_OK;
        }
    }
    return HSM_E_NOT_IMPLEMENTED;
}

hsm_err state_seal_open(const struct state_seal *k, const uint8_t rid[32], uint64_t revision,
                        struct bytes sealed, struct state_record *ret)
{
    struct state_record r = {0};
    struct bytes name;
    uint8_t version, own[32];
    if (sealed.n < STATE_SEAL_LEN)
        return HSM_E_CORRUPT;
    struct bytes body = bytes_of(sealed.p, sealed.n - STATE_SEAL_LEN);
    struct rd rd = rd_of(body);
    record_mac(k, rid, revision, body, r.mac);
    if (!ct_eq(r.mac, sealed.p + body.n, STATE_SEAL_LEN) || rd_u8(&rd, &version) != HSM_OK)
        return HSM_E_CORRUPT;
    if (version != SEAL_VERSION)
        return HSM_E_NOT_IMPLEMENTED;
    if (rd_lv(&rd, KIND_NAME_MAX, &name) != HSM_OK || rd_lv(&rd, STATE_KEY_MAX, &r.key) != HSM_OK ||
        rd_lv(&rd, STATE_JSON_MAX, &r.json) != HSM_OK || rd_end(&rd) != HSM_OK)
        return HSM_E_CORRUPT;
    TRY(kind_of(name, &r.kind));
    state_rid(r.kind, r.key, own);
    if (memcmp(own, rid, sizeof own) != 0)
        return HSM_E_CORRUPT;
    *ret = r;
    return HSM_OK;
}

/* One number per content, which nobody sees; their sum tells which contents there are. */
static void element(const struct state_seal *k, const struct document *d, uint8_t ret[32])
{
    uint8_t number[8];
    be64_put(number, d->revision);
    const struct bytes parts[] = {bytes_str(state_kind_name[d->kind]), d->key,
                                  bytes_of(number, sizeof number), d->json};
    mac_of(k, "keyhold fabric element", parts, 4, ret);
}

void state_sum_add(const struct state_seal *k, struct state_sum *s, const struct document *d)
{
    uint8_t e[32];
    unsigned carry = 0;
    element(k, d, e);
    for (size_t i = sizeof e; i-- > 0;) {
        carry += s->sum[i] + e[i];
        s->sum[i] = (uint8_t)carry;
        carry >>= 8;
    }
    s->n++;
}

void state_sum_remove(const struct state_seal *k, struct state_sum *s, const struct document *d)
{
    uint8_t e[32];
    unsigned borrow = 0;
    element(k, d, e);
    for (size_t i = sizeof e; i-- > 0;) {
        unsigned v = 256u + s->sum[i] - e[i] - borrow;
        s->sum[i] = (uint8_t)v;
        borrow = v < 256;
    }
    s->n--;
}

void state_seal_head(const struct state_seal *k, uint64_t revision, const struct state_sum *s,
                     uint8_t ret[STATE_SEAL_LEN])
{
    uint8_t numbers[16];
    be64_put(numbers, revision);
    be64_put(numbers + 8, s->n);
    const struct bytes parts[] = {bytes_of(numbers, sizeof numbers),
                                  bytes_of(s->sum, sizeof s->sum)};
    mac_of(k, "keyhold fabric head", parts, 2, ret);
}

void state_seal_txn(const struct state_seal *k, struct bytes id, struct bytes ops,
                    uint8_t ret[STATE_SEAL_LEN])
{
    const struct bytes parts[] = {id, ops};
    mac_of(k, "keyhold fabric transaction", parts, 2, ret);
}
