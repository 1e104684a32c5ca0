/* Logins on another device: a code is shown there, and approved here by the command line or on a
 * page by somebody who signs in. */
#include <stdio.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include "base/ct.h"
#include "codec/base64url.h"
#include "fabric/login_internal.h"

#define USER_CODE_LEN 9
#define DEVICE_LIFE_S 900u
#define DEVICE_POLL_S 1u /* everything is near */
#define SECRET_BYTES  32
#define SCOPE_MAX     1024
#define POLLS         64u

struct device {
    char client[UUID_TEXT_LEN + 1];
    char digest[64]; /* of the device code */
    char oid[UUID_TEXT_LEN + 1];
    char scope[SCOPE_MAX + 1], resource[TOKEN_RESOURCE_MAX + 1]; /* as asked for; "" when not */
    uint64_t expires_s;
    bool declined;
};

static struct bytes key_of(const char *user_code, char buf[32])
{
    int n = snprintf(buf, 32, "d/%s", user_code);
    return bytes_of(buf, (size_t)n);
}

/* Letters in any case, blanks and dashes as people write them. */
static bool take_user_code(struct bytes text, char ret[USER_CODE_LEN + 1])
{
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++) {
        uint8_t c = text.p[i];
        if (c == '-' || c == ' ')
            continue;
        if (c >= 'a' && c <= 'z')
            c = (uint8_t)(c - 'a' + 'A');
        if (n == USER_CODE_LEN || c < 'A' || c > 'Z')
            return false;
        ret[n++] = (char)c;
    }
    ret[n] = 0;
    return n == USER_CODE_LEN;
}

static bool digest_text(struct bytes code, char dst[64])
{
    uint8_t d[32];
    if (EVP_Digest(code.p, code.n, d, NULL, EVP_sha256(), NULL) != 1)
        return false;
    dst[b64u_encode(dst, d, sizeof d)] = 0;
    return true;
}

static void stage(struct changes *c, const char *user_code, const struct device *d)
{
    char key[32], json[8192];
    struct wr w = wr_of(json, sizeof json);
    struct json_wr j = json_wr_of(&w);
    json_obj_open(&j);
    put_str(&j, "client", d->client);
    put_str(&j, "digest", d->digest);
    put_str(&j, "oid", d->oid);
    put_str(&j, "scope", d->scope);
    put_str(&j, "resource", d->resource);
    put_int(&j, "expires", (int64_t)d->expires_s);
    put_bool(&j, "declined", d->declined);
    json_obj_close(&j);
    changes_put(c, STATE_LOGIN, key_of(user_code, key), wr_view(&w));
}

static bool text_of(const struct json_doc *d, const char *name, char *dst, size_t cap)
{
    size_t n = 0;
    uint32_t v = json_get_nn(d, 0, name);
    if (v == JSON_NONE || json_string(d, v, dst, cap - 1, &n) != HSM_OK)
        return false;
    dst[n] = 0;
    return true;
}

static bool load(const struct fabric *f, const char *user_code, struct device *ret)
{
    char key[32];
    struct json_tok tok[32];
    struct json_doc d;
    int64_t expires = 0;
    const struct document *doc = state_get(f->state, STATE_LOGIN, key_of(user_code, key));
    if (doc == NULL || json_parse(doc->json, tok, 32, &d) != HSM_OK)
        return false;
    if (!text_of(&d, "client", ret->client, sizeof ret->client) ||
        !text_of(&d, "digest", ret->digest, sizeof ret->digest) ||
        !text_of(&d, "oid", ret->oid, sizeof ret->oid) ||
        !text_of(&d, "scope", ret->scope, sizeof ret->scope) ||
        !text_of(&d, "resource", ret->resource, sizeof ret->resource) ||
        json_int(&d, json_get(&d, 0, "expires"), &expires) != HSM_OK ||
        json_bool(&d, json_get(&d, 0, "declined"), &ret->declined) != HSM_OK)
        return false;
    ret->expires_s = (uint64_t)expires;
    return true;
}

