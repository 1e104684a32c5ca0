/* What a node is asked, and what it answers: JSON objects, a line each. "op" says what is asked:
 *   {"op":"status"}
 *     -> {"ok":true,"node":"local","region":...,"zone":...,"rack":...,"pools":[{"name":...,
 *         "state":"stopped|starting|running|stopping|failed","ready":3,"partitions":3,
 *         "activation":"Active|NotActivated|Unknown","text":""}]}
 *   {"op":"make","name":POOL,"pool":{...}}         its files: pool_request.h; it does not run then
 *   {"op":"start","name":POOL}  {"op":"stop","name":POOL}            then watch its state
 *   {"op":"purge","name":POOL}                     destroys one that does not run
 *   {"op":"configure","name":POOL,"settings":{...}}
 *   {"op":"endpoints","list":[{"id","pool","address","port","device","netns"}]}   all that are
 * wanted
 *     -> {"ok":true}
 *   {"op":"usage","name":POOL}   versions by kind; operations since the partitions here started
 *     -> {"ok":true,"keys":{"RSA-2048":3,...},"operations":1234}
 * or {"ok":false,"code":"conflict|not-found|bad|busy|failed","text":...}. All may be asked again.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "partition/node_internal.h"

#define TOKENS_MAX 4096

/* NULL: done, and j has the members of the answer; else the code, and text says why. p: the pool of
 * that name, where there is one. */
struct asked {
    const struct json_doc *d;
    struct bytes name;
    struct node_pool *p;
    char *text;
    size_t cap;
};
typedef const char *operation(struct node *n, const struct asked *a, struct json_wr *j);

static void put(struct json_wr *j, const char *name, const char *text)
{
    json_name(j, name);
    json_put_str(j, text);
}

static void put_pool(struct json_wr *j, const struct node *n, const struct node_pool *p)
{
    json_obj_open(j);
    put(j, "name", p->name);
    put(j, "state", node_pool_state(p));
    json_name(j, "ready");
    json_put_int(j, p->ready);
    json_name(j, "partitions");
    json_put_int(j, p->partitions);
    put(j, "activation", node_pool_activation(n, p));
    put(j, "text", p->why);
    json_obj_close(j);
}

static const char *status(struct node *n, const struct asked *a, struct json_wr *j)
{
    (void)a;
    put(j, "node", "local");
    put(j, "region", n->in.config.region);
    put(j, "zone", "1");
    put(j, "rack", "a");
    json_name(j, "pools");
    json_arr_open(j);
    for (unsigned i = 0; i < n->pool_n; i++)
        if (!n->pool[i]->gone)
            put_pool(j, n, n->pool[i]);
    json_arr_close(j);
    return NULL;
}

static const char *make(struct node *n, const struct asked *a, struct json_wr *j)
{
    (void)j;
    return node_make(n, a->d, a->name, a->text, a->cap);
}

static const char *want(struct node *n, const struct asked *a, bool run)
{
    if (node_pool_want(n, a->p, run) == HSM_OK)
        return NULL;
    (void)snprintf(a->text, a->cap, "that cannot be written: %s", strerror(errno));
    return "failed";
}

static const char *start(struct node *n, const struct asked *a, struct json_wr *j)
{
    (void)j;
    return want(n, a, true);
}

static const char *stop(struct node *n, const struct asked *a, struct json_wr *j)
{
    (void)j;
    return want(n, a, false);
}

static const char *purge(struct node *n, const struct asked *a, struct json_wr *j)
{
    (void)j;
    return node_purge(n, a->p, a->text, a->cap);
}

static const char *configure(struct node *n, const struct asked *a, struct json_wr *j)
{
    (void)j;
    return node_configure(n, a->p, a->d, a->text, a->cap);
}

static const char *usage(struct node *n, const struct asked *a, struct json_wr *j)
{
    return node_usage(n, a->p, j, a->text, a->cap);
}

static const char *endpoints(struct node *n, const struct asked *a, struct json_wr *j)
{
    (void)j;
    return node_endpoints(n, a->d, a->text, a->cap);
}

static const struct {
    const char *name;
    operation *fn;
    bool needs_name, needs_pool;
} operations[] = {
    {"status", status, false, false},       {"make", make, true, false},
    {"start", start, true, true},           {"stop", stop, true, true},
    {"purge", purge, true, false},          {"configure", configure, true, true},
    {"endpoints", endpoints, false, false}, {"usage", usage, true, true},
};

/* a: where its text goes, and room for the rest. */
static const char *perform(struct node *n, struct bytes line, struct json_wr *j, struct asked *a)
{
    static struct json_tok toks[TOKENS_MAX];
    static struct json_doc d;
    struct bytes op;
    (void)snprintf(a->text, a->cap, "not an operation");
    if (json_parse(line, toks, TOKENS_MAX, &d) != HSM_OK || json_type_of(&d, 0) != JSON_OBJECT ||
        json_get_nn(&d, 0, "op") == JSON_NONE ||
        json_plain(&d, json_get_nn(&d, 0, "op"), &op) != HSM_OK)
        return "bad";
    uint32_t name = json_get_nn(&d, 0, "name");
    a->d = &d;
    bool named = name != JSON_NONE && json_plain(&d, name, &a->name) == HSM_OK;
    a->p = named ? node_pool_find(n, a->name) : NULL;
    for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++) {
        if (!bytes_eq(op, bytes_str(operations[i].name)))
            continue;
        if (operations[i].needs_name && !named) {
            (void)snprintf(a->text, a->cap, "\"name\" is missing");
            return "bad";
        }
        if (operations[i].needs_pool && a->p == NULL) {
            (void)snprintf(a->text, a->cap, "there is no pool of that name");
            return "not-found";
        }
        return operations[i].fn(n, a, j);
    }
    return "bad";
}

void node_answer(struct node *n, struct bytes line, struct wr *w)
{
    char text[600];
    struct asked a = {.text = text, .cap = sizeof text};
    struct json_wr j = json_wr_of(w);
    json_obj_open(&j);
    json_name(&j, "ok");
    json_put_bool(&j, true);
    const char *code = perform(n, line, &j, &a);
    if (code != NULL) {
        w->n = 0;
        j = json_wr_of(w);
        json_obj_open(&j);
        json_name(&j, "ok");
        json_put_bool(&j, false);
        put(&j, "code", code);
        put(&j, "text", text);
    }
    json_obj_close(&j);
    wr_str(w, "\n");
}
