#include "base/secret.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include "base/secret_arena.h"

#define SIZE_MAX_AUTO ((size_t)64 << 20)
#define SIZE_MIN_AUTO ((size_t)2 << 20)

/* Before every block, in the arena and in ordinary memory alike. */
struct head {
    size_t n;
    uint64_t canary;
};
_Static_assert(sizeof(struct head) == 16, "keeps the blocks aligned");
#define TAIL sizeof(uint64_t)

static enum secret_level level;
static size_t arena_bytes;
static uint64_t canary_key = 0x6b5f1e9d3c7a2b48u; /* blocks of before secret_init use this one */
static uint64_t arena_canary_key;

static size_t round_to_pages(size_t n)
{
    return n / ARENA_PAGE * ARENA_PAGE + (n % ARENA_PAGE != 0 ? ARENA_PAGE : 0);
}

/* What may be locked; the soft limit is raised to the hard one first. */
static size_t lockable(void)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_MEMLOCK, &r) != 0)
        return SIZE_MIN_AUTO;
    if (r.rlim_cur < r.rlim_max) {
        struct rlimit raised = {.rlim_cur = r.rlim_max, .rlim_max = r.rlim_max};
        if (setrlimit(RLIMIT_MEMLOCK, &raised) == 0)
            r = raised;
    }
    if (r.rlim_cur == RLIM_INFINITY || r.rlim_cur > SIZE_MAX_AUTO)
        return SIZE_MAX_AUTO;
    return r.rlim_cur < SIZE_MIN_AUTO ? SIZE_MIN_AUTO : r.rlim_cur / ARENA_PAGE * ARENA_PAGE;
}

typedef hsm_err map_fn(size_t size, uint8_t **ret);

/* A given size is taken or refused; an automatic one shrinks to what other locks left over. */
static hsm_err map_shrinking(map_fn *map, size_t size, bool fixed, uint8_t **ret, size_t *ret_size)
{
    hsm_err err = map(size, ret);
    while (err != HSM_OK && !fixed && size > SIZE_MIN_AUTO) {
        size = round_to_pages(size / 8 * 7);
        size = size < SIZE_MIN_AUTO ? SIZE_MIN_AUTO : size;
        err = map(size, ret);
    }
    *ret_size = size;
    return err;
}

hsm_err secret_init(size_t size)
{
    if (level != SECRET_NONE)
        return HSM_OK;
    if (size > SIZE_MAX / 4)
        return HSM_E_NOMEM;
    size_t limit = lockable();
    size_t want = size > 0 ? round_to_pages(size) : limit;
    uint8_t *base;
    enum secret_level got = SECRET_MEMFD;
    if (map_shrinking(arena_map_memfd, want, size > 0, &base, &want) != HSM_OK) {
        want = size > 0 ? round_to_pages(size) : limit;
        got = SECRET_ANONYMOUS;
        TRY(map_shrinking(arena_map_locked, want, size > 0, &base, &want));
    }
    if (getrandom(&arena_canary_key, sizeof arena_canary_key, 0) != sizeof arena_canary_key)
        return HSM_E_INTERNAL;
    TRY(cache_setup());
    TRY(arena_setup(base, want));
    arena_bytes = want;
    level = got;
    return HSM_OK;
}

enum secret_level secret_level(void)
{
    return level;
}

const char *secret_level_name(void)
{
    switch (level) {
    case SECRET_NONE:
        return "none";
    case SECRET_ANONYMOUS:
        return "locked";
    case SECRET_MEMFD:
        return "memfd_secret";
    }
    return "none";
}

size_t secret_used(void)
{
    if (level == SECRET_NONE)
        return 0;
    /* Read one after the other while threads work: may be off by a moment, never below zero. */
    size_t held = cache_held();
    size_t used = arena_used();
    return used > held ? used - held : 0;
}

size_t secret_size(void)
{
    return arena_bytes;
}

/* Blocks of before secret_init keep the constant key: one can be told from the other by address. */
static uint64_t canary_of(const struct head *h)
{
    uint64_t key = arena_owns(h) ? arena_canary_key : canary_key;
    return key ^ (uint64_t)(uintptr_t)h;
}

static void block_seal(struct head *h, size_t n)
{
    h->n = n;
    h->canary = canary_of(h);
    uint64_t tail = ~h->canary;
    memcpy((uint8_t *)(h + 1) + n, &tail, TAIL);
}

/* Damage around a block of key bytes, or a second free, ends the process. */
static struct head *block_open(void *p)
{
    struct head *h = (struct head *)p - 1;
    HSM_ASSERT(h->canary == canary_of(h));
    uint64_t tail;
    memcpy(&tail, (uint8_t *)p + h->n, TAIL);
    HSM_ASSERT(tail == ~h->canary);
    return h;
}

void *secret_alloc(size_t n)
{
    if (n > SIZE_MAX / 4)
        return NULL;
    size_t total = sizeof(struct head) + n + TAIL;
    struct head *h = (struct head *)(level == SECRET_NONE ? calloc(1, total) : cache_alloc(total));
    if (h == NULL)
        return NULL;
    block_seal(h, n);
    return h + 1;
}

void secret_free(void *p)
{
    if (p == NULL)
        return;
    struct head *h = block_open(p);
    secret_wipe(h, sizeof *h + h->n + TAIL);
    if (arena_owns(h))
        cache_free(h);
    else
        free(h);
}

void secret_wipe(void *p, size_t n)
{
    if (n > 0)
        explicit_bzero(p, n);
}

hsm_err secret_buf_new(struct secret_buf *ret, size_t n)
{
    uint8_t *p = (uint8_t *)secret_alloc(n);
    if (p == NULL)
        return HSM_E_NOMEM;
    *ret = (struct secret_buf){.p = p, .n = n};
    return HSM_OK;
}

void secret_buf_done(struct secret_buf *b)
{
    secret_free(b->p);
    *b = (struct secret_buf){0};
}

/* Grow or shrink inside the block when it has the room. */
static bool resize_in_place(void *p, size_t n)
{
    struct head *h = block_open(p);
    if (!arena_owns(h) || n > SIZE_MAX / 4)
        return false;
    if (sizeof *h + n + TAIL > arena_capacity(h))
        return false;
    size_t old = h->n;
    secret_wipe((uint8_t *)p + old, TAIL);
    if (n < old)
        secret_wipe((uint8_t *)p + n, old - n);
    block_seal(h, n);
    return true;
}

static void *hook_malloc(size_t n, const char *file, int line)
{
    (void)file;
    (void)line;
    return n == 0 ? NULL : secret_alloc(n);
}

static void hook_free(void *p, const char *file, int line)
{
    (void)file;
    (void)line;
    secret_free(p);
}

static void *hook_realloc(void *p, size_t n, const char *file, int line)
{
    if (p == NULL)
        return hook_malloc(n, file, line);
    if (n == 0) {
        secret_free(p);
        return NULL;
    }
    if (resize_in_place(p, n))
        return p;
    size_t old = block_open(p)->n;
    void *q = secret_alloc(n);
    if (q == NULL)
        return NULL;
    memcpy(q, p, old < n ? old : n);
    secret_free(p);
    return q;
}

hsm_err secret_take_over_openssl(void)
{
    return CRYPTO_set_mem_functions(hook_malloc, hook_realloc, hook_free) == 1 ? HSM_OK
                                                                               : HSM_E_INTERNAL;
}
