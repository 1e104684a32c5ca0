#include "fabric/server.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/log.h"
#include "net/door_client.h"

#define DRAIN_MS        2000
#define DOOR_RETRY_MS   100
#define CONNECTIONS_MAX 1024

struct server {
    uv_loop_t loop;
    const struct server_options *options;
    struct fabric *fabric;
    struct http_server *http;
    const char *door;
    int status;
    uv_signal_t term, interrupt;
    uv_timer_t door_timer;
    uint16_t port;
    int ready_fd;
};

static void on_reply(void *ctx, const struct answer *a)
{
    struct http_exchange *x = ctx;
    /* A connection that named no host came here by default: the next one may name it. */
    if (a->status == 421)
        http_exchange_last(x);
    struct server *s = http_exchange_user(x);
    http_respond(x, a->status, wr_view(&a->headers), wr_view(&a->body), a->secret);
    if (a->secret)
        fabric_wipe(s->fabric);
}

static void on_request(void *ctx, struct http_exchange *x, const struct http_request *rq)
{
    struct server *s = ctx;
    http_exchange_set_user(x, s);
    fabric_ask(s->fabric, rq, clock_now_ms(), on_reply, x);
}

static void on_refused(void *ctx, hsm_err err, const char *client_ip, struct wr *headers,
                       struct wr *out)
{
    (void)ctx, (void)client_ip;
    fabric_refused(err, headers, out);
}

static void on_ended(void *ctx)
{
    struct server *s = ctx;
    uv_close((uv_handle_t *)&s->term, NULL);
    uv_close((uv_handle_t *)&s->interrupt, NULL);
    uv_close((uv_handle_t *)&s->door_timer, NULL);
}

static void on_drained(void *ctx)
{
    struct server *s = ctx;
    http_server_free(s->http);
    s->http = NULL;
    fabric_end(s->fabric, on_ended, s);
}

static void stop(struct server *s)
{
    uv_signal_stop(&s->term);
    uv_signal_stop(&s->interrupt);
    uv_timer_stop(&s->door_timer);
    s->door = NULL;
    if (s->http != NULL)
        http_server_drain(s->http, DRAIN_MS, on_drained, s);
    else
        fabric_end(s->fabric, on_ended, s);
}

static void on_signal(uv_signal_t *h, int signum)
{
    (void)signum;
    stop(h->data);
}

/* Once: somebody can come in. */
static void report(struct server *s)
{
    if (s->ready_fd < 0)
        return;
    if (dprintf(s->ready_fd, "%u\n", s->port) < 0)
        log_warn("nobody waits for readiness");
    close(s->ready_fd);
    s->ready_fd = -1;
}

/* The door may be starting at the same moment, and it may be started again at any time. */
static void look_for_door(uv_timer_t *t)
{
    struct server *s = t->data;
    int fd = door_connect(s->door);
    if (fd >= 0 && http_server_from_door(s->http, fd) == HSM_OK) {
        uv_timer_stop(t);
        report(s);
    }
}

static void on_door_closed(void *ctx)
{
    struct server *s = ctx;
    if (s->door != NULL)
        (void)uv_timer_start(&s->door_timer, look_for_door, 0, DOOR_RETRY_MS);
}

static hsm_err start_http(struct server *s, const struct server_options *o)
{
    const struct http_server_handlers handlers = {
        .ctx = s, .request = on_request, .refused = on_refused, .door_closed = on_door_closed};
    char text[256];
    SSL_CTX *tls = http_tls_context(o->cert, o->key, text, sizeof text);
    if (tls == NULL) {
        log_error("TLS: %s", text);
        return HSM_E_IO;
    }
    const struct http_server_config config = {
        .tls = tls, .body_max = FABRIC_BODY_MAX, .connections_max = CONNECTIONS_MAX};
    hsm_err e = http_server_new(&s->loop, &config, &handlers, &s->http);
    SSL_CTX_free(tls);
    return e;
}

static hsm_err open_ways_in(struct server *s, const struct server_options *o)
{
    s->door = o->door;
    on_door_closed(s);
    if (o->listen_addr[0] == 0)
        return HSM_OK;
    hsm_err e = http_server_listen(s->http, o->listen_addr, o->listen_port, &s->port);
    if (e != HSM_OK)
        log_error("cannot listen on %s port %u: %s", o->listen_addr, o->listen_port,
                  strerror(errno));
    return e;
}

static bool watch_signals(struct server *s)
{
    uv_signal_init(&s->loop, &s->term);
    uv_signal_init(&s->loop, &s->interrupt);
    s->term.data = s->interrupt.data = s;
    return uv_signal_start(&s->term, on_signal, SIGTERM) == 0 &&
           uv_signal_start(&s->interrupt, on_signal, SIGINT) == 0;
}

static void on_ready(void *ctx)
{
    struct server *s = ctx;
    if (start_http(s, s->options) != HSM_OK || open_ways_in(s, s->options) != HSM_OK) {
        s->status = 1;
        stop(s);
        return;
    }
    if (s->options->door == NULL)
        report(s);
    log_info("control origin %s is ready", s->options->fabric.origin);
}

/* What was reported as done is on the disk; the supervisor starts another process. */
static void on_fatal(void *ctx, hsm_err err, const char *text)
{
    (void)ctx;
    log_error("the control plane's state: %s (%s)", text, hsm_err_text(err));
    _exit(1);
}

int server_run(const struct server_options *o)
{
    static struct server s;
    char text[512] = "";
    struct fabric_config config = o->fabric;
    s.options = o;
    s.ready_fd = o->ready_fd;
    umask(077);
    if (uv_loop_init(&s.loop) != 0 || uv_timer_init(&s.loop, &s.door_timer) != 0 ||
        !watch_signals(&s))
        return 1;
    s.door_timer.data = &s;
    config.loop = &s.loop;
    config.ready = on_ready;
    config.fatal = on_fatal;
    config.ctx = &s;
    if (fabric_open(&config, clock_now_ms(), &s.fabric, text, sizeof text) != HSM_OK) {
        log_error("%s", text);
        return 1;
    }
    uv_run(&s.loop, UV_RUN_DEFAULT);
    uv_loop_close(&s.loop);
    fabric_close(s.fabric);
    return s.status;
}
