/* Closed-loop HTTPS load generator: N keep-alive TLS connections, one request in flight on each.
 *   bench-load --port P --sni NAME --request FILE [--connections 32] [--seconds 3] [--expect 200]
 * FILE holds the bytes of one complete HTTP/1.1 request; it is sent over and over. Prints one JSON
 * line: requests, seconds, rate, latency percentiles in microseconds, errors. Single-threaded. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS_MAX 512
#define LATENCY_MAX     (1u << 22)

struct conn {
    SSL *ssl;
    uint64_t sent_at;
    size_t got, need; /* bytes of the answer; need 0: head not complete */
    char head[16384];
};

static struct {
    int port, connections, expect;
    double seconds;
    char *sni; /* libssl's macro takes a plain pointer */
    char request[262144];
    int request_n;
} opt = {.connections = 32, .seconds = 3, .expect = 200};

static struct conn conns[CONNECTIONS_MAX];
static uint32_t *latency;
static size_t latency_n;
static uint64_t answers, errors;

static uint64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

static void die(const char *what)
{
    (void)fprintf(stderr, "bench-load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void send_request(struct conn *c)
{
    c->got = c->need = 0;
    c->sent_at = now_us();
    if (SSL_write(c->ssl, opt.request, opt.request_n) != opt.request_n)
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
    if (strtol(c->head + 9, NULL, 10) != opt.expect)
        errors++;
    return (size_t)(end - c->head) + 4 + body;
}

static bool readable(struct conn *c)
{
    char sink[32768];
    for (;;) {
        bool in_head = c->need == 0 && c->got < sizeof c->head - 1;
        int n = in_head ? SSL_read(c->ssl, c->head + c->got, (int)(sizeof c->head - 1 - c->got))
                        : SSL_read(c->ssl, sink, sizeof sink);
        if (n <= 0)
            return SSL_get_error(c->ssl, n) == SSL_ERROR_WANT_READ;
        c->got += (size_t)n;
        if (c->need == 0)
            c->need = answer_length(c);
        if (c->need != 0 && c->got >= c->need) {
            if (latency_n < LATENCY_MAX)
                latency[latency_n++] = (uint32_t)(now_us() - c->sent_at);
            answers++;
            send_request(c);
        }
    }
}

static void open_connection(SSL_CTX *ctx, struct conn *c, int ep)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)opt.port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int one = 1;
    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a) != 0)
        die("connect");
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    c->ssl = SSL_new(ctx);
    SSL_set_fd(c->ssl, fd);
    SSL_set_tlsext_host_name(c->ssl, opt.sni);
    if (SSL_connect(c->ssl) != 1)
        die("TLS handshake");
    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) != 0)
        die("epoll");
}

static void options(int argc, char **argv)
{
    for (int i = 1; i + 1 < argc; i += 2) {
        const char *o = argv[i], *v = argv[i + 1];
        if (strcmp(o, "--port") == 0)
            opt.port = (int)strtol(v, NULL, 10);
        else if (strcmp(o, "--sni") == 0)
            opt.sni = argv[i + 1];
        else if (strcmp(o, "--connections") == 0)
            opt.connections = (int)strtol(v, NULL, 10);
        else if (strcmp(o, "--seconds") == 0)
            opt.seconds = strtod(v, NULL);
        else if (strcmp(o, "--expect") == 0)
            opt.expect = (int)strtol(v, NULL, 10);
        else if (strcmp(o, "--request") == 0) {
            FILE *f = fopen(v, "re");
            if (f == NULL)
                die(v);
            opt.request_n = (int)fread(opt.request, 1, sizeof opt.request, f);
            (void)fclose(f);
        }
    }
    if (opt.port == 0 || opt.sni == NULL || opt.request_n == 0 || opt.connections < 1 ||
        opt.connections > CONNECTIONS_MAX) {
        (void)fprintf(stderr, "usage: bench-load --port P --sni NAME --request FILE ...\n");
        exit(2);
    }
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static uint32_t percentile(double p)
{
    return latency_n == 0 ? 0 : latency[(size_t)(p * (double)(latency_n - 1))];
}

int main(int argc, char **argv)
{
    options(argc, argv);
    latency = calloc(LATENCY_MAX, sizeof *latency);
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    int ep = epoll_create1(EPOLL_CLOEXEC);
    if (ctx == NULL || ep < 0 || latency == NULL)
        die("set-up");
    SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL); /* speed only; the tests verify */
    SSL_CTX_set_read_ahead(ctx, 1);
    for (int i = 0; i < opt.connections; i++)
        open_connection(ctx, &conns[i], ep);
    uint64_t start = now_us(), end = start + (uint64_t)(opt.seconds * 1e6);
    for (int i = 0; i < opt.connections; i++)
        send_request(&conns[i]);
    while (now_us() < end) {
        struct epoll_event ev[64];
        int n = epoll_wait(ep, ev, 64, 100);
        for (int i = 0; i < n; i++)
            if (!readable(ev[i].data.ptr))
                die("connection closed by the server");
    }
    double seconds = (double)(now_us() - start) / 1e6;
    qsort(latency, latency_n, sizeof *latency, by_value);
    (void)printf("{\"requests\":%llu,\"seconds\":%.3f,\"rate\":%.1f,\"p50\":%u,\"p99\":%u,"
                 "\"errors\":%llu}\n",
                 (unsigned long long)answers, seconds, (double)answers / seconds, percentile(0.5),
                 percentile(0.99), (unsigned long long)errors);
    return errors > 0;
}
