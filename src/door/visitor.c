/* One connection on its way through the door. Bytes are only peeked at, so that the backend finds
 * the ClientHello unread; SO_RCVLOWAT keeps the loop quiet until there are more than were seen. */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include "codec/tls_hello.h"
#include "door/connect.h"
#include "door/door_internal.h"

#define LINGER_MS    1000
#define LINGER_BYTES (1U << 20)

static void on_poll(uv_poll_t *h, int status, int events);

#define TO(s) (1U << VISITOR_##s)
static const unsigned moves[] = {
    [VISITOR_FIRST] = TO(CONNECT) | TO(HELLO) | TO(LINGER) | TO(CLOSED),
    [VISITOR_CONNECT] = TO(HELLO) | TO(LINGER) | TO(CLOSED),
    [VISITOR_HELLO] = TO(PARKED) | TO(LINGER) | TO(CLOSED),
    [VISITOR_PARKED] = TO(CLOSED),
    [VISITOR_LINGER] = TO(CLOSED),
    [VISITOR_CLOSED] = 0,
};

static void visitor_move(struct visitor *v, enum visitor_state to, unsigned ms)
{
    HSM_ASSERT(moves[v->state] & 1U << to);
    v->state = to;
    v->deadline = uv_now(v->d->loop) + ms;
}

static void on_closed(uv_handle_t *h)
{
    struct visitor *v = h->data;
    struct door *d = v->d;

    if (v->prev != NULL) {
        v->prev->next = v->next;
    } else {
        d->visitors = v->next;
    }
    if (v->next != NULL)
        v->next->prev = v->prev;
    free(v);
    door_handle_closed(d);
}

void visitor_close(struct visitor *v)
{
    if (v->state == VISITOR_CLOSED)
        return;
    visitor_move(v, VISITOR_CLOSED, 0);
    v->deadline = UINT64_MAX;
    uv_close((uv_handle_t *)&v->poll, on_closed);
    close(v->fd);
    v->fd = -1;
    v->d->stats.visitors--;
    door_visitor_gone(v->d);
}

static void abandon(struct visitor *v)
{
    v->d->stats.abandoned++;
    visitor_close(v);
}

static void wake_at(struct visitor *v, size_t n)
{
    int low = (int)n;
    if (low == v->low)
        return;
    v->low = low;
    (void)setsockopt(v->fd, SOL_SOCKET, SO_RCVLOWAT, &low, sizeof(low));
}

