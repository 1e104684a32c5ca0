#include "fabric/node_registry.h"

#include <openssl/rand.h>
#include <openssl/sha.h>
#include <stdio.h>
#include "base/uuid.h"
#include "codec/base64url.h"
#include "fabric/answer.h"

#define TOKENS_MAX 64

static bool is_name(const char *s)
{
    size_t n = strlen(s);
    for (size_t i = 0; i < n; i++) {
        bool inner = s[i] == '-' && i > 0 && i + 1 < n;
        if (!inner && !(s[i] >= 'a' && s[i] <= 'z') && !(s[i] >= '0' && s[i] <= '9'))
            return false;
    }
    return n > 0 && strcmp(s, NODE_LOCAL) != 0;
}

static bool is_label(const char *s)
{
    for (const char *at = s; *at != 0; at++) {
        bool word =
            (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') || (*at >= '0' && *at <= '9');
        if (!word && strchr("-_. ", *at) == NULL)
            return false;
    }
    return s[0] != 0;
}

static hsm_err text_of(const struct json_doc *d, const char *name, char *dst, size_t size)
{
    size_t n = 0;
    uint32_t at = json_get(d, 0, name);
    if (at == JSON_NONE || json_string(d, at, dst, size - 1, &n) != HSM_OK)
        return HSM_E_MALFORMED;
    dst[n] = 0;
    return HSM_OK;
}

static hsm_err labels_of(const struct json_doc *d, struct node_record *r)
{
    TRY(text_of(d, "name", r->name, sizeof r->name));
    TRY(text_of(d, "region", r->region, sizeof r->region));
    TRY(text_of(d, "zone", r->zone, sizeof r->zone));
    TRY(text_of(d, "rack", r->rack, sizeof r->rack));
    return is_name(r->name) && is_label(r->region) && is_label(r->zone) && is_label(r->rack)
               ? HSM_OK
               : HSM_E_BAD_PARAMETER;
}

hsm_err node_join_parse(struct bytes body, struct node_join *ret)
{
    struct json_tok tok[TOKENS_MAX];
    struct json_doc d;
    struct node_join j = {0};
    struct bytes key;
    TRY(json_parse(body, tok, TOKENS_MAX, &d));
    TRY(text_of(&d, "token", j.secret, sizeof j.secret));
    uint32_t at = json_get(&d, 0, "publicKey");
    if (at == JSON_NONE || json_plain(&d, at, &key) != HSM_OK ||
        b64_decoded_max(key.n) > sizeof j.spki)
        return HSM_E_MALFORMED;
    TRY(b64u_decode(j.spki, key, &j.spki_n));
    TRY(labels_of(&d, &j.node));
    *ret = j;
    return HSM_OK;
}

hsm_err node_read(const struct document *doc, struct node_record *ret)
{
    struct json_tok tok[TOKENS_MAX];
    struct json_doc d;
    struct node_record r = {0};
    int64_t number = 0;
    if (json_parse(doc->json, tok, TOKENS_MAX, &d) != HSM_OK || labels_of(&d, &r) != HSM_OK)
        return HSM_E_CORRUPT;
    uint32_t at = json_get(&d, 0, "number");
    if (at == JSON_NONE || json_int(&d, at, &number) != HSM_OK || number < NODE_NUMBER_MIN ||
        number > UINT32_MAX)
        return HSM_E_CORRUPT;
    r.number = (unsigned)number;
    *ret = r;
    return HSM_OK;
}

/* The key of a token's document: who reads the state learns no token. */
static void token_key(const char *secret, char ret[65])
{
    uint8_t hash[32];
    HSM_ASSERT(SHA256((const uint8_t *)secret, strlen(secret), hash) != NULL);
    hex_encode(ret, hash, sizeof hash);
}

void node_token_make(struct changes *c, uint64_t expires_ms, char ret_secret[NODE_SECRET_LEN + 1])
{
    uint8_t raw[32];
    char key[65], json[64];
    HSM_ASSERT(RAND_bytes(raw, sizeof raw) == 1);
    HSM_ASSERT(b64u_encode(ret_secret, raw, sizeof raw) == NODE_SECRET_LEN);
    ret_secret[NODE_SECRET_LEN] = 0;
    token_key(ret_secret, key);
    snprintf(json, sizeof json, "{\"expires\":%llu}", (unsigned long long)expires_ms);
    changes_put(c, STATE_NODE_TOKEN, bytes_str(key), bytes_str(json));
}

static bool token_is_good(const struct document *doc, uint64_t now_ms)
{
    struct json_tok tok[8];
    struct json_doc d;
    int64_t expires = 0;
    return json_parse(doc->json, tok, 8, &d) == HSM_OK && json_get(&d, 0, "expires") != JSON_NONE &&
           json_int(&d, json_get(&d, 0, "expires"), &expires) == HSM_OK && expires > 0 &&
           (uint64_t)expires > now_ms;
}

static bool highest(void *ctx, const struct document *d)
{
    struct node_record r;
    unsigned *number = ctx;
    if (node_read(d, &r) == HSM_OK && r.number > *number)
        *number = r.number;
    return true;
}

/* Numbers are not given again: a removed node's certificate must stay worthless. */
static unsigned next_number(const struct state *s)
{
    struct json_tok tok[4];
    struct json_doc d;
    int64_t used = 0;
    unsigned number = NODE_NUMBER_MIN - 1;
    const struct document *last = state_get(s, STATE_SETTING, bytes_str("node-number"));
    state_each(s, STATE_NODE, bytes_str(""), highest, &number);
    if (last != NULL && json_parse(last->json, tok, 4, &d) == HSM_OK &&
        json_get(&d, 0, "last") != JSON_NONE &&
        json_int(&d, json_get(&d, 0, "last"), &used) == HSM_OK && used > number)
        number = (unsigned)used;
    return number + 1;
}

static void put_node(struct changes *c, const struct node_record *r, uint64_t now_ms)
{
    char buf[512], last[32];
    struct wr w = wr_of(buf, sizeof buf);
    struct json_wr j = json_wr_of(&w);
    json_obj_open(&j);
    put_str(&j, "name", r->name);
    put_int(&j, "number", r->number);
    put_str(&j, "region", r->region);
    put_str(&j, "zone", r->zone);
    put_str(&j, "rack", r->rack);
    put_int(&j, "joined", (int64_t)now_ms);
    json_obj_close(&j);
    HSM_ASSERT(wr_ok(&w) == HSM_OK);
    changes_put(c, STATE_NODE, bytes_str(r->name), wr_view(&w));
    snprintf(last, sizeof last, "{\"last\":%u}", r->number);
    changes_put(c, STATE_SETTING, bytes_str("node-number"), bytes_str(last));
}

hsm_err node_join_stage(const struct state *s, struct changes *c, const struct node_join *j,
                        uint64_t now_ms, struct node_record *ret)
{
    char key[65];
    token_key(j->secret, key);
    const struct document *token = state_get(s, STATE_NODE_TOKEN, bytes_str(key));
    if (token == NULL || !token_is_good(token, now_ms))
        return HSM_E_DENIED;
    if (state_get(s, STATE_NODE, bytes_str(j->node.name)) != NULL)
        return HSM_E_CONFLICT;
    struct node_record r = j->node;
    r.number = next_number(s);
    changes_delete(c, STATE_NODE_TOKEN, bytes_str(key));
    put_node(c, &r, now_ms);
    *ret = r;
    return HSM_OK;
}
