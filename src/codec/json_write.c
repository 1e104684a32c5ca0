#include "codec/json.h"

#include "codec/base64url.h"
#include "codec/swar.h"
#include "codec/utf8.h"

static void comma(struct json_wr *j)
{
    if (j->need_comma)
        wr_u8(j->w, ',');
}

static void open_with(struct json_wr *j, uint8_t c)
{
    comma(j);
    wr_u8(j->w, c);
    j->need_comma = false;
}

static void close_with(struct json_wr *j, uint8_t c)
{
    wr_u8(j->w, c);
    j->need_comma = true;
}

void json_obj_open(struct json_wr *j)
{
    open_with(j, '{');
}

void json_obj_close(struct json_wr *j)
{
    close_with(j, '}');
}

void json_arr_open(struct json_wr *j)
{
    open_with(j, '[');
}

void json_arr_close(struct json_wr *j)
{
    close_with(j, ']');
}

void json_str_open(struct json_wr *j)
{
    open_with(j, '"');
}

void json_str_close(struct json_wr *j)
{
    close_with(j, '"');
}

static void add_escape(struct wr *w, uint8_t c)
{
    static const char from[] = "\"\\\b\f\n\r\t";
    static const char to[] = "\"\\bfnrt";
    for (size_t i = 0; i < sizeof from - 1; i++) {
        if (c == (uint8_t)from[i]) {
            const uint8_t two[2] = {'\\', (uint8_t)to[i]};
            wr_bytes(w, two, sizeof two);
            return;
        }
    }
    static const char hex[] = "0123456789abcdef";
    const char six[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
    wr_bytes(w, six, sizeof six);
}

/* Bytes at the start that are copied as they are. */
static size_t plain_run(struct bytes b)
{
    size_t n = 0;
    while (b.n - n >= 8 && swar_is_plain(swar_load(b.p + n)))
        n += 8;
    while (n < b.n && b.p[n] >= 0x20 && b.p[n] < 0x80 && b.p[n] != '"' && b.p[n] != '\\')
        n++;
    return n;
}

/* Runs that need no escape are copied whole. A byte that is not UTF-8 becomes U+FFFD: what we send
 * is always JSON, whatever we were given. */
void json_str_add(struct json_wr *j, struct bytes utf8)
{
    size_t from = 0;
    size_t at = 0;
    while (at < utf8.n) {
        at += plain_run(bytes_of(utf8.p + at, utf8.n - at));
        if (at == utf8.n)
            break;
        uint8_t c = utf8.p[at];
        size_t k = utf8_seq(utf8.p + at, utf8.n - at);
        if (k > 1) {
            at += k;
            continue;
        }
        wr_bytes(j->w, utf8.p + from, at - from);
        if (k == 0)
            wr_str(j->w, "\\ufffd");
        else
            add_escape(j->w, c);
        at++;
        from = at;
    }
    if (at > from)
        wr_bytes(j->w, utf8.p + from, at - from);
}

void json_str_add_s(struct json_wr *j, const char *s)
{
    json_str_add(j, bytes_str(s));
}

/* Most of what is written are names and short plain strings: those go out in one piece. */
static uint8_t *quoted_room(struct json_wr *j, size_t n)
{
    uint8_t *p = wr_room(j->w, n + (j->need_comma ? 1 : 0));
    if (p != NULL && j->need_comma)
        *p++ = ',';
    return p;
}

void json_name(struct json_wr *j, const char *name)
{
    size_t n = strlen(name);
    uint8_t *p = quoted_room(j, n + 3);
    if (p != NULL) {
        *p = '"';
        /* A name, not a string of C. */
        memcpy(p + 1, name, n);      /* NOLINT(bugprone-not-null-terminated-result) */
        memcpy(p + 1 + n, "\":", 2); /* NOLINT(bugprone-not-null-terminated-result) */
    }
    j->need_comma = false;
}

void json_name_bytes(struct json_wr *j, struct bytes name)
{
    json_str_open(j);
    json_str_add(j, name);
    wr_bytes(j->w, "\":", 2);
    j->need_comma = false;
}

void json_put_bytes(struct json_wr *j, struct bytes utf8)
{
    if (plain_run(utf8) < utf8.n) {
        json_str_open(j);
        json_str_add(j, utf8);
        json_str_close(j);
        return;
    }
    uint8_t *p = quoted_room(j, utf8.n + 2);
    if (p != NULL) {
        *p = '"';
        if (utf8.n > 0)
            memcpy(p + 1, utf8.p, utf8.n);
        p[1 + utf8.n] = '"';
    }
    j->need_comma = true;
}

void json_put_str(struct json_wr *j, const char *s)
{
    json_put_bytes(j, bytes_str(s));
}

typedef size_t encode_fn(char *dst, const uint8_t *src, size_t n);

/* Encoded in place: the writer's buffer is the only copy. */
static void put_encoded(struct json_wr *j, struct bytes b, encode_fn *encode, size_t len)
{
    struct wr *w = j->w;
    json_str_open(j);
    if (w->overflow || w->cap - w->n < len) {
        w->overflow = true;
        return;
    }
    w->n += encode((char *)w->p + w->n, b.p, b.n);
    json_str_close(j);
}

void json_put_b64u(struct json_wr *j, struct bytes b)
{
    put_encoded(j, b, b64u_encode, b.n / 3 * 4 + (b.n % 3 == 0 ? 0 : b.n % 3 + 1));
}

void json_put_b64(struct json_wr *j, struct bytes b)
{
    put_encoded(j, b, b64_encode, b64_encoded_max(b.n));
}

void json_put_int(struct json_wr *j, int64_t v)
{
    char digits[24];
    size_t at = sizeof digits;
    /* Negated without overflow for INT64_MIN. */
    uint64_t left = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    do {
        digits[--at] = (char)('0' + left % 10);
        left /= 10;
    } while (left > 0);
    if (v < 0)
        digits[--at] = '-';
    json_put_raw(j, bytes_of(digits + at, sizeof digits - at));
}

void json_put_bool(struct json_wr *j, bool v)
{
    json_put_raw(j, bytes_str(v ? "true" : "false"));
}

void json_put_null(struct json_wr *j)
{
    json_put_raw(j, bytes_str("null"));
}

void json_put_raw(struct json_wr *j, struct bytes json)
{
    comma(j);
    wr_bytes(j->w, json.p, json.n);
    j->need_comma = true;
}
