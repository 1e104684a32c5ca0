#include "boundary/jwks_http.h"

void jwks_http_init(struct jwks_http *h, uint8_t *body, size_t cap)
{
    *h = (struct jwks_http){.body = wr_of(body, cap)};
}

/* The next line, without its CR LF. */
static bool next_line(struct bytes *rest, struct bytes *ret)
{
    const uint8_t *cr = rest->n == 0 ? NULL : memchr(rest->p, '\r', rest->n);
    if (cr == NULL)
        return false;
    size_t n = (size_t)(cr - rest->p);
    if (rest->n - n < 2 || cr[1] != '\n')
        return false;
    *ret = bytes_of(rest->p, n);
    *rest = bytes_of(cr + 2, rest->n - n - 2);
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

static hsm_err parse_status(struct bytes line)
{
    /* "HTTP/1.x 200" and perhaps a reason */
    static const char version[] = "HTTP/1.";
    const size_t n = sizeof version - 1;
    if (line.n < n + 5 || memcmp(line.p, version, n) != 0 || line.p[n + 1] != ' ' ||
        (line.p[n] != '0' && line.p[n] != '1'))
        return HSM_E_MALFORMED;
    if (line.n > n + 5 && line.p[n + 5] != ' ')
        return HSM_E_MALFORMED;
    for (size_t i = n + 2; i < n + 5; i++) {
        if (line.p[i] < '0' || line.p[i] > '9')
            return HSM_E_MALFORMED;
    }
    return memcmp(line.p + n + 2, "200", 3) == 0 ? HSM_OK : HSM_E_UNAVAILABLE;
}

static hsm_err parse_length(struct bytes value, uint64_t *ret)
{
    uint64_t v = 0;
    if (value.n == 0 || value.n > 15)
        return HSM_E_MALFORMED;
    for (size_t i = 0; i < value.n; i++) {
        if (value.p[i] < '0' || value.p[i] > '9')
            return HSM_E_MALFORMED;
        v = v * 10 + (uint64_t)(value.p[i] - '0');
    }
    *ret = v;
    return HSM_OK;
}

static hsm_err parse_header(struct jwks_http *h, struct bytes line)
{
    const uint8_t *colon = line.n == 0 ? NULL : memchr(line.p, ':', line.n);
    if (colon == NULL || colon == line.p || memchr(line.p, 0, line.n) != NULL)
        return HSM_E_MALFORMED;
    struct bytes name = bytes_of(line.p, (size_t)(colon - line.p));
    struct bytes value = trim(bytes_of(colon + 1, line.n - name.n - 1));
    if (trim(name).n != name.n)
        return HSM_E_MALFORMED;
    bool is_length = bytes_ieq(name, bytes_str("content-length"));
    bool is_transfer = bytes_ieq(name, bytes_str("transfer-encoding"));
    /* One framing, stated once. */
    if ((is_length || is_transfer) && h->framing != JWKS_HTTP_TO_END)
        return HSM_E_MALFORMED;
    if (is_length) {
        h->framing = JWKS_HTTP_LENGTH;
        return parse_length(value, &h->left);
    }
    if (is_transfer) {
        h->framing = JWKS_HTTP_CHUNKS;
        return bytes_ieq(value, bytes_str("chunked")) ? HSM_OK : HSM_E_MALFORMED;
    }
    if (bytes_ieq(name, bytes_str("content-encoding")) && !bytes_ieq(value, bytes_str("identity")))
        return HSM_E_MALFORMED;
    return HSM_OK;
}

static hsm_err parse_head(struct jwks_http *h)
{
    struct bytes rest = bytes_of(h->head, h->head_n);
    struct bytes line;
    if (!next_line(&rest, &line))
        return HSM_E_MALFORMED;
    TRY(parse_status(line));
    while (next_line(&rest, &line) && line.n > 0)
        TRY(parse_header(h, line));
    if (line.n != 0 || rest.n != 0)
        return HSM_E_MALFORMED;
    if (h->framing == JWKS_HTTP_LENGTH && h->left > h->body.cap)
        return HSM_E_TOO_LARGE;
    return HSM_OK;
}

static hsm_err feed_body(struct jwks_http *h, struct bytes in)
{
    size_t used;
    switch (h->framing) {
    case JWKS_HTTP_CHUNKS:
        return http1_chunks_feed(&h->chunks, in, &h->body, &used);
    case JWKS_HTTP_LENGTH:
        if (in.n > h->left)
            return HSM_E_MALFORMED;
        wr_bytes(&h->body, in.p, in.n);
        h->left -= in.n;
        return h->left == 0 ? HSM_OK : HSM_E_AGAIN;
    case JWKS_HTTP_TO_END:
        wr_bytes(&h->body, in.p, in.n);
        return h->body.overflow ? HSM_E_TOO_LARGE : HSM_E_AGAIN;
    }
    return HSM_E_INTERNAL;
}

static bool head_is_complete(const struct jwks_http *h)
{
    return h->head_n >= 4 && memcmp(h->head + h->head_n - 4, "\r\n\r\n", 4) == 0;
}

hsm_err jwks_http_feed(struct jwks_http *h, struct bytes in)
{
    while (!h->in_body) {
        if (in.n == 0)
            return HSM_E_AGAIN;
        if (h->head_n == sizeof h->head)
            return HSM_E_TOO_LARGE;
        h->head[h->head_n++] = in.p[0];
        in = bytes_of(in.p + 1, in.n - 1);
        if (head_is_complete(h)) {
            TRY(parse_head(h));
            h->in_body = true;
        }
    }
    return feed_body(h, in);
}

hsm_err jwks_http_end(const struct jwks_http *h)
{
    return h->in_body && h->framing == JWKS_HTTP_TO_END ? HSM_OK : HSM_E_MALFORMED;
}
