#include "fabric/state.h"

#include <stdlib.h>
#include "fabric/state_internal.h"

const char *const state_kind_name[STATE__KINDS] = {
#define K(kind, name) [kind] = name,
    STATE_KINDS(K)
#undef K
};

static int compare(struct bytes a, struct bytes b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int r = n > 0 ? memcmp(a.p, b.p, n) : 0;
    return r != 0 ? r : (a.n > b.n) - (a.n < b.n);
}

/* The first document whose key is not below key. */
static size_t lower_bound(const struct state_table *t, struct bytes key)
{
    size_t low = 0, high = t->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (compare(t->at[mid]->key, key) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static bool is_at(const struct state_table *t, size_t i, struct bytes key)
{
    return i < t->n && bytes_eq(t->at[i]->key, key);
}

const struct document *state_get(const struct state *s, enum state_kind kind, struct bytes key)
{
    const struct state_table *t = &s->table[kind];
    size_t i = lower_bound(t, key);
    return is_at(t, i, key) ? t->at[i] : NULL;
}

static bool begins(struct bytes key, struct bytes prefix)
{
    return key.n >= prefix.n && (prefix.n == 0 || memcmp(key.p, prefix.p, prefix.n) == 0);
}

void state_each(const struct state *s, enum state_kind kind, struct bytes prefix, state_each_fn fn,
                void *ctx)
{
    const struct state_table *t = &s->table[kind];
    for (size_t i = lower_bound(t, prefix); i < t->n && begins(t->at[i]->key, prefix); i++) {
        if (!fn(ctx, t->at[i]))
            return;
    }
}

static bool count_one(void *ctx, const struct document *d)
{
    (void)d;
    ++*(size_t *)ctx;
    return true;
}

size_t state_count(const struct state *s, enum state_kind kind, struct bytes prefix)
{
    size_t n = 0;
    state_each(s, kind, prefix, count_one, &n);
    return n;
}

static hsm_err make_room(struct state_table *t)
{
    if (t->n < t->cap)
        return HSM_OK;
    size_t cap = t->cap == 0 ? 16 : 2 * t->cap;
    struct document **at = realloc(t->at, cap * sizeof(struct document *));
    if (at == NULL)
        return HSM_E_NOMEM;
    t->at = at;
    t->cap = cap;
    return HSM_OK;
}

hsm_err state_take(struct state *s, struct document *doc, bool is_delete)
{
    struct state_table *t = &s->table[doc->kind];
    size_t i = lower_bound(t, doc->key);
    bool found = is_at(t, i, doc->key);
    if (is_delete) {
        if (found) {
            free(t->at[i]);
            memmove(t->at + i, t->at + i + 1, (t->n - i - 1) * sizeof(struct document *));
            t->n--;
        }
        free(doc);
        return HSM_OK;
    }
    if (found) {
        free(t->at[i]);
        t->at[i] = doc;
        return HSM_OK;
    }
    hsm_err e = make_room(t);
    if (e != HSM_OK) {
        free(doc);
        return e;
    }
    memmove(t->at + i + 1, t->at + i, (t->n - i) * sizeof(struct document *));
    t->at[i] = doc;
    t->n++;
    return HSM_OK;
}

hsm_err state_watch(struct state *s, state_watch_fn fn, void *ctx)
{
    if (s->watcher_n == STATE_WATCHERS_MAX)
        return HSM_E_RANGE;
    s->watcher[s->watcher_n++] = (struct state_watcher){.fn = fn, .ctx = ctx};
    return HSM_OK;
}

void state_tell(struct state *s, enum state_kind kind, struct bytes key)
{
    for (size_t i = 0; i < s->watcher_n; i++)
        s->watcher[i].fn(s->watcher[i].ctx, kind, key, state_get(s, kind, key));
}

static hsm_err apply(struct state *s, const struct changes *c)
{
    for (const struct change *one = c->first; one != NULL; one = one->next) {
        struct document *d =
            document_new(one->doc->kind, c->base + 1, one->doc->key, one->doc->json);
        if (d == NULL)
            return HSM_E_NOMEM;
        TRY(state_take(s, d, one->is_delete));
    }
    s->version = c->base + 1;
    for (const struct change *one = c->first; one != NULL; one = one->next)
        state_tell(s, one->doc->kind, one->doc->key);
    return HSM_OK;
}

static hsm_err refusal(const struct state *s, const struct changes *c)
{
    if (s->closed)
        return HSM_E_UNAVAILABLE;
    if (c->err != HSM_OK)
        return c->err;
    return c->base != s->version ? HSM_E_CONFLICT : HSM_OK;
}

/* Its turn has come. */
static void begin(struct state *s, struct state_commit *k)
{
    hsm_err e = refusal(s, k->changes);
    if (e == HSM_OK && s->disk != NULL) {
        e = state_disk_commit(s, k);
        if (e == HSM_OK)
            return;
    } else if (e == HSM_OK) {
        e = apply(s, k->changes);
    }
    state_done_fn done = k->done;
    void *ctx = k->ctx;
    free(k);
    done(ctx, e);
}

void state_next(struct state *s)
{
    while (!s->busy && s->first != NULL) {
        struct state_commit *k = s->first;
        s->first = k->next;
        if (s->first == NULL)
            s->last = &s->first;
        begin(s, k);
    }
}

void state_commit(struct state *s, const struct changes *c, state_done_fn done, void *ctx)
{
    struct state_commit *k = calloc(1, sizeof *k);
    if (k == NULL) {
        done(ctx, HSM_E_NOMEM);
        return;
    }
    *k = (struct state_commit){.changes = c, .done = done, .ctx = ctx};
    if (!s->busy) {
        begin(s, k);
        return;
    }
    *s->last = k;
    s->last = &k->next;
}

hsm_err state_open_memory(struct state **ret)
{
    struct state *s = calloc(1, sizeof *s);
    if (s == NULL)
        return HSM_E_NOMEM;
    s->last = &s->first;
    *ret = s;
    return HSM_OK;
}

void state_fresh(struct state *s, state_done_fn done, void *ctx)
{
    if (s->disk != NULL)
        state_disk_fresh(s, done, ctx);
    else
        done(ctx, HSM_OK);
}

void state_free(struct state *s)
{
    for (size_t kind = 0; kind < STATE__KINDS; kind++) {
        for (size_t i = 0; i < s->table[kind].n; i++)
            free(s->table[kind].at[i]);
        free(s->table[kind].at);
    }
    free(s);
}

void state_close(struct state *s, void (*done)(void *ctx), void *ctx)
{
    if (s != NULL)
        s->closed = true;
    if (s != NULL && s->disk != NULL) {
        state_disk_close(s, done, ctx);
        return;
    }
    if (s != NULL) {
        state_next(s);
        state_free(s);
    }
    if (done != NULL)
        done(ctx);
}
