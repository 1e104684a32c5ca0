/* What control.c and control_start.c share. */
#ifndef GATEWAY_CONTROL_INTERNAL_H
#define GATEWAY_CONTROL_INTERNAL_H

#include "gateway/control.h"

#define STATUS_MAX 16

/* A message that found no room on the lane. */
struct queued {
    struct queued *next;
    uint16_t type;
    uint64_t id;
    size_t n;
    uint8_t payload[];
};

struct status_wait {
    uint64_t id; /* 0: free */
    control_status_fn fn;
    void *ctx;
    uint64_t until_ms;
};

struct control {
    uv_loop_t *loop;
    struct ring *in, *out;
    unsigned lanes;
    struct control_handlers h;
    struct store *store;
    struct relay *relay;
    struct peers *peers;
    struct joining *joining;
    uv_poll_t poll;
    uv_timer_t retry, tick;
    struct queued *first, *last;
    size_t queued_n;
    struct status_wait wait[STATUS_MAX];
    uint64_t next_id;
    bool is_running, is_stopping;
    uint8_t *buf;     /* message being made */
    uint8_t *message; /* message being read */
};

#endif
