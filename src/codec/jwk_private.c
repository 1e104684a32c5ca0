#include "codec/jwk_private.h"

#include "base/secret.h"
#include "codec/base64url.h"
#include "codec/json.h"

#define TOKENS    192 /* a full RSA key with all operations has about 60 */
#define WORD_MAX  16  /* kty, crv, an operation */
#define EXTRA_MAX 8   /* leading zeros that some writers put in front */

/* Room that decoding may touch for up to max bytes. */
#define ROOM(max) (((max) + EXTRA_MAX + 2u) / 3u * 3u + 3u)

#define HALF_MAX  (JWK_MODULUS_MAX / 2)
#define COORD_MAX 66
#define E_MAX     8

struct number {
    const char *name;
    size_t at;  /* in struct jwk_private */
    size_t max; /* bytes without leading zeros */
    bool whole; /* leading zeros belong to it, and no more than max bytes */
};
#define AT(member) offsetof(struct jwk_private, num.member)
static const struct number numbers[] = {
    {"n", AT(n), JWK_MODULUS_MAX, false}, {"e", AT(e), E_MAX, false},
    {"d", AT(d), JWK_MODULUS_MAX, false}, {"p", AT(p), HALF_MAX, false},
    {"q", AT(q), HALF_MAX, false},        {"dp", AT(dp), HALF_MAX, false},
    {"dq", AT(dq), HALF_MAX, false},      {"qi", AT(qi), HALF_MAX, false},
    {"x", AT(x), COORD_MAX, false},       {"y", AT(y), COORD_MAX, false},
    {"k", AT(k), JWK_K_MAX, true},
};
_Static_assert(2 * ROOM(JWK_MODULUS_MAX) + 5 * ROOM(HALF_MAX) + 2 * ROOM(COORD_MAX) + ROOM(E_MAX) +
                       ROOM(JWK_K_MAX) <=
                   JWK_NUMBERS_MAX,
               "all numbers of one key fit");

/* Characters that matter: padding may follow. */
static size_t significant(struct bytes text)
{
    while (text.n > 0 && text.p[text.n - 1] == '=')
        text.n--;
    return text.n;
}

static hsm_err take_number(const struct json_doc *d, const struct number *f, struct wr *w,
                           struct bytes *ret)
{
    uint32_t v = json_get_nn(d, 0, f->name);
    const size_t max = f->whole ? f->max : f->max + EXTRA_MAX;
    struct bytes text;
    size_t n = 0;
    *ret = bytes_of(NULL, 0);
    if (v == JSON_NONE)
        return HSM_OK;
    TRY(json_plain(d, v, &text));
    /* no more than two characters of padding: the decoder would say so, but not before writing */
    size_t chars = significant(text);
    if (text.n - chars > 2)
        return HSM_E_MALFORMED;
    if (chars > b64_encoded_max(max))
        return HSM_E_RANGE;
    HSM_ASSERT(w->cap - w->n >= b64_decoded_max(text.n));
    uint8_t *at = w->p + w->n;
    TRY(b64u_decode(at, text, &n));
    w->n += n;
    struct bytes b = bytes_of(at, n);
    while (!f->whole && b.n > 0 && b.p[0] == 0)
        b = bytes_of(b.p + 1, b.n - 1);
    if (b.n > f->max || n > max)
        return HSM_E_RANGE;
    *ret = b;
    return HSM_OK;
}

static hsm_err take_word(const struct json_doc *d, const char *name, struct bytes *ret)
{
    uint32_t v = json_get_nn(d, 0, name);
    *ret = bytes_of(NULL, 0);
    if (v == JSON_NONE)
        return HSM_OK;
    TRY(json_plain(d, v, ret));
    return ret->n <= WORD_MAX ? HSM_OK : HSM_E_RANGE;
}

static hsm_err take_ops(const struct json_doc *d, struct jwk_private *ret)
{
    uint32_t ops = json_get_nn(d, 0, "key_ops");
    ret->has_ops = ops != JSON_NONE;
    if (ops == JSON_NONE)
        return HSM_OK;
    if (json_type_of(d, ops) != JSON_ARRAY)
        return HSM_E_MALFORMED;
    for (uint32_t at = json_first(d, ops); at != JSON_NONE; at = json_next(d, ops, at)) {
        if (ret->op_n == JWK_OPS_MAX)
            return HSM_E_RANGE;
        TRY(json_plain(d, at, &ret->op[ret->op_n++]));
    }
    return HSM_OK;
}

static hsm_err parse(struct bytes text, struct wr *w, struct jwk_private *ret,
                     const char **ret_member)
{
    struct json_tok toks[TOKENS];
    struct json_doc d;
    TRY(json_parse(text, toks, TOKENS, &d));
    if (json_type_of(&d, 0) != JSON_OBJECT)
        return HSM_E_MALFORMED;
    *ret_member = "kty";
    TRY(take_word(&d, "kty", &ret->kty));
    *ret_member = "crv";
    TRY(take_word(&d, "crv", &ret->crv));
    *ret_member = "key_ops";
    TRY(take_ops(&d, ret));
    *ret_member = "key_hsm";
    uint32_t wrapped = json_get_nn(&d, 0, "key_hsm");
    if (wrapped != JSON_NONE)
        TRY(json_plain(&d, wrapped, &ret->key_hsm));
    ret->has_other = json_get_nn(&d, 0, "oth") != JSON_NONE;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        *ret_member = numbers[i].name;
        TRY(take_number(&d, &numbers[i], w,
                        (struct bytes *)(void *)((uint8_t *)ret + numbers[i].at)));
    }
    return HSM_OK;
}

hsm_err jwk_private_parse(struct bytes text, uint8_t *secret_buf, struct jwk_private *ret,
                          const char **ret_member)
{
    struct jwk_private j = {0};
    struct wr w = wr_of(secret_buf, JWK_NUMBERS_MAX);
    *ret_member = NULL;
    hsm_err err = parse(text, &w, &j, ret_member);
    if (err != HSM_OK) {
        secret_wipe(secret_buf, JWK_NUMBERS_MAX);
        return err;
    }
    *ret = j;
    return HSM_OK;
}
