/* A request target and a body, as a client may send them, up to the message for the boundary: no
 * crash, and what comes out decodes. First byte: method; then the target up to a newline, then the
 * body. */
#include <stdlib.h>
#include "base/err.h"
#include "gateway/body.h"

#define SCRATCH_N (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static hsm_err decode(unsigned op, struct bytes m)
{
#define O(type, req, res, name, http)                                                              \
    case type: {                                                                                   \
        struct wire_##req msg;                                                                     \
        return wire_##req##_decode(m, &msg);                                                       \
    }
    switch (op) {
        WIRE_OPS(O)
    default:
        return HSM_E_MALFORMED;
    }
#undef O
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct json_tok toks[BODY_TOKENS_MAX];
    static uint8_t mem[SCRATCH_N], out[SCRATCH_N], path[URL_PATH_MAX * 4];
    if (n < 2)
        return 0;
    enum http1_method method = (enum http1_method)(data[0] % (HTTP1_OTHER + 1));
    const uint8_t *end = memchr(data + 1, '\n', n - 1);
    size_t target_n = end != NULL ? (size_t)(end - data) - 1 : n - 1;
    struct bytes target = bytes_of(data + 1, target_n);
    struct bytes body = end != NULL ? bytes_of(end + 1, n - target_n - 2) : bytes_of(NULL, 0);
    struct url_target t;
    struct route r;
    char detail[ROUTE_DETAIL_MAX];
    (void)route_body_limit(target);
    if (target.n > sizeof path || url_parse(target, path, sizeof path, &t) != HSM_OK ||
        route_parse(method, &t, &r, detail) != HSM_OK)
        return 0;
    struct scratch scratch = {.p = mem, .cap = sizeof mem};
    struct body_ctx c = {
        .toks = toks,
        .tok_cap = BODY_TOKENS_MAX,
        .scratch = &scratch,
        .detail = detail,
    };
    struct wr w = wr_of(out, sizeof out);
    if (body_write(&r, body, &c, &w) == HSM_OK)
        HSM_ASSERT(decode(r.op, wr_view(&w)) == HSM_OK);
    scratch_clear(&scratch);
    return 0;
}