static bool new_user_code(const struct fabric *f, char ret[USER_CODE_LEN + 1])
{
    static const char letters[] = "BCDFGHJKLMNPQRST"; /* 16 without vowels: no words, no bias */
    char key[32];
    for (unsigned tries = 0; tries < 8; tries++) {
        uint8_t raw[USER_CODE_LEN];
        if (RAND_bytes(raw, sizeof raw) != 1)
            return false;
        for (size_t i = 0; i < USER_CODE_LEN; i++)
            ret[i] = letters[raw[i] & 15];
        ret[USER_CODE_LEN] = 0;
        if (state_get(f->state, STATE_LOGIN, key_of(ret, key)) == NULL)
            return true;
    }
    return false;
}

static void put_answer(const struct request *rq, const char *user_code, const char *device_code,
                       struct answer *a)
{
    char url[FACE_URL_MAX + 32], text[FACE_URL_MAX + 300];
    struct json_wr j = json_wr_of(&a->body);
    snprintf(url, sizeof url, "%s/devicelogin", rq->face.login);
    snprintf(text, sizeof text,
             "To sign in, run `keyhold login approve %s --user NAME` where the installation is, or "
             "open the page %s and enter the code %s to authenticate.",
             user_code, url, user_code);
    json_obj_open(&j);
    put_str(&j, "user_code", user_code);
    put_str(&j, "device_code", device_code);
    put_str(&j, "verification_uri", url);
    put_str(&j, "verification_url", url); /* version 1 */
    put_int(&j, "expires_in", DEVICE_LIFE_S);
    put_int(&j, "interval", DEVICE_POLL_S);
    put_str(&j, "message", text);
    json_obj_close(&j);
    a->secret = true;
}

static bool take_asked(struct bytes text, char *dst, size_t max)
{
    if (text.n > max)
        return false;
    if (text.n > 0)
        memcpy(dst, text.p, text.n);
    dst[text.n] = 0;
    return true;
}

static struct bytes asked(const char *text)
{
    return text[0] != 0 ? bytes_str(text) : bytes_of(NULL, 0);
}

void device_start(struct fabric *f, const struct request *rq, struct answer *a)
{
    struct url_param params[TOKEN_REQUEST_PARAMS_MAX];
    struct device d = {.expires_s = rq->now_ms / 1000 + DEVICE_LIFE_S};
    struct uuid client;
    uint8_t raw[SECRET_BYTES];
    char user_code[USER_CODE_LEN + 1], code[USER_CODE_LEN + 1 + 64];
    size_t n = 0;
    if (!login_form(f, rq, params, TOKEN_REQUEST_PARAMS_MAX, &n)) {
        answer_fault(a, rq, TOKEN_BODY);
        return;
    }
    if (uuid_parse(login_param(params, n, "client_id"), &client) != HSM_OK) {
        answer_fault(a, rq, TOKEN_NO_CLIENT);
        return;
    }
    uuid_format(&client, d.client);
    if (!take_asked(login_param(params, n, "scope"), d.scope, SCOPE_MAX) ||
        !take_asked(login_param(params, n, "resource"), d.resource, TOKEN_RESOURCE_MAX)) {
        answer_fault(a, rq, TOKEN_SCOPE);
        return;
    }
    if (!new_user_code(f, user_code) || RAND_bytes(raw, sizeof raw) != 1) {
        answer_fault(a, rq, TOKEN_INTERNAL);
        return;
    }
    size_t k = (size_t)snprintf(code, sizeof code, "%s.", user_code);
    k += b64u_encode(code + k, raw, sizeof raw);
    code[k] = 0;
    if (!digest_text(bytes_of(code, k), d.digest)) {
        answer_fault(a, rq, TOKEN_INTERNAL);
        return;
    }
    login_sweep(f, rq->changes, rq->now_ms / 1000);
    stage(rq->changes, user_code, &d);
    put_answer(rq, user_code, code, a);
}

/* When a code was last asked about: in memory, a hint for the client and nothing more. */
static bool too_fast(const char *user_code, uint64_t now_ms)
{
    static struct {
        char code[USER_CODE_LEN + 1];
        uint64_t ms;
    } seen[POLLS];
    size_t at = 0;
    for (size_t i = 0; i < USER_CODE_LEN; i++)
        at = at * 31 + (uint8_t)user_code[i];
    at %= POLLS;
    /* Half an interval is forgiven: clocks and networks are not that exact. */
    bool fast = strcmp(seen[at].code, user_code) == 0 && now_ms >= seen[at].ms &&
                now_ms - seen[at].ms < DEVICE_POLL_S * 500u;
    memcpy(seen[at].code, user_code, sizeof seen[at].code);
    seen[at].ms = now_ms;
    return fast;
}

