#include "codec/json.h"

#include "codec/swar.h"
#include "codec/utf8.h"

/* More members than this in one object is no request of ours; it bounds the duplicate check. */
#define MEMBERS_MAX 1024u

struct parser {
    const uint8_t *p; /* text */
    uint32_t n;
    uint32_t at;
    struct json_tok *tok;
    uint32_t cap;
    uint32_t tok_n;
    uint32_t parent[JSON_DEPTH_MAX];
    uint32_t depth;
};

static void skip_blanks(struct parser *s)
{
    while (s->at < s->n) {
        uint8_t c = s->p[s->at];
        if (c != ' ' && c != '\n' && c != '\r' && c != '\t')
            return;
        s->at++;
    }
}

static hsm_err tok_add(struct parser *s, enum json_type type, uint32_t start, struct json_tok **ret)
{
    if (s->tok_n == s->cap)
        return HSM_E_RANGE;
    struct json_tok *t = &s->tok[s->tok_n++];
    *t = (struct json_tok){.type = (uint8_t)type, .start = start, .next = s->tok_n};
    *ret = t;
    return HSM_OK;
}

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    uint8_t l = (uint8_t)(c | 0x20);
    return l >= 'a' && l <= 'f' ? l - 'a' + 10 : -1;
}

static bool hex4(const uint8_t *p, size_t n, uint32_t *ret)
{
    if (n < 4)
        return false;
    uint32_t v = 0;
    for (int i = 0; i < 4; i++) {
        int h = hex_value(p[i]);
        if (h < 0)
            return false;
        v = v << 4 | (uint32_t)h;
    }
    *ret = v;
    return true;
}

/* \uXXXX, with its second half when it is a surrogate. p points behind the 'u'; returns the bytes
 * used, 0 when invalid. */
static size_t unescape_u(const uint8_t *p, size_t n, uint32_t *ret)
{
    uint32_t hi;
    uint32_t lo;
    if (!hex4(p, n, &hi) || (hi >= 0xdc00 && hi <= 0xdfff))
        return 0;
    if (hi < 0xd800 || hi > 0xdbff) {
        *ret = hi;
        return 4;
    }
    if (n < 10 || p[4] != '\\' || p[5] != 'u' || !hex4(p + 6, n - 6, &lo))
        return 0;
    if (lo < 0xdc00 || lo > 0xdfff)
        return 0;
    *ret = 0x10000 + ((hi - 0xd800) << 10 | (lo - 0xdc00));
    return 10;
}

/* One escape; p points at the backslash. Returns the bytes used, 0 when invalid. */
static size_t unescape(const uint8_t *p, size_t n, uint32_t *ret)
{
    static const char from[] = "\"\\/bfnrt";
    static const char to[] = "\"\\/\b\f\n\r\t";
    if (n < 2)
        return 0;
    if (p[1] == 'u') {
        size_t used = unescape_u(p + 2, n - 2, ret);
        return used == 0 ? 0 : used + 2;
    }
    for (size_t i = 0; i < sizeof from - 1; i++) {
        if (p[1] == (uint8_t)from[i]) {
            *ret = (uint8_t)to[i];
            return 2;
        }
    }
    return 0;
}

/* Skip bytes that need no look: neither quote, backslash, control nor above ASCII. */
static uint32_t skip_plain(const struct parser *s, uint32_t at)
{
    while (s->n - at >= 8 && swar_is_plain(swar_load(s->p + at)))
        at += 8;
    return at;
}

/* s->at is behind the opening quote. */
static hsm_err parse_string(struct parser *s)
{
    struct json_tok *t;
    TRY(tok_add(s, JSON_STRING, s->at, &t));
    uint32_t at = s->at;
    for (;;) {
        at = skip_plain(s, at);
        if (at >= s->n)
            return HSM_E_MALFORMED;
        uint8_t c = s->p[at];
        size_t used = 1;
        if (c == '"')
            break;
        if (c == '\\') {
            uint32_t cp;
            used = unescape(s->p + at, s->n - at, &cp);
            t->escaped = true;
        } else if (c >= 0x80) {
            used = utf8_seq(s->p + at, s->n - at);
        } else if (c < 0x20) {
            return HSM_E_MALFORMED;
        }
        if (used == 0)
            return HSM_E_MALFORMED;
        at += (uint32_t)used;
    }
    t->len = at - t->start;
    s->at = at + 1;
    return HSM_OK;
}

