/* Constant-time helpers: no branch and no index depends on the content of the arguments. */
#ifndef BASE_CT_H
#define BASE_CT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* 1 when equal, else 0. */
bool ct_eq(const void *a, const void *b, size_t n);
/* All ones when v != 0, else 0. */
uint32_t ct_mask_nz32(uint32_t v);
/* mask must be all ones (returns a) or zero (returns b). */
static inline uint32_t ct_select32(uint32_t mask, uint32_t a, uint32_t b)
{
    return (a & mask) | (b & ~mask);
}

#endif
