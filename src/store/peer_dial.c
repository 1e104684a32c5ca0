#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
#include "codec/url.h"
#include "store/peer_internal.h"

#define BACKOFF_FIRST_MS 20
#define BACKOFF_MAX_MS   1000

static hsm_err connect_to(struct peer_conn *c, const struct sockaddr *to, socklen_t n)
{
    int fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return HSM_E_IO;
    peer_socket_options(fd);
    if (connect(fd, to, n) != 0 && errno != EINPROGRESS) {
        close(fd);
        return HSM_E_UNAVAILABLE;
    }
    c->state = PEER_CONNECTING;
    return peer_conn_start(c, fd);
}

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *all)
{
    struct peer_conn *c = req->data;
    char text[PEER_REASON_CAP];
    c->pending--;
    if (c->state == PEER_CLOSED) {
        peer_net_soon(c->net);
    } else if (status != 0 || all == NULL) {
        (void)snprintf(text, sizeof text, "name of its host: %s", uv_strerror(status));
        peer_conn_close(c, text, false);
    } else {
        unsigned n = 0;
        const struct addrinfo *a = all;
        for (; a != NULL; a = a->ai_next)
            n++;
        a = all;
        for (unsigned skip = c->peer->turn % n; skip > 0; skip--)
            a = a->ai_next;
        if (connect_to(c, a->ai_addr, a->ai_addrlen) != HSM_OK)
            peer_conn_close(c, "cannot connect", false);
    }
    uv_freeaddrinfo(all);
}

hsm_err peer_dial(struct peer *p, const char *address, struct peer_conn *c)
{
    char host[256], service[8];
    uint16_t port;
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } to;
    c->peer = p;
    if (host_parse(bytes_str(address), host, &port) != HSM_OK || port == 0)
        return HSM_E_BAD_PARAMETER;
    if (uv_ip4_addr(host, port, &to.v4) == 0)
        return connect_to(c, &to.any, sizeof to.v4);
    if (uv_ip6_addr(host, port, &to.v6) == 0)
        return connect_to(c, &to.any, sizeof to.v6);
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    (void)snprintf(service, sizeof service, "%u", port);
    c->resolve.data = c;
    if (uv_getaddrinfo(c->net->loop, &c->resolve, on_resolved, host, service, &hints) != 0)
        return HSM_E_UNAVAILABLE;
    c->pending++;
    return HSM_OK;
}

void peer_socket_options(int fd)
{
    /* best effort: without them a dead member is noticed later */
    const int on = 1, idle_s = 1, interval_s = 1, probes = 2;
    const unsigned unacknowledged_ms = 1500;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacknowledged_ms,
                     sizeof unacknowledged_ms);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof interval_s);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
}

bool peer_wants_dial(const struct peer_net *net, const struct peer *p)
{
    return !net->closing && !p->forgotten && p->address[0] != '\0' && p->link == NULL &&
           p->dial == NULL;
}

/* After a failure: half of the pause is random, so that two members do not stay in step. */
void peer_dial_later(struct peer_net *net, struct peer *p)
{
    uint16_t r = 0;
    (void)RAND_bytes((unsigned char *)&r, sizeof r);
    p->backoff_ms = p->backoff_ms == 0 ? BACKOFF_FIRST_MS : p->backoff_ms * 2;
    if (p->backoff_ms > BACKOFF_MAX_MS)
        p->backoff_ms = BACKOFF_MAX_MS;
    p->dial_at = peer_now() + p->backoff_ms / 2 + r % (p->backoff_ms / 2 + 1);
    if (peer_wants_dial(net, p))
        peer_net_wake(net, p->dial_at);
}

void peer_dial_link(struct peer_net *net, struct peer *p)
{
    struct peer_conn *c = peer_conn_new(net, true);
    if (c == NULL) {
        peer_dial_later(net, p);
        return;
    }
    p->dial = c;
    if (peer_dial(p, p->address, c) != HSM_OK)
        peer_conn_close(c, "cannot connect", false);
}
