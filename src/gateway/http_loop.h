/* One HTTP loop: a thread, a libuv loop, a server, a lane. */
#ifndef GATEWAY_HTTP_LOOP_H
#define GATEWAY_HTTP_LOOP_H

#include "gateway/front.h"

struct http_loop;

struct http_loop_config {
    const struct front_shared *shared;
    unsigned lane; /* 1.. */
    int cpu;       /* to pin to; -1: none */
    SSL_CTX *tls;
    const char *door;        /* NULL: none; looked for again when it is lost */
    const char *pool;        /* whose clients the door shall give to this process */
    const char *listen_addr; /* NULL: none */
    uint16_t listen_port;    /* 0: any; *ret_port tells which */
    /* From the loop's thread: the lane is unusable; the process has to end. */
    void (*fatal)(void *ctx, const char *text);
    /* From the loop's thread: drained, the thread ends. */
    void (*stopped)(void *ctx);
    void *ctx;
};

/* Prepared, not running. */
HSM_MUST_USE hsm_err http_loop_new(const struct http_loop_config *cfg, struct http_loop **ret,
                                   uint16_t *ret_port);
HSM_MUST_USE hsm_err http_loop_run(struct http_loop *l);
/* Any thread: no new connections, finish what is open; leads to stopped(). */
void http_loop_stop(struct http_loop *l);
/* Waits for the thread. */
void http_loop_free(struct http_loop *l);

#endif
