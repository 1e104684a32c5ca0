/* A bump allocator over one fixed block: decoded pieces of the request that is being translated.
 * Holds plaintext: scratch_clear() wipes what was used. Not thread-safe, one per loop. */
#ifndef GATEWAY_SCRATCH_H
#define GATEWAY_SCRATCH_H

#include "base/secret.h"

struct scratch {
    uint8_t *p;
    size_t cap;
    size_t n;
};

/* NULL when the block is used up. */
static inline uint8_t *scratch_take(struct scratch *s, size_t n)
{
    if (n > s->cap - s->n)
        return NULL;
    uint8_t *at = s->p + s->n;
    s->n += n;
    return at;
}

static inline void scratch_clear(struct scratch *s)
{
    if (s->n > 0)
        secret_wipe(s->p, s->n);
    s->n = 0;
}

#endif
