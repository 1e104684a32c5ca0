/* Opened keys: a chained hash table and a list in the order of use, both behind one lock that is
 * never held during cryptography. */
#include <pthread.h>
#include "boundary/keymat.h"

#define BUCKETS 1024u

struct node {
    struct uuid version;
    struct keymat *key; /* the cache's reference */
    size_t cost;
    struct node *chain; /* next in the bucket, or in a list of removed nodes */
    struct node *newer, *older;
};

struct keycache {
    pthread_mutex_t lock;
    size_t limit;
    size_t used;
    uint64_t drops; /* counts keycache_drop: a key opened before one is not kept after it */
    bool (*spare)(void *ctx);
    void *spare_ctx;
    struct node *newest, *oldest;
    struct node *bucket[BUCKETS];
};

hsm_err keycache_new(size_t limit, struct keycache **ret)
{
    struct keycache *c = (struct keycache *)secret_alloc(sizeof *c);
    if (c == NULL)
        return HSM_E_NOMEM;
    if (pthread_mutex_init(&c->lock, NULL) != 0) {
        secret_free(c);
        return HSM_E_NOMEM;
    }
    c->limit = limit;
    *ret = c;
    return HSM_OK;
}

/* Version ids are random, so two of their bytes spread well. */
static struct node **bucket_of(struct keycache *c, const struct uuid *version)
{
    unsigned h = (unsigned)version->b[0] << 8 | version->b[1];
    return &c->bucket[h % BUCKETS];
}

static struct node *find(struct keycache *c, const struct uuid *version)
{
    struct node *n = *bucket_of(c, version);
    while (n != NULL && memcmp(n->version.b, version->b, sizeof version->b) != 0)
        n = n->chain;
    return n;
}

static void order_remove(struct keycache *c, struct node *n)
{
    *(n->newer != NULL ? &n->newer->older : &c->newest) = n->older;
    *(n->older != NULL ? &n->older->newer : &c->oldest) = n->newer;
    n->newer = NULL;
    n->older = NULL;
}

static void order_add(struct keycache *c, struct node *n)
{
    n->older = c->newest;
    *(c->newest != NULL ? &c->newest->newer : &c->oldest) = n;
    c->newest = n;
}

/* Take n out and put it on the list of removed nodes, to be freed without the lock. */
static void take_out(struct keycache *c, struct node *n, struct node **removed)
{
    struct node **at = bucket_of(c, &n->version);
    while (*at != n)
        at = &(*at)->chain;
    *at = n->chain;
    order_remove(c, n);
    c->used -= n->cost;
    n->chain = *removed;
    *removed = n;
}

static void free_removed(struct node *removed)
{
    while (removed != NULL) {
        struct node *next = removed->chain;
        keymat_unref(removed->key);
        secret_free(removed);
        removed = next;
    }
}

void keycache_free(struct keycache *c)
{
    if (c == NULL)
        return;
    struct node *removed = NULL;
    while (c->oldest != NULL)
        take_out(c, c->oldest, &removed);
    free_removed(removed);
    pthread_mutex_destroy(&c->lock);
    secret_free(c);
}

void keycache_set_spare(struct keycache *c, bool (*shed)(void *ctx), void *ctx)
{
    c->spare = shed;
    c->spare_ctx = ctx;
}

bool keycache_shed(struct keycache *c)
{
    struct node *removed = NULL;
    if (c->spare != NULL && c->spare(c->spare_ctx))
        return true;
    pthread_mutex_lock(&c->lock);
    size_t goal = c->used - c->used / 4;
    while (c->oldest != NULL && (removed == NULL || c->used > goal))
        take_out(c, c->oldest, &removed);
    pthread_mutex_unlock(&c->lock);
    bool any = removed != NULL;
    free_removed(removed);
    return any;
}

static hsm_err open_once(keycache_open_fn open, void *ctx, struct keymat **ret)
{
    DEFER(secret_buf_done) struct secret_buf private_part = {0};
    TRY(open(ctx, &private_part));
    return keymat_open(bytes_of(private_part.p, private_part.n), ret);
}

static hsm_err open_key(struct keycache *c, keycache_open_fn open, void *ctx, struct keymat **ret,
                        struct node **ret_node)
{
    hsm_err err = open_once(open, ctx, ret);
    while (err == HSM_E_NOMEM && keycache_shed(c))
        err = open_once(open, ctx, ret);
    if (err == HSM_OK)
        *ret_node = (struct node *)secret_alloc(sizeof **ret_node); /* without one: not kept */
    return err;
}

/* The caller has a reference to key; lock held. */
static void insert(struct keycache *c, struct node *n, const struct uuid *version,
                   struct keymat *key, struct node **removed)
{
    n->version = *version;
    n->key = keymat_ref(key);
    n->cost = keymat_cost(key) + sizeof *n;
    struct node **at = bucket_of(c, version);
    n->chain = *at;
    *at = n;
    order_add(c, n);
    c->used += n->cost;
    while (c->used > c->limit && c->oldest != n)
        take_out(c, c->oldest, removed);
}

hsm_err keycache_get(struct keycache *c, const struct uuid *version, keycache_open_fn open,
                     void *ctx, struct keymat **ret)
{
    pthread_mutex_lock(&c->lock);
    struct node *n = find(c, version);
    if (n != NULL) {
        order_remove(c, n);
        order_add(c, n);
        *ret = keymat_ref(n->key);
        pthread_mutex_unlock(&c->lock);
        return HSM_OK;
    }
    uint64_t drops = c->drops;
    pthread_mutex_unlock(&c->lock);

    struct keymat *key = NULL;
    struct node *fresh = NULL;
    TRY(open_key(c, open, ctx, &key, &fresh));
    struct node *removed = NULL;
    pthread_mutex_lock(&c->lock);
    bool keep = fresh != NULL && drops == c->drops && find(c, version) == NULL;
    if (keep)
        insert(c, fresh, version, key, &removed);
    pthread_mutex_unlock(&c->lock);
    if (!keep)
        secret_free(fresh);
    free_removed(removed);
    *ret = key;
    return HSM_OK;
}

void keycache_drop(struct keycache *c, const struct uuid *version)
{
    struct node *removed = NULL;
    pthread_mutex_lock(&c->lock);
    c->drops++;
    struct node *n = find(c, version);
    if (n != NULL)
        take_out(c, n, &removed);
    pthread_mutex_unlock(&c->lock);
    free_removed(removed);
}
