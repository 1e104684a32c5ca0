#include "codec/url.h"

#include "codec/swar.h"
#include "codec/utf8.h"

#define SEGMENTS_MAX (sizeof((struct url_target *)0)->seg / sizeof(struct bytes))
#define HOST_MAX     253
#define LABEL_MAX    63

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    uint8_t l = (uint8_t)(c | 0x20);
    return l >= 'a' && l <= 'f' ? l - 'a' + 10 : -1;
}

/* Bytes at the start, in steps of eight, that stand for themselves: printable ASCII without blank,
 * '#', '%' and '+'. */
static size_t plain_run(struct bytes in)
{
    size_t n = 0;
    for (; in.n - n >= 8; n += 8) {
        uint64_t w = swar_load(in.p + n);
        if ((w & SWAR_HIGHS) != 0 || swar_has_below(w, 0x21) || swar_has(w, 0x7f) ||
            swar_has(w, '#') || swar_has(w, '%') || swar_has(w, '+'))
            break;
    }
    return n;
}

/* One byte, or the escape that stands for one; *i moves to its last character. */
static hsm_err decode_one(struct bytes in, bool plus_is_space, size_t *i, uint8_t *ret)
{
    uint8_t c = in.p[*i];
    if (c <= ' ' || c == '#')
        return HSM_E_MALFORMED;
    if (c == '%') {
        int hi = in.n - *i > 2 ? hex_value(in.p[*i + 1]) : -1;
        int lo = in.n - *i > 2 ? hex_value(in.p[*i + 2]) : -1;
        if (hi < 0 || lo < 0)
            return HSM_E_MALFORMED;
        c = (uint8_t)(hi << 4 | lo);
        *i += 2;
    } else if (c == '+' && plus_is_space) {
        c = ' ';
    }
    *ret = c;
    return c < 0x20 || c == 0x7f ? HSM_E_MALFORMED : HSM_OK;
}

/* Percent-decode behind what out holds already; the result is printable UTF-8. */
static hsm_err decode(struct bytes in, bool plus_is_space, struct wr *out, struct bytes *ret)
{
    size_t start = out->n;
    uint8_t seen = 0;
    for (size_t i = 0; i < in.n; i++) {
        size_t run = plain_run(bytes_of(in.p + i, in.n - i));
        wr_bytes(out, in.p + i, run);
        i += run;
        /* Until the next eight: one by one. */
        for (size_t end = i + 8; i < in.n && i < end; i++) {
            uint8_t c = 0;
            TRY(decode_one(in, plus_is_space, &i, &c));
            seen |= c;
            wr_u8(out, c);
        }
        i--;
    }
    if (out->overflow)
        return HSM_E_MALFORMED;
    struct bytes b = bytes_of(out->p + start, out->n - start);
    if (seen >= 0x80 && !utf8_valid(b))
        return HSM_E_MALFORMED;
    *ret = b;
    return HSM_OK;
}

static hsm_err add_segment(struct url_target *t, const uint8_t *p, size_t n)
{
    struct bytes s = bytes_of(p, n);
    if (t->seg_n == SEGMENTS_MAX || bytes_eq_str(s, ".") || bytes_eq_str(s, ".."))
        return HSM_E_MALFORMED;
    t->seg[t->seg_n++] = s;
    return HSM_OK;
}

/* Collapse runs of '/' in place and note the segments. raw begins with '/' in buf. */
static hsm_err normalise(uint8_t *buf, struct bytes raw, struct url_target *t)
{
    size_t out = 0;
    for (size_t i = 0; i < raw.n;) {
        if (buf[i] == '/') {
            i++;
            continue;
        }
        buf[out++] = '/';
        size_t start = out;
        while (i < raw.n && buf[i] != '/')
            buf[out++] = buf[i++];
        TRY(add_segment(t, buf + start, out - start));
    }
    if (out == 0)
        buf[out++] = '/';
    t->path = bytes_of(buf, out);
    return HSM_OK;
}

static hsm_err add_param(struct bytes piece, struct wr *w, struct url_param *params, size_t max,
                         size_t *n)
{
    const uint8_t *eq = memchr(piece.p, '=', piece.n);
    size_t name_n = eq == NULL ? piece.n : (size_t)(eq - piece.p);
    size_t value_at = eq == NULL ? piece.n : name_n + 1;
    struct url_param q;
    if (*n == max)
        return HSM_E_MALFORMED;
    TRY(decode(bytes_of(piece.p, name_n), true, w, &q.name));
    TRY(decode(bytes_of(piece.p + value_at, piece.n - value_at), true, w, &q.value));
    if (q.name.n == 0)
        return HSM_E_MALFORMED;
    for (size_t i = 0; i < *n; i++)
        if (bytes_eq(params[i].name, q.name))
            return HSM_E_MALFORMED;
    params[(*n)++] = q;
    return HSM_OK;
}

