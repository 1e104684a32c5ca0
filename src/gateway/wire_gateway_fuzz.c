/* Answers of the boundary, taken as hostile bytes: rendering them must not crash, and what is
 * rendered without an error is one JSON text (the strings of the boundary being UTF-8). First byte:
 * operation; the rest: WIRE_RESULT or its body alone. */
#include "codec/json.h"
#include "gateway/render.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void render(unsigned op, struct bytes body)
{
    static uint8_t out[4u << 20];
    struct render_ctx ctx = {
        .op = op,
        .authority = "dev.managedhsm.localhost:8443",
        .name = "k1",
        .api_version = "7.6",
        .max = 25,
    };
    struct wr w = wr_of(out, sizeof out);
    if (render_result(&ctx, body, &w) == HSM_OK && w.n > 0)
        HSM_ASSERT(out[0] == '{' && out[w.n - 1] == '}');
    (void)render_sd_status_of(body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static uint8_t out[1u << 20];
    struct wire_result m;
    if (n < 1)
        return 0;
    unsigned op = data[0] % WIRE_OP__END;
    struct bytes rest = bytes_of(data + 1, n - 1);
    render(op, rest);
    if (wire_result_decode(rest, &m) == HSM_OK) {
        struct wr w = wr_of(out, sizeof out);
        render_error(m.err, m.detail, "activity", &w);
        render(op, m.body);
    }
    return 0;
}
