#include "gateway/metricsd.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/clock.h"
#include "codec/http1.h"

#define CLIENTS_MAX 16
#define HEAD_MAX    8192
#define BACKLOG     64
#define TICK_MS     250
#define PATIENCE_MS 5000 /* for the head, and again for the answer to be taken */
#define LINGER_MS   1000 /* until the client has seen the end */
#define TAKES_MAX   100  /* connections a tick */

enum client_state {
    CLIENT_READS,   /* its head comes */
    CLIENT_ASKS,    /* the boundary's status is on its way */
    CLIENT_WRITES,  /* the answer goes */
    CLIENT_LINGERS, /* nothing more to say; what it sends is dropped */
};
enum page {
    PAGE_METRICS,
    PAGE_READY
};

struct client {
    struct metricsd *d;
    uv_tcp_t tcp;
    uv_write_t write;
    uv_shutdown_t shutdown;
    enum client_state state;
    enum page page;
    bool is_head, is_half; /* half: the client sends no more */
    uint64_t since_ms, until_ms;
    size_t n;
    char *answer;
    char head[HEAD_MAX];
};

struct metricsd {
    uv_loop_t *loop;
    struct metricsd_config cfg;
    uint64_t start_s;
    uint16_t port;
    uv_tcp_t listener;
    uv_timer_t timer;
    unsigned takes; /* left in this tick */
    bool is_owed;   /* a connection waits for the next tick */
    bool is_asking, is_stopping;
    struct client *client[CLIENTS_MAX];
    uint8_t text[METRICS_TEXT_MAX];
};

/* ---- clients ---- */

static void on_client_closed(uv_handle_t *h)
{
    struct client *k = h->data;
    free(k->answer);
    free(k);
}

static void client_close(struct client *k)
{
    for (size_t i = 0; i < CLIENTS_MAX; i++)
        if (k->d->client[i] == k)
            k->d->client[i] = NULL;
    if (!uv_is_closing((uv_handle_t *)&k->tcp))
        uv_close((uv_handle_t *)&k->tcp, on_client_closed);
}

static void on_shutdown(uv_shutdown_t *req, int status)
{
    struct client *k = req->data;
    if (status != UV_ECANCELED && (status < 0 || k->is_half))
        client_close(k);
}

static void on_written(uv_write_t *req, int status)
{
    struct client *k = req->data;
    if (status == UV_ECANCELED)
        return;
    k->state = CLIENT_LINGERS;
    k->until_ms = uv_now(k->d->loop) + LINGER_MS;
    if (status < 0 || uv_shutdown(&k->shutdown, (uv_stream_t *)&k->tcp, on_shutdown) != 0)
        client_close(k);
}

static const char *reason_of(unsigned status)
{
    switch (status) {
    case 200:
        return "OK";
    case 400:
        return "Bad Request";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 431:
        return "Request Header Fields Too Large";
    default:
        return "Service Unavailable";
    }
}

static void answer(struct client *k, unsigned status, const char *type, struct bytes body)
{
    char head[256];
    int n = snprintf(head, sizeof head,
                     "HTTP/1.1 %u %s\r\nContent-Type: %s; charset=utf-8\r\nContent-Length: %zu\r\n"
                     "%sCache-Control: no-store\r\nConnection: close\r\n\r\n",
                     status, reason_of(status), type, body.n,
                     status == 405 ? "Allow: GET, HEAD\r\n" : "");
    size_t used = (size_t)n + (k->is_head ? 0 : body.n);
    k->answer = malloc(used);
    if (k->answer == NULL) {
        client_close(k);
        return;
    }
    memcpy(k->answer, head, (size_t)n);
    if (!k->is_head && body.n > 0)
        memcpy(k->answer + n, body.p, body.n);
    k->state = CLIENT_WRITES;
    k->until_ms = uv_now(k->d->loop) + PATIENCE_MS;
    uv_buf_t buf = uv_buf_init(k->answer, (unsigned)used);
    if (uv_write(&k->write, (uv_stream_t *)&k->tcp, &buf, 1, on_written) != 0)
        client_close(k);
}

static void answer_text(struct client *k, unsigned status, const char *text)
{
    answer(k, status, "text/plain", bytes_str(text));
}

