#include "store/peer.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/log.h"
#include "codec/url.h"
#include "store/peer_internal.h"

#define BACKLOG        128
#define ACCEPTS        32  /* in a turn of the loop */
#define LISTEN_REST_MS 100 /* no descriptors, no memory */
#define REKEY_RECORDS  (UINT64_C(1) << 22)

uint64_t peer_now(void)
{
    return uv_hrtime() / 1000000;
}

/* ---- members ---- */

struct peer *peer_find(const struct peer_net *net, uint64_t id)
{
    struct peer *p = net->peers;
    while (p != NULL && p->id != id)
        p = p->next;
    return p;
}

struct peer *peer_find_or_add(struct peer_net *net, uint64_t id)
{
    struct peer *p = peer_find(net, id);
    if (p != NULL || net->peer_n >= PEER_MEMBERS_MAX)
        return p;
    p = calloc(1, sizeof *p);
    if (p == NULL)
        return NULL;
    p->id = id;
    p->next = net->peers;
    net->peers = p;
    net->peer_n++;
    return p;
}

void peer_note(struct peer_net *net, struct peer *p, const char *reason, bool certain)
{
    if (p == NULL) {
        if (!certain || strcmp(net->stranger, reason) == 0)
            return;
        (void)snprintf(net->stranger, sizeof net->stranger, "%s", reason);
        log_warn("A connection to the port for partitions was refused: %s.", reason);
        return;
    }
    if (strcmp(p->reason, reason) != 0) {
        (void)snprintf(p->reason, sizeof p->reason, "%s", reason);
        p->logged = false;
    }
    if (p->logged || (!certain && p->fails < 3))
        return;
    p->logged = true;
    log_warn("No link with partition %llu: %s.", (unsigned long long)p->id - 1, reason);
}

hsm_err peer_net_set_address(struct peer_net *net, uint64_t id, const char *address)
{
    char host[256];
    uint16_t port;
    if (id == net->self)
        return HSM_OK;
    if (id == 0 || strlen(address) >= PEER_ADDRESS_CAP ||
        host_parse(bytes_str(address), host, &port) != HSM_OK || port == 0)
        return HSM_E_BAD_PARAMETER;
    struct peer *p = peer_find_or_add(net, id);
    if (p == NULL)
        return HSM_E_NOMEM;
    if (!p->forgotten && strcmp(p->address, address) == 0)
        return HSM_OK;
    p->forgotten = false;
    p->backoff_ms = 0;
    p->dial_at = 0;
    (void)snprintf(p->address, sizeof p->address, "%s", address);
    if (peer_wants_dial(net, p))
        peer_net_wake(net, 0);
    return HSM_OK;
}

void peer_net_forget(struct peer_net *net, uint64_t id)
{
    struct peer *p = peer_find_or_add(net, id);
    if (p == NULL || id == net->self)
        return;
    p->forgotten = true;
    p->address[0] = '\0';
    for (struct peer_conn *c = net->conns; c != NULL; c = c->next)
        if (c->peer == p)
            peer_conn_close(c, NULL, false);
}

bool peer_net_up(const struct peer_net *net, uint64_t id)
{
    const struct peer *p = peer_find(net, id);
    return p != NULL && p->link != NULL;
}

const char *peer_net_reason(const struct peer_net *net, uint64_t id)
{
    const struct peer *p = peer_find(net, id);
    return p == NULL || p->link != NULL ? "" : p->reason;
}

size_t peer_net_queued(const struct peer_net *net, uint64_t id)
{
    const struct peer *p = peer_find(net, id);
    return p == NULL || p->link == NULL ? 0 : peer_buf_len(&p->link->out);
}

hsm_err peer_send(struct peer_net *net, uint64_t id, uint16_t type, uint64_t seq,
                  struct bytes payload)
{
    const struct peer *p = peer_find(net, id);
    if (payload.n > PEER_PAYLOAD_MAX || type > PEER_TYPE_MAX)
        return HSM_E_RANGE;
    if (p == NULL || p->link == NULL || net->closing)
        return HSM_E_UNAVAILABLE;
    if (peer_buf_len(&p->link->out) >= PEER_QUEUE_MAX)
        return HSM_E_THROTTLED;
    return peer_link_queue(p->link, type, seq, payload);
}

/* ---- clock ---- */

static void listen_start(struct peer_net *net);

