/* For unit tests of the control plane: requests without sockets, a state in memory, a node that is
 * played here, time by hand. */
#ifndef FABRIC_ARM_TESTING_H
#define FABRIC_ARM_TESTING_H

#include "fabric/identity/test_dir.h"

#include <stdio.h>
#include <string.h>
#include "base/file.h"
#include "fabric/arm_internal.h"
#include "fabric/hsm.h"

#define RIG_NOW_MS 1795307240000ull
#define RIG_POOLS  64
#define RIG_TOKENS 8192

struct rig_pool {
    char name[32];
    bool running;
};
struct rig {
    struct test_dir *dir;
    char home[160];
    struct fabric *f;
    struct answer a;
    struct http1_head head;
    uint64_t now_ms;
    const struct principal *who;
    char text[70000];
    struct json_tok tok[RIG_TOKENS];
    struct json_doc doc;
    char location[1024]; /* of the last 202 */
    /* the node */
    struct rig_pool pool[RIG_POOLS];
    size_t pool_n;
    unsigned slow;      /* how many times it still says "starting" */
    const char *refuse; /* operation that it refuses with "failed" */
    bool away;
    char last_configure[4096], last_endpoints[4096];
    unsigned asked;
};

static inline struct rig_pool *rig_pool_of(struct rig *r, const char *name)
{
    for (size_t i = 0; i < r->pool_n; i++)
        if (strcmp(r->pool[i].name, name) == 0)
            return &r->pool[i];
    return NULL;
}

static inline void rig_status(struct rig *r, struct wr *w)
{
    struct json_wr j = json_wr_of(w);
    json_obj_open(&j);
    put_bool(&j, "ok", true);
    json_name(&j, "pools");
    json_arr_open(&j);
    for (size_t i = 0; i < r->pool_n; i++) {
        bool ready = r->pool[i].running && r->slow == 0;
        json_obj_open(&j);
        put_str(&j, "name", r->pool[i].name);
        put_str(&j, "state", ready ? "running" : r->pool[i].running ? "starting" : "stopped");
        put_int(&j, "ready", ready ? 3 : 0);
        put_int(&j, "partitions", 3);
        json_obj_close(&j);
    }
    json_arr_close(&j);
    json_obj_close(&j);
    if (r->slow > 0)
        r->slow--;
}

static inline const char *rig_obey(struct rig *r, const char *op, const char *name,
                                   struct bytes line)
{
    static const char ok[] = "{\"ok\":true}";
    struct rig_pool *p = rig_pool_of(r, name);
    if (strcmp(op, "endpoints") == 0) {
        snprintf(r->last_endpoints, sizeof r->last_endpoints, "%.*s", (int)line.n,
                 (const char *)line.p);
        return ok;
    }
    if (strcmp(op, "make") == 0 && p == NULL) {
        assert_true(r->pool_n < RIG_POOLS);
        p = &r->pool[r->pool_n++];
        *p = (struct rig_pool){0};
        snprintf(p->name, sizeof p->name, "%.31s", name);
        return ok;
    }
    if (p == NULL)
        return "{\"ok\":false,\"code\":\"not-found\",\"text\":\"no such pool\"}";
    if (strcmp(op, "purge") == 0) {
        if (p->running)
            return "{\"ok\":false,\"code\":\"busy\",\"text\":\"it runs\"}";
        *p = r->pool[--r->pool_n];
    } else if (strcmp(op, "configure") == 0) {
        snprintf(r->last_configure, sizeof r->last_configure, "%.*s", (int)line.n,
                 (const char *)line.p);
    } else if (strcmp(op, "start") == 0 || strcmp(op, "stop") == 0) {
        p->running = strcmp(op, "start") == 0;
    }
    return ok;
}

static inline void rig_node(void *ctx, const char *node, struct bytes line, node_answer_fn fn,
                            void *fn_ctx)
{
    struct rig *r = ctx;
    struct json_tok tok[512];
    struct json_doc d;
    char op[32], name[64], text[16384];
    struct wr w = wr_of(text, sizeof text);
    assert_string_equal(node, NODE_LOCAL);
    assert_int_equal(json_parse(line, tok, 512, &d), HSM_OK);
    assert_true(arm_string(&d, 0, "op", op, sizeof op));
    (void)arm_string(&d, 0, "name", name, sizeof name);
    r->asked++;
    if (r->away) {
        nodes_answer_error(HSM_E_UNAVAILABLE, "the node is away", fn, fn_ctx);
        return;
    }
    if (r->refuse != NULL && strcmp(r->refuse, op) == 0)
        wr_str(&w, "{\"ok\":false,\"code\":\"failed\",\"text\":\"no room\"}");
    else if (strcmp(op, "status") == 0)
        rig_status(r, &w);
    else
        wr_str(&w, rig_obey(r, op, name, line));
    nodes_answer_line(wr_view(&w), fn, fn_ctx);
}

/* One signing key for all tests of a program: making one takes longer than the tests. */
static inline bool rig_share_key(const char *home, bool before)
{
    static uint8_t key[8192];
    static size_t n;
    char path[256];
    snprintf(path, sizeof path, "%s/signing.key", home);
    if (before)
        return n == 0 || (dir_ensure(home, 0700) == HSM_OK &&
                          file_replace(path, bytes_of(key, n), 0600) == HSM_OK);
    return n > 0 || file_read(path, key, sizeof key, &n) == HSM_OK;
}

