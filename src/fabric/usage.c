#include "fabric/usage.h"

#include <stdio.h>

#define TOKENS   256
#define JSON_MAX 4096
/* Between two samples: more than that are the doing of a clock that was set. */
#define MONTHS_MAX 1200

/* ---- keys of documents ---- */

/* Region names and pool names as they are in ids: what they must not have is '/'. */
static struct bytes open_key(const char *pool, const char *region, char dst[USAGE_KEY_MAX])
{
    int n = snprintf(dst, USAGE_KEY_MAX, "%.31s/%.63s", pool, region);
    for (int i = 0; i < n; i++)
        if (dst[i] >= 'A' && dst[i] <= 'Z')
            dst[i] = (char)(dst[i] + ('a' - 'A'));
    return bytes_of(dst, (size_t)n);
}

/* month NULL: of the pool's own, closed document. */
static struct bytes closed_key(const struct usage_pool *u, const char *month,
                               char dst[USAGE_KEY_MAX])
{
    size_t n = open_key(u->pool, u->region, dst).n;
    int more =
        snprintf(dst + n, USAGE_KEY_MAX - n, "/%010llu%s%s", (unsigned long long)u->provisioned_s,
                 month != NULL ? "/" : "", month != NULL ? month : "");
    return bytes_of(dst, n + (size_t)more);
}

/* ---- documents ---- */

static uint64_t number(const struct json_doc *d, const char *name)
{
    int64_t n = 0;
    uint32_t v = json_get(d, 0, name);
    return v != JSON_NONE && json_int(d, v, &n) == HSM_OK && n > 0 ? (uint64_t)n : 0;
}

static bool text(const struct json_doc *d, const char *name, char *dst, size_t cap)
{
    size_t n = 0;
    uint32_t v = json_get(d, 0, name);
    if (v == JSON_NONE || json_string(d, v, dst, cap - 1, &n) != HSM_OK)
        return false;
    dst[n] = '\0';
    return true;
}

hsm_err usage_read(const struct document *at, struct usage_pool *ret)
{
    struct json_tok tok[TOKENS];
    struct json_doc d;
    struct usage_pool u = {.counter = 0};
    if (json_parse(at->json, tok, TOKENS, &d) != HSM_OK ||
        !text(&d, "pool", u.pool, sizeof u.pool) ||
        !text(&d, "region", u.region, sizeof u.region) ||
        !text(&d, "resource", u.resource, sizeof u.resource) ||
        key_amounts_read(&d, json_get(&d, 0, "keys"), &u.keys) != HSM_OK)
        return HSM_E_CORRUPT;
    u.provisioned_s = number(&d, "provisioned");
    u.deleted_s = number(&d, "deleted");
    u.purged_s = number(&d, "purged");
    u.sampled_s = number(&d, "sampled");
    u.counter = number(&d, "counter");
    if (u.provisioned_s == 0)
        return HSM_E_CORRUPT;
    *ret = u;
    return HSM_OK;
}

static void put_number(struct json_wr *j, const char *name, uint64_t n)
{
    if (n > 0)
        put_int(j, name, n < INT64_MAX ? (int64_t)n : INT64_MAX);
}

static void put_pool(struct changes *c, struct bytes key, const struct usage_pool *u)
{
    uint8_t buf[JSON_MAX];
    struct wr w = wr_of(buf, sizeof buf);
    struct json_wr j = json_wr_of(&w);
    json_obj_open(&j);
    put_str(&j, "pool", u->pool);
    put_str(&j, "region", u->region);
    put_str(&j, "resource", u->resource);
    put_number(&j, "provisioned", u->provisioned_s);
    put_number(&j, "deleted", u->deleted_s);
    put_number(&j, "purged", u->purged_s);
    put_number(&j, "sampled", u->sampled_s);
    json_name(&j, "keys");
    key_amounts_write(&j, &u->keys);
    put_number(&j, "counter", u->counter);
    json_obj_close(&j);
    HSM_ASSERT(wr_ok(&w) == HSM_OK);
    changes_put(c, STATE_USAGE, key, wr_view(&w));
}

static bool find(struct changes *c, struct bytes key, struct usage_pool *ret)
{
    const struct document *d = changes_get(c, STATE_USAGE, key);
    return d != NULL && usage_read(d, ret) == HSM_OK;
}

/* What a month's document says is added to *u; nothing when there is none. */
static void read_month(const struct document *at, struct usage *u)
{
    struct json_tok tok[TOKENS];
    struct json_doc d;
    struct key_amounts a;
    if (at == NULL || json_parse(at->json, tok, TOKENS, &d) != HSM_OK ||
        key_amounts_read(&d, json_get(&d, 0, "keySeconds"), &a) != HSM_OK)
        return;
    u->key_seconds = a;
    u->operations = number(&d, "operations");
}

static void put_month(struct changes *c, struct bytes key, const struct usage *u)
{
    uint8_t buf[JSON_MAX];
    struct wr w = wr_of(buf, sizeof buf);
    struct json_wr j = json_wr_of(&w);
    json_obj_open(&j);
    json_name(&j, "keySeconds");
    key_amounts_write(&j, &u->key_seconds);
    put_number(&j, "operations", u->operations);
    json_obj_close(&j);
    HSM_ASSERT(wr_ok(&w) == HSM_OK);
    changes_put(c, STATE_USAGE, key, wr_view(&w));
}

