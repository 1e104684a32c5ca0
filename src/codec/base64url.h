/* base64url and base64 (RFC 4648 §4, §5). Decoding is constant time in the content of the input,
 * not in its length. No allocation, no locale, thread-safe. */
#ifndef CODEC_BASE64URL_H
#define CODEC_BASE64URL_H

#include <stddef.h>
#include <stdint.h>
#include "base/bytes.h"

static inline size_t b64_decoded_max(size_t len)
{
    return len / 4 * 3 + 3;
}
/* Characters without terminator, with padding counted (upper bound for both alphabets). */
static inline size_t b64_encoded_max(size_t n)
{
    return (n + 2) / 3 * 4;
}

/* base64url with or without '=' padding; junk, impossible lengths and stray trailing bits are
 * HSM_E_MALFORMED (dst is then zeroed). dst has room for b64_decoded_max(src.n). */
HSM_MUST_USE hsm_err b64u_decode(uint8_t *dst, struct bytes src, size_t *ret_len);
/* Standard alphabet; padding required as RFC 4648 says. */
HSM_MUST_USE hsm_err b64_decode(uint8_t *dst, struct bytes src, size_t *ret_len);
/* Without padding / with padding. Return the number of characters; no terminator is written. */
size_t b64u_encode(char *dst, const uint8_t *src, size_t n);
size_t b64_encode(char *dst, const uint8_t *src, size_t n);

#endif
