#include "codec/tls_hello.h"

#include "codec/url.h"

#define RECORD_HANDSHAKE      22
#define RECORD_MAX            16384
#define HANDSHAKE_HELLO       1
#define HANDSHAKE_HEAD        4
#define HELLO_MAX             16384
#define EXTENSION_SERVER_NAME 0
#define NAME_HOST             0

static hsm_err rd_lv8(struct rd *r, struct bytes *ret)
{
    uint8_t n;
    TRY(rd_u8(r, &n));
    return rd_bytes(r, n, ret);
}

static hsm_err rd_lv16(struct rd *r, struct bytes *ret)
{
    uint16_t n;
    TRY(rd_u16(r, &n));
    return rd_bytes(r, n, ret);
}

/* Length of the handshake message in w, when its head is there already. */
static bool message_len(const struct wr *w, size_t *ret)
{
    if (w->n < HANDSHAKE_HEAD)
        return false;
    *ret = HANDSHAKE_HEAD + ((size_t)w->p[1] << 16 | (size_t)w->p[2] << 8 | w->p[3]);
    return true;
}

/* HSM_OK once w begins with the whole ClientHello. */
static hsm_err message_complete(const struct wr *w)
{
    size_t len;
    /* w->n bytes were written; the analyzer loses count of them. */
    /* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult) */
    if (w->n > 0 && w->p[0] != HANDSHAKE_HELLO)
        return HSM_E_MALFORMED;
    if (!message_len(w, &len))
        return HSM_E_AGAIN;
    if (len > w->cap)
        return HSM_E_MALFORMED;
    return w->n >= len ? HSM_OK : HSM_E_AGAIN;
}

/* Add the fragment of one record, or the part of it that has arrived. */
static hsm_err add_record(struct rd *r, struct wr *w)
{
    uint8_t type;
    uint16_t version;
    uint16_t len;
    if (r->n > 0 && r->p[0] != RECORD_HANDSHAKE)
        return HSM_E_MALFORMED;
    if (rd_u8(r, &type) != HSM_OK || rd_u16(r, &version) != HSM_OK || rd_u16(r, &len) != HSM_OK)
        return HSM_E_AGAIN;
    if (version >> 8 != 3 || len == 0 || len > RECORD_MAX)
        return HSM_E_MALFORMED;
    struct bytes fragment;
    size_t there = len < r->n ? len : r->n;
    TRY(rd_bytes(r, there, &fragment));
    size_t room = w->cap - w->n;
    wr_bytes(w, fragment.p, fragment.n < room ? fragment.n : room);
    return HSM_OK;
}

/* Put the ClientHello together from its records. */
static hsm_err collect(struct bytes in, struct wr *w)
{
    struct rd r = rd_of(in);
    hsm_err err = HSM_E_AGAIN;
    while (err == HSM_E_AGAIN) {
        if (r.n == 0)
            return HSM_E_AGAIN;
        TRY(add_record(&r, w));
        err = message_complete(w);
    }
    return err;
}

/* server_name extension: a list that is read whole and must hold one host name. */
static hsm_err parse_names(struct bytes ext, char host[256])
{
    struct rd r = rd_of(ext);
    struct bytes list;
    bool found = false;
    TRY(rd_lv16(&r, &list));
    TRY(rd_end(&r));
    struct rd l = rd_of(list);
    while (l.n > 0) {
        uint8_t type;
        struct bytes name;
        uint16_t port;
        TRY(rd_u8(&l, &type));
        TRY(rd_lv16(&l, &name));
        if (type != NAME_HOST)
            continue;
        /* A port, brackets or a second name have no place here. */
        if (found || name.n == 0 || name.p[0] == '[' || memchr(name.p, ':', name.n) != NULL)
            return HSM_E_MALFORMED;
        TRY(host_parse(name, host, &port));
        found = true;
    }
    return found ? HSM_OK : HSM_E_MALFORMED;
}

static hsm_err parse_extensions(struct rd r, char host[256])
{
    struct bytes all;
    bool found = false;
    TRY(rd_lv16(&r, &all));
    TRY(rd_end(&r));
    struct rd e = rd_of(all);
    while (e.n > 0) {
        uint16_t type;
        struct bytes data;
        TRY(rd_u16(&e, &type));
        TRY(rd_lv16(&e, &data));
        if (type != EXTENSION_SERVER_NAME)
            continue;
        if (found)
            return HSM_E_MALFORMED;
        TRY(parse_names(data, host));
        found = true;
    }
    return HSM_OK;
}

static hsm_err parse_hello(struct rd r, char host[256])
{
    struct bytes head;
    struct bytes session;
    struct bytes suites;
    struct bytes compression;
    TRY(rd_bytes(&r, 2 + 32, &head));
    TRY(rd_lv8(&r, &session));
    TRY(rd_lv16(&r, &suites));
    TRY(rd_lv8(&r, &compression));
    if (head.p[0] != 3 || session.n > 32 || suites.n < 2 || suites.n % 2 != 0 || compression.n == 0)
        return HSM_E_MALFORMED;
    /* Without extensions the message ends here. */
    return r.n == 0 ? HSM_OK : parse_extensions(r, host);
}

hsm_err tls_hello_server_name(struct bytes in, char host[256])
{
    uint8_t hello[HELLO_MAX];
    char name[256] = "";
    size_t len;
    struct wr w = wr_of(hello, sizeof hello);
    hsm_err err = collect(in, &w);
    if (err == HSM_E_AGAIN && in.n >= HELLO_MAX)
        return HSM_E_MALFORMED;
    TRY(err);
    if (!message_len(&w, &len))
        return HSM_E_MALFORMED;
    TRY(parse_hello((struct rd){.p = hello + HANDSHAKE_HEAD, .n = len - HANDSHAKE_HEAD}, name));
    memcpy(host, name, strlen(name) + 1);
    return HSM_OK;
}