/* ---- pages ---- */

static void answer_metrics(struct client *k, const struct metrics_facts *f)
{
    struct wr w = wr_of(k->d->text, sizeof k->d->text);
    metrics_render(f, &w);
    if (wr_ok(&w) != HSM_OK)
        answer_text(k, 503, "the text is too long\n");
    else
        answer(k, 200, "text/plain; version=0.0.4", wr_view(&w));
}

static void answer_ready(struct client *k, const struct metrics_facts *f)
{
    char text[128];
    const char *obstacle = metrics_obstacle(f);
    (void)snprintf(text, sizeof text, "not ready: %s\n", obstacle != NULL ? obstacle : "");
    answer_text(k, obstacle == NULL ? 200 : 503, obstacle == NULL ? "ready\n" : text);
}

/* One answer of the boundary is for everybody who waits. */
static void on_status(void *ctx, const struct wire_status *m)
{
    struct metricsd *d = ctx;
    struct metrics_facts f = {
        .phase = d->cfg.phase(d->cfg.ctx),
        .pool = d->cfg.pool,
        .meters = d->cfg.meters,
        .loops = d->cfg.loops,
        .start_s = d->start_s,
        .status = m,
        .audit_writable = !audit_sink_is_broken(d->cfg.audit),
        .backlog = control_backlog(d->cfg.control),
    };
    d->is_asking = false;
    store_info(d->cfg.store, &f.store);
    for (size_t i = 0; i < CLIENTS_MAX; i++) {
        struct client *k = d->client[i];
        if (k == NULL || k->state != CLIENT_ASKS)
            continue;
        if (k->page == PAGE_METRICS)
            answer_metrics(k, &f);
        else
            answer_ready(k, &f);
    }
}

static void ask(struct client *k, enum page page)
{
    struct metricsd *d = k->d;
    k->state = CLIENT_ASKS;
    k->page = page;
    if (d->is_asking)
        return;
    d->is_asking = true;
    control_status(d->cfg.control, on_status, d);
}

static void serve(struct client *k, const struct http1_head *h)
{
    struct bytes path = h->target;
    for (size_t i = 0; i < path.n; i++)
        if (path.p[i] == '?')
            path.n = i;
    k->is_head = h->method == HTTP1_HEAD;
    if (h->method != HTTP1_GET && h->method != HTTP1_HEAD)
        answer_text(k, 405, "only GET and HEAD\n");
    else if (h->chunked || h->content_length > 0)
        answer_text(k, 400, "no body, please\n");
    else if (bytes_eq_str(path, "/metrics"))
        ask(k, PAGE_METRICS);
    else if (bytes_eq_str(path, "/readyz"))
        ask(k, PAGE_READY);
    else if (bytes_eq_str(path, "/healthz"))
        answer_text(k, 200, "alive\n");
    else
        answer_text(k, 404, "there are /metrics, /healthz and /readyz\n");
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
    struct client *k = s->data;
    struct http1_head h;
    size_t used;
    (void)buf;
    if (n == UV_EOF && (k->state == CLIENT_ASKS || k->state == CLIENT_WRITES)) {
        k->is_half = true;
        (void)uv_read_stop(s);
        return;
    }
    if (n < 0) {
        client_close(k);
        return;
    }
    if (k->state != CLIENT_READS)
        return; /* dropped */
    k->n += (size_t)n;
    hsm_err err = http1_parse(bytes_of(k->head, k->n), &h, &used);
    if (err == HSM_OK)
        serve(k, &h);
    else if (err != HSM_E_AGAIN)
        answer_text(k, err == HSM_E_HEADERS_TOO_LARGE ? 431 : 400, "that is no request\n");
    else if (k->n == sizeof k->head)
        answer_text(k, 431, "the head is too long\n");
}

/* The head's buffer; what comes after the head is read over it. */
static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *ret)
{
    struct client *k = h->data;
    (void)suggested;
    if (k->state != CLIENT_READS)
        k->n = 0;
    *ret = uv_buf_init(k->head + k->n, (unsigned)(sizeof k->head - k->n));
}

/* ---- connections ---- */