/* The time from the last sample until now, month by month, with the keys that there were; the
 * operations count for the month in which they were seen. */
static void account(struct changes *c, struct usage_pool *u, uint64_t now_s, uint64_t operations)
{
    char key[USAGE_KEY_MAX], month[MONTH_TEXT_LEN + 1];
    struct period p = month_of(u->sampled_s);
    for (unsigned n = 0; n < MONTHS_MAX; n++, p = month_of(p.end)) {
        struct usage used = {.hours = 0};
        bool last = now_s < p.end;
        month_format(p.begin, month);
        struct bytes k = closed_key(u, month, key);
        read_month(changes_get(c, STATE_USAGE, k), &used);
        if (last)
            used.operations += operations;
        key_time_add(&used.key_seconds, &u->keys, u->sampled_s, now_s, p);
        if (used.key_seconds.n > 0 || used.operations > 0)
            put_month(c, k, &used);
        if (last)
            break;
    }
    u->sampled_s = now_s;
}

/* ---- life of a pool ---- */

void usage_begin(struct changes *c, const char *pool, const char *region, const char *resource,
                 uint64_t now_ms)
{
    char key[USAGE_KEY_MAX];
    struct usage_pool u = {.provisioned_s = now_ms / 1000, .sampled_s = now_ms / 1000};
    struct bytes k = open_key(pool, region, key);
    if (changes_get(c, STATE_USAGE, k) != NULL)
        return;
    (void)snprintf(u.pool, sizeof u.pool, "%s", pool);
    (void)snprintf(u.region, sizeof u.region, "%s", region);
    (void)snprintf(u.resource, sizeof u.resource, "%s", resource);
    /* One that was purged within this second has this key. */
    char old[USAGE_KEY_MAX];
    while (changes_get(c, STATE_USAGE, closed_key(&u, NULL, old)) != NULL)
        u.provisioned_s++;
    put_pool(c, k, &u);
}

void usage_deleted(struct changes *c, const char *pool, const char *region, uint64_t now_ms)
{
    char key[USAGE_KEY_MAX];
    struct usage_pool u;
    struct bytes k = open_key(pool, region, key);
    if (!find(c, k, &u) || u.deleted_s > 0)
        return;
    u.deleted_s = now_ms / 1000;
    put_pool(c, k, &u);
}

void usage_recovered(struct changes *c, const char *pool, const char *region)
{
    char key[USAGE_KEY_MAX];
    struct usage_pool u;
    struct bytes k = open_key(pool, region, key);
    if (!find(c, k, &u) || u.deleted_s == 0)
        return;
    u.deleted_s = 0;
    put_pool(c, k, &u);
}

void usage_end(struct changes *c, const char *pool, const char *region, uint64_t now_ms)
{
    char key[USAGE_KEY_MAX], closed[USAGE_KEY_MAX];
    struct usage_pool u;
    struct bytes k = open_key(pool, region, key);
    if (!find(c, k, &u))
        return;
    uint64_t now_s = now_ms / 1000;
    if (now_s > u.sampled_s)
        account(c, &u, now_s, 0);
    u.purged_s = now_s > u.provisioned_s ? now_s : u.provisioned_s;
    put_pool(c, closed_key(&u, NULL, closed), &u);
    changes_delete(c, STATE_USAGE, k);
}

static bool same_keys(const struct key_amounts *a, const struct key_amounts *b)
{
    for (size_t i = 0; a->n == b->n && i < a->n; i++)
        if (strcmp(a->of[i].type, b->of[i].type) != 0 || a->of[i].amount != b->of[i].amount)
            return false;
    return a->n == b->n;
}

void usage_sample(struct changes *c, const char *pool, const char *region, uint64_t now_ms,
                  const struct key_amounts *keys, uint64_t counter)
{
    char key[USAGE_KEY_MAX];
    struct usage_pool u;
    struct bytes k = open_key(pool, region, key);
    uint64_t now_s = now_ms / 1000;
    if (!find(c, k, &u) || now_s <= u.sampled_s)
        return;
    /* The time since then counts with the next sample, or with the bill. */
    if (counter == u.counter && same_keys(keys, &u.keys))
        return;
    account(c, &u, now_s, counter_growth(u.counter, counter));
    u.keys = *keys;
    u.counter = counter;
    put_pool(c, k, &u);
}

/* ---- for the bill ---- */

struct each {
    usage_each_fn *fn;
    void *ctx;
};

static bool each_document(void *ctx, const struct document *d)
{
    const struct each *e = ctx;
    struct usage_pool u;
    /* Months are read with their pool. */
    return usage_read(d, &u) != HSM_OK || e->fn(e->ctx, &u);
}

void usage_each(const struct state *s, usage_each_fn *fn, void *ctx)
{
    struct each e = {fn, ctx};
    state_each(s, STATE_USAGE, bytes_of(NULL, 0), each_document, &e);
}

void usage_of_month(const struct state *s, const struct usage_pool *u, struct period p,
                    uint64_t now_s, struct usage *ret)
{
    char key[USAGE_KEY_MAX], month[MONTH_TEXT_LEN + 1];
    struct usage used = {.hours = 0};
    month_format(p.begin, month);
    read_month(state_get(s, STATE_USAGE, closed_key(u, month, key)), &used);
    if (u->purged_s == 0)
        key_time_add(&used.key_seconds, &u->keys, u->sampled_s, now_s, p);
    *ret = used;
}
