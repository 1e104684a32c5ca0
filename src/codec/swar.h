/* Internal to codec/: eight bytes at a time over long, mostly plain text (tokens, audit lines).
 * Every test answers "is there one among the eight", which is exact; which one, the caller finds
 * out. */
#ifndef CODEC_SWAR_H
#define CODEC_SWAR_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include "base/bytes.h"

#define SWAR_ONES  0x0101010101010101ull
#define SWAR_HIGHS 0x8080808080808080ull

static inline uint64_t swar_load(const uint8_t *p)
{
    uint64_t w;
    memcpy(&w, p, sizeof w);
    return w;
}

/* A byte below limit (1 to 128)? */
static inline bool swar_has_below(uint64_t w, uint8_t limit)
{
    return ((w - SWAR_ONES * limit) & ~w & SWAR_HIGHS) != 0;
}

static inline bool swar_has(uint64_t w, uint8_t value)
{
    uint64_t x = w ^ (SWAR_ONES * value);
    return ((x - SWAR_ONES) & ~x & SWAR_HIGHS) != 0;
}

/* Bytes at the start of b, in steps of eight, that are ASCII without control characters, DEL,
 * quotation mark and backslash. */
static inline size_t swar_plain_run(struct bytes b)
{
    size_t n = 0;
    for (; b.n - n >= 8; n += 8) {
        uint64_t w = swar_load(b.p + n);
        if ((w & SWAR_HIGHS) != 0 || swar_has_below(w, 0x20) || swar_has(w, '"') ||
            swar_has(w, '\\') || swar_has(w, 0x7f))
            break;
    }
    return n;
}

#endif
