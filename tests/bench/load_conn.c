#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

void conn_open(SSL_CTX *ctx, const struct options *o, struct conn *c, int ep)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)o->port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int one = 1;
    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a) != 0)
        die("connect");
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    c->ssl = SSL_new(ctx);
    SSL_set_fd(c->ssl, fd);
    SSL_set_tlsext_host_name(c->ssl, o->sni);
    if (SSL_connect(c->ssl) != 1)
        die("TLS handshake");
    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) != 0)
        die("epoll");
}

void conn_send(const struct options *o, struct conn *c, uint64_t n, uint64_t due_us)
{
    static char text[REQUEST_MAX];
    const struct request *r = &o->request[(n - o->first) % o->request_n];
    const char *p = r->text;
    if (r->mark_n > 0) {
        char digits[MARK_LEN + 16];
        (void)snprintf(digits, sizeof digits, "%0*llu", MARK_LEN, (unsigned long long)n);
        memcpy(text, r->text, r->n);
        for (size_t i = 0; i < r->mark_n; i++)
            memcpy(text + r->mark[i], digits, MARK_LEN);
        p = text;
    }
    c->got = c->need = 0;
    c->busy = true;
    c->due_us = due_us;
    if (SSL_write(c->ssl, p, (int)r->n) != (int)r->n)
        die("write");
}

/* Length of head and body once the head is complete, else 0. */
static size_t answer_length(struct conn *c)
{
    c->head[c->got < sizeof c->head ? c->got : sizeof c->head - 1] = '\0';
    char *end = strstr(c->head, "\r\n\r\n");
    if (end == NULL)
        return 0;
    char *len = strcasestr(c->head, "\ncontent-length:");
    size_t body = len != NULL && len < end ? strtoul(len + 16, NULL, 10) : 0;
    c->status = (int)strtol(c->head + 9, NULL, 10);
    return (size_t)(end - c->head) + 4 + body;
}

bool conn_receive(struct conn *c)
{
    char sink[32768];
    for (;;) {
        bool in_head = c->need == 0 && c->got < sizeof c->head - 1;
        int n = in_head ? SSL_read(c->ssl, c->head + c->got, (int)(sizeof c->head - 1 - c->got))
                        : SSL_read(c->ssl, sink, sizeof sink);
        if (n <= 0) {
            if (SSL_get_error(c->ssl, n) == SSL_ERROR_WANT_READ)
                return false;
            die("connection closed by the server");
        }
        c->got += (size_t)n;
        if (c->need == 0)
            c->need = answer_length(c);
        if (c->need != 0 && c->got >= c->need) {
            c->busy = false;
            return true;
        }
    }
}
