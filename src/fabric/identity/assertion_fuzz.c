/* Input: a client assertion, or after a zero byte its two JSON texts with a zero byte between. */
#include <stddef.h>
#include <stdint.h>
#include "codec/base64url.h"
#include "fabric/identity/assertion.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct bytes compose(const uint8_t *data, size_t size, char *dst)
{
    const uint8_t *cut = memchr(data, 0, size);
    size_t n = cut == NULL ? size : (size_t)(cut - data), k = 0;
    k += b64u_encode(dst + k, data, n);
    dst[k++] = '.';
    if (cut != NULL)
        k += b64u_encode(dst + k, cut + 1, size - n - 1);
    dst[k++] = '.';
    k += b64u_encode(dst + k, (const uint8_t *)"signature", 9);
    return bytes_of(dst, k);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char text[16384];
    static uint8_t buf[16384];
    struct assertion a = {.issuer = "untouched"};
    if (size == 0 || size > 8192)
        return 0;
    struct bytes t = data[0] == 0 ? compose(data + 1, size - 1, text) : bytes_of(data, size);
    if (assertion_parse(t, buf, sizeof buf, &a) != HSM_OK) {
        HSM_ASSERT(strcmp(a.issuer, "untouched") == 0);
        return 0;
    }
    HSM_ASSERT(a.jws.alg == JWS_RS256 || a.jws.alg == JWS_PS256);
    HSM_ASSERT(a.has_sha1 || a.has_sha256);
    HSM_ASSERT(a.issuer[0] != 0 && a.audience[0] != 0);
    HSM_ASSERT(assertion_check_certificate(&a, t) != HSM_OK);
    return 0;
}
