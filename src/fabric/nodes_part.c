#include "fabric/nodes_part.h"

#include <stdio.h>
#include "base/file.h"
#include "fabric/control_socket.h"
#include "fabric/identity/pki.h"
#include "fabric/node_link.h"
#include "fabric/node_registry.h"

#define PATH_MAX_LEN 4096
#define ASK_MS       5000

static void on_ask_timer(uv_timer_t *t)
{
    struct fabric *f = t->data;
    node_views_ask(f->views);
}

static hsm_err open_link(struct fabric *f, uint64_t now_ms, char *text, size_t cap)
{
    char pki[PATH_MAX_LEN], dir[PATH_MAX_LEN], ca[PATH_MAX_LEN];
    TRY(path_join(pki, sizeof pki, f->config.home, "../pki"));
    TRY(path_join(dir, sizeof dir, f->config.home, "link"));
    TRY(path_join(ca, sizeof ca, pki, PKI_CA_CERT));
    TRY(dir_ensure(dir, 0700));
    TRY(pki_ensure_peer(pki, dir, NODE_LINK_POOL, 0, now_ms, text, cap));
    const struct node_link_config cfg = {.listen = f->config.nodes_listen, .dir = dir, .ca = ca};
    return node_link_open(f, &cfg, &f->link, text, cap);
}

hsm_err nodes_part_open(struct fabric *f, uint64_t now_ms, char *text, size_t cap)
{
    char path[PATH_MAX_LEN];
    TRY(path_join(path, sizeof path, f->config.home, "../run"));
    TRY(dir_ensure(path, 0700));
    TRY(path_join(path, sizeof path, f->config.home, "../run/node.sock"));
    hsm_err e = nodes_open(f->config.loop, path, &f->nodes);
    if (e != HSM_OK) {
        snprintf(text, cap, "the socket's name is too long: %s", path);
        return e;
    }
    TRY(node_views_new(f, &f->views));
    if (f->config.nodes_listen != NULL)
        TRY(open_link(f, now_ms, text, cap));
    TRY(path_join(path, sizeof path, f->config.home, "../run/fabric.sock"));
    TRY(control_socket_open(f, path, &f->control, text, cap));
    (void)uv_timer_init(f->config.loop, &f->ask_timer);
    f->ask_timer.data = f;
    (void)uv_timer_start(&f->ask_timer, on_ask_timer, 0, ASK_MS);
    return HSM_OK;
}

static void on_timer_closed(uv_handle_t *h)
{
    struct fabric *f = h->data;
    f->nodes_ended(f->nodes_ended_ctx);
}

static void on_nodes_closed(void *ctx)
{
    struct fabric *f = ctx;
    f->nodes = NULL;
    uv_close((uv_handle_t *)&f->ask_timer, on_timer_closed);
}

static void on_link_closed(void *ctx)
{
    struct fabric *f = ctx;
    f->link = NULL;
    nodes_close(f->nodes, on_nodes_closed, f);
}

static void on_control_closed(void *ctx)
{
    struct fabric *f = ctx;
    f->control = NULL;
    node_link_close(f->link, on_link_closed, f);
}

void nodes_part_end(struct fabric *f, void (*done)(void *ctx), void *ctx)
{
    f->nodes_ended = done;
    f->nodes_ended_ctx = ctx;
    (void)uv_timer_stop(&f->ask_timer);
    control_socket_close(f->control, on_control_closed, f);
}
