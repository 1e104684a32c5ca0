#include "base/secret_arena.h"

#include <pthread.h>
#include <stdatomic.h>

/* libcrypto allocates dozens of small blocks per operation. Each thread keeps a few free ones of
 * every small class, so that workers on many cores do not meet at the locks of the arena. Cached
 * blocks are wiped like all free memory; the pointers here are no secrets. */
#define CACHED_MAX  512u /* bytes of a block */
#define CLASSES_MAX 16u
#define KEEP        16u
#define BATCH       8u

struct cache {
    void *block[CLASSES_MAX][KEEP];
    unsigned n[CLASSES_MAX];
    atomic_size_t held; /* bytes; written by its thread, read by secret_used() */
    bool listed;
    struct cache *next;
    struct cache *prev;
};

static _Thread_local struct cache mine;
static pthread_key_t exit_key;
static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static struct cache *list;

static void held_add(struct cache *c, size_t n)
{
    size_t now = atomic_load_explicit(&c->held, memory_order_relaxed);
    atomic_store_explicit(&c->held, now + n, memory_order_relaxed);
}

/* Blocks must not die with their thread. Destructors of others may still allocate and free after
 * this one: then the cache is listed once more and flushed in the next round. */
static void thread_exit(void *arg)
{
    struct cache *c = (struct cache *)arg;
    for (unsigned class = 0; class < CLASSES_MAX; class ++) {
        if (c->n[class] > 0)
            arena_give(class, c->block[class], c->n[class]);
        c->n[class] = 0;
    }
    (void)pthread_mutex_lock(&list_lock);
    atomic_store_explicit(&c->held, 0, memory_order_relaxed);
    if (c->prev != NULL)
        c->prev->next = c->next;
    else
        list = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
    c->listed = false;
    (void)pthread_mutex_unlock(&list_lock);
}

/* False: no destructor can be had; this thread works without a cache. */
static bool enlist(struct cache *c)
{
    if (c->listed)
        return true;
    if (pthread_setspecific(exit_key, c) != 0)
        return false;
    (void)pthread_mutex_lock(&list_lock);
    c->prev = NULL;
    c->next = list;
    if (list != NULL)
        list->prev = c;
    list = c;
    c->listed = true;
    (void)pthread_mutex_unlock(&list_lock);
    return true;
}

hsm_err cache_setup(void)
{
    return pthread_key_create(&exit_key, thread_exit) == 0 ? HSM_OK : HSM_E_NOMEM;
}

static bool is_cached(unsigned class)
{
    return class < CLASSES_MAX && arena_class_size(class) <= CACHED_MAX;
}

void *cache_alloc(size_t n)
{
    unsigned class = arena_class_for(n);
    struct cache *c = &mine;
    if (!is_cached(class) || !enlist(c))
        return arena_alloc(n);
    size_t size = arena_class_size(class);
    if (c->n[class] == 0) {
        c->n[class] = (unsigned)arena_take(class, c->block[class], BATCH);
        held_add(c, c->n[class] * size);
        if (c->n[class] == 0)
            return NULL;
    }
    held_add(c, 0 - size);
    return c->block[class][--c->n[class]];
}

void cache_free(void *block)
{
    unsigned class = arena_class_of_block(block);
    struct cache *c = &mine;
    if (!is_cached(class) || !enlist(c)) {
        arena_free(block);
        return;
    }
    size_t size = arena_class_size(class);
    if (c->n[class] == KEEP) {
        c->n[class] = KEEP - BATCH;
        arena_give(class, c->block[class] + KEEP - BATCH, BATCH);
        held_add(c, 0 - BATCH * size);
    }
    c->block[class][c->n[class]++] = block;
    held_add(c, size);
}

size_t cache_held(void)
{
    size_t n = 0;
    (void)pthread_mutex_lock(&list_lock);
    for (const struct cache *c = list; c != NULL; c = c->next)
        n += atomic_load_explicit(&c->held, memory_order_relaxed);
    (void)pthread_mutex_unlock(&list_lock);
    return n;
}
