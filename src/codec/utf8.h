/* Internal to codec/: one UTF-8 sequence at a time (RFC 3629). */
#ifndef CODEC_UTF8_H
#define CODEC_UTF8_H

#include "base/bytes.h"

static inline bool utf8_is_tail(uint8_t c)
{
    return (c & 0xc0) == 0x80;
}

/* Length of the valid sequence at p (n > 0 bytes are there); 0 when there is none: overlong forms,
 * surrogates and values above U+10FFFF are invalid. */
static inline size_t utf8_seq(const uint8_t *p, size_t n)
{
    uint8_t c = p[0]; /* NOLINT(clang-analyzer-core.NullDereference): n > 0 */
    if (c < 0x80)
        return 1;
    if (c >= 0xc2 && c <= 0xdf)
        return n >= 2 && utf8_is_tail(p[1]) ? 2 : 0;
    if ((c & 0xf0) == 0xe0) {
        if (n < 3 || !utf8_is_tail(p[1]) || !utf8_is_tail(p[2]))
            return 0;
        if ((c == 0xe0 && p[1] < 0xa0) || (c == 0xed && p[1] > 0x9f))
            return 0;
        return 3;
    }
    if (c >= 0xf0 && c <= 0xf4) {
        if (n < 4 || !utf8_is_tail(p[1]) || !utf8_is_tail(p[2]) || !utf8_is_tail(p[3]))
            return 0;
        if ((c == 0xf0 && p[1] < 0x90) || (c == 0xf4 && p[1] > 0x8f))
            return 0;
        return 4;
    }
    return 0;
}

static inline bool utf8_valid(struct bytes b)
{
    for (size_t i = 0; i < b.n;) {
        size_t k = utf8_seq(b.p + i, b.n - i);
        if (k == 0)
            return false;
        i += k;
    }
    return true;
}

/* Write the code point (not a surrogate, at most U+10FFFF) to dst[4]; returns the length. */
static inline size_t utf8_put(uint32_t cp, uint8_t dst[4])
{
    if (cp < 0x80) {
        dst[0] = (uint8_t)cp;
        return 1;
    }
    if (cp < 0x800) {
        dst[0] = (uint8_t)(0xc0 | cp >> 6);
        dst[1] = (uint8_t)(0x80 | (cp & 0x3f));
        return 2;
    }
    if (cp < 0x10000) {
        dst[0] = (uint8_t)(0xe0 | cp >> 12);
        dst[1] = (uint8_t)(0x80 | (cp >> 6 & 0x3f));
        dst[2] = (uint8_t)(0x80 | (cp & 0x3f));
        return 3;
    }
    dst[0] = (uint8_t)(0xf0 | cp >> 18);
    dst[1] = (uint8_t)(0x80 | (cp >> 12 & 0x3f));
    dst[2] = (uint8_t)(0x80 | (cp >> 6 & 0x3f));
    dst[3] = (uint8_t)(0x80 | (cp & 0x3f));
    return 4;
}

#endif
