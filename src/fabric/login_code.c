/* Authorization codes with PKCE: what a browser's login ends with. */
#include <stdio.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include "base/ct.h"
#include "codec/base64url.h"
#include "fabric/login_code.h"
#include "fabric/login_internal.h"

#define CODE_LIFE_S 120u
#define CODE_MAC    32
#define CODE_MAX    1024
#define PURPOSE     "authorization code"

static bool sha256(struct bytes b, uint8_t d[32])
{
    return EVP_Digest(b.n > 0 ? (const void *)b.p : "", b.n, d, NULL, EVP_sha256(), NULL) == 1;
}

hsm_err code_make(const struct fabric *f, const struct login_ask *ask, const char *oid,
                  uint64_t now_s, struct wr *out)
{
    uint8_t raw[CODE_MAX], mac[CODE_MAC], uri[32], nonce[16];
    char text[CODE_MAX * 2];
    if (!sha256(ask->redirect_uri, uri) || RAND_bytes(nonce, sizeof nonce) != 1)
        return HSM_E_INTERNAL;
    struct wr w = wr_of(raw, sizeof raw);
    wr_u8(&w, 1);
    wr_u64(&w, now_s);
    wr_bytes(&w, nonce, sizeof nonce);
    wr_bytes(&w, uri, sizeof uri);
    wr_lv(&w, ask->client_id);
    wr_lv(&w, bytes_str(oid));
    wr_lv(&w, ask->challenge);
    TRY(wr_ok(&w));
    TRY(login_mac(f, PURPOSE, wr_view(&w), mac));
    wr_bytes(&w, mac, sizeof mac);
    TRY(wr_ok(&w));
    wr_bytes(out, text, b64u_encode(text, w.p, w.n));
    return wr_ok(out);
}

struct code {
    uint64_t issued_s;
    struct bytes nonce, uri, client, oid, challenge, mac, body;
};

static hsm_err parse(struct bytes text, uint8_t *raw, size_t cap, struct code *ret)
{
    struct code c;
    uint8_t version;
    size_t n = 0;
    if (b64_decoded_max(text.n) > cap)
        return HSM_E_MALFORMED;
    TRY(b64u_decode(raw, text, &n));
    struct rd r = rd_of(bytes_of(raw, n));
    TRY(rd_u8(&r, &version));
    TRY(rd_u64(&r, &c.issued_s));
    TRY(rd_bytes(&r, 16, &c.nonce));
    TRY(rd_bytes(&r, 32, &c.uri));
    TRY(rd_lv(&r, UUID_TEXT_LEN, &c.client));
    TRY(rd_lv(&r, UUID_TEXT_LEN, &c.oid));
    TRY(rd_lv(&r, 64, &c.challenge));
    c.body = bytes_of(raw, n - r.n);
    TRY(rd_bytes(&r, CODE_MAC, &c.mac));
    TRY(rd_end(&r));
    *ret = c;
    return version == 1 ? HSM_OK : HSM_E_MALFORMED;
}

/* RFC 7636 §4.6; without a challenge in the request there must be no verifier. */
static bool verifier_fits(struct bytes challenge, struct bytes verifier)
{
    uint8_t d[32];
    char text[64];
    if (challenge.n == 0)
        return verifier.p == NULL;
    if (verifier.n < 43 || verifier.n > 128 || !sha256(verifier, d))
        return false;
    size_t n = b64u_encode(text, d, sizeof d);
    return n == challenge.n && ct_eq(text, challenge.p, n);
}

/* Stages that the nonce was used; false: it was before. The document goes with its time. */
static bool use_once(struct fabric *f, const struct request *rq, const struct code *c)
{
    char key[64], json[64];
    size_t n = (size_t)snprintf(key, sizeof key, "c/");
    n += b64u_encode(key + n, c->nonce.p, c->nonce.n);
    if (state_get(f->state, STATE_LOGIN, bytes_of(key, n)) != NULL)
        return false;
    int k = snprintf(json, sizeof json, "{\"expires\":%llu}",
                     (unsigned long long)(c->issued_s + CODE_LIFE_S));
    login_sweep(f, rq->changes, rq->now_ms / 1000);
    changes_put(rq->changes, STATE_LOGIN, bytes_of(key, n), bytes_of(json, (size_t)k));
    return true;
}

enum token_fault code_redeem(struct fabric *f, const struct request *rq,
                             const struct token_request *q, const struct token_context *c,
                             struct principal *ret_who)
{
    uint8_t raw[CODE_MAX], mac[CODE_MAC], uri[32];
    struct code k;
    const struct people *p = &f->provider.people;
    if (parse(q->code, raw, sizeof raw, &k) != HSM_OK ||
        login_mac(f, PURPOSE, k.body, mac) != HSM_OK || !ct_eq(mac, k.mac.p, sizeof mac) ||
        !bytes_ieq(k.client, q->client_id) || !sha256(q->redirect_uri, uri) ||
        memcmp(uri, k.uri.p, sizeof uri) != 0)
        return TOKEN_CODE;
    if (c->now_s > k.issued_s + CODE_LIFE_S)
        return TOKEN_CODE_EXPIRED;
    if (!verifier_fits(k.challenge, q->code_verifier))
        return TOKEN_VERIFIER;
    if (!p->by_oid(p->ctx, k.oid, ret_who))
        return TOKEN_CODE;
    if (ret_who->disabled)
        return TOKEN_USER_DISABLED;
    return use_once(f, rq, &k) ? TOKEN_OK : TOKEN_CODE_USED;
}
