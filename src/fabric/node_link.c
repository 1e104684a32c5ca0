#include "fabric/node_link.h"

#include <stdio.h>
#include <stdlib.h>
#include "base/log.h"
#include "fabric/fabric.h"
#include "fabric/node_registry.h"
#include "store/peer.h"

#define PATH_MAX_LEN 4096

/* A question that waits for its answer. */
struct waiting {
    uint64_t id, seq;
    uint64_t deadline; /* of uv_now() */
    node_answer_fn fn;
    void *ctx;
    struct waiting *next;
};

struct node_link {
    struct fabric *fabric;
    struct peer_net *net;
    uv_timer_t timer;
    uint64_t seq;
    struct waiting *first;
    void (*done)(void *ctx);
    void *done_ctx;
    unsigned closing;
};

/* The question with that number, out of the list. */
static struct waiting *take(struct node_link *l, uint64_t id, uint64_t seq)
{
    for (struct waiting **at = &l->first; *at != NULL; at = &(*at)->next) {
        struct waiting *w = *at;
        if (w->id == id && (seq == 0 || w->seq == seq)) {
            *at = w->next;
            return w;
        }
    }
    return NULL;
}

static void fail(struct waiting *w, hsm_err err, const char *text)
{
    node_answer_fn fn = w->fn;
    void *ctx = w->ctx;
    free(w);
    nodes_answer_error(err, text, fn, ctx);
}

static void on_message(void *ctx, uint64_t from, uint16_t type, uint64_t seq, struct bytes payload)
{
    struct node_link *l = ctx;
    struct waiting *w = type == NODE_LINK_ANSWER && seq != 0 ? take(l, from, seq) : NULL;
    if (w == NULL)
        return; /* too late, or not asked */
    node_answer_fn fn = w->fn;
    void *fn_ctx = w->ctx;
    free(w);
    if (payload.n >= NODE_LINE_MAX)
        nodes_answer_error(HSM_E_MALFORMED, "the node's answer is too long", fn, fn_ctx);
    else
        nodes_answer_line(payload, fn, fn_ctx);
}

struct search {
    unsigned number;
    bool found;
};

static bool match_number(void *ctx, const struct document *d)
{
    struct search *s = ctx;
    struct node_record r;
    s->found = node_read(d, &r) == HSM_OK && r.number == s->number;
    return !s->found;
}

static bool is_registered(const struct node_link *l, uint64_t id)
{
    struct search s = {.number = (unsigned)(id - 1)};
    if (id <= NODE_NUMBER_MIN || id - 1 > UINT32_MAX)
        return false;
    state_each(l->fabric->state, STATE_NODE, bytes_str(""), match_number, &s);
    return s.found;
}

static bool is_allowed(void *ctx, uint64_t id, bool is_raft)
{
    return !is_raft && is_registered(ctx, id);
}

static void on_up(void *ctx, uint64_t id)
{
    struct node_link *l = ctx;
    log_info("node %llu is connected", (unsigned long long)(id - 1));
    if (l->fabric->views != NULL)
        node_views_ask(l->fabric->views);
}

static void on_down(void *ctx, uint64_t id)
{
    struct node_link *l = ctx;
    struct waiting *w;
    log_info("node %llu is not connected any more", (unsigned long long)(id - 1));
    while ((w = take(l, id, 0)) != NULL)
        fail(w, HSM_E_UNAVAILABLE, "the node hung up");
}

static void on_timer(uv_timer_t *t)
{
    struct node_link *l = t->data;
    uint64_t now = uv_now(l->fabric->config.loop);
    for (;;) {
        struct waiting **at = &l->first;
        while (*at != NULL && (*at)->deadline > now)
            at = &(*at)->next;
        struct waiting *w = *at;
        if (w == NULL)
            return;
        *at = w->next;
        fail(w, HSM_E_TIMEOUT, "the node did not answer in time");
    }
}

