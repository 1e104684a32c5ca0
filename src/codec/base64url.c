#include "codec/base64url.h"

#include <endian.h>

/* Characters 62 and 63 of the two alphabets. */
#define URL_62 '-'
#define URL_63 '_'
#define STD_62 '+'
#define STD_63 '/'

/* All ones when lo <= c <= hi, else 0, for 0 <= c <= 255. Both differences are negative exactly
 * inside the range, and a negative number shifted right by its width is all ones: no branch. */
static inline uint32_t in_range(uint32_t c, uint32_t lo, uint32_t hi)
{
    int32_t below = (int32_t)lo - 1 - (int32_t)c;
    int32_t above = (int32_t)c - (int32_t)hi - 1;
    return (uint32_t)((below & above) >> 31);
}

/* Value of a character, or 0xffffffff. */
static inline uint32_t value_of(uint8_t ch, uint32_t c62, uint32_t c63)
{
    uint32_t c = ch;
    uint32_t v = 0xffffffffu;
    /* Every term is (value + 1) where the range matches and 0 elsewhere. */
    v += in_range(c, 'A', 'Z') & (c - 'A' + 1);
    v += in_range(c, 'a', 'z') & (c - 'a' + 27);
    v += in_range(c, '0', '9') & (c - '0' + 53);
    v += in_range(c, c62, c62) & 63;
    v += in_range(c, c63, c63) & 64;
    return v;
}

static inline char char_of(uint32_t v, uint32_t c62, uint32_t c63)
{
    uint32_t c = in_range(v, 0, 25) & (v + 'A');
    c |= in_range(v, 26, 51) & (v - 26 + 'a');
    c |= in_range(v, 52, 61) & (v - 52 + '0');
    c |= in_range(v, 62, 62) & c62;
    c |= in_range(v, 63, 63) & c63;
    return (char)c;
}

/* Eight characters at a time, one per byte of a word. Every byte stays below 256 in each step, so
 * nothing carries from one to the next. */
#define EACH(v) (0x0101010101010101u * (v))

/* 0xff in the bytes where v >= k, for bytes below 128 and 1 <= k <= 128. */
static inline uint64_t each_ge(uint64_t v, uint64_t k)
{
    return ((v + EACH(128 - k)) >> 7 & EACH(1)) * 0xff;
}

static inline uint64_t each_in(uint64_t v, uint64_t lo, uint64_t hi)
{
    return each_ge(v, lo) & ~each_ge(v, hi + 1);
}

/* memcpy and one swap: the byte loops of base/bytes.h cost more than the arithmetic here. */
static inline uint64_t load8(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return be64toh(v);
}
static inline uint64_t load6(const uint8_t *p)
{
    uint32_t hi;
    uint16_t lo;
    memcpy(&hi, p, sizeof hi);
    memcpy(&lo, p + sizeof hi, sizeof lo);
    return (uint64_t)be32toh(hi) << 16 | be16toh(lo);
}

/* Eight characters to 48 bits; *bad gets bits where one is not of the alphabet. */
static inline uint64_t decode8(uint64_t c, uint32_t c62, uint32_t c63, uint64_t *bad)
{
    *bad |= c & EACH(0x80);
    c &= EACH(0x7f);
    uint64_t upper = each_in(c, 'A', 'Z');
    uint64_t lower = each_in(c, 'a', 'z');
    uint64_t digit = each_in(c, '0', '9');
    uint64_t is62 = each_in(c, c62, c62);
    uint64_t is63 = each_in(c, c63, c63);
    *bad |= ~(upper | lower | digit | is62 | is63);
    uint64_t v = (c & upper) - (EACH('A') & upper);
    v += (c & lower) - (EACH('a' - 26) & lower);
    v += (c & digit) + (EACH(52 - '0') & digit);
    v += (EACH(62) & is62) + (EACH(63) & is63);
    /* 6 bits per byte, 12 per pair, 24 per half, 48 */
    v = (v >> 2 & 0x0fc00fc00fc00fc0u) | (v & 0x003f003f003f003fu);
    v = (v >> 4 & 0x00fff00000fff000u) | (v & 0x00000fff00000fffu);
    return (v >> 8 & 0x0000ffffff000000u) | (v & 0x0000000000ffffffu);
}

/* 48 bits to eight characters. */
static inline uint64_t encode8(uint64_t x, uint32_t c62, uint32_t c63)
{
    uint64_t v = (x & 0x0000ffffff000000u) << 8 | (x & 0x0000000000ffffffu);
    v = (v & 0x00fff00000fff000u) << 4 | (v & 0x00000fff00000fffu);
    v = (v & 0x0fc00fc00fc00fc0u) << 2 | (v & 0x003f003f003f003fu);
    uint64_t upper = ~each_ge(v, 26);
    uint64_t digit = each_in(v, 52, 61);
    uint64_t is62 = each_in(v, 62, 62);
    uint64_t is63 = each_ge(v, 63);
    uint64_t lower = ~(upper | digit | is62 | is63);
    uint64_t c = (v & upper) + (EACH('A') & upper);
    c += (v & lower) + (EACH('a' - 26) & lower);
    c += (v & digit) - (EACH(52 - '0') & digit);
    return c + (EACH(c62) & is62) + (EACH(c63) & is63);
}