static void on_timer(uv_timer_t *t)
{
    struct peer_net *net = t->data;
    uint64_t now = peer_now();
    net->timer_at = UINT64_MAX;
    for (struct peer *p = net->peers; p != NULL; p = p->next) {
        if (!peer_wants_dial(net, p))
            continue;
        if (now >= p->dial_at)
            peer_dial_link(net, p);
        else
            peer_net_wake(net, p->dial_at);
    }
    for (struct peer_conn *c = net->conns; c != NULL; c = c->next) {
        if (c->state == PEER_LINK)
            peer_link_tick(c, now);
        else if (c->state == PEER_CLOSED || c->deadline == 0)
            continue;
        else if (now >= c->deadline)
            peer_conn_close(c, "no answer in time", false);
        else
            peer_net_wake(net, c->deadline);
    }
    if (net->listen_at != 0 && !net->closing) {
        if (now >= net->listen_at)
            listen_start(net);
        else
            peer_net_wake(net, net->listen_at);
    }
}

void peer_net_wake(struct peer_net *net, uint64_t at)
{
    uint64_t now = peer_now();
    if (at >= net->timer_at || net->closing)
        return;
    net->timer_at = at;
    uv_update_time(net->loop);
    (void)uv_timer_start(&net->timer, on_timer, at > now ? at - now : 0, 0);
}

/* ---- what is done before the loop waits ---- */

static void on_handle_closed(uv_handle_t *h)
{
    struct peer_net *net = h->data;
    if (--net->handles > 0)
        return;
    void (*done)(void *) = net->done;
    void *ctx = net->done_ctx;
    while (net->peers != NULL) {
        struct peer *p = net->peers;
        net->peers = p->next;
        free(p);
    }
    SSL_CTX_free(net->tls);
    free(net);
    if (done != NULL)
        done(ctx);
}

static void close_handles(struct peer_net *net)
{
    uv_close((uv_handle_t *)&net->timer, on_handle_closed);
    uv_close((uv_handle_t *)&net->prepare, on_handle_closed);
    if (net->listening)
        uv_close((uv_handle_t *)&net->listener, on_handle_closed);
    close(net->listen_fd);
}

static void flush_and_clear(struct peer_net *net)
{
    struct peer_conn *next;
    for (struct peer_conn *c = net->conns; c != NULL; c = c->next) {
        if (c->dirty && c->state != PEER_CLOSED)
            peer_conn_flush(c);
        c->dirty = false;
    }
    for (struct peer_conn *c = net->conns; c != NULL; c = next) {
        next = c->next;
        if (c->state == PEER_CLOSED && c->pending == 0)
            peer_conn_free(c);
    }
    if (net->transport_closed != NULL && !peer_stream_any(net)) {
        raft_uv_transport_close_cb cb = net->transport_closed;
        net->transport_closed = NULL;
        cb(net->closed_transport);
    }
}

static void on_prepare(uv_prepare_t *h)
{
    struct peer_net *net = h->data;
    while (net->todo) {
        net->todo = false;
        flush_and_clear(net);
    }
    (void)uv_prepare_stop(h);
    if (net->closing && net->conns == NULL)
        close_handles(net);
}

void peer_net_soon(struct peer_net *net)
{
    net->todo = true;
    (void)uv_prepare_start(&net->prepare, on_prepare);
}

/* ---- listener ---- */

static void listen_rest(struct peer_net *net)
{
    (void)uv_poll_stop(&net->listener);
    net->listen_at = peer_now() + LISTEN_REST_MS;
    peer_net_wake(net, net->listen_at);
}

/* Many who open connections and say nothing do not keep a member out: the oldest one goes. */
static void make_room(struct peer_net *net)
{
    struct peer_conn *oldest = NULL;
    if (net->new_n < PEER_NEW_MAX)
        return;
    for (struct peer_conn *c = net->conns; c != NULL; c = c->next)
        if (!c->dialled && c->state < PEER_LINK)
            oldest = c;
    if (oldest != NULL)
        peer_conn_close(oldest, "too many connections", true);
}

static void accepted(struct peer_net *net, int fd)
{
    make_room(net);
    struct peer_conn *c = peer_conn_new(net, false);
    if (c == NULL) {
        close(fd);
        return;
    }
    peer_socket_options(fd);
    c->state = PEER_HANDSHAKE;
    if (peer_conn_start(c, fd) != HSM_OK)
        peer_conn_close(c, "out of memory", true);
}

