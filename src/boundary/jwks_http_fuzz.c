/* The answer of a key server, fed whole and in pieces: both must come to the same end. */
#include <stdlib.h>

#include "boundary/jwks_http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t body[2][JWKS_TEXT_MAX];
static struct jwks_http h[2];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    /* The first byte says how large the pieces are. */
    size_t piece = (size_t)data[0] + 1;
    struct bytes in = bytes_of(data + 1, size - 1);
    jwks_http_init(&h[0], body[0], sizeof body[0]);
    jwks_http_init(&h[1], body[1], sizeof body[1]);
    hsm_err whole = jwks_http_feed(&h[0], in);
    hsm_err pieces = HSM_E_AGAIN;
    for (size_t at = 0; at < in.n && pieces == HSM_E_AGAIN; at += piece) {
        size_t n = in.n - at < piece ? in.n - at : piece;
        pieces = jwks_http_feed(&h[1], bytes_of(in.p + at, n));
    }
    /* Bytes behind a complete body are an error only where they come with it. */
    if (whole == HSM_OK || whole == HSM_E_AGAIN) {
        HSM_ASSERT(whole == pieces);
        HSM_ASSERT(bytes_eq(wr_view(&h[0].body), wr_view(&h[1].body)));
        HSM_ASSERT(jwks_http_end(&h[0]) == jwks_http_end(&h[1]));
    }
    struct jwks keys;
    if (whole == HSM_OK && jwks_parse(wr_view(&h[0].body), &keys) == HSM_OK)
        jwks_done(&keys);
    return 0;
}
