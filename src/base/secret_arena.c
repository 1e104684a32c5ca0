#include "base/secret_arena.h"

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

/* Four classes per doubling: at most a fifth of a block is waste. */
static const uint16_t class_size[] = {32,   48,   64,   80,   96,   112,  128,  160,  192,  224,
                                      256,  320,  384,  448,  512,  640,  768,  896,  1024, 1280,
                                      1536, 1792, 2048, 2560, 3072, 3584, 4096, 5120, 6144, 8192};
#define CLASSES        (sizeof class_size / sizeof class_size[0])
#define SMALL_MAX      8192u
#define SLAB_PAGES_MIN 4u
#define SLAB_PAGES_MAX 16u
#define NO_PAGE        UINT32_MAX

enum run_kind {
    RUN_FREE,
    RUN_SLAB,
    RUN_LARGE
};

/* Record of a run, kept at its first page; the last page of a free run points back to the first. */
struct page {
    uint8_t kind;
    uint8_t class;
    uint16_t used;  /* slab: blocks handed out */
    uint16_t fresh; /* slab: blocks never handed out start here */
    uint16_t blocks;
    uint32_t first; /* every page of a slab, and the last page of a free run */
    uint32_t run_n; /* pages in the run */
    uint32_t next;  /* slabs of one class that have free blocks */
    uint32_t prev;
    void *free; /* slab: list through the first word of the blocks */
};

struct size_class {
    pthread_mutex_t lock;
    uint32_t partial;
    size_t used; /* bytes */
} __attribute__((aligned(64)));

static uint8_t *arena_base;
static size_t arena_size;
static struct page *pages;
static uint32_t page_n;
static struct size_class classes[CLASSES];
/* Guards run kinds and lengths. Taken inside a class lock, never the other way round. */
static pthread_mutex_t run_lock;
static uint32_t run_hint; /* no free run begins before this page */
static size_t large_used;

static void lock_init(pthread_mutex_t *m)
{
    /* Critical sections are a few loads and stores: spinning briefly beats sleeping. */
    pthread_mutexattr_t a;
    HSM_ASSERT(pthread_mutexattr_init(&a) == 0);
    HSM_ASSERT(pthread_mutexattr_settype(&a, PTHREAD_MUTEX_ADAPTIVE_NP) == 0);
    HSM_ASSERT(pthread_mutex_init(m, &a) == 0);
    (void)pthread_mutexattr_destroy(&a);
}

static void run_set_free(uint32_t first, uint32_t n)
{
    pages[first].kind = RUN_FREE;
    pages[first].run_n = n;
    pages[first + n - 1].kind = RUN_FREE;
    pages[first + n - 1].first = first;
    if (first < run_hint)
        run_hint = first;
}

