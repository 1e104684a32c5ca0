#include "door/connect.h"

#include "codec/url.h"

static const char method[] = "CONNECT ";
#define METHOD_N (sizeof(method) - 1)

enum first_kind first_kind_of(struct bytes in)
{
    if (in.n == 0)
        return FIRST_MORE;
    if (in.p[0] == 0x16)
        return FIRST_TLS;
    size_t n = in.n < METHOD_N ? in.n : METHOD_N;
    if (memcmp(in.p, method, n) != 0)
        return FIRST_OTHER;
    return n < METHOD_N ? FIRST_MORE : FIRST_CONNECT;
}

/* One line without its CRLF; the caller has made sure that the head ends with one. */
static hsm_err next_line(struct rd *r, struct bytes *ret)
{
    const uint8_t *end = memchr(r->p, '\n', r->n);
    if (end == NULL || end == r->p || end[-1] != '\r')
        return HSM_E_MALFORMED;
    size_t n = (size_t)(end - r->p) + 1;
    TRY(rd_bytes(r, n, ret));
    ret->n -= 2;
    for (size_t i = 0; i < ret->n; i++) {
        if ((ret->p[i] < 0x20 && ret->p[i] != '\t') || ret->p[i] == 0x7f)
            return HSM_E_MALFORMED;
    }
    return HSM_OK;
}

static hsm_err request_line(struct bytes line, char host[256], uint16_t *ret_port)
{
    static const char version[] = " HTTP/1.";
    const size_t tail = sizeof(version) - 1 + 1;

    if (first_kind_of(line) != FIRST_CONNECT || line.n < METHOD_N + tail)
        return HSM_E_MALFORMED;
    const uint8_t *v = line.p + line.n - tail;
    if (memcmp(v, version, tail - 1) != 0 || (v[tail - 1] != '0' && v[tail - 1] != '1'))
        return HSM_E_MALFORMED;
    TRY(host_parse(bytes_of(line.p + METHOD_N, line.n - METHOD_N - tail), host, ret_port));
    return *ret_port == 0 ? HSM_E_MALFORMED : HSM_OK;
}

static bool is_field(struct bytes line)
{
    const uint8_t *colon = memchr(line.p, ':', line.n);
    if (colon == NULL || colon == line.p)
        return false;
    for (const uint8_t *p = line.p; p < colon; p++) {
        if (*p <= ' ' || *p >= 0x7f)
            return false;
    }
    return true;
}

hsm_err connect_parse(struct bytes in, char host[256], uint16_t *ret_port, size_t *ret_used)
{
    char name[256];
    uint16_t port = 0;
    struct bytes line;
    size_t n = in.n < CONNECT_HEAD_MAX ? in.n : CONNECT_HEAD_MAX;
    const uint8_t *end = n > 0 ? memmem(in.p, n, "\r\n\r\n", 4) : NULL;

    if (end == NULL)
        return in.n >= CONNECT_HEAD_MAX ? HSM_E_HEADERS_TOO_LARGE : HSM_E_AGAIN;
    size_t used = (size_t)(end - in.p) + 4;
    struct rd r = {.p = in.p, .n = used - 2};
    TRY(next_line(&r, &line));
    TRY(request_line(line, name, &port));
    while (r.n > 0) {
        TRY(next_line(&r, &line));
        if (!is_field(line))
            return HSM_E_MALFORMED;
    }
    memcpy(host, name, strlen(name) + 1);
    *ret_port = port;
    *ret_used = used;
    return HSM_OK;
}
