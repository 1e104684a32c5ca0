/* Internal to base/: the mapping behind secret.c and its allocator.
 *
 * Pages are handed out in runs. A run is either a slab of equal blocks of one size class or one
 * large block. All bookkeeping but the list of free blocks lies outside the arena, so an overflow
 * inside it cannot forge a page record, and the arena holds nothing but secrets. Free memory in the
 * arena is always zero except for the first word of a free block. */
#ifndef BASE_SECRET_ARENA_H
#define BASE_SECRET_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/secret.h"

#define ARENA_PAGE 4096u

/* Map size bytes (a multiple of ARENA_PAGE) between guard pages. HSM_E_NOMEM. */
HSM_MUST_USE hsm_err arena_map_memfd(size_t size, uint8_t **ret);
HSM_MUST_USE hsm_err arena_map_locked(size_t size, uint8_t **ret);

/* Take over a mapping; once per process, before other threads exist. HSM_E_NOMEM. */
HSM_MUST_USE hsm_err arena_setup(uint8_t *base, size_t size);

/* Is p a block of the arena? */
bool arena_owns(const void *p);
/* A block of at least n bytes, zeroed, 16-byte aligned; NULL when exhausted. n > 0. */
void *arena_alloc(size_t n);
/* Bytes that the block may use. */
size_t arena_capacity(const void *block);
/* The caller has wiped the block. */
void arena_free(void *block);
size_t arena_used(void);

#endif