/* Full: whoever is here longest has had his time, unless he waits for us. */
static struct client **place(struct metricsd *d)
{
    struct client **oldest = NULL;
    for (size_t i = 0; i < CLIENTS_MAX; i++) {
        if (d->client[i] == NULL)
            return &d->client[i];
        if (d->client[i]->state != CLIENT_ASKS &&
            (oldest == NULL || d->client[i]->since_ms < (*oldest)->since_ms))
            oldest = &d->client[i];
    }
    if (oldest != NULL)
        client_close(*oldest);
    return oldest;
}

static void take(struct metricsd *d)
{
    struct client *k = calloc(1, sizeof *k);
    if (k == NULL) {
        d->is_owed = true;
        return;
    }
    d->takes--;
    k->d = d;
    (void)uv_tcp_init(d->loop, &k->tcp);
    k->tcp.data = k;
    k->write.data = k;
    k->shutdown.data = k;
    k->since_ms = uv_now(d->loop);
    k->until_ms = k->since_ms + PATIENCE_MS;
    bool accepted = uv_accept((uv_stream_t *)&d->listener, (uv_stream_t *)&k->tcp) == 0;
    struct client **at = accepted ? place(d) : NULL;
    if (at == NULL || uv_read_start((uv_stream_t *)&k->tcp, on_alloc, on_read) != 0) {
        client_close(k);
        return;
    }
    *at = k;
}

static void on_tick(uv_timer_t *t)
{
    struct metricsd *d = t->data;
    uint64_t now = uv_now(d->loop);
    bool busy = false;
    for (size_t i = 0; i < CLIENTS_MAX; i++) {
        struct client *k = d->client[i];
        if (k != NULL && k->state != CLIENT_ASKS && now >= k->until_ms)
            client_close(k);
        busy = busy || d->client[i] != NULL;
    }
    d->takes = TAKES_MAX;
    if (d->is_owed) {
        d->is_owed = false;
        take(d);
    } else if (!busy) {
        uv_timer_stop(t);
    }
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct metricsd *d = listener->data;
    if (status < 0 || d->is_stopping)
        return;
    if (!uv_is_active((uv_handle_t *)&d->timer))
        (void)uv_timer_start(&d->timer, on_tick, TICK_MS, TICK_MS);
    if (d->takes > 0)
        take(d);
    else
        d->is_owed = true; /* libuv tells of no other one before this was accepted */
}

/* ---- life ---- */

static uint16_t port_of(int fd)
{
    struct sockaddr_in a = {0};
    socklen_t n = sizeof a;
    return getsockname(fd, (struct sockaddr *)&a, &n) == 0 ? ntohs(a.sin_port) : 0;
}

hsm_err metricsd_new(uv_loop_t *loop, const struct metricsd_config *cfg, struct metricsd **ret)
{
    struct metricsd *d = calloc(1, sizeof *d);
    if (d == NULL) {
        (void)close(cfg->fd);
        return HSM_E_NOMEM;
    }
    d->loop = loop;
    d->cfg = *cfg;
    d->start_s = clock_now_ms() / 1000;
    d->takes = TAKES_MAX;
    d->port = port_of(cfg->fd);
    (void)uv_tcp_init(loop, &d->listener);
    (void)uv_timer_init(loop, &d->timer);
    d->listener.data = d;
    d->timer.data = d;
    *ret = d; /* the handles are open: the caller stops them in any case */
    if (uv_tcp_open(&d->listener, cfg->fd) != 0) {
        (void)close(cfg->fd);
        return HSM_E_IO;
    }
    return uv_listen((uv_stream_t *)&d->listener, BACKLOG, on_connection) == 0 ? HSM_OK : HSM_E_IO;
}

uint16_t metricsd_port(const struct metricsd *d)
{
    return d != NULL ? d->port : 0;
}

void metricsd_stop(struct metricsd *d)
{
    if (d == NULL || d->is_stopping)
        return;
    d->is_stopping = true;
    control_status_cancel(d->cfg.control, d);
    for (size_t i = 0; i < CLIENTS_MAX; i++)
        if (d->client[i] != NULL)
            client_close(d->client[i]);
    uv_close((uv_handle_t *)&d->listener, NULL);
    uv_close((uv_handle_t *)&d->timer, NULL);
}

void metricsd_free(struct metricsd *d)
{
    free(d);
}
