/* What is accepted encodes back to the input without its padding. */
#include "codec/base64url.h"

#define IN_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t raw[IN_MAX + 8];
    char text[IN_MAX * 2];
    size_t n;
    if (size > IN_MAX)
        return 0;
    if (b64u_decode(raw, bytes_of(data, size), &n) == HSM_OK) {
        size_t k = b64u_encode(text, raw, n);
        HSM_ASSERT(n <= b64_decoded_max(size) && k <= size && size - k <= 2);
        HSM_ASSERT(k == 0 || memcmp(text, data, k) == 0);
    }
    if (b64_decode(raw, bytes_of(data, size), &n) == HSM_OK)
        HSM_ASSERT(b64_encode(text, raw, n) == size &&
                   (size == 0 || memcmp(text, data, size) == 0));
    /* and every byte string survives the round trip */
    size_t k = b64u_encode(text, data, size);
    HSM_ASSERT(k <= b64_encoded_max(size));
    if (k <= IN_MAX) {
        HSM_ASSERT(b64u_decode(raw, bytes_of(text, k), &n) == HSM_OK);
        HSM_ASSERT(n == size && (n == 0 || memcmp(raw, data, n) == 0));
    }
    return 0;
}
