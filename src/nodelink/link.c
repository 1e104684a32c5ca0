#include "nodelink/link.h"

#include <stdio.h>
#include <stdlib.h>
#include "base/file.h"
#include "base/log.h"
#include "fabric/answer.h"
#include "fabric/node_link.h"
#include "fabric/node_registry.h"
#include "store/peer.h"

#define PATH_MAX_LEN 4096
#define FABRIC_ID    NODE_LINK_ID(0)

struct link {
    struct peer_net *net;
    struct nodes *nodes;
    void (*done)(void *ctx);
    void *done_ctx;
};

/* A line that was handed to the node. */
struct handed {
    struct link *link;
    uint64_t seq;
};

static void put_failure(const struct node_answer *a, struct wr *w)
{
    struct json_wr j = json_wr_of(w);
    json_obj_open(&j);
    put_bool(&j, "ok", false);
    put_str(&j, "code", "failed");
    put_str(&j, "text", a->text);
    json_obj_close(&j);
}

static void on_answer(void *ctx, const struct node_answer *a)
{
    struct handed *h = ctx;
    char buf[1024];
    struct wr w = wr_of(buf, sizeof buf);
    if (a->doc.n == 0)
        put_failure(a, &w);
    /* What cannot be sent is asked again. */
    if (h->link->net != NULL)
        (void)!peer_send(h->link->net, FABRIC_ID, NODE_LINK_ANSWER, h->seq,
                         a->doc.n > 0 ? a->doc.text : wr_view(&w));
    free(h);
}

static void on_message(void *ctx, uint64_t from, uint16_t type, uint64_t seq, struct bytes payload)
{
    struct link *l = ctx;
    struct handed *h = type == NODE_LINK_ASK && from == FABRIC_ID ? calloc(1, sizeof *h) : NULL;
    if (h == NULL)
        return;
    *h = (struct handed){.link = l, .seq = seq};
    nodes_ask(l->nodes, NODE_LOCAL, payload, on_answer, h);
}

static void on_up(void *ctx, uint64_t id)
{
    (void)ctx, (void)id;
    log_info("connected to the fabric");
}

static void on_down(void *ctx, uint64_t id)
{
    (void)ctx, (void)id;
    log_warn("not connected to the fabric");
}

static bool is_fabric(void *ctx, uint64_t id, bool is_raft)
{
    (void)ctx;
    return id == FABRIC_ID && !is_raft;
}

static hsm_err read_file(const char *dir, unsigned *ret_number, char *address, size_t size)
{
    char path[PATH_MAX_LEN];
    uint8_t text[1024];
    struct json_tok tok[16];
    struct json_doc d;
    int64_t number = 0;
    size_t n = 0, len = 0;
    TRY(path_join(path, sizeof path, dir, LINK_FILE));
    TRY(file_read(path, text, sizeof text, &n));
    TRY(json_parse(bytes_of(text, n), tok, 16, &d));
    uint32_t at = json_get(&d, 0, "number"), where = json_get(&d, 0, "address");
    if (at == JSON_NONE || where == JSON_NONE || json_int(&d, at, &number) != HSM_OK ||
        number < NODE_NUMBER_MIN || number > UINT32_MAX)
        return HSM_E_MALFORMED;
    TRY(json_string(&d, where, address, size - 1, &len));
    address[len] = 0;
    *ret_number = (unsigned)number;
    return HSM_OK;
}

static hsm_err open_net(uv_loop_t *loop, const char *dir, struct link *l, char *text, size_t cap)
{
    char cert[PATH_MAX_LEN], key[PATH_MAX_LEN], ca[PATH_MAX_LEN], address[256];
    unsigned number = 0;
    TRY(path_join(cert, sizeof cert, dir, "peer.pem"));
    TRY(path_join(key, sizeof key, dir, "peer.key"));
    TRY(path_join(ca, sizeof ca, dir, "ca.pem"));
    hsm_err e = read_file(dir, &number, address, sizeof address);
    if (e != HSM_OK) {
        snprintf(text, cap, "%s/" LINK_FILE " is missing or damaged: keyhold node join makes it",
                 dir);
        return e;
    }
    const struct peer_config pc = {.self = NODE_LINK_ID(number),
                                   .pool = NODE_LINK_POOL,
                                   .listen = "127.0.0.1:0", /* nobody dials us */
                                   .cert = cert,
                                   .key = key,
                                   .ca = ca};
    const struct peer_handlers h = {
        .ctx = l, .message = on_message, .up = on_up, .down = on_down, .allowed = is_fabric};
    TRY(peer_net_open(loop, &pc, &h, &l->net, text, cap));
    e = peer_net_set_address(l->net, FABRIC_ID, address);
    if (e != HSM_OK)
        snprintf(text, cap, "the fabric's address %s is not one", address);
    return e;
}

hsm_err link_open(uv_loop_t *loop, const struct link_config *cfg, struct link **ret, char *text,
                  size_t cap)
{
    struct link *l = calloc(1, sizeof *l);
    text[0] = 0;
    hsm_err e = l != NULL ? nodes_open(loop, cfg->socket, &l->nodes) : HSM_E_NOMEM;
    if (e == HSM_OK)
        e = open_net(loop, cfg->dir, l, text, cap);
    if (e != HSM_OK) {
        if (text[0] == 0)
            snprintf(text, cap, "%s", hsm_err_text(e));
        if (l != NULL)
            link_close(l, NULL, NULL);
        return e;
    }
    *ret = l;
    return HSM_OK;
}

bool link_is_up(const struct link *l)
{
    return peer_net_up(l->net, FABRIC_ID);
}

const char *link_reason(const struct link *l)
{
    return peer_net_reason(l->net, FABRIC_ID);
}

static void on_net_closed(void *ctx)
{
    struct link *l = ctx;
    void (*done)(void *ctx) = l->done;
    void *done_ctx = l->done_ctx;
    free(l);
    if (done != NULL)
        done(done_ctx);
}

static void on_nodes_closed(void *ctx)
{
    struct link *l = ctx;
    struct peer_net *net = l->net;
    if (net == NULL) {
        on_net_closed(l);
        return;
    }
    peer_net_close(net, on_net_closed, l);
}

void link_close(struct link *l, void (*done)(void *ctx), void *ctx)
{
    l->done = done;
    l->done_ctx = ctx;
    nodes_close(l->nodes, on_nodes_closed, l);
}