static uint32_t skip_digits(const struct parser *s, uint32_t at)
{
    while (at < s->n && s->p[at] >= '0' && s->p[at] <= '9')
        at++;
    return at;
}

static hsm_err parse_number(struct parser *s)
{
    struct json_tok *t;
    TRY(tok_add(s, JSON_NUMBER, s->at, &t));
    uint32_t at = s->at;
    if (s->p[at] == '-')
        at++;
    uint32_t digits = at;
    at = skip_digits(s, at);
    if (at == digits || (s->p[digits] == '0' && at - digits > 1))
        return HSM_E_MALFORMED;
    if (at < s->n && s->p[at] == '.') {
        digits = ++at;
        at = skip_digits(s, at);
        if (at == digits)
            return HSM_E_MALFORMED;
    }
    if (at < s->n && (s->p[at] | 0x20) == 'e') {
        at++;
        if (at < s->n && (s->p[at] == '+' || s->p[at] == '-'))
            at++;
        digits = at;
        at = skip_digits(s, at);
        if (at == digits)
            return HSM_E_MALFORMED;
    }
    t->len = at - t->start;
    s->at = at;
    return HSM_OK;
}

static hsm_err parse_word(struct parser *s, const char *word, enum json_type type)
{
    size_t n = strlen(word);
    if (s->n - s->at < n || memcmp(s->p + s->at, word, n) != 0)
        return HSM_E_MALFORMED;
    struct json_tok *t;
    TRY(tok_add(s, type, s->at, &t));
    t->len = (uint32_t)n;
    s->at += (uint32_t)n;
    return HSM_OK;
}

static hsm_err open_container(struct parser *s, enum json_type type)
{
    if (s->depth == JSON_DEPTH_MAX)
        return HSM_E_MALFORMED;
    struct json_tok *t;
    TRY(tok_add(s, type, s->at, &t));
    s->parent[s->depth++] = s->tok_n - 1;
    s->at++;
    return HSM_OK;
}

static hsm_err parse_value(struct parser *s)
{
    skip_blanks(s);
    if (s->at >= s->n)
        return HSM_E_MALFORMED;
    switch (s->p[s->at]) {
    case '"':
        s->at++;
        return parse_string(s);
    case '{':
        return open_container(s, JSON_OBJECT);
    case '[':
        return open_container(s, JSON_ARRAY);
    case 't':
        return parse_word(s, "true", JSON_TRUE);
    case 'f':
        return parse_word(s, "false", JSON_FALSE);
    case 'n':
        return parse_word(s, "null", JSON_NULL);
    default:
        return parse_number(s);
    }
}

/* Next code point of a checked string. */
static uint32_t next_cp(const uint8_t *p, size_t n, size_t *at)
{
    uint32_t cp = 0;
    if (p[*at] == '\\') {
        *at += unescape(p + *at, n - *at, &cp);
        return cp;
    }
    uint8_t c = p[*at];
    size_t k = utf8_seq(p + *at, n - *at);
    if (k <= 1) {
        *at += 1;
        return c;
    }
    cp = c & (0xffu >> (k + 1));
    for (size_t i = 1; i < k; i++)
        cp = cp << 6 | (p[*at + i] & 0x3f);
    *at += k;
    return cp;
}

static bool same_text(const uint8_t *text, const struct json_tok *a, const struct json_tok *b)
{
    const uint8_t *x = text + a->start;
    const uint8_t *y = text + b->start;
    if (!a->escaped && !b->escaped)
        return a->len == b->len && memcmp(x, y, a->len) == 0;
    size_t i = 0;
    size_t k = 0;
    while (i < a->len && k < b->len)
        if (next_cp(x, a->len, &i) != next_cp(y, b->len, &k))
            return false;
    return i == a->len && k == b->len;
}

