/* Internal to front*.c. */
#ifndef GATEWAY_FRONT_INTERNAL_H
#define GATEWAY_FRONT_INTERNAL_H

#include "gateway/body.h"
#include "gateway/front.h"
#include "gateway/render.h"
#include "gateway/reply.h"
#include "wire/wire.h"

#define FRONT_BATCH_MAX 256
#define FRONT_OUT_MAX   (4u << 20)
#define FRONT_SCRATCH   (1u << 20)
#define FRONT_TOKEN_MAX 16384
#define FRONT_AGENT_MAX 512
#define FRONT_URI_MAX   2048
#define FRONT_IP_MAX    64

/* A request that waits for the boundary. */
struct pending {
    struct http_exchange *x; /* NULL: free */
    uint64_t generation;
    uint32_t next_free;
    const struct face *face;
    const char *what; /* OP_UNIMPLEMENTED */
    bool is_secret;   /* front_op_is_secret() of the operation that was asked for */
    hsm_err refusal;  /* not HSM_OK: told when the token turns out to be good */
    char detail[ROUTE_DETAIL_MAX];
    char activity[UUID_TEXT_LEN + 1];
    struct uuid activity_id;
    struct render_ctx ctx;
};

/* The Host header of the last request and what came of it: nearly all requests have the same. */
struct front_host {
    uint8_t text[RENDER_AUTHORITY_MAX];
    size_t n;
    const struct face *face;
    char authority[RENDER_AUTHORITY_MAX];
};

struct front {
    const struct front_shared *shared;
    struct meter *meter;
    struct front_host host;
    struct ring *in, *out_ring;
    void (*door_closed)(void *ctx);
    void *door_ctx;
    struct pending *slots;
    uint32_t free_head;
    unsigned used;
    struct json_tok *toks;
    struct scratch scratch;
    uint8_t *frame; /* RING_FRAME_MAX: request being written */
    uint8_t *batch; /* 2 * RING_SIZE: answers being handled */
    uint8_t *out;   /* FRONT_OUT_MAX: body being rendered */
    uint8_t path[HTTP1_HEAD_MAX];
    uint8_t headers[REPLY_HEADERS_MAX];
};

struct pending *front_slot_take(struct front *f, struct http_exchange *x);
struct pending *front_slot_find(struct front *f, uint64_t id);
uint64_t front_slot_id(const struct front *f, const struct pending *p);
void front_slot_free(struct front *f, struct pending *p);

/* What is answered, in the end. */
struct outcome {
    unsigned status;
    unsigned err;
    struct bytes detail;
    bool challenge; /* 401 */
    bool claims;    /* 401 to a presented token */
    bool bare;      /* the body of the first challenge: "OK" on GET, else none */
    const char *async_path;
    unsigned retry_after_s;
    struct bytes body; /* status < 400 */
};
/* Responds and frees the slot. */
void front_finish(struct front *f, struct pending *p, const struct outcome *o);
void front_finish_error(struct front *f, struct pending *p, unsigned err, struct bytes detail);

/* Request side (front_request.c). */
void front_request(void *ctx, struct http_exchange *x, const struct http_request *rq);
void front_refused(void *ctx, hsm_err err, const char *client_ip, struct wr *headers,
                   struct wr *out);

/* Bodies of these carry plaintext, key material or random bytes: buffers are wiped. */
static inline bool front_op_is_secret(unsigned op)
{
    return (op >= OP_ENCRYPT && op <= OP_VERIFY) || op == OP_RNG || op == OP_KEY_IMPORT;
}

#endif