static hsm_err parse_params(struct bytes in, struct wr *w, struct url_param *params, size_t max,
                            size_t *ret_n)
{
    size_t n = 0;
    size_t from = 0;
    for (size_t i = 0; i <= in.n; i++) {
        if (i < in.n && in.p[i] != '&')
            continue;
        if (i > from)
            TRY(add_param(bytes_of(in.p + from, i - from), w, params, max, &n));
        from = i + 1;
    }
    *ret_n = n;
    return HSM_OK;
}

hsm_err url_parse(struct bytes target, uint8_t *buf, size_t cap, struct url_target *ret)
{
    struct url_target t = {0};
    struct wr w = wr_of(buf, cap);
    struct bytes raw;
    if (target.n == 0 || target.p[0] != '/')
        return HSM_E_MALFORMED;
    const uint8_t *mark = memchr(target.p, '?', target.n);
    size_t path_n = mark == NULL ? target.n : (size_t)(mark - target.p);
    TRY(decode(bytes_of(target.p, path_n), false, &w, &raw));
    if (raw.n > URL_PATH_MAX)
        return HSM_E_MALFORMED;
    TRY(normalise(buf, raw, &t));
    if (mark != NULL) {
        struct bytes query = bytes_of(mark + 1, target.n - path_n - 1);
        TRY(parse_params(query, &w, t.param, URL_PARAMS_MAX, &t.param_n));
    }
    *ret = t;
    return HSM_OK;
}

struct bytes url_param_get(const struct url_target *t, const char *name)
{
    for (size_t i = 0; i < t->param_n; i++)
        if (bytes_eq_str(t->param[i].name, name))
            return t->param[i].value;
    return (struct bytes){0};
}

hsm_err form_parse(struct bytes body, uint8_t *buf, size_t cap, struct url_param *params,
                   size_t max, size_t *ret_n)
{
    struct wr w = wr_of(buf, cap);
    return parse_params(body, &w, params, max, ret_n);
}

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

static hsm_err parse_port(struct bytes b, uint16_t *ret)
{
    uint32_t v = 0;
    if (b.n == 0 || b.n > 5)
        return HSM_E_MALFORMED;
    for (size_t i = 0; i < b.n; i++) {
        if (b.p[i] < '0' || b.p[i] > '9')
            return HSM_E_MALFORMED;
        v = v * 10 + (uint32_t)(b.p[i] - '0');
    }
    if (v == 0 || v > UINT16_MAX)
        return HSM_E_MALFORMED;
    *ret = (uint16_t)v;
    return HSM_OK;
}

/* Letters, digits, '-' and '_' in labels of 1..63. */
static hsm_err copy_name(struct bytes b, char *host)
{
    static const uint64_t allowed[2] = {0x03ff200000000000u, 0x07fffffe80000000u};
    size_t label = 0;
    if (b.n == 0 || b.n > HOST_MAX)
        return HSM_E_MALFORMED;
    for (size_t i = 0; i < b.n; i++) {
        uint8_t c = lower(b.p[i]);
        bool ok = c < 0x80 && (allowed[c >> 6] >> (c & 63) & 1) != 0;
        if (c == '.' ? label == 0 : !ok)
            return HSM_E_MALFORMED;
        label = c == '.' ? 0 : label + 1;
        if (label > LABEL_MAX)
            return HSM_E_MALFORMED;
        host[i] = (char)c;
    }
    host[b.n] = '\0';
    return label == 0 ? HSM_E_MALFORMED : HSM_OK;
}

static hsm_err copy_v6(struct bytes b, char *host)
{
    bool colon = false;
    if (b.n < 2 || b.n > 45)
        return HSM_E_MALFORMED;
    for (size_t i = 0; i < b.n; i++) {
        uint8_t c = lower(b.p[i]);
        if (hex_value(c) < 0 && c != ':' && c != '.')
            return HSM_E_MALFORMED;
        colon = colon || c == ':';
        host[i] = (char)c;
    }
    host[b.n] = '\0';
    return colon ? HSM_OK : HSM_E_MALFORMED;
}

hsm_err host_parse(struct bytes authority, char host[256], uint16_t *ret_port)
{
    char tmp[256];
    bool v6 = authority.n > 0 && authority.p[0] == '[';
    const uint8_t *end = authority.n == 0 ? NULL : memchr(authority.p, v6 ? ']' : ':', authority.n);
    if (v6 && end == NULL)
        return HSM_E_MALFORMED;
    size_t n = end == NULL ? authority.n : (size_t)(end - authority.p);
    size_t after = v6 ? n + 1 : n;
    if (v6)
        TRY(copy_v6(bytes_of(authority.p + 1, n - 1), tmp));
    else
        TRY(copy_name(bytes_of(authority.p, n), tmp));
    uint16_t port = 0;
    if (after < authority.n) {
        if (authority.p[after] != ':')
            return HSM_E_MALFORMED;
        TRY(parse_port(bytes_of(authority.p + after + 1, authority.n - after - 1), &port));
    }
    memcpy(host, tmp, strlen(tmp) + 1);
    *ret_port = port;
    return HSM_OK;
}
