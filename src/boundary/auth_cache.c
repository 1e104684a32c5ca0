#include "boundary/auth_internal.h"

#include <pthread.h>
#include <stdlib.h>
#include "base/ct.h"

/* Set-associative: a digest can lie in one of WAYS places of one set, so the table is bounded and
 * neither look-up nor eviction ever walks. Only verified tokens get in, so nobody without a valid
 * token can push others out. */
#define SHARDS 16u
#define SETS   64u
#define WAYS   4u

struct entry {
    uint8_t digest[32];
    struct auth_verdict verdict; /* who NULL: free */
};
struct shard {
    pthread_mutex_t lock;
    struct entry entry[SETS][WAYS];
};
struct auth_cache {
    struct shard shard[SHARDS];
};

hsm_err auth_cache_new(struct auth_cache **ret)
{
    struct auth_cache *c = calloc(1, sizeof *c);
    if (c == NULL)
        return HSM_E_NOMEM;
    for (unsigned i = 0; i < SHARDS; i++)
        pthread_mutex_init(&c->shard[i].lock, NULL);
    *ret = c;
    return HSM_OK;
}

void auth_cache_free(struct auth_cache *c)
{
    if (c == NULL)
        return;
    for (unsigned i = 0; i < SHARDS; i++) {
        for (unsigned k = 0; k < SETS * WAYS; k++)
            identity_unref(c->shard[i].entry[k / WAYS][k % WAYS].verdict.who);
        pthread_mutex_destroy(&c->shard[i].lock);
    }
    free(c);
}

static struct shard *shard_of(struct auth_cache *c, const uint8_t digest[32])
{
    return &c->shard[digest[0] % SHARDS];
}

static struct entry *set_of(struct shard *s, const uint8_t digest[32])
{
    return s->entry[digest[1] % SETS];
}

bool auth_verdict_holds(const struct auth_verdict *v, uint64_t generation, uint64_t now_s)
{
    if (v->who == NULL || v->generation != generation)
        return false;
    /* A clock that went back must not make a verdict last longer. */
    bool fresh = now_s + 1 >= v->verified_s && now_s < v->verified_s + AUTH_CACHE_TRUST_S;
    return fresh && now_s < v->who->exp + AUTH_CLOCK_SKEW_S;
}

struct identity *auth_identity_ref(struct identity *i)
{
    atomic_fetch_add_explicit(&i->refs, 1, memory_order_relaxed);
    return i;
}

bool auth_cache_find(struct auth_cache *c, const uint8_t digest[32], uint64_t generation,
                     uint64_t now_s, struct auth_verdict *ret)
{
    struct shard *s = shard_of(c, digest);
    bool found = false;
    pthread_mutex_lock(&s->lock);
    struct entry *set = set_of(s, digest);
    for (unsigned i = 0; i < WAYS && !found; i++) {
        found = auth_verdict_holds(&set[i].verdict, generation, now_s) &&
                ct_eq(set[i].digest, digest, 32);
        if (found) {
            *ret = set[i].verdict;
            (void)auth_identity_ref(ret->who);
        }
    }
    pthread_mutex_unlock(&s->lock);
    return found;
}

/* The same token, else a place that is of no use any more, else the oldest. */
static struct entry *place_for(struct entry *set, const uint8_t digest[32], uint64_t generation,
                               uint64_t now_s)
{
    struct entry *best = &set[0];
    for (unsigned i = 0; i < WAYS; i++) {
        if (set[i].verdict.who != NULL && ct_eq(set[i].digest, digest, 32))
            return &set[i];
    }
    for (unsigned i = 0; i < WAYS; i++) {
        if (!auth_verdict_holds(&set[i].verdict, generation, now_s))
            return &set[i];
        if (set[i].verdict.verified_s < best->verdict.verified_s)
            best = &set[i];
    }
    return best;
}

void auth_cache_add(struct auth_cache *c, const uint8_t digest[32], const struct auth_verdict *v,
                    uint64_t now_s)
{
    struct shard *s = shard_of(c, digest);
    (void)auth_identity_ref(v->who);
    pthread_mutex_lock(&s->lock);
    struct entry *e = place_for(set_of(s, digest), digest, v->generation, now_s);
    struct identity *old = e->verdict.who;
    memcpy(e->digest, digest, 32);
    e->verdict = *v;
    pthread_mutex_unlock(&s->lock);
    identity_unref(old);
}
