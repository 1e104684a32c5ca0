#include "base/ct.h"

#include <string.h>

/* The barrier keeps the compiler from seeing what could end the loop early. */
static inline void mix(uint64_t *diff, uint64_t x, uint64_t y)
{
    *diff |= x ^ y;
    __asm__("" : "+r"(*diff));
}

bool ct_eq(const void *a, const void *b, size_t n)
{
    const uint8_t *x = (const uint8_t *)a;
    const uint8_t *y = (const uint8_t *)b;
    uint64_t diff = 0;
    size_t i = 0;
    for (; n - i >= 8; i += 8) {
        uint64_t u, v;
        memcpy(&u, x + i, sizeof u);
        memcpy(&v, y + i, sizeof v);
        mix(&diff, u, v);
    }
    for (; i < n; i++)
        mix(&diff, x[i], y[i]);
    return (bool)((~ct_mask_nz32((uint32_t)(diff | diff >> 32))) & 1);
}

uint32_t ct_mask_nz32(uint32_t v)
{
    /* The top bit of v | -v is set exactly when v != 0. The barrier keeps the compiler from seeing
     * a boolean here and turning the callers' selects back into branches. */
    uint32_t top = (v | (0u - v)) >> 31;
    __asm__("" : "+r"(top));
    return 0u - top;
}