static void on_incoming(uv_poll_t *h, int status, int events)
{
    struct peer_net *net = h->data;
    (void)events;
    for (unsigned i = 0; status == 0 && i < ACCEPTS; i++) {
        int fd = accept4(net->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            accepted(net, fd);
            continue;
        }
        if (errno == EINTR || errno == ECONNABORTED)
            continue;
        if (errno != EAGAIN)
            listen_rest(net);
        return;
    }
    if (status != 0)
        listen_rest(net);
}

static void listen_start(struct peer_net *net)
{
    net->listen_at = 0;
    if (uv_poll_start(&net->listener, UV_READABLE, on_incoming) != 0)
        listen_rest(net);
}

static uint16_t port_of(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } a = {0};
    socklen_t n = sizeof a;
    if (getsockname(fd, &a.any, &n) != 0)
        return 0;
    return ntohs(a.any.sa_family == AF_INET ? a.v4.sin_port : a.v6.sin6_port);
}

static int listen_on(const struct addrinfo *a)
{
    const int on = 1;
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
        bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

/* "host:0" is not an authority for host_parse(): the port is split off here. */
static hsm_err open_listener(struct peer_net *net, const char *listen, char *text, size_t cap)
{
    char host[256];
    uint16_t unused;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *all = NULL;
    const char *colon = strrchr(listen, ':');
    if (colon == NULL ||
        host_parse(bytes_of(listen, (size_t)(colon - listen)), host, &unused) != HSM_OK ||
        getaddrinfo(host, colon + 1, &hints, &all) != 0) {
        (void)snprintf(text, cap, "%s: not an address to listen at (host:port)", listen);
        return HSM_E_BAD_PARAMETER;
    }
    net->listen_fd = listen_on(all);
    freeaddrinfo(all);
    if (net->listen_fd < 0) {
        (void)snprintf(text, cap, "cannot listen at %s: %s", listen, strerror(errno));
        return HSM_E_IO;
    }
    net->port = port_of(net->listen_fd);
    return HSM_OK;
}

/* ---- open and close ---- */

static hsm_err start(struct peer_net *net)
{
    (void)uv_timer_init(net->loop, &net->timer);
    (void)uv_prepare_init(net->loop, &net->prepare);
    net->handles = 2;
    net->timer.data = net->prepare.data = net->listener.data = net;
    if (uv_poll_init(net->loop, &net->listener, net->listen_fd) != 0)
        return HSM_E_IO;
    net->handles = 3;
    net->listening = true;
    listen_start(net);
    return HSM_OK;
}

hsm_err peer_net_open(uv_loop_t *loop, const struct peer_config *cfg, const struct peer_handlers *h,
                      struct peer_net **ret, char *text, size_t cap)
{
    hsm_err err = HSM_E_BAD_PARAMETER;
    if (cfg->self == 0 || strlen(cfg->pool) > PEER_POOL_MAX) {
        (void)snprintf(text, cap, "not a name of a pool or a number");
        return err;
    }
    struct peer_net *net = calloc(1, sizeof *net);
    if (net == NULL) {
        (void)snprintf(text, cap, "out of memory");
        return HSM_E_NOMEM;
    }
    net->loop = loop;
    net->self = cfg->self;
    net->h = *h;
    net->listen_fd = -1;
    net->timer_at = UINT64_MAX;
    net->rekey_records = REKEY_RECORDS;
    (void)snprintf(net->pool, sizeof net->pool, "%s", cfg->pool);
    net->tls = peer_tls_context(cfg, text, cap);
    if (net->tls != NULL)
        err = open_listener(net, cfg->listen, text, cap);
    if (err != HSM_OK) {
        SSL_CTX_free(net->tls);
        free(net);
        return err;
    }
    err = start(net);
    if (err != HSM_OK) {
        (void)snprintf(text, cap, "cannot wait for connections");
        peer_net_close(net, NULL, NULL);
        return err;
    }
    *ret = net;
    return HSM_OK;
}

uint16_t peer_net_port(const struct peer_net *net)
{
    return net->port;
}

void peer_net_close(struct peer_net *net, void (*done)(void *ctx), void *ctx)
{
    HSM_ASSERT(!net->closing);
    net->closing = true;
    net->done = done;
    net->done_ctx = ctx;
    for (struct peer_conn *c = net->conns; c != NULL; c = c->next)
        peer_conn_close(c, NULL, false);
    peer_net_soon(net);
}
