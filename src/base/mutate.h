/* For tests only: every one-bit change and every truncation of a good sample, each in a heap copy
 * of exactly its length so that the address sanitizer sees a read past the end. */
#ifndef BASE_MUTATE_H
#define BASE_MUTATE_H

#include <stdlib.h>
#include "base/bytes.h"

typedef void mutate_fn(struct bytes sample, void *arg);

static inline void mutate_call(const uint8_t *p, size_t n, size_t flip_bit, mutate_fn *fn,
                               void *arg)
{
    uint8_t *copy = (uint8_t *)malloc(n == 0 ? 1 : n);
    HSM_ASSERT(copy != NULL);
    if (n > 0)
        memcpy(copy, p, n);
    if (flip_bit < 8 * n)
        copy[flip_bit / 8] = (uint8_t)(copy[flip_bit / 8] ^ 1u << flip_bit % 8);
    fn(bytes_of(copy, n), arg);
    free(copy);
}

static inline void mutate_each(struct bytes sample, mutate_fn *fn, void *arg)
{
    for (size_t bit = 0; bit < 8 * sample.n; bit++)
        mutate_call(sample.p, sample.n, bit, fn, arg);
    for (size_t n = 0; n < sample.n; n++)
        mutate_call(sample.p, n, SIZE_MAX, fn, arg);
}

#endif
