#include "gateway/front.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/log.h"
#include "gateway/front_internal.h"

#define SLOT_BITS      16
#define SLOT_NONE      UINT32_MAX
#define BATCH_CAP      (2u * RING_SIZE)
#define WORKER_TURN_MS 5 /* its answers come sooner: BATCH_US and one operation */

/* ---- slots: id = generation and index, so that an answer can never reach another request ---- */

struct pending *front_slot_take(struct front *f, struct http_exchange *x)
{
    if (f->free_head == SLOT_NONE)
        return NULL;
    struct pending *p = &f->slots[f->free_head];
    f->free_head = p->next_free;
    meter_in_flight(f->meter, ++f->used);
    p->x = x;
    p->generation++;
    p->face = NULL;
    p->what = NULL;
    p->is_secret = false;
    p->refusal = HSM_OK;
    p->detail[0] = '\0';
    p->ctx.op = WIRE_TYPE_NONE;
    p->ctx.authority[0] = '\0';
    p->ctx.name[0] = '\0';
    p->ctx.api_version[0] = '\0';
    p->ctx.max = 0;
    return p;
}

uint64_t front_slot_id(const struct front *f, const struct pending *p)
{
    return p->generation << SLOT_BITS | (uint64_t)(p - f->slots);
}

struct pending *front_slot_find(struct front *f, uint64_t id)
{
    uint64_t at = id & ((1u << SLOT_BITS) - 1);
    if (at >= FRONT_PENDING_MAX)
        return NULL;
    struct pending *p = &f->slots[at];
    return p->x != NULL && p->generation == id >> SLOT_BITS ? p : NULL;
}

void front_slot_free(struct front *f, struct pending *p)
{
    p->x = NULL;
    p->next_free = f->free_head;
    f->free_head = (uint32_t)(p - f->slots);
    meter_in_flight(f->meter, --f->used);
}

/* ---- answers to clients ---- */

/* Returns how long the request took, in microseconds. */
static uint64_t fill_reply(const struct front *f, const struct pending *p, const struct outcome *o,
                           struct reply *r)
{
    const struct http_request *rq = http_exchange_request(p->x);
    uint64_t us = clock_mono_us() - rq->received_us;
    *r = (struct reply){
        .is_get = rq->head->method == HTTP1_GET,
        .is_error = o->status >= 400,
        .client_is_v6 = rq->client_is_v6,
        .client_ip = rq->client_ip,
        .region = f->shared->region,
        .activity = p->activity,
        .latency_ms = us / 1000,
        .challenge = o->challenge && p->face != NULL ? p->face->challenge : NULL,
        .claims_nbf_s = o->claims ? clock_now_ms() / 1000 : 0,
        .authority = p->ctx.authority,
        .async_path = o->async_path,
        .retry_after_s = o->retry_after_s,
    };
    return us;
}

void front_finish(struct front *f, struct pending *p, const struct outcome *o)
{
    struct reply r;
    struct wr headers = wr_of(f->headers, sizeof f->headers);
    struct bytes body = o->body;
    meter_answer(f->meter, p->ctx.op, o->status, o->err, fill_reply(f, p, o, &r));
    reply_headers(&r, &headers);
    if (o->bare) {
        body = bytes_str(r.is_get ? "OK" : "");
    } else if (o->status >= 400) {
        struct wr w = wr_of(f->out, FRONT_OUT_MAX);
        render_error(o->err, o->detail, p->activity, &w);
        body = wr_view(&w);
    }
    /* The connection may hand over its next request before http_respond() returns. A request that
     * was refused may hold a secret in the wrong place. */
    struct http_exchange *x = p->x;
    bool secret = p->is_secret || o->status >= 400;
    front_slot_free(f, p);
    http_respond(x, o->status, wr_view(&headers), body, secret);
}

void front_finish_error(struct front *f, struct pending *p, unsigned err, struct bytes detail)
{
    unsigned status = hsm_err_http(err);
    struct outcome o = {
        .status = status,
        .err = err,
        .detail = detail,
        .challenge = status == 401,
        .retry_after_s = status == 429 || status == 503 ? 1 : 0,
    };
    front_finish(f, p, &o);
}