/* Hash of a name after unescaping, so that equal names hash equally however they are spelled. */
static uint32_t name_hash(const uint8_t *text, const struct json_tok *t)
{
    const uint8_t *p = text + t->start;
    uint32_t h = 2166136261u;
    if (!t->escaped) {
        for (uint32_t i = 0; i < t->len; i++)
            h = (h ^ p[i]) * 16777619u;
        return h;
    }
    for (size_t i = 0; i < t->len;) {
        uint8_t u[4];
        size_t k = utf8_put(next_cp(p, t->len, &i), u);
        for (size_t b = 0; b < k; b++)
            h = (h ^ u[b]) * 16777619u;
    }
    return h;
}

/* The count of a name token, which names do not need, holds its hash until the object is closed. */
static hsm_err check_names(const struct parser *s, uint32_t obj)
{
    const struct json_tok *tok = s->tok;
    for (uint32_t a = obj + 1; a < s->tok_n; a = tok[a + 1].next)
        for (uint32_t b = obj + 1; b < a; b = tok[b + 1].next)
            if (tok[a].count == tok[b].count && same_text(s->p, &tok[a], &tok[b]))
                return HSM_E_MALFORMED;
    for (uint32_t a = obj + 1; a < s->tok_n; a = tok[a + 1].next)
        s->tok[a].count = 0;
    return HSM_OK;
}

static hsm_err close_container(struct parser *s)
{
    uint32_t top = s->parent[--s->depth];
    struct json_tok *t = &s->tok[top];
    s->at++;
    t->len = s->at - t->start;
    t->next = s->tok_n;
    return t->type == JSON_OBJECT ? check_names(s, top) : HSM_OK;
}

/* A name and its colon. */
static hsm_err parse_name(struct parser *s)
{
    skip_blanks(s);
    if (s->at >= s->n || s->p[s->at] != '"')
        return HSM_E_MALFORMED;
    s->at++;
    TRY(parse_string(s));
    struct json_tok *t = &s->tok[s->tok_n - 1];
    t->count = name_hash(s->p, t);
    skip_blanks(s);
    if (s->at >= s->n || s->p[s->at] != ':')
        return HSM_E_MALFORMED;
    s->at++;
    return HSM_OK;
}

/* One member or element of the innermost container. */
static hsm_err parse_child(struct parser *s)
{
    struct json_tok *t = &s->tok[s->parent[s->depth - 1]];
    t->count++;
    if (t->type == JSON_OBJECT) {
        if (t->count > MEMBERS_MAX)
            return HSM_E_RANGE;
        TRY(parse_name(s));
    }
    return parse_value(s);
}

/* Inside a container, after its opening bracket or after a child. */
static hsm_err parse_step(struct parser *s, bool *fresh)
{
    const struct json_tok *t = &s->tok[s->parent[s->depth - 1]];
    uint8_t end = t->type == JSON_OBJECT ? '}' : ']';
    skip_blanks(s);
    if (s->at >= s->n)
        return HSM_E_MALFORMED;
    if (s->p[s->at] == end) {
        *fresh = false;
        return close_container(s);
    }
    if (!*fresh) {
        if (s->p[s->at] != ',')
            return HSM_E_MALFORMED;
        s->at++;
    }
    uint32_t depth = s->depth;
    TRY(parse_child(s));
    *fresh = s->depth > depth;
    return HSM_OK;
}

hsm_err json_parse(struct bytes text, struct json_tok *toks, size_t cap, struct json_doc *ret)
{
    if (text.n >= UINT32_MAX)
        return HSM_E_RANGE;
    struct parser s = {.p = text.p,
                       .n = (uint32_t)text.n,
                       .tok = toks,
                       .cap = cap < UINT32_MAX ? (uint32_t)cap : UINT32_MAX - 1};
    TRY(parse_value(&s));
    bool fresh = s.depth > 0;
    while (s.depth > 0)
        TRY(parse_step(&s, &fresh));
    skip_blanks(&s);
    if (s.at != s.n)
        return HSM_E_MALFORMED;
    *ret = (struct json_doc){.text = text, .tok = toks, .n = s.tok_n};
    return HSM_OK;
}

