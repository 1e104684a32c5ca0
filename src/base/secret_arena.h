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

/* Blocks of one size class in bulk, for the caches of the threads; zeroed both ways. */
#define ARENA_NO_CLASS UINT32_MAX
/* Class for blocks of at least n bytes, or of a block; ARENA_NO_CLASS: a run of its own. */
unsigned arena_class_for(size_t n);
unsigned arena_class_of_block(const void *block);
size_t arena_class_size(unsigned class);
/* Up to want blocks; returns how many there were. */
size_t arena_take(unsigned class, void **blocks, size_t want);
void arena_give(unsigned class, void *const *blocks, size_t n);

/* Is p a block of the arena? */
bool arena_owns(const void *p);
/* A block of at least n bytes, zeroed, 16-byte aligned; NULL when exhausted. n > 0. */
void *arena_alloc(size_t n);
/* Bytes that the block may use. */
size_t arena_capacity(const void *block);
/* The caller has wiped the block. */
void arena_free(void *block);
size_t arena_used(void);

/* The same through a small cache per thread: most calls then take no lock (secret_cache.c). */
HSM_MUST_USE hsm_err cache_setup(void);
void *cache_alloc(size_t n);
void cache_free(void *block);
size_t cache_held(void); /* bytes that arena_used counts but nobody uses */

#endif