static void finish_unimplemented(struct front *f, struct pending *p)
{
    char text[ROUTE_DETAIL_MAX];
    if (p->detail[0] == '\0') {
        (void)snprintf(text, sizeof text,
                       "The operation '%s' is not implemented by this server version.",
                       p->what != NULL ? p->what : "unknown");
        (void)snprintf(p->detail, sizeof p->detail, "%s", text);
    }
    front_finish_error(f, p, HSM_E_NOT_IMPLEMENTED, bytes_str(p->detail));
}

static void add_async(struct outcome *o, unsigned op, struct bytes result)
{
    if (op == OP_SD_DOWNLOAD) {
        o->async_path = "/securitydomain/download/pending";
        o->retry_after_s = 1;
    } else if (op == OP_SD_DOWNLOAD_STATUS || op == OP_SD_UPLOAD_STATUS) {
        o->async_path = op == OP_SD_DOWNLOAD_STATUS ? "/securitydomain/download/pending"
                                                    : "/securitydomain/upload/pending";
        if (render_sd_status_of(result) == SD_IN_PROGRESS)
            o->retry_after_s = 1;
    }
}

static void finish_result(struct front *f, struct pending *p, struct bytes result)
{
    struct wr w = wr_of(f->out, FRONT_OUT_MAX);
    const struct wire_op_info *info = wire_op_info(p->ctx.op);
    hsm_err err = render_result(&p->ctx, result, &w);
    if (err != HSM_OK || info == NULL) {
        log_error("the boundary's answer to %s cannot be shown: %s", wire_type_name(p->ctx.op),
                  hsm_err_name(err));
        front_finish_error(f, p, HSM_E_INTERNAL, bytes_of(NULL, 0));
        return;
    }
    bool is_secret = p->is_secret;
    struct outcome o = {.status = info->success, .body = wr_view(&w)};
    add_async(&o, p->ctx.op, result);
    front_finish(f, p, &o);
    if (is_secret)
        secret_wipe(f->out, w.n);
}

static void finish_answer(struct front *f, struct pending *p, struct bytes payload)
{
    struct wire_result m;
    if (wire_result_decode(payload, &m) != HSM_OK) {
        log_error("the boundary's answer to %s is malformed", wire_type_name(p->ctx.op));
        front_finish_error(f, p, HSM_E_INTERNAL, bytes_of(NULL, 0));
        return;
    }
    bool is_missing = p->refusal == HSM_OK && p->ctx.op == OP_UNIMPLEMENTED;
    if (is_missing && (m.err == HSM_OK || m.err == HSM_E_NOT_IMPLEMENTED)) {
        finish_unimplemented(f, p);
    } else if (m.err == HSM_OK && p->refusal != HSM_OK) {
        front_finish_error(f, p, p->refusal, bytes_str(p->detail));
    } else if (m.err == HSM_OK) {
        finish_result(f, p, m.body);
    } else {
        unsigned status = hsm_err_http(m.err);
        struct outcome o = {
            .status = status >= 400 ? status : 500,
            .err = m.err,
            .detail = m.detail,
            .challenge = status == 401,
            .claims = status == 401 && m.challenge != 0,
            .retry_after_s = status == 429 || status == 503 ? 1 : 0,
        };
        front_finish(f, p, &o);
    }
}

/* ---- the lane ---- */

struct batch {
    struct ring_frame frame[FRONT_BATCH_MAX];
    size_t n;
    size_t bytes;
};

/* Take frames until the lane is empty or the buffer is full. */
static hsm_err read_batch(struct front *f, struct batch *b)
{
    b->n = 0;
    b->bytes = 0;
    while (b->n < FRONT_BATCH_MAX) {
        struct ring_frame *frame = &b->frame[b->n];
        hsm_err err = ring_read(f->in, f->batch + b->bytes, BATCH_CAP - b->bytes, frame);
        if (err == HSM_E_AGAIN || err == HSM_E_RANGE)
            return HSM_OK;
        TRY(err);
        if (frame->type != WIRE_ANSWER)
            return HSM_E_CORRUPT;
        b->bytes += frame->payload.n;
        b->n++;
    }
    return HSM_OK;
}

