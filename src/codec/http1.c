#include "codec/http1.h"

#include "codec/swar.h"
#include "codec/url.h"

/* RFC 9110 §5.6.2: tchar, one bit per ASCII character. */
static bool is_token_char(uint8_t c)
{
    static const uint64_t tchar[2] = {0x03ff6cfa00000000u, 0x57ffffffc7fffffeu};
    return c < 0x80 && (tchar[c >> 6] >> (c & 63) & 1) != 0;
}

static bool is_token(struct bytes b)
{
    for (size_t i = 0; i < b.n; i++)
        if (!is_token_char(b.p[i]))
            return false;
    return b.n > 0;
}

/* Printable ASCII without blanks. */
static bool is_target_text(struct bytes b)
{
    size_t i = 0;
    for (; b.n - i >= 8; i += 8) {
        uint64_t w = swar_load(b.p + i);
        if ((w & SWAR_HIGHS) != 0 || swar_has_below(w, 0x21) || swar_has(w, 0x7f))
            return false;
    }
    for (; i < b.n; i++)
        if (b.p[i] <= ' ' || b.p[i] >= 0x7f)
            return false;
    return b.n > 0;
}

/* No control characters but tab; a token of a kilobyte comes with every request. */
static bool is_field_text(struct bytes b)
{
    size_t i = 0;
    for (; b.n - i >= 8; i += 8) {
        uint64_t w = swar_load(b.p + i);
        if (swar_has_below(w, 0x20) || swar_has(w, 0x7f))
            break;
    }
    for (; i < b.n; i++)
        if ((b.p[i] < ' ' && b.p[i] != '\t') || b.p[i] == 0x7f)
            return false;
    return true;
}

static struct bytes trim(struct bytes b)
{
    while (b.n > 0 && (b.p[0] == ' ' || b.p[0] == '\t'))
        b = bytes_of(b.p + 1, b.n - 1);
    while (b.n > 0 && (b.p[b.n - 1] == ' ' || b.p[b.n - 1] == '\t'))
        b.n--;
    return b;
}