/* A short answer, then the end. A client that does not take it in one go does not get it. */
static void refuse(struct visitor *v, const char *status, const char *text)
{
    char buf[512];
    int n = snprintf(buf, sizeof(buf),
                     "HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n"
                     "Connection: close\r\n\r\n%s",
                     status, strlen(text), text);
    v->d->stats.refused++;
    HSM_ASSERT(n > 0 && (size_t)n < sizeof(buf));
    (void)!send(v->fd, buf, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
    shutdown(v->fd, SHUT_WR);
    wake_at(v, 1);
    v->linger_left = LINGER_BYTES;
    visitor_move(v, VISITOR_LINGER, LINGER_MS);
    if (uv_poll_start(&v->poll, UV_READABLE, on_poll) != 0)
        visitor_close(v);
}

static void refuse_text(struct visitor *v)
{
    refuse(v, "400 Bad Request",
           "This port speaks HTTPS (TLS), or CONNECT of an HTTPS proxy client.\n");
}

void visitor_retry(struct visitor *v)
{
    if (v->state != VISITOR_PARKED || !backend_give(v->b, v->fd, v->endpoint))
        return;
    v->d->stats.handed++;
    visitor_close(v);
}

/* By a private listener one comes to the pools that have an endpoint there, and nowhere else. */
static bool take_endpoint(struct visitor *v, const struct backend *b)
{
    const char *id = b != NULL && b->is_pool ? private_endpoint_of(v->d, &v->place, b->name) : NULL;
    if (id == NULL)
        return false;
    memcpy(v->endpoint, id, strlen(id) + 1);
    return true;
}

static void hand_over(struct visitor *v)
{
    if (v->b == NULL || (v->is_private && !take_endpoint(v, v->b))) {
        abandon(v);
        return;
    }
    wake_at(v, 1);
    uv_poll_stop(&v->poll);
    visitor_move(v, VISITOR_PARKED, v->d->cfg.backend_wait_ms);
    visitor_retry(v);
}

static hsm_err step_hello(struct visitor *v, struct bytes in)
{
    char host[256];

    if (first_kind_of(in) != FIRST_TLS) {
        refuse_text(v);
        return HSM_OK;
    }
    hsm_err e = tls_hello_server_name(in, host);
    if (e == HSM_E_AGAIN && in.n < DOOR_PEEK_MAX)
        return HSM_E_AGAIN;
    if (e != HSM_OK) {
        abandon(v);
        return HSM_OK;
    }
    char label[DOOR_POOL_MAX + 1];
    struct backend *named = host[0] != 0 ? door_find(v->d, host) : NULL;
    if (named != NULL) {
        v->b = named;
    } else if (host[0] != 0 && pools_label(v->d, host, label)) {
        v->b = NULL; /* a pool that does not run, or never was */
    } else if (v->b == NULL) {
        v->b = v->is_private ? private_only_pool(v->d, &v->place) : v->d->fallback;
    }
    hand_over(v);
    return HSM_OK;
}

/* Names of this machine lead to the default backend. */
static struct backend *connect_target(const struct door *d, const char *host)
{
    struct backend *b = door_find(d, host);
    if (b == NULL && (strcmp(host, "localhost") == 0 || strcmp(host, "127.0.0.1") == 0 ||
                      strcmp(host, "::1") == 0 || strcmp(host, "[::1]") == 0))
        return d->fallback;
    return b;
}

static hsm_err step_connect(struct visitor *v, struct bytes in)
{
    static const char established[] = "HTTP/1.1 200 Connection Established\r\n\r\n";
    char host[256];
    uint16_t port = 0;
    size_t used = 0;
    hsm_err e = connect_parse(in, host, &port, &used);

    if (e == HSM_E_AGAIN)
        return e;
    if (e != HSM_OK) {
        refuse(v, "400 Bad Request", "The CONNECT request is malformed.\n");
        return HSM_OK;
    }
    v->b = connect_target(v->d, host);
    if (v->is_private && !take_endpoint(v, v->b))
        v->b = NULL;
    if (v->b == NULL) {
        refuse(v, "403 Forbidden", "This proxy only leads to the hosts of this installation.\n");
        return HSM_OK;
    }
    /* these bytes were seen just now: they are there */
    if (recv(v->fd, v->d->peek, used, MSG_DONTWAIT) != (ssize_t)used ||
        send(v->fd, established, sizeof(established) - 1, MSG_DONTWAIT | MSG_NOSIGNAL) !=
            (ssize_t)sizeof(established) - 1) {
        abandon(v);
        return HSM_OK;
    }
    wake_at(v, 1);
    visitor_move(v, VISITOR_HELLO, v->d->cfg.hello_timeout_ms);
    return HSM_OK;
}

static hsm_err step_first(struct visitor *v, struct bytes in)
{
    enum first_kind kind = first_kind_of(in);

    if (kind == FIRST_MORE)
        return HSM_E_AGAIN;
    if (kind == FIRST_OTHER) {
        refuse_text(v);
    } else {
        unsigned left = v->d->cfg.hello_timeout_ms;
        visitor_move(v, kind == FIRST_TLS ? VISITOR_HELLO : VISITOR_CONNECT, left);
    }
    return HSM_OK;
}

/* HSM_OK: something happened, look again. */
static hsm_err step(struct visitor *v, bool is_end)
{
    ssize_t n = recv(v->fd, v->d->peek, sizeof(v->d->peek), MSG_PEEK | MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        wake_at(v, 1);
        return HSM_E_AGAIN;
    }
    if (n <= 0) {
        abandon(v);
        return HSM_OK;
    }
    struct bytes in = bytes_of(v->d->peek, (size_t)n);
    hsm_err e = HSM_E_AGAIN;
    if (v->state == VISITOR_FIRST) {
        e = step_first(v, in);
    } else if (v->state == VISITOR_CONNECT) {
        e = step_connect(v, in);
    } else {
        e = step_hello(v, in);
    }
    if (e == HSM_E_AGAIN) {
        wake_at(v, in.n + 1);
        if (is_end)
            abandon(v); /* nothing more will come */
    }
    return e;
}

static void read_away(struct visitor *v)
{
    ssize_t n = recv(v->fd, v->d->peek, sizeof(v->d->peek), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0 || (size_t)n > v->linger_left) {
        visitor_close(v);
        return;
    }
    v->linger_left -= (size_t)n;
}

static bool is_looking(const struct visitor *v)
{
    return v->state == VISITOR_FIRST || v->state == VISITOR_CONNECT || v->state == VISITOR_HELLO;
}

static void on_poll(uv_poll_t *h, int status, int events)
{
    struct visitor *v = h->data;

    if (status < 0) {
        abandon(v);
        return;
    }
    if (v->state == VISITOR_LINGER) {
        read_away(v);
        return;
    }
    while (is_looking(v) && step(v, (events & UV_DISCONNECT) != 0) == HSM_OK)
        ;
}

void visitor_tick(struct visitor *v, uint64_t now)
{
    visitor_retry(v);
    if (now < v->deadline || v->state == VISITOR_CLOSED)
        return;
    if (v->state == VISITOR_LINGER) {
        visitor_close(v);
    } else {
        abandon(v);
    }
}

static struct in6_addr address_of(const struct sockaddr_storage *peer)
{
    struct in6_addr a = IN6ADDR_ANY_INIT;

    if (peer->ss_family == AF_INET6) {
        struct sockaddr_in6 in;
        memcpy(&in, peer, sizeof(in));
        return in.sin6_addr;
    }
    if (peer->ss_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, peer, sizeof(in));
        a.s6_addr[10] = a.s6_addr[11] = 0xff;
        memcpy(a.s6_addr + 12, &in.sin_addr, 4);
    }
    return a;
}

