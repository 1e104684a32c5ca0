/* A head is complete at exactly one length, and a chunked body decodes alike in any pieces. */
#include "codec/http1.h"

#define IN_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void inside(struct bytes in, struct bytes view)
{
    HSM_ASSERT(view.n == 0 || (view.p >= in.p && view.p + view.n <= in.p + in.n));
}

static void fuzz_head(struct bytes in)
{
    struct http1_head h;
    size_t used;
    size_t again;
    if (http1_parse(in, &h, &used) != HSM_OK)
        return;
    HSM_ASSERT(used <= in.n && used >= 4 && memcmp(in.p + used - 4, "\r\n\r\n", 4) == 0);
    HSM_ASSERT(!(h.chunked && h.has_length) && h.header_n <= HTTP1_HEADERS_MAX && h.host.n > 0);
    for (size_t i = 0; i < h.header_n; i++) {
        inside(in, h.header[i].name);
        inside(in, h.header[i].value);
    }
    struct http1_head g;
    HSM_ASSERT(http1_parse(bytes_of(in.p, used), &g, &again) == HSM_OK && again == used);
    HSM_ASSERT(http1_parse(bytes_of(in.p, used - 1), &g, &again) == HSM_E_AGAIN);
}

static hsm_err feed(struct bytes in, size_t piece, struct wr *out, size_t *used)
{
    struct http1_chunks c = {0};
    hsm_err err = HSM_E_AGAIN;
    for (*used = 0; err == HSM_E_AGAIN && *used < in.n;) {
        size_t k;
        size_t n = in.n - *used < piece ? in.n - *used : piece;
        err = http1_chunks_feed(&c, bytes_of(in.p + *used, n), out, &k);
        if (err == HSM_OK || err == HSM_E_AGAIN) {
            HSM_ASSERT(err == HSM_OK || k == n);
            *used += k;
        }
    }
    return err;
}

static void fuzz_chunks(struct bytes in)
{
    uint8_t a[IN_MAX];
    uint8_t b[IN_MAX];
    size_t ua;
    size_t ub;
    struct wr wa = wr_of(a, sizeof a);
    struct wr wb = wr_of(b, sizeof b);
    hsm_err ea = feed(in, in.n, &wa, &ua);
    hsm_err eb = feed(in, 1, &wb, &ub);
    HSM_ASSERT(ea == eb && bytes_eq(wr_view(&wa), wr_view(&wb)));
    if (ea == HSM_OK)
        HSM_ASSERT(ua == ub && ua <= in.n && wa.n < ua);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > IN_MAX)
        return 0;
    fuzz_head(bytes_of(data, size));
    fuzz_chunks(bytes_of(data, size));
    return 0;
}