static inline int rig_setup(void **state)
{
    struct rig *r = calloc(1, sizeof *r);
    void *dir = NULL;
    if (r == NULL || test_dir_setup(&dir) != 0)
        return -1;
    r->dir = dir;
    r->now_ms = RIG_NOW_MS;
    snprintf(r->home, sizeof r->home, "%s/fabric", r->dir->path);
    const struct fabric_config c = {.home = r->home,
                                    .origin = "https://localhost:8443",
                                    .hsm_suffix = "managedhsm.localhost:8443",
                                    .pool = "dev",
                                    .region = "local"};
    *state = r;
    if (!rig_share_key(r->home, true) ||
        fabric_open(&c, RIG_NOW_MS, &r->f, r->text, sizeof r->text) != HSM_OK ||
        !rig_share_key(r->home, false) || nodes_open_fake(rig_node, r, &r->f->nodes) != HSM_OK)
        return -1;
    r->pool_n = 1;
    r->pool[0] = (struct rig_pool){.name = "dev", .running = true};
    r->who = &r->f->provider.dir.admin;
    return 0;
}

static inline int rig_teardown(void **state)
{
    struct rig *r = *state;
    void *dir = r->dir;
    fabric_close(r->f);
    free(r);
    return test_dir_teardown(&dir);
}

static inline void rig_take_location(struct rig *r)
{
    static const char name[] = "Location: ";
    const char *at = memmem(r->a.headers.p, r->a.headers.n, name, sizeof name - 1);
    if (at == NULL)
        return;
    at += sizeof name - 1;
    const char *end = strchr(at, '\r');
    snprintf(r->location, sizeof r->location, "%.*s", (int)(end - at), at);
}

/* path: after "/subscriptions/S", or with "//" at the start of all; without api-version. */
static inline void rig_raw(struct rig *r, const char *line, const char *body, unsigned want)
{
    char jwt[8000];
    size_t used = 0;
    struct wr w = wr_of(jwt, sizeof jwt);
    assert_int_equal(provider_access_token(&r->f->provider, r->who,
                                           bytes_str("https://localhost:8443/"),
                                           bytes_str(r->who->client_id), r->now_ms / 1000, &w),
                     HSM_OK);
    int n = snprintf(r->text, sizeof r->text,
                     "%s HTTP/1.1\r\nHost: localhost:8443\r\nAuthorization: Bearer %.*s\r\n"
                     "Content-Length: %zu\r\n\r\n",
                     line, (int)w.n, jwt, strlen(body));
    assert_true(n > 0 && (size_t)n < sizeof r->text);
    assert_int_equal(http1_parse(bytes_of(r->text, (size_t)n), &r->head, &used), HSM_OK);
    const struct http_request rq = {
        .head = &r->head, .body = bytes_str(body), .client_ip = "127.0.0.1"};
    fabric_answer(r->f, &rq, r->now_ms, &r->a);
    if (r->a.status != want)
        print_error("%s: %u %.*s\n", line, r->a.status, (int)r->a.body.n,
                    (const char *)r->a.body.p);
    assert_int_equal(r->a.status, want);
    assert_int_equal(wr_ok(&r->a.headers), HSM_OK);
    r->doc = (struct json_doc){0};
    if (r->a.body.n > 0)
        assert_int_equal(json_parse(wr_view(&r->a.body), r->tok, RIG_TOKENS, &r->doc), HSM_OK);
    rig_take_location(r);
}

static inline void rig_ask(struct rig *r, const char *method, const char *path, const char *body,
                           unsigned want)
{
    char line[2048];
    const char *mark = strchr(path, '?') != NULL ? "&" : "?";
    if (path[0] == '/' && path[1] == '/')
        snprintf(line, sizeof line, "%s %s%sapi-version=2022-07-01", method, path + 1, mark);
    else
        snprintf(line, sizeof line, "%s /subscriptions/%s%s%sapi-version=2022-07-01", method,
                 r->f->provider.dir.subscription, path, mark);
    rig_raw(r, line, body, want);
}

static inline void rig_note_error(void *ctx, hsm_err err)
{
    *(hsm_err *)ctx = err;
}

/* All that operations have to do within the next ms. */
static inline void rig_run(struct rig *r, uint64_t ms)
{
    uint64_t end = r->now_ms + ms;
    for (;;) {
        uint64_t next = operations_run(r->f->operations, r->now_ms);
        if (next > end - r->now_ms)
            break;
        r->now_ms += next > 0 ? next : 1;
        if (r->now_ms > end)
            break;
    }
    r->now_ms = end;
}

/* GET what the last 202 said, after running. */
static inline void rig_result(struct rig *r, unsigned want)
{
    char line[1200];
    static const char origin[] = "https://localhost:8443";
    assert_true(strncmp(r->location, origin, sizeof origin - 1) == 0);
    snprintf(line, sizeof line, "GET %s", r->location + sizeof origin - 1);
    rig_raw(r, line, "", want);
}

static inline uint32_t rig_at(struct rig *r, uint32_t v, const char *name)
{
    uint32_t x = json_get(&r->doc, v, name);
    if (x == JSON_NONE)
        print_error("no %s in %.*s\n", name, (int)r->a.body.n, (const char *)r->a.body.p);
    assert_int_not_equal(x, JSON_NONE);
    return x;
}

static inline void rig_expect(struct rig *r, uint32_t v, const char *name, const char *want)
{
    char text[2048];
    rig_at(r, v, name);
    assert_true(arm_string(&r->doc, v, name, text, sizeof text));
    assert_string_equal(text, want);
}

static inline void rig_expect_error(struct rig *r, const char *code)
{
    rig_expect(r, rig_at(r, 0, "error"), "code", code);
}

static inline bool rig_has_header(const struct rig *r, const char *part)
{
    return memmem(r->a.headers.p, r->a.headers.n, part, strlen(part)) != NULL;
}

static inline size_t rig_count(struct rig *r)
{
    return json_count(&r->doc, rig_at(r, 0, "value"));
}

#endif