static hsm_err send_ask(struct node_link *l, const char *node, struct bytes line, node_answer_fn fn,
                        void *fn_ctx)
{
    struct node_record r;
    const struct document *d = state_get(l->fabric->state, STATE_NODE, bytes_str(node));
    if (d == NULL || node_read(d, &r) != HSM_OK)
        return HSM_E_UNAVAILABLE;
    struct waiting *w = calloc(1, sizeof *w);
    if (w == NULL)
        return HSM_E_NOMEM;
    *w = (struct waiting){.id = NODE_LINK_ID(r.number),
                          .seq = ++l->seq,
                          .deadline = uv_now(l->fabric->config.loop) + NODE_TIMEOUT_MS,
                          .fn = fn,
                          .ctx = fn_ctx,
                          .next = l->first};
    hsm_err e = peer_send(l->net, w->id, NODE_LINK_ASK, w->seq, line);
    if (e != HSM_OK) {
        free(w);
        return e;
    }
    l->first = w;
    return HSM_OK;
}

static void ask(void *ctx, const char *node, struct bytes line, node_answer_fn fn, void *fn_ctx)
{
    hsm_err e = send_ask(ctx, node, line, fn, fn_ctx);
    if (e != HSM_OK)
        nodes_answer_error(e == HSM_E_NOMEM ? e : HSM_E_UNAVAILABLE, "the node is not connected",
                           fn, fn_ctx);
}

hsm_err node_link_open(struct fabric *f, const struct node_link_config *cfg, struct node_link **ret,
                       char *text, size_t cap)
{
    char cert[PATH_MAX_LEN], key[PATH_MAX_LEN];
    struct node_link *l = calloc(1, sizeof *l);
    if (l == NULL)
        return HSM_E_NOMEM;
    l->fabric = f;
    snprintf(cert, sizeof cert, "%s/peer.pem", cfg->dir);
    snprintf(key, sizeof key, "%s/peer.key", cfg->dir);
    const struct peer_config pc = {.self = NODE_LINK_ID(cfg->instance),
                                   .pool = NODE_LINK_POOL,
                                   .listen = cfg->listen,
                                   .cert = cert,
                                   .key = key,
                                   .ca = cfg->ca};
    const struct peer_handlers h = {
        .ctx = l, .message = on_message, .up = on_up, .down = on_down, .allowed = is_allowed};
    hsm_err e = peer_net_open(f->config.loop, &pc, &h, &l->net, text, cap);
    if (e != HSM_OK) {
        free(l);
        return e;
    }
    (void)uv_timer_init(f->config.loop, &l->timer);
    l->timer.data = l;
    (void)uv_timer_start(&l->timer, on_timer, 1000, 1000);
    nodes_set_remote(f->nodes, ask, l);
    *ret = l;
    return HSM_OK;
}

uint16_t node_link_port(const struct node_link *l)
{
    return peer_net_port(l->net);
}

bool node_link_is_up(const struct node_link *l, unsigned number)
{
    return peer_net_up(l->net, NODE_LINK_ID(number));
}

void node_link_forget(struct node_link *l, unsigned number)
{
    peer_net_forget(l->net, NODE_LINK_ID(number));
}

static void end_part(struct node_link *l)
{
    if (--l->closing > 0)
        return;
    void (*done)(void *ctx) = l->done;
    void *ctx = l->done_ctx;
    free(l);
    if (done != NULL)
        done(ctx);
}

static void on_timer_closed(uv_handle_t *h)
{
    end_part(h->data);
}

static void on_net_closed(void *ctx)
{
    end_part(ctx);
}

void node_link_close(struct node_link *l, void (*done)(void *ctx), void *ctx)
{
    if (l == NULL) {
        if (done != NULL)
            done(ctx);
        return;
    }
    l->done = done;
    l->done_ctx = ctx;
    l->closing = 2;
    nodes_set_remote(l->fabric->nodes, NULL, NULL);
    while (l->first != NULL) {
        struct waiting *w = l->first;
        l->first = w->next;
        fail(w, HSM_E_UNAVAILABLE, "the fabric is ending");
    }
    uv_close((uv_handle_t *)&l->timer, on_timer_closed);
    peer_net_close(l->net, on_net_closed, l);
}