static enum http1_method method_of(struct bytes b)
{
    static const char *const names[] = {"GET",    "POST", "PUT",     "PATCH",
                                        "DELETE", "HEAD", "OPTIONS", "CONNECT"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (bytes_eq_str(b, names[i]))
            return (enum http1_method)i;
    return HTTP1_OTHER;
}

/* One line without its CRLF. HSM_E_AGAIN: its end is not there yet. */
static hsm_err take_line(struct rd *r, struct bytes *ret)
{
    const uint8_t *lf = r->n == 0 ? NULL : memchr(r->p, '\n', r->n);
    if (lf == NULL)
        return HSM_E_AGAIN;
    size_t n = (size_t)(lf - r->p);
    if (n == 0 || r->p[n - 1] != '\r' || memchr(r->p, '\r', n) != r->p + n - 1)
        return HSM_E_MALFORMED;
    *ret = bytes_of(r->p, n - 1);
    *r = (struct rd){.p = r->p + n + 1, .n = r->n - n - 1};
    return HSM_OK;
}

static hsm_err parse_request_line(struct bytes line, struct http1_head *h)
{
    const uint8_t *sp1 = memchr(line.p, ' ', line.n);
    if (sp1 == NULL)
        return HSM_E_MALFORMED;
    size_t method_n = (size_t)(sp1 - line.p);
    struct bytes rest = bytes_of(sp1 + 1, line.n - method_n - 1);
    const uint8_t *sp2 = rest.n == 0 ? NULL : memchr(rest.p, ' ', rest.n);
    if (sp2 == NULL)
        return HSM_E_MALFORMED;
    h->method_text = bytes_of(line.p, method_n);
    h->target = bytes_of(rest.p, (size_t)(sp2 - rest.p));
    struct bytes version = bytes_of(sp2 + 1, rest.n - h->target.n - 1);
    if (!is_token(h->method_text) || !is_target_text(h->target))
        return HSM_E_MALFORMED;
    bool one = bytes_eq_str(version, "HTTP/1.1");
    if (!one && !bytes_eq_str(version, "HTTP/1.0"))
        return HSM_E_MALFORMED;
    h->minor = one ? 1 : 0;
    h->method = method_of(h->method_text);
    return HSM_OK;
}

/* The headers that decide something; noted while the lines are read. */
enum known {
    K_HOST,
    K_EXPECT,
    K_USER_AGENT,
    K_CONTENT_TYPE,
    K_AUTHORIZATION,
    K_CONTENT_LENGTH,
    K_TRANSFER_ENCODING,
    K_CLIENT_REQUEST_ID,
    K_CONNECTION,
    K__COUNT
};
struct noted {
    struct bytes value[K__COUNT]; /* of the first one */
    unsigned n[K__COUNT];
    bool close, keep; /* asked for by any Connection header */
};

/* Does the comma-separated list contain the word? */
static bool list_has(struct bytes list, const char *word)
{
    size_t from = 0;
    for (size_t i = 0; i <= list.n; i++) {
        if (i < list.n && list.p[i] != ',')
            continue;
        if (bytes_ieq(trim(bytes_of(list.p + from, i - from)), bytes_str(word)))
            return true;
        from = i + 1;
    }
    return false;
}

static void note(struct noted *k, const struct http1_header *f)
{
#define NAME(text)                                                                                 \
    {                                                                                              \
        text, sizeof(text) - 1                                                                     \
    }
    static const struct {
        const char *text;
        size_t n;
    } names[K__COUNT] = {
        [K_HOST] = NAME("host"),
        [K_EXPECT] = NAME("expect"),
        [K_USER_AGENT] = NAME("user-agent"),
        [K_CONTENT_TYPE] = NAME("content-type"),
        [K_AUTHORIZATION] = NAME("authorization"),
        [K_CONTENT_LENGTH] = NAME("content-length"),
        [K_TRANSFER_ENCODING] = NAME("transfer-encoding"),
        [K_CLIENT_REQUEST_ID] = NAME("x-ms-client-request-id"),
        [K_CONNECTION] = NAME("connection"),
    };
#undef NAME
    for (unsigned i = 0; i < K__COUNT; i++) {
        if (f->name.n != names[i].n || !bytes_ieq(f->name, bytes_of(names[i].text, names[i].n)))
            continue;
        if (k->n[i]++ == 0)
            k->value[i] = f->value;
        if (i == K_CONNECTION) {
            k->close = k->close || list_has(f->value, "close");
            k->keep = k->keep || list_has(f->value, "keep-alive");
        }
        return;
    }
}

static hsm_err parse_header_line(struct bytes line, struct http1_head *h, struct noted *k)
{
    const uint8_t *colon = memchr(line.p, ':', line.n);
    if (colon == NULL)
        return HSM_E_MALFORMED;
    size_t name_n = (size_t)(colon - line.p);
    struct http1_header f = {.name = bytes_of(line.p, name_n),
                             .value = trim(bytes_of(colon + 1, line.n - name_n - 1))};
    /* A line that begins with a blank (obs-fold) fails here too: a blank is no token character. */
    if (!is_token(f.name) || !is_field_text(f.value))
        return HSM_E_MALFORMED;
    if (h->header_n == HTTP1_HEADERS_MAX)
        return HSM_E_HEADERS_TOO_LARGE;
    h->header[h->header_n++] = f;
    note(k, &f);
    return HSM_OK;
}

struct bytes http1_header_get(const struct http1_head *h, const char *lower_name)
{
    for (size_t i = 0; i < h->header_n; i++)
        if (bytes_ieq(h->header[i].name, bytes_str(lower_name)))
            return h->header[i].value;
    return (struct bytes){0};
}

/* At most one. Absent is an empty view. */
static hsm_err get_single(const struct noted *k, enum known which, struct bytes *ret)
{
    if (k->n[which] > 1)
        return HSM_E_MALFORMED;
    *ret = k->value[which];
    return HSM_OK;
}

static hsm_err parse_length(struct bytes b, uint64_t *ret)
{
    uint64_t v = 0;
    if (b.n == 0 || b.n > 18)
        return HSM_E_MALFORMED;
    for (size_t i = 0; i < b.n; i++) {
        if (b.p[i] < '0' || b.p[i] > '9')
            return HSM_E_MALFORMED;
        v = v * 10 + (uint64_t)(b.p[i] - '0');
    }
    *ret = v;
    return HSM_OK;
}

/* How the body is delimited: whatever two readers could understand differently is refused. */
static hsm_err decide_body(struct http1_head *h, const struct noted *k)
{
    struct bytes length;
    struct bytes coding;
    TRY(get_single(k, K_CONTENT_LENGTH, &length));
    TRY(get_single(k, K_TRANSFER_ENCODING, &coding));
    h->has_length = length.p != NULL;
    h->chunked = coding.p != NULL;
    if (h->has_length && h->chunked)
        return HSM_E_MALFORMED;
    if (h->has_length)
        TRY(parse_length(length, &h->content_length));
    if (h->chunked && (h->minor == 0 || !bytes_ieq(coding, bytes_str("chunked"))))
        return HSM_E_MALFORMED;
    return HSM_OK;
}

static bool starts_with_i(struct bytes b, const char *prefix)
{
    size_t n = strlen(prefix);
    return b.n >= n && bytes_ieq(bytes_of(b.p, n), bytes_str(prefix));
}

/* Absolute form: the host must be that of the Host header, the rest becomes origin form. */
static hsm_err reduce_absolute(struct http1_head *h)
{
    size_t skip = starts_with_i(h->target, "https://") ? 8 : 7;
    struct bytes rest = bytes_of(h->target.p + skip, h->target.n - skip);
    size_t n = 0;
    while (n < rest.n && rest.p[n] != '/' && rest.p[n] != '?')
        n++;
    if (!bytes_ieq(bytes_of(rest.p, n), h->host))
        return HSM_E_MALFORMED;
    if (n < rest.n && rest.p[n] == '?')
        return HSM_E_MALFORMED;
    h->target = n == rest.n ? bytes_str("/") : bytes_of(rest.p + n, rest.n - n);
    return HSM_OK;
}

static hsm_err decide_target(struct http1_head *h, const struct noted *k)
{
    char host[256];
    uint16_t port;
    if (k->n[K_HOST] != 1)
        return HSM_E_MALFORMED;
    h->host = k->value[K_HOST];
    TRY(host_parse(h->host, host, &port));
    if (starts_with_i(h->target, "https://") || starts_with_i(h->target, "http://"))
        return reduce_absolute(h);
    if (h->method == HTTP1_CONNECT)
        return host_parse(h->target, host, &port);
    if (h->method == HTTP1_OPTIONS && bytes_eq_str(h->target, "*"))
        return HSM_OK;
    return h->target.p[0] == '/' ? HSM_OK : HSM_E_MALFORMED;
}

static hsm_err decide(struct http1_head *h, const struct noted *k)
{
    struct bytes expect;
    TRY(decide_target(h, k));
    TRY(decide_body(h, k));
    TRY(get_single(k, K_AUTHORIZATION, &h->authorization));
    TRY(get_single(k, K_CONTENT_TYPE, &h->content_type));
    TRY(get_single(k, K_EXPECT, &expect));
    h->expect_continue = expect.p != NULL;
    if (h->expect_continue && !bytes_ieq(expect, bytes_str("100-continue")))
        return HSM_E_MALFORMED;
    h->user_agent = k->value[K_USER_AGENT];
    h->client_request_id = k->value[K_CLIENT_REQUEST_ID];
    h->keep_alive = !k->close && (h->minor == 1 || k->keep);
    return HSM_OK;
}

static hsm_err parse_lines(struct rd *r, struct http1_head *h, struct noted *k)
{
    struct bytes line;
    TRY(take_line(r, &line));
    TRY(parse_request_line(line, h));
    for (;;) {
        TRY(take_line(r, &line));
        if (line.n == 0)
            return HSM_OK;
        TRY(parse_header_line(line, h, k));
    }
}

hsm_err http1_parse(struct bytes in, struct http1_head *ret, size_t *ret_used)
{
    struct noted k = {0};
    /* The views of unused slots are never read; clearing and copying 2 KiB would be waste. */
    memset(ret, 0, offsetof(struct http1_head, header));
    ret->header_n = 0;
    struct rd r = {.p = in.p, .n = in.n < HTTP1_HEAD_MAX ? in.n : HTTP1_HEAD_MAX};
    size_t before = r.n;
    hsm_err err = parse_lines(&r, ret, &k);
    if (err == HSM_E_AGAIN && in.n >= HTTP1_HEAD_MAX)
        return HSM_E_HEADERS_TOO_LARGE;
    TRY(err);
    TRY(decide(ret, &k));
    *ret_used = before - r.n;
    return HSM_OK;
}