hsm_err arena_setup(uint8_t *base, size_t size)
{
    page_n = (uint32_t)(size / ARENA_PAGE);
    void *p = mmap(NULL, page_n * sizeof *pages, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return HSM_E_NOMEM;
    pages = (struct page *)p;
    for (size_t i = 0; i < CLASSES; i++) {
        lock_init(&classes[i].lock);
        classes[i].partial = NO_PAGE;
    }
    lock_init(&run_lock);
    run_set_free(0, page_n);
    run_hint = 0;
    arena_base = base;
    arena_size = size;
    return HSM_OK;
}

bool arena_owns(const void *p)
{
    return (uintptr_t)p - (uintptr_t)arena_base < arena_size;
}

static uint32_t page_of(const void *p)
{
    return (uint32_t)(((uintptr_t)p - (uintptr_t)arena_base) / ARENA_PAGE);
}

static uint8_t *page_addr(uint32_t page)
{
    return arena_base + (size_t)page * ARENA_PAGE;
}

/* First fit; the records of a run cover it whole, so the walk goes from run to run. */
static uint32_t run_take(uint32_t n, enum run_kind kind)
{
    uint32_t at = run_hint;
    bool seen_free = false;
    while (at < page_n) {
        struct page *r = &pages[at];
        if (r->kind == RUN_FREE && !seen_free) {
            run_hint = at;
            seen_free = true;
        }
        if (r->kind == RUN_FREE && r->run_n >= n)
            break;
        at += r->run_n;
    }
    if (at >= page_n)
        return NO_PAGE;
    uint32_t rest = pages[at].run_n - n;
    if (rest > 0)
        run_set_free(at + n, rest);
    pages[at].run_n = n;
    for (uint32_t i = at; i < at + n; i++) {
        pages[i].kind = (uint8_t)kind;
        pages[i].first = at;
    }
    return at;
}

static void run_give(uint32_t first)
{
    uint32_t n = pages[first].run_n;
    uint32_t after = first + n;
    if (after < page_n && pages[after].kind == RUN_FREE)
        n += pages[after].run_n;
    if (first > 0 && pages[first - 1].kind == RUN_FREE) {
        uint32_t before = pages[first - 1].first;
        n += first - before;
        first = before;
    }
    run_set_free(first, n);
}

static void *large_alloc(size_t n)
{
    size_t want = n / ARENA_PAGE + (n % ARENA_PAGE != 0);
    if (want > page_n)
        return NULL;
    (void)pthread_mutex_lock(&run_lock);
    uint32_t at = run_take((uint32_t)want, RUN_LARGE);
    if (at != NO_PAGE)
        large_used += want * ARENA_PAGE;
    (void)pthread_mutex_unlock(&run_lock);
    return at == NO_PAGE ? NULL : page_addr(at);
}

static void large_free(uint32_t first)
{
    (void)pthread_mutex_lock(&run_lock);
    large_used -= (size_t)pages[first].run_n * ARENA_PAGE;
    run_give(first);
    (void)pthread_mutex_unlock(&run_lock);
}

static unsigned class_of(size_t n)
{
    if (n <= 128)
        return n <= 32 ? 0 : (unsigned)((n - 17) / 16);
    unsigned c = 7;
    while (class_size[c] < n)
        c++;
    return c;
}

static uint32_t slab_pages(unsigned class)
{
    /* About 16 blocks, within bounds: little waste in a small arena. */
    uint32_t n = (class_size[class] * 16u + ARENA_PAGE - 1) / ARENA_PAGE;
    if (n < SLAB_PAGES_MIN)
        return SLAB_PAGES_MIN;
    return n < SLAB_PAGES_MAX ? n : SLAB_PAGES_MAX;
}

static void partial_push(struct size_class *c, uint32_t slab)
{
    pages[slab].prev = NO_PAGE;
    pages[slab].next = c->partial;
    if (c->partial != NO_PAGE)
        pages[c->partial].prev = slab;
    c->partial = slab;
}

static void partial_remove(struct size_class *c, uint32_t slab)
{
    struct page *s = &pages[slab];
    if (s->prev != NO_PAGE)
        pages[s->prev].next = s->next;
    else
        c->partial = s->next;
    if (s->next != NO_PAGE)
        pages[s->next].prev = s->prev;
}

static bool slab_new(struct size_class *c, unsigned class)
{
    (void)pthread_mutex_lock(&run_lock);
    uint32_t at = run_take(slab_pages(class), RUN_SLAB);
    (void)pthread_mutex_unlock(&run_lock);
    if (at == NO_PAGE)
        return false;
    struct page *s = &pages[at];
    s->class = (uint8_t) class;
    s->used = 0;
    s->fresh = 0;
    s->blocks = (uint16_t)(s->run_n * ARENA_PAGE / class_size[class]);
    s->free = NULL;
    partial_push(c, at);
    return true;
}

static void *slab_pop(struct size_class *c, unsigned class)
{
    uint32_t at = c->partial;
    struct page *s = &pages[at];
    void *block = s->free;
    if (block != NULL) {
        memcpy(&s->free, block, sizeof s->free);
        memset(block, 0, sizeof s->free);
        /* A link that points elsewhere means that something wrote to a freed block. */
        HSM_ASSERT(s->free == NULL || (arena_owns(s->free) && pages[page_of(s->free)].first == at));
    } else {
        block = page_addr(at) + (size_t)s->fresh * class_size[class];
        s->fresh++;
    }
    s->used++;
    if (s->used == s->blocks)
        partial_remove(c, at);
    c->used += class_size[class];
    return block;
}

size_t arena_take(unsigned class, void **blocks, size_t want)
{
    struct size_class *c = &classes[class];
    size_t n = 0;
    (void)pthread_mutex_lock(&c->lock);
    while (n < want && (c->partial != NO_PAGE || slab_new(c, class)))
        blocks[n++] = slab_pop(c, class);
    (void)pthread_mutex_unlock(&c->lock);
    return n;
}

/* A slab without used blocks goes back to the pages unless it is the last of its class with room:
 * otherwise one block allocated and freed in a loop would carve a slab each time. */
static void slab_release(struct size_class *c, uint32_t slab)
{
    struct page *s = &pages[slab];
    if (c->partial == slab && s->next == NO_PAGE)
        return;
    partial_remove(c, slab);
    /* Free memory is zero: the links go. */
    while (s->free != NULL) {
        void *block = s->free;
        memcpy(&s->free, block, sizeof s->free);
        memset(block, 0, sizeof s->free);
    }
    (void)pthread_mutex_lock(&run_lock);
    run_give(slab);
    (void)pthread_mutex_unlock(&run_lock);
}

static void slab_push(struct size_class *c, void *block)
{
    uint32_t slab = pages[page_of(block)].first;
    struct page *s = &pages[slab];
    memcpy(block, &s->free, sizeof s->free);
    s->free = block;
    if (s->used == s->blocks)
        partial_push(c, slab);
    s->used--;
    c->used -= class_size[s->class];
    if (s->used == 0)
        slab_release(c, slab);
}

void arena_give(unsigned class, void *const *blocks, size_t n)
{
    struct size_class *c = &classes[class];
    (void)pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < n; i++)
        slab_push(c, blocks[i]);
    (void)pthread_mutex_unlock(&c->lock);
}