enum token_fault device_redeem(struct fabric *f, const struct request *rq, struct token_request *q,
                               const struct token_context *c, struct principal *ret_who)
{
    static struct device d; /* q points into it */
    char user_code[USER_CODE_LEN + 1], digest[64] = "", key[32];
    const struct people *p = &f->provider.people;
    if (q->device_code.n <= USER_CODE_LEN ||
        !take_user_code(bytes_of(q->device_code.p, USER_CODE_LEN), user_code) ||
        !load(f, user_code, &d) || !digest_text(q->device_code, digest) ||
        strlen(digest) != strlen(d.digest) || !ct_eq(digest, d.digest, strlen(digest)) ||
        !bytes_ieq(q->client_id, bytes_str(d.client)))
        return TOKEN_DEVICE_CODE;
    if (c->now_s >= d.expires_s)
        return TOKEN_DEVICE_EXPIRED;
    if (d.declined)
        return TOKEN_DECLINED;
    if (d.oid[0] == 0)
        return too_fast(user_code, rq->now_ms) ? TOKEN_SLOW_DOWN : TOKEN_PENDING;
    if (!p->by_oid(p->ctx, bytes_str(d.oid), ret_who))
        return TOKEN_DEVICE_CODE;
    if (ret_who->disabled)
        return TOKEN_USER_DISABLED;
    if (q->scope.n == 0) {
        enum token_fault e = token_request_scope(q, asked(d.scope), asked(d.resource));
        if (e != TOKEN_OK)
            return e;
    }
    changes_delete(rq->changes, STATE_LOGIN, key_of(user_code, key));
    return TOKEN_OK;
}

bool device_decide(struct fabric *f, const struct request *rq, struct bytes user_code,
                   const char *oid, bool approve)
{
    struct device d;
    char code[USER_CODE_LEN + 1];
    if (!take_user_code(user_code, code) || !load(f, code, &d) || d.oid[0] != 0 || d.declined ||
        rq->now_ms / 1000 >= d.expires_s)
        return false;
    snprintf(d.oid, sizeof d.oid, "%s", approve ? oid : "");
    d.declined = !approve;
    stage(rq->changes, code, &d);
    return true;
}

/* {"userCode","user","decline"?}: for `keyhold login approve`. Who may change the directory could
 * give that user another password as well. */
void device_approve(struct fabric *f, const struct request *rq, struct answer *a)
{
    struct json_tok tok[32];
    struct json_doc d;
    struct principal who;
    char code[64], user[DIRECTORY_NAME_MAX + 1];
    bool decline = false;
    if (!people_may_write(f, rq->caller)) {
        answer_error(a, 403, "Authorization_RequestDenied",
                     "Insufficient privileges to complete the operation.");
        return;
    }
    if (json_parse(rq->http->body, tok, 32, &d) != HSM_OK ||
        !text_of(&d, "userCode", code, sizeof code) || !text_of(&d, "user", user, sizeof user)) {
        answer_error(a, 400, "Request_BadRequest", "userCode and user are expected.");
        return;
    }
    uint32_t v = json_get_nn(&d, 0, "decline");
    if (v != JSON_NONE && json_bool(&d, v, &decline) != HSM_OK)
        decline = true;
    const struct people *p = &f->provider.people;
    if ((!p->by_upn(p->ctx, bytes_str(user), &who) && !p->by_oid(p->ctx, bytes_str(user), &who)) ||
        who.kind != PRINCIPAL_USER) {
        answer_error(a, 404, "Request_ResourceNotFound", "There is no such user.");
        return;
    }
    if (!device_decide(f, rq, bytes_str(code), who.oid, !decline)) {
        answer_error(a, 404, "Request_ResourceNotFound",
                     "There is no such code, or it was used or has expired.");
        return;
    }
    struct json_wr j = json_wr_of(&a->body);
    json_obj_open(&j);
    put_str(&j, "user", who.upn);
    put_str(&j, "state", decline ? "declined" : "approved");
    json_obj_close(&j);
}
