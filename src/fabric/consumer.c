#include "fabric/consumer.h"

#include <stdio.h>
#include <strings.h>
#include "base/uuid.h"

struct consumer_value consumer_get(const struct arm_put *p, const char *name, bool keep)
{
    uint32_t v = json_get_nn(p->body, arm_properties(p->body), name);
    if (v != JSON_NONE)
        return (struct consumer_value){p->body, v};
    if (p->old != NULL && (p->patch || keep)) {
        v = json_get_nn(p->old, arm_properties(p->old), name);
        if (v != JSON_NONE)
            return (struct consumer_value){p->old, v};
    }
    return (struct consumer_value){NULL, JSON_NONE};
}

bool consumer_word(const struct json_doc *d, uint32_t obj, const char *name,
                   const char *const *words, const char **ret)
{
    char text[80];
    if (!arm_string(d, obj, name, text, sizeof text))
        return false;
    for (; *words != NULL; words++) {
        if (strcasecmp(text, *words) == 0) {
            *ret = *words;
            return true;
        }
    }
    return false;
}

bool consumer_is_guid(const char *text)
{
    struct uuid u;
    return uuid_parse(bytes_str(text), &u) == HSM_OK;
}

static struct bytes whole(struct consumer_value v)
{
    struct bytes raw = json_raw(v.d, v.v);
    return json_type_of(v.d, v.v) == JSON_STRING ? bytes_of(raw.p - 1, raw.n + 2) : raw;
}

void consumer_copy(struct json_wr *j, const char *name, struct consumer_value v)
{
    if (v.d == NULL)
        return;
    json_name(j, name);
    json_put_raw(j, whole(v));
}

bool consumer_same(struct consumer_value a, struct consumer_value b)
{
    if (a.d == NULL || b.d == NULL)
        return a.d == b.d;
    return bytes_eq(whole(a), whole(b));
}

static bool is_named(const char *const *names, struct bytes name)
{
    for (; *names != NULL; names++)
        if (bytes_eq_str(name, *names))
            return true;
    return false;
}

/* Members of `from` that are not named and that `but` does not have. Names with escapes are no
 * property of these services. */
static void copy_rest(struct json_wr *j, const struct json_doc *from, const struct json_doc *but,
                      const char *const *except)
{
    uint32_t obj = arm_properties(from);
    for (uint32_t m = json_first(from, obj); obj != JSON_NONE && m != JSON_NONE;
         m = json_next(from, obj, m)) {
        char name[128];
        size_t n = 0;
        if (json_string(from, m, name, sizeof name - 1, &n) != HSM_OK ||
            is_named(except, bytes_of(name, n)))
            continue;
        name[n] = '\0';
        if (but != NULL && json_get(but, arm_properties(but), name) != JSON_NONE)
            continue;
        json_name_bytes(j, bytes_of(name, n));
        json_put_raw(j, whole((struct consumer_value){from, json_value(m)}));
    }
}

void consumer_merge(const struct arm_put *p, const char *const *except)
{
    copy_rest(p->properties, p->body, NULL, except);
    if (p->patch && p->old != NULL)
        copy_rest(p->properties, p->old, p->body, except);
}

/* ---- the pool of a key ---- */

struct pool_search {
    struct bytes pool;
    bool found, is_protected;
};

static bool look_at_pool(void *ctx, struct fabric *f, const struct arm_resource *r)
{
    struct pool_search *s = ctx;
    char name[ARM_NAME_MAX + 1];
    bool on = false;
    (void)f;
    if (!arm_string_is(&r->json, 0, "type", "Microsoft.KeyVault/managedHSMs") ||
        !arm_string(&r->json, 0, "name", name, sizeof name) || !bytes_ieq(bytes_str(name), s->pool))
        return true;
    uint32_t v = json_get_nn(&r->json, arm_properties(&r->json), "enablePurgeProtection");
    s->found = true;
    s->is_protected = v != JSON_NONE && json_bool(&r->json, v, &on) == HSM_OK && on;
    return false;
}

bool consumer_pool_ready(struct fabric *f, const struct key_url *u, struct answer *a)
{
    char below[128];
    struct pool_search s = {.pool = u->pool};
    (void)snprintf(below, sizeof below, "/subscriptions/%s/", f->provider.dir.subscription);
    arm_each(f, bytes_str(below), NULL, look_at_pool, &s);
    if (!s.found || s.is_protected)
        return true;
    return arm_error(a, 400, "KeyVaultPolicyError", "Keyvault policy recoverable is not set");
}
