#include "base/ct.h"

bool ct_eq(const void *a, const void *b, size_t n)
{
    const volatile uint8_t *x = (const volatile uint8_t *)a;
    const volatile uint8_t *y = (const volatile uint8_t *)b;
    uint32_t diff = 0;
    for (size_t i = 0; i < n; i++)
        diff |= (uint32_t)(x[i] ^ y[i]);
    return (bool)((~ct_mask_nz32(diff)) & 1);
}

uint32_t ct_mask_nz32(uint32_t v)
{
    /* The top bit of v | -v is set exactly when v != 0. The barrier keeps the compiler from seeing
     * a boolean here and turning the callers' selects back into branches. */
    uint32_t top = (v | (0u - v)) >> 31;
    __asm__("" : "+r"(top));
    return 0u - top;
}