static bool address_is_full(const struct door *d, const struct in6_addr *a)
{
    unsigned n = 0;

    if (IN6_IS_ADDR_LOOPBACK(a) || (IN6_IS_ADDR_V4MAPPED(a) && a->s6_addr[12] == 127))
        return false;
    for (const struct visitor *v = d->visitors; v != NULL; v = v->next)
        n += v->state != VISITOR_CLOSED && IN6_ARE_ADDR_EQUAL(&v->address, a);
    return n >= d->cfg.per_address_max;
}

void visitor_new(struct door *d, int fd, const struct sockaddr_storage *peer,
                 const struct place *place)
{
    struct in6_addr address = address_of(peer);
    struct visitor *v = address_is_full(d, &address) ? NULL : calloc(1, sizeof(*v));

    if (v == NULL || uv_poll_init(d->loop, &v->poll, fd) != 0) {
        free(v);
        close(fd);
        return;
    }
    v->d = d;
    v->fd = fd;
    v->low = 1;
    v->state = VISITOR_FIRST;
    v->address = address;
    v->is_private = place != NULL;
    if (place != NULL)
        v->place = *place;
    v->deadline = uv_now(d->loop) + d->cfg.hello_timeout_ms;
    v->poll.data = v;
    v->next = d->visitors;
    if (v->next != NULL)
        v->next->prev = v;
    d->visitors = v;
    d->handles_open++;
    d->stats.visitors++;
    d->stats.accepted++;
    door_timer_start(d);
    if (uv_poll_start(&v->poll, UV_READABLE | UV_DISCONNECT, on_poll) != 0)
        abandon(v);
}
