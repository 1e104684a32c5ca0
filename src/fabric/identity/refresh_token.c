/* Refresh tokens: version, principal, client and time under an HMAC. */
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include "base/ct.h"
#include "base/secret.h"
#include "codec/base64url.h"
#include "fabric/identity/provider.h"

#define REFRESH_VERSION 1
#define REFRESH_MAC_LEN 32
#define REFRESH_RAW_LEN (1 + 16 + 16 + 8 + REFRESH_MAC_LEN)
#define REFRESH_SIGNED  (REFRESH_RAW_LEN - REFRESH_MAC_LEN)

/* What proves the principal goes into the MAC: a new password ends all old tokens. */
static hsm_err refresh_mac(const struct provider *p, const struct principal *who,
                           const uint8_t *body, uint8_t mac[REFRESH_MAC_LEN])
{
    uint8_t text[REFRESH_SIGNED + DIRECTORY_SECRET_MAX + SECRET_HASH_MAX];
    struct wr w = wr_of(text, sizeof text);
    wr_bytes(&w, body, REFRESH_SIGNED);
    wr_str(&w, who->secret);
    wr_str(&w, who->hash);
    unsigned n = 0;
    const uint8_t *done =
        HMAC(EVP_sha256(), p->dir.refresh_key, DIRECTORY_KEY_LEN, w.p, w.n, mac, &n);
    secret_wipe(text, sizeof text);
    return done != NULL && n == REFRESH_MAC_LEN ? wr_ok(&w) : HSM_E_INTERNAL;
}

hsm_err refresh_token_make(const struct provider *p, const struct principal *who,
                           struct bytes client_id, uint64_t now_s, struct wr *out)
{
    uint8_t raw[REFRESH_RAW_LEN], mac[REFRESH_MAC_LEN];
    struct uuid oid, client;
    TRY(uuid_parse(bytes_str(who->oid), &oid));
    TRY(uuid_parse(client_id, &client));
    struct wr w = wr_of(raw, sizeof raw);
    wr_u8(&w, REFRESH_VERSION);
    wr_bytes(&w, oid.b, sizeof oid.b);
    wr_bytes(&w, client.b, sizeof client.b);
    wr_u64(&w, now_s);
    TRY(refresh_mac(p, who, raw, mac));
    wr_bytes(&w, mac, sizeof mac);
    TRY(wr_ok(&w));
    char text[REFRESH_RAW_LEN * 2];
    wr_bytes(out, text, b64u_encode(text, raw, sizeof raw));
    return wr_ok(out);
}

struct refresh_content {
    struct uuid oid, client;
    uint64_t issued_s;
    uint8_t raw[REFRESH_RAW_LEN];
};

static hsm_err refresh_parse(struct bytes token, struct refresh_content *ret)
{
    uint8_t raw[REFRESH_RAW_LEN * 2], version = 0;
    size_t n = 0;
    if (b64_decoded_max(token.n) > sizeof raw)
        return HSM_E_MALFORMED;
    TRY(b64u_decode(raw, token, &n));
    struct refresh_content c;
    struct rd r = rd_of(bytes_of(raw, n));
    struct bytes mac;
    TRY(rd_u8(&r, &version));
    TRY(rd_copy(&r, c.oid.b, sizeof c.oid.b));
    TRY(rd_copy(&r, c.client.b, sizeof c.client.b));
    TRY(rd_u64(&r, &c.issued_s));
    TRY(rd_bytes(&r, REFRESH_MAC_LEN, &mac));
    TRY(rd_end(&r));
    if (version != REFRESH_VERSION)
        return HSM_E_MALFORMED;
    memcpy(c.raw, raw, sizeof c.raw);
    *ret = c;
    return HSM_OK;
}

enum token_fault refresh_token_open(const struct provider *p, struct bytes token,
                                    struct bytes client_id, uint64_t now_s,
                                    struct principal *ret_who)
{
    struct refresh_content c;
    struct uuid client;
    char oid[UUID_TEXT_LEN + 1];
    uint8_t mac[REFRESH_MAC_LEN];
    if (refresh_parse(token, &c) != HSM_OK || uuid_parse(client_id, &client) != HSM_OK)
        return TOKEN_REFRESH;
    uuid_format(&c.oid, oid);
    struct principal who;
    if (!p->people.by_oid(p->people.ctx, bytes_str(oid), &who) ||
        refresh_mac(p, &who, c.raw, mac) != HSM_OK ||
        !ct_eq(mac, c.raw + REFRESH_SIGNED, sizeof mac))
        return TOKEN_REFRESH;
    if (memcmp(client.b, c.client.b, sizeof client.b) != 0 || c.issued_s > now_s + 300)
        return TOKEN_REFRESH;
    if (now_s > c.issued_s && now_s - c.issued_s > TOKEN_REFRESH_LIFETIME_S)
        return TOKEN_REFRESH_EXPIRED;
    if (who.disabled)
        return TOKEN_USER_DISABLED;
    *ret_who = who;
    return TOKEN_OK;
}