/* n characters without padding, n % 4 != 1. Goes through the whole input whatever it meets. */
static inline hsm_err decode_plain(uint8_t *dst, const uint8_t *src, size_t n, uint32_t c62,
                                   uint32_t c63, size_t *ret_len)
{
    uint32_t bad = 0;
    uint64_t bad8 = 0;
    size_t out = 0;
    size_t i = 0;
    for (; n - i >= 8; i += 8) {
        uint64_t v = decode8(load8(src + i), c62, c63, &bad8);
        uint64_t be = htobe64(v << 16);
        memcpy(dst + out, &be, 6);
        out += 6;
    }
    for (; n - i >= 4; i += 4) {
        uint32_t a = value_of(src[i], c62, c63);
        uint32_t b = value_of(src[i + 1], c62, c63);
        uint32_t c = value_of(src[i + 2], c62, c63);
        uint32_t d = value_of(src[i + 3], c62, c63);
        bad |= a | b | c | d;
        uint32_t v = a << 18 | b << 12 | c << 6 | d;
        dst[out++] = (uint8_t)(v >> 16);
        dst[out++] = (uint8_t)(v >> 8);
        dst[out++] = (uint8_t)v;
    }
    if (n - i >= 2) {
        uint32_t a = value_of(src[i], c62, c63);
        uint32_t b = value_of(src[i + 1], c62, c63);
        uint32_t c = n - i == 3 ? value_of(src[i + 2], c62, c63) : 0;
        bad |= a | b | c;
        uint32_t v = a << 18 | b << 12 | c << 6;
        dst[out++] = (uint8_t)(v >> 16);
        if (n - i == 3)
            dst[out++] = (uint8_t)(v >> 8);
        /* Bits that no byte takes must be zero, or one value would have several spellings. */
        uint32_t stray = n - i == 3 ? v & 0xc0 : v & 0xf000;
        bad |= stray << 16;
    }
    if (bad >> 6 != 0 || bad8 != 0) {
        memset(dst, 0, out);
        return HSM_E_MALFORMED;
    }
    *ret_len = out;
    return HSM_OK;
}

/* Only the two last characters are looked at: where the padding begins says the length, no more. */
static size_t padding_of(struct bytes src)
{
    if (src.n == 0 || src.p[src.n - 1] != '=')
        return 0;
    return src.n >= 2 && src.p[src.n - 2] == '=' ? 2 : 1;
}

static hsm_err decode(uint8_t *dst, struct bytes src, bool url, size_t *ret_len)
{
    size_t pad = padding_of(src);
    bool whole = src.n % 4 == 0;
    if ((pad > 0 || !url) && !whole)
        return HSM_E_MALFORMED;
    size_t n = src.n - pad;
    if (n % 4 == 1)
        return HSM_E_MALFORMED;
    return url ? decode_plain(dst, src.p, n, URL_62, URL_63, ret_len)
               : decode_plain(dst, src.p, n, STD_62, STD_63, ret_len);
}

hsm_err b64u_decode(uint8_t *dst, struct bytes src, size_t *ret_len)
{
    return decode(dst, src, true, ret_len);
}

hsm_err b64_decode(uint8_t *dst, struct bytes src, size_t *ret_len)
{
    return decode(dst, src, false, ret_len);
}

static inline size_t encode(char *dst, const uint8_t *src, size_t n, uint32_t c62, uint32_t c63)
{
    size_t out = 0;
    size_t i = 0;
    for (; n - i >= 6; i += 6, out += 8) {
        uint64_t be = htobe64(encode8(load6(src + i), c62, c63));
        memcpy(dst + out, &be, sizeof be);
    }
    for (; n - i >= 3; i += 3) {
        uint32_t v = (uint32_t)src[i] << 16 | (uint32_t)src[i + 1] << 8 | src[i + 2];
        dst[out++] = char_of(v >> 18, c62, c63);
        dst[out++] = char_of(v >> 12 & 63, c62, c63);
        dst[out++] = char_of(v >> 6 & 63, c62, c63);
        dst[out++] = char_of(v & 63, c62, c63);
    }
    if (n - i > 0) {
        uint32_t v = (uint32_t)src[i] << 16;
        if (n - i == 2)
            v |= (uint32_t)src[i + 1] << 8;
        dst[out++] = char_of(v >> 18, c62, c63);
        dst[out++] = char_of(v >> 12 & 63, c62, c63);
        if (n - i == 2)
            dst[out++] = char_of(v >> 6 & 63, c62, c63);
    }
    return out;
}

size_t b64u_encode(char *dst, const uint8_t *src, size_t n)
{
    return encode(dst, src, n, URL_62, URL_63);
}

size_t b64_encode(char *dst, const uint8_t *src, size_t n)
{
    size_t out = encode(dst, src, n, STD_62, STD_63);
    while (out % 4 != 0)
        dst[out++] = '=';
    return out;
}
