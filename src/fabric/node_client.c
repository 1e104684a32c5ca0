#include "fabric/node_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>

#define TOKENS_MAX 16384

/* One question to the embedded node: a connection of its own. */
struct ask {
    struct nodes *nodes;
    struct ask *next, **at;
    uv_pipe_t pipe;
    uv_timer_t timer;
    uv_connect_t connect;
    uv_write_t write;
    unsigned handles;
    bool answered;
    node_answer_fn fn;
    void *ctx;
    char *request; /* with its line end */
    size_t request_n, n;
    char line[NODE_LINE_MAX];
};

struct nodes {
    uv_loop_t *loop;
    char socket[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
    nodes_ask_fn fake, remote;
    void *fake_ctx, *remote_ctx;
    struct ask *asks;
    bool closed;
    void (*done)(void *ctx);
    void *done_ctx;
};

void nodes_answer_line(struct bytes line, node_answer_fn fn, void *ctx)
{
    struct node_answer a;
    struct json_tok *tok = calloc(TOKENS_MAX, sizeof *tok);
    if (tok == NULL) {
        nodes_answer_error(HSM_E_NOMEM, "no memory for the node's answer", fn, ctx);
        return;
    }
    node_answer_parse(line, tok, TOKENS_MAX, &a);
    fn(ctx, &a);
    free(tok);
}

void nodes_answer_error(hsm_err err, const char *text, node_answer_fn fn, void *ctx)
{
    struct node_answer a = {.err = err};
    snprintf(a.text, sizeof a.text, "%s", text);
    fn(ctx, &a);
}

static void end_if_idle(struct nodes *n)
{
    if (!n->closed || n->asks != NULL)
        return;
    void (*done)(void *ctx) = n->done;
    void *ctx = n->done_ctx;
    free(n);
    if (done != NULL)
        done(ctx);
}

static void on_handle_closed(uv_handle_t *h)
{
    struct ask *q = h->data;
    if (--q->handles > 0)
        return;
    struct nodes *n = q->nodes;
    *q->at = q->next;
    if (q->next != NULL)
        q->next->at = q->at;
    free(q->request);
    free(q);
    end_if_idle(n);
}

static void close_ask(struct ask *q)
{
    if (!uv_is_closing((uv_handle_t *)&q->pipe))
        uv_close((uv_handle_t *)&q->pipe, on_handle_closed);
    if (!uv_is_closing((uv_handle_t *)&q->timer))
        uv_close((uv_handle_t *)&q->timer, on_handle_closed);
}

static void fail(struct ask *q, hsm_err err, const char *text)
{
    if (q->answered)
        return;
    q->answered = true;
    close_ask(q);
    nodes_answer_error(err, text, q->fn, q->ctx);
}

static void on_timer(uv_timer_t *t)
{
    fail(t->data, HSM_E_TIMEOUT, "the node did not answer in time");
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    struct ask *q = h->data;
    (void)suggested;
    *buf = uv_buf_init(q->line + q->n, (unsigned)(sizeof q->line - q->n));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct ask *q = stream->data;
    (void)buf;
    if (n == 0 || q->answered)
        return;
    if (n < 0) {
        /* ENOBUFS: the line is longer than its limit */
        fail(q, n == UV_ENOBUFS ? HSM_E_MALFORMED : HSM_E_UNAVAILABLE,
             n == UV_ENOBUFS ? "the node's answer is too long" : "the node hung up");
        return;
    }
    const char *end = memchr(q->line + q->n, '\n', (size_t)n);
    q->n += (size_t)n;
    if (end == NULL)
        return;
    q->answered = true;
    close_ask(q);
    nodes_answer_line(bytes_of(q->line, (size_t)(end - q->line)), q->fn, q->ctx);
}

static void on_written(uv_write_t *w, int status)
{
    struct ask *q = w->handle->data;
    if (status != 0)
        fail(q, HSM_E_UNAVAILABLE, "the node hung up");
}

static void on_connect(uv_connect_t *c, int status)
{
    struct ask *q = c->handle->data;
    if (status == UV_ECANCELED)
        return;
    if (status != 0) {
        fail(q, HSM_E_UNAVAILABLE, "the node is not running");
        return;
    }
    uv_buf_t buf = uv_buf_init(q->request, (unsigned)q->request_n);
    if (uv_read_start((uv_stream_t *)&q->pipe, on_alloc, on_read) != 0 ||
        uv_write(&q->write, (uv_stream_t *)&q->pipe, &buf, 1, on_written) != 0)
        fail(q, HSM_E_UNAVAILABLE, "the node cannot be asked");
}

static void ask_local(struct nodes *n, struct bytes request, node_answer_fn fn, void *ctx)
{
    struct ask *q = calloc(1, sizeof *q);
    char *line = malloc(request.n + 1);
    if (q == NULL || line == NULL) {
        free(q);
        free(line);
        nodes_answer_error(HSM_E_NOMEM, "no memory for a question", fn, ctx);
        return;
    }
    memcpy(line, request.p, request.n);
    line[request.n] = '\n';
    *q = (struct ask){.nodes = n,
                      .next = n->asks,
                      .at = &n->asks,
                      .handles = 2,
                      .fn = fn,
                      .ctx = ctx,
                      .request = line,
                      .request_n = request.n + 1};
    if (n->asks != NULL)
        n->asks->at = &q->next;
    n->asks = q;
    (void)uv_pipe_init(n->loop, &q->pipe, 0);
    (void)uv_timer_init(n->loop, &q->timer);
    q->pipe.data = q->timer.data = q;
    (void)uv_timer_start(&q->timer, on_timer, NODE_TIMEOUT_MS, 0);
    uv_pipe_connect(&q->connect, &q->pipe, n->socket, on_connect);
}

void nodes_ask(struct nodes *n, const char *node, struct bytes request, node_answer_fn fn,
               void *ctx)
{
    if (n == NULL || n->closed)
        nodes_answer_error(HSM_E_UNAVAILABLE, "the fabric asks no nodes", fn, ctx);
    else if (request.n >= NODE_LINE_MAX)
        nodes_answer_error(HSM_E_TOO_LARGE, "the question is too long", fn, ctx);
    else if (n->fake != NULL)
        n->fake(n->fake_ctx, node, request, fn, ctx);
    else if (strcmp(node, NODE_LOCAL) == 0)
        ask_local(n, request, fn, ctx);
    else if (n->remote != NULL)
        n->remote(n->remote_ctx, node, request, fn, ctx);
    else
        nodes_answer_error(HSM_E_UNAVAILABLE, "the node is not connected", fn, ctx);
}

hsm_err nodes_open(uv_loop_t *loop, const char *socket, struct nodes **ret)
{
    struct nodes *n = calloc(1, sizeof *n);
    if (n == NULL)
        return HSM_E_NOMEM;
    n->loop = loop;
    if (strlen(socket) >= sizeof n->socket) {
        free(n);
        return HSM_E_RANGE;
    }
    memcpy(n->socket, socket, strlen(socket) + 1);
    *ret = n;
    return HSM_OK;
}

hsm_err nodes_open_fake(nodes_ask_fn ask, void *ctx, struct nodes **ret)
{
    struct nodes *n = calloc(1, sizeof *n);
    if (n == NULL)
        return HSM_E_NOMEM;
    n->fake = ask;
    n->fake_ctx = ctx;
    *ret = n;
    return HSM_OK;
}

void nodes_set_remote(struct nodes *n, nodes_ask_fn ask, void *ctx)
{
    n->remote = ask;
    n->remote_ctx = ctx;
}

void nodes_close(struct nodes *n, void (*done)(void *ctx), void *ctx)
{
    if (n == NULL) {
        if (done != NULL)
            done(ctx);
        return;
    }
    n->done = done;
    n->done_ctx = ctx;
    n->closed = true;
    for (struct ask *q = n->asks; q != NULL; q = q->next)
        fail(q, HSM_E_UNAVAILABLE, "the fabric is ending");
    end_if_idle(n);
}