unsigned arena_class_for(size_t n)
{
    return n <= SMALL_MAX ? class_of(n) : ARENA_NO_CLASS;
}

size_t arena_class_size(unsigned class)
{
    return class_size[class];
}

void *arena_alloc(size_t n)
{
    void *block = NULL;
    if (n > SMALL_MAX)
        return large_alloc(n);
    (void)arena_take(class_of(n), &block, 1);
    return block;
}

/* The records of a page do not change while one of its blocks is in use: no lock is needed. */
size_t arena_capacity(const void *block)
{
    const struct page *s = &pages[pages[page_of(block)].first];
    return s->kind == RUN_SLAB ? class_size[s->class] : (size_t)s->run_n * ARENA_PAGE;
}

unsigned arena_class_of_block(const void *block)
{
    const struct page *s = &pages[pages[page_of(block)].first];
    HSM_ASSERT(s->kind != RUN_FREE);
    return s->kind == RUN_SLAB ? s->class : ARENA_NO_CLASS;
}

void arena_free(void *block)
{
    unsigned class = arena_class_of_block(block);
    if (class == ARENA_NO_CLASS)
        large_free(page_of(block));
    else
        arena_give(class, &block, 1);
}

size_t arena_used(void)
{
    size_t n = 0;
    for (size_t i = 0; i < CLASSES; i++) {
        (void)pthread_mutex_lock(&classes[i].lock);
        n += classes[i].used;
        (void)pthread_mutex_unlock(&classes[i].lock);
    }
    (void)pthread_mutex_lock(&run_lock);
    n += large_used;
    (void)pthread_mutex_unlock(&run_lock);
    return n;
}
