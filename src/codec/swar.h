/* Internal to codec/: eight bytes at a time over long, mostly plain text (tokens, audit lines).
 * Tests answer "is there one among the eight"; which one, the caller finds out. */
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

/* Are all eight ASCII without control characters, quotation mark and backslash? May be false for
 * plain bytes next to others, never true when one is not. */
static inline bool swar_is_plain(uint64_t w)
{
    uint64_t q = w ^ (SWAR_ONES * '"');
    uint64_t b = w ^ (SWAR_ONES * '\\');
    uint64_t stop = w | (w - SWAR_ONES * 0x20) | ((q - SWAR_ONES) & ~q) | ((b - SWAR_ONES) & ~b);
    return (stop & SWAR_HIGHS) == 0;
}

#endif
