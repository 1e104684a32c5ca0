/* The control lane: what the store and the boundary say to each other, the relay's bytes, status.
 * Lives on the store's loop, which is the main thread's; nothing here blocks but the start. */
#ifndef GATEWAY_CONTROL_H
#define GATEWAY_CONTROL_H

#include <uv.h>
#include "store/store.h"
#include "wire/ring.h"
#include "wire/wire.h"

struct control;
struct relay;
struct peers;
struct joining;

/* What the boundary said of itself. */
struct control_pool {
    struct uuid id;
    char name[25];
    char tenant[37];
    char protection[33];
    char secret_memory[33];
    bool is_fresh;
    bool is_joining; /* it has no root secrets yet */
};

struct control_handlers {
    void *ctx;
    /* The boundary cannot be trusted or the store cannot go on: end the process. */
    void (*fatal)(void *ctx, const char *text);
    /* The store cannot go on. */
    void (*store_failed)(void *ctx, hsm_err err);
    /* CTL_JOINED: the root secrets are here, the partition starts again with them. */
    void (*joined)(void *ctx);
    /* CTL_QUIESCED: nothing more comes. */
    void (*quiesced)(void *ctx);
};

HSM_MUST_USE hsm_err control_new(uv_loop_t *loop, struct ring_set *rings,
                                 const struct control_handlers *h, struct control **ret);
/* The lane and the handles close; call once, memory goes when the loop has closed them. */
void control_stop(struct control *c);
void control_free(struct control *c);

/* The store's callbacks with c as their context. */
struct store_callbacks control_store_callbacks(struct control *c);

/* Before the loop runs: greet, load every record of the opened store, tell where the audit log
 * ends, start the store and the lane. text[cap] says what went wrong. */
HSM_MUST_USE hsm_err control_greet(struct control *c, struct control_pool *ret, char *text,
                                   size_t cap);
HSM_MUST_USE hsm_err control_load(struct control *c, struct store *store, uint64_t audit_seq,
                                  const uint8_t audit_hash[32], char *text, size_t cap);
HSM_MUST_USE hsm_err control_run(struct control *c);
void control_set_relay(struct control *c, struct relay *r);
/* NULL: one partition. */
void control_set_peers(struct control *c, struct peers *p);
void control_set_joining(struct control *c, struct joining *j);

/* Queue a message to the boundary; never blocks, order is kept. */
void control_send(struct control *c, unsigned type, uint64_t id, struct bytes payload);
/* Bytes that wait for room on the lane. */
size_t control_backlog(const struct control *c);

/* Ask for the status. fn is called once: with the answer, or with NULL when it does not come within
 * two seconds. */
typedef void (*control_status_fn)(void *ctx, const struct wire_status *status);
void control_status(struct control *c, control_status_fn fn, void *ctx);
void control_status_cancel(struct control *c, const void *ctx);

/* Orderly stop of the boundary; leads to quiesced(). */
void control_quiesce(struct control *c);

#endif
