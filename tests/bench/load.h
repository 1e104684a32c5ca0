/* The load generator: load.c has the options, the loop and the report, load_conn.c one connection.
 */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONNECTIONS_MAX 512
#define REQUESTS_MAX    256
#define REQUEST_MAX     (256u << 10)
#define MARKS_MAX       8
#define MARK            "########" /* in a request: replaced by its number */
#define MARK_LEN        8

struct request {
    char *text;
    size_t n;
    size_t mark[MARKS_MAX];
    size_t mark_n;
};

struct options {
    int port, connections, expect;
    double seconds; /* 0: until count */
    double rate;    /* requests per second, at fixed times; 0: each connection as fast as it can */
    uint64_t first, count;
    bool sleepy; /* wait for events instead of looking for them all the time */
    char *sni;   /* libssl's macro takes a plain pointer */
    struct request request[REQUESTS_MAX]; /* one after the other */
    size_t request_n;
};

struct conn {
    SSL *ssl;
    bool busy;
    uint64_t due_us;  /* when its request was to be sent */
    size_t got, need; /* bytes of the answer; need 0: head not complete */
    int status;
    char head[16384];
};

uint64_t now_us(void);
__attribute__((noreturn)) void die(const char *what);

void conn_open(SSL_CTX *ctx, const struct options *o, struct conn *c, int ep);
/* Send request number n, the time of which was due_us. */
void conn_send(const struct options *o, struct conn *c, uint64_t n, uint64_t due_us);
/* Take what is there. true: the answer is complete and c is no longer busy. */
bool conn_receive(struct conn *c);

#endif