static hsm_err handle_batch(struct front *f, const struct batch *b)
{
    /* The boundary put each answer's line on the audit ring before the answer itself. */
    hsm_err audited = audit_sink_drain(f->shared->audit);
    if (audited == HSM_E_CORRUPT)
        return audited;
    for (size_t i = 0; i < b->n; i++) {
        if (b->frame[i].id == 0)
            continue; /* record of a refusal that was answered already */
        struct pending *p = front_slot_find(f, b->frame[i].id);
        if (p == NULL)
            return HSM_E_CORRUPT;
        if (audited == HSM_OK)
            finish_answer(f, p, b->frame[i].payload);
        else
            front_finish_error(f, p, HSM_E_DISK_FULL, bytes_of(NULL, 0));
    }
    secret_wipe(f->batch, b->bytes);
    return HSM_OK;
}

hsm_err front_answers(struct front *f)
{
    struct batch b;
    ring_awake(f->in);
    do {
        TRY(read_batch(f, &b));
        if (b.n > 0)
            TRY(handle_batch(f, &b));
    } while (b.n > 0 || !ring_sleep(f->in));
    ring_flush(f->out_ring);
    return HSM_OK;
}

int front_fd(const struct front *f)
{
    return ring_fd(f->in);
}

unsigned front_pending(const struct front *f)
{
    return f->used;
}

/* ---- life ---- */

static size_t body_limit(void *ctx, const struct http1_head *head)
{
    (void)ctx;
    return route_body_limit(head->target);
}

static void batch_end(void *ctx)
{
    struct front *f = ctx;
    ring_flush(f->out_ring);
}

void front_let_worker_run(struct front *f)
{
    struct pollfd p = {.fd = ring_fd(f->in), .events = POLLIN};
    if (!ring_is_behind(f->out_ring) || !ring_await_turn(f->in))
        return;
    if (ring_is_behind(f->out_ring))
        (void)poll(&p, 1, WORKER_TURN_MS);
    ring_end_turn(f->in);
}

static void door_closed(void *ctx)
{
    struct front *f = ctx;
    if (f->door_closed != NULL)
        f->door_closed(f->door_ctx);
}

struct http_server_handlers front_handlers(struct front *f, void (*door_lost)(void *ctx), void *ctx)
{
    f->door_closed = door_lost;
    f->door_ctx = ctx;
    return (struct http_server_handlers){
        .ctx = f,
        .body_limit = body_limit,
        .request = front_request,
        .refused = front_refused,
        .batch_end = batch_end,
        .door_closed = door_closed,
    };
}

hsm_err front_new(const struct front_shared *shared, unsigned lane, struct front **ret)
{
    struct front *f = calloc(1, sizeof *f);
    if (f == NULL)
        return HSM_E_NOMEM;
    f->shared = shared;
    f->meter = &shared->meters[lane - 1];
    f->in = shared->rings->in[lane];
    f->out_ring = shared->rings->out[lane];
    f->slots = calloc(FRONT_PENDING_MAX, sizeof *f->slots);
    f->toks = calloc(BODY_TOKENS_MAX, sizeof *f->toks);
    f->scratch = (struct scratch){.p = malloc(FRONT_SCRATCH), .cap = FRONT_SCRATCH};
    f->frame = malloc(RING_FRAME_MAX);
    f->batch = malloc(BATCH_CAP);
    f->out = malloc(FRONT_OUT_MAX);
    if (f->slots == NULL || f->toks == NULL || f->scratch.p == NULL || f->frame == NULL ||
        f->batch == NULL || f->out == NULL) {
        front_free(f);
        return HSM_E_NOMEM;
    }
    for (uint32_t i = 0; i < FRONT_PENDING_MAX; i++)
        f->slots[i].next_free = i + 1 < FRONT_PENDING_MAX ? i + 1 : SLOT_NONE;
    *ret = f;
    return HSM_OK;
}

void front_free(struct front *f)
{
    if (f == NULL)
        return;
    free(f->slots);
    free(f->toks);
    free(f->scratch.p);
    free(f->frame);
    free(f->batch);
    free(f->out);
    free(f);
}
