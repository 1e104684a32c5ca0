#include "fabric/control_socket.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/file.h"
#include "fabric/fabric.h"
#include "fabric/identity/pki.h"
#include "fabric/node_link.h"
#include "fabric/node_registry.h"

#define LINE_MAX_LEN 4096
#define ANSWER_MAX   65536
#define CLIENTS_MAX  16
#define PATH_MAX_LEN 4096

struct control_socket {
    struct fabric *fabric;
    uv_pipe_t listener;
    struct client *clients;
    unsigned client_n;
    bool closing, closed;
    void (*done)(void *ctx);
    void *done_ctx;
};

struct client {
    struct control_socket *all;
    struct client *next, **at;
    uv_pipe_t pipe;
    uv_write_t write;
    bool busy; /* a commit is under way */
    bool hung_up;
    char line[LINE_MAX_LEN];
    size_t n;
    char *answer; /* ANSWER_MAX bytes */
    struct changes *changes;
    unsigned number; /* of a node to forget */
};

static void end_if_idle(struct control_socket *s)
{
    if (!s->closed || s->clients != NULL)
        return;
    void (*done)(void *ctx) = s->done;
    void *ctx = s->done_ctx;
    free(s);
    if (done != NULL)
        done(ctx);
}

static void on_client_closed(uv_handle_t *h)
{
    struct client *c = h->data;
    struct control_socket *s = c->all;
    *c->at = c->next;
    if (c->next != NULL)
        c->next->at = c->at;
    s->client_n--;
    changes_free(c->changes);
    free(c->answer);
    free(c);
    end_if_idle(s);
}

static void hang_up(struct client *c)
{
    c->hung_up = true;
    if (!c->busy && !uv_is_closing((uv_handle_t *)&c->pipe))
        uv_close((uv_handle_t *)&c->pipe, on_client_closed);
}

static void on_written(uv_write_t *w, int status)
{
    (void)status;
    hang_up(w->handle->data);
}

/* The answer is complete but for its line end. */
static void reply(struct client *c, struct wr *w)
{
    wr_str(w, "\n");
    if (c->hung_up || wr_ok(w) != HSM_OK) {
        hang_up(c);
        return;
    }
    uv_buf_t buf = uv_buf_init(c->answer, (unsigned)w->n);
    if (uv_write(&c->write, (uv_stream_t *)&c->pipe, &buf, 1, on_written) != 0)
        hang_up(c);
}

static void refuse(struct client *c, const char *code, const char *text)
{
    struct wr w = wr_of(c->answer, ANSWER_MAX);
    struct json_wr j = json_wr_of(&w);
    json_obj_open(&j);
    put_bool(&j, "ok", false);
    put_str(&j, "code", code);
    put_str(&j, "text", text);
    json_obj_close(&j);
    reply(c, &w);
}

static void run(struct client *c);

static void on_committed(void *ctx, hsm_err err)
{
    struct client *c = ctx;
    c->busy = false;
    if (err == HSM_E_CONFLICT && !c->hung_up) {
        run(c);
        return;
    }
    if (err != HSM_OK) {
        refuse(c, "failed", hsm_err_text(err));
        return;
    }
    if (c->number != 0 && c->all->fabric->link != NULL)
        node_link_forget(c->all->fabric->link, c->number);
    struct wr w = wr_of(c->answer, ANSWER_MAX);
    w.n = strlen(c->answer);
    reply(c, &w);
}

/* The answer in c->answer goes out when the changes are committed. */
static void commit(struct client *c, struct wr *w)
{
    wr_u8(w, 0);
    HSM_ASSERT(wr_ok(w) == HSM_OK);
    c->busy = true;
    state_commit(c->all->fabric->state, c->changes, on_committed, c);
}

static void node_token(struct client *c)
{
    struct fabric *f = c->all->fabric;
    char dir[PATH_MAX_LEN], secret[NODE_SECRET_LEN + 1], ca[65];
    uint64_t expires = clock_now_ms() + NODE_TOKEN_TTL_MS;
    if (f->link == NULL) {
        refuse(c, "bad", "the fabric was not started with an address for nodes");
        return;
    }
    if (path_join(dir, sizeof dir, f->config.home, "../pki") != HSM_OK ||
        pki_ca_fingerprint(dir, ca) != HSM_OK) {
        refuse(c, "failed", "the CA's certificate cannot be read");
        return;
    }
    node_token_make(c->changes, expires, secret);
    struct wr w = wr_of(c->answer, ANSWER_MAX);
    struct json_wr j = json_wr_of(&w);
    json_obj_open(&j);
    put_bool(&j, "ok", true);
    json_name(&j, "token");
    json_str_open(&j);
    json_str_add_s(&j, secret);
    json_str_add_s(&j, ".");
    json_str_add_s(&j, ca);
    json_str_close(&j);
    put_int(&j, "expires", (int64_t)expires);
    json_obj_close(&j);
    commit(c, &w);
}