/* The name as a token over foreign text cannot be compared by same_text(); a plain C string can. */
static bool name_is(const struct json_doc *d, const struct json_tok *t, const uint8_t *name,
                    size_t name_n)
{
    const uint8_t *p = d->text.p + t->start;
    if (!t->escaped)
        return t->len == name_n && memcmp(p, name, name_n) == 0;
    size_t at = 0;
    size_t k = 0;
    while (at < t->len) {
        uint8_t u[4];
        size_t n = utf8_put(next_cp(p, t->len, &at), u);
        if (name_n - k < n || memcmp(name + k, u, n) != 0)
            return false;
        k += n;
    }
    return k == name_n;
}

uint32_t json_get(const struct json_doc *d, uint32_t obj, const char *name)
{
    if (obj == JSON_NONE || d->tok[obj].type != JSON_OBJECT)
        return JSON_NONE;
    size_t n = strlen(name);
    uint32_t end = d->tok[obj].next;
    for (uint32_t at = obj + 1; at < end; at = d->tok[at + 1].next)
        if (name_is(d, &d->tok[at], (const uint8_t *)name, n))
            return at + 1;
    return JSON_NONE;
}

uint32_t json_get_nn(const struct json_doc *d, uint32_t obj, const char *name)
{
    uint32_t v = json_get(d, obj, name);
    return v != JSON_NONE && d->tok[v].type == JSON_NULL ? JSON_NONE : v;
}

enum json_type json_type_of(const struct json_doc *d, uint32_t v)
{
    return (enum json_type)d->tok[v].type;
}

uint32_t json_first(const struct json_doc *d, uint32_t parent)
{
    return json_count(d, parent) == 0 ? JSON_NONE : parent + 1;
}

uint32_t json_next(const struct json_doc *d, uint32_t parent, uint32_t at)
{
    uint32_t value = d->tok[parent].type == JSON_OBJECT ? at + 1 : at;
    uint32_t next = d->tok[value].next;
    return next < d->tok[parent].next ? next : JSON_NONE;
}

uint32_t json_count(const struct json_doc *d, uint32_t v)
{
    if (v == JSON_NONE || d->tok[v].type < JSON_ARRAY)
        return 0;
    return d->tok[v].count;
}

struct bytes json_raw(const struct json_doc *d, uint32_t v)
{
    if (v == JSON_NONE)
        return (struct bytes){0};
    return bytes_of(d->text.p + d->tok[v].start, d->tok[v].len);
}

static bool is_type(const struct json_doc *d, uint32_t v, enum json_type type)
{
    return v != JSON_NONE && d->tok[v].type == type;
}

hsm_err json_string(const struct json_doc *d, uint32_t v, char *dst, size_t cap, size_t *ret_len)
{
    if (!is_type(d, v, JSON_STRING))
        return HSM_E_MALFORMED;
    struct bytes raw = json_raw(d, v);
    if (!d->tok[v].escaped) {
        if (raw.n > cap)
            return HSM_E_RANGE;
        if (raw.n > 0)
            memcpy(dst, raw.p, raw.n);
        *ret_len = raw.n;
        return HSM_OK;
    }
    size_t n = 0;
    for (size_t at = 0; at < raw.n;) {
        uint8_t u[4];
        uint32_t cp = next_cp(raw.p, raw.n, &at);
        if (cp == 0)
            return HSM_E_MALFORMED;
        size_t k = utf8_put(cp, u);
        if (cap - n < k)
            return HSM_E_RANGE;
        memcpy(dst + n, u, k);
        n += k;
    }
    *ret_len = n;
    return HSM_OK;
}

hsm_err json_plain(const struct json_doc *d, uint32_t v, struct bytes *ret)
{
    if (!is_type(d, v, JSON_STRING) || d->tok[v].escaped)
        return HSM_E_MALFORMED;
    *ret = json_raw(d, v);
    return HSM_OK;
}

hsm_err json_bool(const struct json_doc *d, uint32_t v, bool *ret)
{
    if (!is_type(d, v, JSON_TRUE) && !is_type(d, v, JSON_FALSE))
        return HSM_E_MALFORMED;
    *ret = d->tok[v].type == JSON_TRUE;
    return HSM_OK;
}
