/* An accepted path is normal: percent-encoded and parsed again it stays the same. */
#include "codec/url.h"

#include "codec/utf8.h"

#define IN_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_again(const struct url_target *t)
{
    static const char hex[] = "0123456789ABCDEF";
    static uint8_t buf[3 * URL_PATH_MAX + 1];
    uint8_t text[3 * URL_PATH_MAX];
    struct url_target u;
    size_t n = 0;
    for (size_t i = 0; i < t->path.n; i++) {
        uint8_t c = t->path.p[i];
        if (c == '/') {
            text[n++] = c;
            continue;
        }
        text[n++] = '%';
        text[n++] = (uint8_t)hex[c >> 4];
        text[n++] = (uint8_t)hex[c & 15];
    }
    HSM_ASSERT(url_parse(bytes_of(text, n), buf, n, &u) == HSM_OK);
    HSM_ASSERT(bytes_eq(u.path, t->path) && u.seg_n == t->seg_n && u.param_n == 0);
}

static void fuzz_host(struct bytes in)
{
    char host[256];
    char again[256];
    uint16_t port;
    if (host_parse(in, host, &port) != HSM_OK)
        return;
    HSM_ASSERT(strlen(host) > 0 && strlen(host) <= in.n);
    if (memchr(host, ':', strlen(host)) == NULL)
        HSM_ASSERT(host_parse(bytes_str(host), again, &port) == HSM_OK && port == 0 &&
                   strcmp(host, again) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t buf[IN_MAX];
    struct url_target t;
    struct url_param p[8];
    size_t n;
    struct bytes in = bytes_of(data, size);
    if (size > IN_MAX)
        return 0;
    fuzz_host(in);
    if (form_parse(in, buf, size, p, 8, &n) == HSM_OK)
        for (size_t i = 0; i < n; i++)
            HSM_ASSERT(p[i].name.n > 0 && utf8_valid(p[i].name) && utf8_valid(p[i].value));
    if (url_parse(in, buf, size, &t) != HSM_OK)
        return 0;
    HSM_ASSERT(t.path.n > 0 && t.path.p[0] == '/' && utf8_valid(t.path));
    for (size_t i = 0; i < t.seg_n; i++)
        HSM_ASSERT(t.seg[i].n > 0 && memchr(t.seg[i].p, '/', t.seg[i].n) == NULL &&
                   !bytes_eq_str(t.seg[i], ".."));
    for (size_t i = 0; i < t.param_n; i++)
        HSM_ASSERT(utf8_valid(t.param[i].value));
    check_again(&t);
    return 0;
}