static void list_nodes(struct client *c)
{
    static struct placement_node nodes[PLACEMENT_NODES_MAX];
    node_views_ask(c->all->fabric->views); /* also those that joined just now */
    size_t n = node_views_get(c->all->fabric->views, nodes, PLACEMENT_NODES_MAX);
    struct wr w = wr_of(c->answer, ANSWER_MAX);
    struct json_wr j = json_wr_of(&w);
    json_obj_open(&j);
    put_bool(&j, "ok", true);
    json_name(&j, "nodes");
    json_arr_open(&j);
    for (size_t i = 0; i < n; i++) {
        json_obj_open(&j);
        put_str(&j, "name", nodes[i].name);
        put_str(&j, "region", nodes[i].region);
        put_str(&j, "zone", nodes[i].zone);
        put_str(&j, "rack", nodes[i].rack);
        put_bool(&j, "up", nodes[i].is_up);
        put_int(&j, "partitions", nodes[i].partitions);
        json_obj_close(&j);
    }
    json_arr_close(&j);
    json_obj_close(&j);
    reply(c, &w);
}

static void remove_node(struct client *c, const struct json_doc *d)
{
    struct bytes name = {0};
    struct node_record r;
    uint32_t at = json_get(d, 0, "name");
    const struct document *doc = NULL;
    if (at != JSON_NONE && json_plain(d, at, &name) == HSM_OK)
        doc = state_get(c->all->fabric->state, STATE_NODE, name);
    if (doc == NULL || node_read(doc, &r) != HSM_OK) {
        refuse(c, "not-found", "there is no node of that name");
        return;
    }
    c->number = r.number;
    changes_delete(c->changes, STATE_NODE, name);
    struct wr w = wr_of(c->answer, ANSWER_MAX);
    wr_str(&w, "{\"ok\":true}");
    commit(c, &w);
}

static void run(struct client *c)
{
    struct json_tok tok[32];
    struct json_doc d;
    struct bytes op = {0};
    changes_reset(c->changes, c->all->fabric->state);
    uint32_t at = JSON_NONE;
    if (json_parse(bytes_of(c->line, c->n), tok, 32, &d) == HSM_OK)
        at = json_get(&d, 0, "op");
    if (at != JSON_NONE && json_plain(&d, at, &op) != HSM_OK)
        op = bytes_str("");
    if (bytes_eq_str(op, "node-token"))
        node_token(c);
    else if (bytes_eq_str(op, "nodes"))
        list_nodes(c);
    else if (bytes_eq_str(op, "node-remove"))
        remove_node(c, &d);
    else
        refuse(c, "bad", "no such operation");
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    struct client *c = h->data;
    (void)suggested;
    *buf = uv_buf_init(c->line + c->n, (unsigned)(sizeof c->line - c->n));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct client *c = stream->data;
    (void)buf;
    if (n == 0)
        return;
    if (n < 0) {
        hang_up(c);
        return;
    }
    const char *end = memchr(c->line + c->n, '\n', (size_t)n);
    c->n += (size_t)n;
    if (end == NULL)
        return;
    c->n = (size_t)(end - c->line);
    (void)uv_read_stop(stream);
    run(c);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct control_socket *s = listener->data;
    struct client *c = status == 0 ? calloc(1, sizeof *c) : NULL;
    if (c == NULL)
        return;
    c->answer = malloc(ANSWER_MAX);
    c->changes = changes_new(s->fabric->state);
    if (c->answer == NULL || c->changes == NULL) {
        changes_free(c->changes);
        free(c->answer);
        free(c);
        return;
    }
    c->all = s;
    c->next = s->clients;
    c->at = &s->clients;
    if (s->clients != NULL)
        s->clients->at = &c->next;
    s->clients = c;
    s->client_n++;
    (void)uv_pipe_init(listener->loop, &c->pipe, 0);
    c->pipe.data = c;
    if (uv_accept(listener, (uv_stream_t *)&c->pipe) != 0 || s->client_n > CLIENTS_MAX ||
        uv_read_start((uv_stream_t *)&c->pipe, on_alloc, on_read) != 0)
        hang_up(c);
}

hsm_err control_socket_open(struct fabric *f, const char *path, struct control_socket **ret,
                            char *text, size_t cap)
{
    struct control_socket *s = calloc(1, sizeof *s);
    if (s == NULL)
        return HSM_E_NOMEM;
    s->fabric = f;
    (void)unlink(path);
    (void)uv_pipe_init(f->config.loop, &s->listener, 0);
    s->listener.data = s;
    int rc = uv_pipe_bind(&s->listener, path);
    if (rc == 0)
        rc = uv_listen((uv_stream_t *)&s->listener, CLIENTS_MAX, on_connection);
    if (rc != 0) {
        snprintf(text, cap, "%s: %s", path, uv_strerror(rc));
        control_socket_close(s, NULL, NULL);
        return HSM_E_IO;
    }
    *ret = s;
    return HSM_OK;
}

static void on_listener_closed(uv_handle_t *h)
{
    struct control_socket *s = h->data;
    s->closed = true;
    end_if_idle(s);
}

void control_socket_close(struct control_socket *s, void (*done)(void *ctx), void *ctx)
{
    if (s == NULL) {
        if (done != NULL)
            done(ctx);
        return;
    }
    s->done = done;
    s->done_ctx = ctx;
    for (struct client *c = s->clients; c != NULL; c = c->next)
        hang_up(c);
    uv_close((uv_handle_t *)&s->listener, on_listener_closed);
}
