/* HTTPS load generator: N keep-alive TLS connections, at most one request in flight on each.
 *   bench-load --port P --sni NAME --request FILE [--connections 32] [--seconds 3] [--expect 200]
 *              [--count N] [--first N] [--rate R] [--sleepy]
 * FILE holds the bytes of one complete HTTP/1.1 request; it is sent over and over, with "########"
 * replaced by the request's number (from --first on); several --request take turns. Closed loop, or
 * with --rate at fixed times: latency counts from the time when a request was due, so that a server
 * that stalls does not hide it by keeping us from sending. Single-threaded; it never sleeps unless
 * told to, because waking it would be a cost of the server. Prints one JSON line; latencies in
 * microseconds. */
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#define LATENCY_MAX (1u << 22)

static struct options opt = {.connections = 32, .seconds = 3, .expect = 200, .count = UINT64_MAX};
static struct conn conns[CONNECTIONS_MAX];
static struct conn *idle[CONNECTIONS_MAX];
static unsigned idle_n;
static uint32_t *latency;
static size_t latency_n;
static uint64_t sent, answers, errors;

uint64_t now_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

void die(const char *what)
{
    (void)fprintf(stderr, "bench-load: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* ---- options ---- */

static void usage(void)
{
    (void)fprintf(stderr, "usage: bench-load --port P --sni NAME --request FILE ...\n");
    exit(2);
}

static void read_request(const char *path)
{
    FILE *f = fopen(path, "re");
    struct request *r = &opt.request[opt.request_n];
    if (opt.request_n == REQUESTS_MAX)
        usage();
    r->text = malloc(REQUEST_MAX);
    if (f == NULL || r->text == NULL)
        die(path);
    r->n = fread(r->text, 1, REQUEST_MAX, f);
    (void)fclose(f);
    if (r->n == 0 || r->n == REQUEST_MAX)
        usage();
    opt.request_n++;
    const char *end = r->text + r->n;
    for (const char *p = r->text; r->mark_n < MARKS_MAX; p += MARK_LEN) {
        p = memmem(p, (size_t)(end - p), MARK, MARK_LEN);
        if (p == NULL)
            break;
        r->mark[r->mark_n++] = (size_t)(p - r->text);
    }
}

static void option(const char *o, char *v)
{
    if (strcmp(o, "--port") == 0)
        opt.port = (int)strtol(v, NULL, 10);
    else if (strcmp(o, "--sni") == 0)
        opt.sni = v;
    else if (strcmp(o, "--connections") == 0)
        opt.connections = (int)strtol(v, NULL, 10);
    else if (strcmp(o, "--seconds") == 0)
        opt.seconds = strtod(v, NULL);
    else if (strcmp(o, "--rate") == 0)
        opt.rate = strtod(v, NULL);
    else if (strcmp(o, "--expect") == 0)
        opt.expect = (int)strtol(v, NULL, 10);
    else if (strcmp(o, "--count") == 0)
        opt.count = strtoull(v, NULL, 10);
    else if (strcmp(o, "--first") == 0)
        opt.first = strtoull(v, NULL, 10);
    else if (strcmp(o, "--request") == 0)
        read_request(v);
    else
        usage();
}

static void options(int argc, char **argv)
{
    for (int i = 1; i < argc;) {
        bool alone = strcmp(argv[i], "--sleepy") == 0;
        if (alone)
            opt.sleepy = true;
        else if (i + 1 < argc)
            option(argv[i], argv[i + 1]);
        else
            usage();
        i += alone ? 1 : 2;
    }
    if (opt.port == 0 || opt.sni == NULL || opt.request_n == 0 || opt.connections < 1 ||
        opt.connections > CONNECTIONS_MAX)
        usage();
}

/* ---- the loop ---- */

static void send_next(struct conn *c, uint64_t due_us)
{
    conn_send(&opt, c, opt.first + sent, due_us);
    sent++;
}

static void take_answer(struct conn *c)
{
    if (latency_n < LATENCY_MAX)
        latency[latency_n++] = (uint32_t)(now_us() - c->due_us);
    answers++;
    if (c->status != opt.expect && errors++ == 0)
        (void)fprintf(stderr, "bench-load: the first unexpected answer:\n%s\n", c->head);
}

static void closed_loop(struct conn *c)
{
    if (sent < opt.count)
        send_next(c, now_us());
}

/* Requests that are due go out as far as there are idle connections. */
static void open_loop(uint64_t start)
{
    for (;;) {
        uint64_t due = start + (uint64_t)((double)sent * 1e6 / opt.rate);
        if (idle_n == 0 || sent >= opt.count || due > now_us())
            return;
        send_next(idle[--idle_n], due);
    }
}

static void run(int ep, uint64_t start)
{
    uint64_t end = opt.seconds > 0 ? start + (uint64_t)(opt.seconds * 1e6) : UINT64_MAX;
    int wait_ms = !opt.sleepy ? 0 : opt.rate > 0 ? 1 : 100;
    for (int i = 0; i < opt.connections; i++) {
        idle[idle_n++] = &conns[i];
        if (opt.rate == 0)
            closed_loop(idle[--idle_n]);
    }
    while (now_us() < end && answers < opt.count) {
        struct epoll_event ev[64];
        if (opt.rate > 0)
            open_loop(start);
        int n = epoll_wait(ep, ev, 64, wait_ms);
        for (int i = 0; i < n; i++) {
            struct conn *c = ev[i].data.ptr;
            if (!conn_receive(c))
                continue;
            take_answer(c);
            if (opt.rate > 0)
                idle[idle_n++] = c;
            else
                closed_loop(c);
        }
    }
}

/* ---- report ---- */

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
        conn_open(ctx, &opt, &conns[i], ep);
    uint64_t start = now_us();
    run(ep, start);
    double seconds = (double)(now_us() - start) / 1e6;
    qsort(latency, latency_n, sizeof *latency, by_value);
    (void)printf("{\"requests\":%llu,\"seconds\":%.3f,\"rate\":%.1f,\"p50\":%u,\"p99\":%u,"
                 "\"max\":%u,\"errors\":%llu}\n",
                 (unsigned long long)answers, seconds, (double)answers / seconds, percentile(0.5),
                 percentile(0.99), percentile(1), (unsigned long long)errors);
    return errors > 0;
}
