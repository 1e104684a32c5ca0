#include "gateway/control.h"

#include <stdio.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/log.h"
#include "gateway/relay.h"

#define START_TIMEOUT_MS 30000
#define RETRY_MS         1
#define STATUS_MAX       16
#define STATUS_MS        2000
#define LOAD_BYTES       600000u /* of records in one message, before the last one */

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

static void fatal(struct control *c, const char *text)
{
    c->h.fatal(c->h.ctx, text);
}

/* ---- to the boundary ---- */

static void flush_queue(struct control *c)
{
    while (c->first != NULL) {
        struct queued *q = c->first;
        struct ring_frame f = {.type = q->type, .id = q->id, .payload = bytes_of(q->payload, q->n)};
        hsm_err err = ring_write_quiet(c->out, &f, 0);
        if (err == HSM_E_AGAIN)
            break;
        if (err != HSM_OK) {
            fatal(c, "the control lane is damaged");
            return;
        }
        c->first = q->next;
        c->queued_n -= q->n;
        free(q);
    }
    if (c->first == NULL)
        c->last = NULL;
    ring_flush(c->out);
}

static void on_retry(uv_timer_t *t)
{
    struct control *c = t->data;
    flush_queue(c);
    if (c->first == NULL)
        uv_timer_stop(t);
}

static void enqueue(struct control *c, unsigned type, uint64_t id, struct bytes payload)
{
    struct queued *q = malloc(sizeof *q + payload.n);
    if (q == NULL) {
        fatal(c, "out of memory on the control lane");
        return;
    }
    q->next = NULL;
    q->type = (uint16_t)type;
    q->id = id;
    q->n = payload.n;
    if (payload.n > 0)
        memcpy(q->payload, payload.p, payload.n);
    if (c->last != NULL)
        c->last->next = q;
    else
        c->first = q;
    c->last = q;
    c->queued_n += payload.n;
    if (!uv_is_active((uv_handle_t *)&c->retry) && !c->is_stopping)
        (void)uv_timer_start(&c->retry, on_retry, RETRY_MS, RETRY_MS);
}

void control_send(struct control *c, unsigned type, uint64_t id, struct bytes payload)
{
    if (c->first == NULL) {
        struct ring_frame f = {.type = (uint16_t)type, .id = id, .payload = payload};
        hsm_err err = ring_write(c->out, &f, 0);
        if (err == HSM_OK)
            return;
        if (err != HSM_E_AGAIN) {
            fatal(c, "the control lane is damaged");
            return;
        }
    }
    enqueue(c, type, id, payload);
}

size_t control_backlog(const struct control *c)
{
    return c->queued_n;
}

static void send_made(struct control *c, unsigned type, const struct wr *w)
{
    if (wr_ok(w) != HSM_OK)
        fatal(c, "a control message does not fit the lane");
    else
        control_send(c, type, 0, wr_view(w));
}

/* ---- store ---- */

static void on_committed(void *ctx, uint64_t index, bool accepted, struct bytes txn)
{
    struct control *c = ctx;
    struct wr w = wr_of(c->buf, RING_FRAME_MAX);
    struct wire_apply m = {.index = index, .accepted = accepted, .txn = txn};
    wire_apply_put(&w, &m);
    send_made(c, CTL_APPLY, &w);
}

static void on_leader(void *ctx, bool is_leader)
{
    (void)ctx;
    log_info("this partition %s the store", is_leader ? "leads" : "does not lead");
}

static void on_store_fatal(void *ctx, hsm_err err, const char *text)
{
    struct control *c = ctx;
    log_error("store: %s: %s", hsm_err_name(err), text);
    fatal(c, "the store cannot go on");
}

struct store_callbacks control_store_callbacks(struct control *c)
{
    return (struct store_callbacks){
        .ctx = c,
        .committed = on_committed,
        .leader = on_leader,
        .fatal = on_store_fatal,
    };
}

struct proposal_ref {
    struct control *c;
    struct uuid txn;
};

static void tell_failed(struct control *c, const struct uuid *txn, hsm_err err)
{
    struct wr w = wr_of(c->buf, RING_FRAME_MAX);
    struct wire_txn_failed m = {.txn = *txn, .err = (uint16_t)err};
    wire_txn_failed_put(&w, &m);
    send_made(c, CTL_TXN_FAILED, &w);
}

static void on_proposed(void *ctx, hsm_err err)
{
    struct proposal_ref *p = ctx;
    struct control *c = p->c;
    if (err == HSM_E_IO)
        fatal(c, "it is unknown whether a transaction was committed");
    else if (err != HSM_OK)
        tell_failed(c, &p->txn, err);
    free(p);
}

static void take_proposal(struct control *c, const struct wire_propose *m)
{
    struct proposal_ref *p = malloc(sizeof *p);
    if (p == NULL) {
        tell_failed(c, &m->txn, HSM_E_NOMEM);
        return;
    }
    *p = (struct proposal_ref){.c = c, .txn = m->txn};
    hsm_err err = store_propose(c->store, m->bytes, on_proposed, p);
    if (err != HSM_OK) {
        free(p);
        tell_failed(c, &m->txn, err == HSM_E_MALFORMED ? HSM_E_INTERNAL : err);
    }
}

/* ---- status ---- */

void control_status(struct control *c, control_status_fn fn, void *ctx)
{
    for (size_t i = 0; i < STATUS_MAX; i++) {
        struct status_wait *s = &c->wait[i];
        if (s->id != 0)
            continue;
        *s = (struct status_wait){
            .id = ++c->next_id,
            .fn = fn,
            .ctx = ctx,
            .until_ms = clock_mono_us() / 1000 + STATUS_MS,
        };
        control_send(c, CTL_STATUS, s->id, bytes_of(NULL, 0));
        return;
    }
    fn(ctx, NULL);
}

void control_status_cancel(struct control *c, const void *ctx)
{
    for (size_t i = 0; i < STATUS_MAX; i++) {
        if (c->wait[i].id != 0 && c->wait[i].ctx == ctx)
            c->wait[i].id = 0;
    }
}

static void take_status(struct control *c, uint64_t id, const struct wire_status *m)
{
    for (size_t i = 0; i < STATUS_MAX; i++) {
        struct status_wait s = c->wait[i];
        if (s.id == 0 || s.id != id)
            continue;
        c->wait[i].id = 0;
        s.fn(s.ctx, m);
        return;
    }
}

static void on_tick(uv_timer_t *t)
{
    struct control *c = t->data;
    uint64_t now = clock_mono_us() / 1000;
    for (size_t i = 0; i < STATUS_MAX; i++) {
        struct status_wait s = c->wait[i];
        if (s.id == 0 || now < s.until_ms)
            continue;
        c->wait[i].id = 0;
        s.fn(s.ctx, NULL);
    }
}

/* ---- from the boundary ---- */

static hsm_err dispatch(struct control *c, const struct ring_frame *f)
{
    struct wire_propose propose;
    struct wire_applied applied;
    struct wire_net_open net_open;
    struct wire_net_data net_data;
    struct wire_net_close net_close;
    struct wire_status status;
    switch (f->type) {
    case CTL_PROPOSE:
        TRY(wire_propose_decode(f->payload, &propose));
        take_proposal(c, &propose);
        return HSM_OK;
    case CTL_APPLIED:
        TRY(wire_applied_decode(f->payload, &applied));
        store_applied(c->store, applied.index, applied.digest);
        return HSM_OK;
    case CTL_NET_OPEN:
        TRY(wire_net_open_decode(f->payload, &net_open));
        relay_open(c->relay, &net_open);
        return HSM_OK;
    case CTL_NET_DATA:
        TRY(wire_net_data_decode(f->payload, &net_data));
        relay_data(c->relay, &net_data);
        return HSM_OK;
    case CTL_NET_CLOSE:
        TRY(wire_net_close_decode(f->payload, &net_close));
        relay_close(c->relay, &net_close);
        return HSM_OK;
    case CTL_STATUS_RESULT:
        TRY(wire_status_decode(f->payload, &status));
        take_status(c, f->id, &status);
        return HSM_OK;
    case CTL_QUIESCED:
        c->h.quiesced(c->h.ctx);
        return HSM_OK;
    default:
        log_error("unexpected %s on the control lane", wire_type_name(f->type));
        return HSM_E_CORRUPT;
    }
}

static hsm_err take_all(struct control *c)
{
    for (;;) {
        struct ring_frame f;
        hsm_err err = ring_read(c->in, c->message, RING_FRAME_MAX, &f);
        if (err == HSM_OK)
            TRY(dispatch(c, &f));
        else if (err != HSM_E_AGAIN)
            return err;
        else if (ring_sleep(c->in))
            return HSM_OK;
    }
}

static void on_lane(uv_poll_t *h, int status, int events)
{
    struct control *c = h->data;
    (void)events;
    ring_awake(c->in);
    if (status < 0 || take_all(c) != HSM_OK)
        fatal(c, "the boundary's control messages are damaged");
}

/* ---- start ---- */

static hsm_err expect(struct control *c, unsigned type, struct ring_frame *ret)
{
    uint64_t until = clock_mono_us() / 1000 + START_TIMEOUT_MS;
    for (;;) {
        hsm_err err = ring_read(c->in, c->message, RING_FRAME_MAX, ret);
        if (err == HSM_OK)
            return ret->type == type ? HSM_OK : HSM_E_CORRUPT;
        if (err != HSM_E_AGAIN)
            return err;
        uint64_t now = clock_mono_us() / 1000;
        if (now >= until || !ring_wait(c->in, (int)(until - now)))
            return HSM_E_UNAVAILABLE;
    }
}

static hsm_err send_now(struct control *c, unsigned type, const struct wr *w)
{
    TRY(wr_ok(w));
    struct ring_frame f = {.type = (uint16_t)type, .payload = wr_view(w)};
    return ring_write(c->out, &f, START_TIMEOUT_MS);
}

static void copy_text(char *dst, size_t cap, struct bytes b)
{
    (void)snprintf(dst, cap, "%.*s", (int)b.n, (const char *)b.p);
}

static hsm_err greet(struct control *c, struct control_pool *ret)
{
    struct wr w = wr_of(c->buf, RING_FRAME_MAX);
    struct wire_hello hello = {.version = WIRE_VERSION, .lanes = (uint16_t)c->lanes};
    struct wire_welcome m;
    struct ring_frame f;
    wire_hello_put(&w, &hello);
    TRY(send_now(c, CTL_HELLO, &w));
    TRY(expect(c, CTL_WELCOME, &f));
    TRY(wire_welcome_decode(f.payload, &m));
    if (m.version != WIRE_VERSION)
        return HSM_E_BAD_PARAMETER;
    struct control_pool p = {.id = m.pool, .is_fresh = m.fresh != 0};
    copy_text(p.name, sizeof p.name, m.pool_name);
    copy_text(p.tenant, sizeof p.tenant, m.tenant);
    copy_text(p.protection, sizeof p.protection, m.protection);
    copy_text(p.secret_memory, sizeof p.secret_memory, m.secret_memory);
    *ret = p;
    return HSM_OK;
}

hsm_err control_greet(struct control *c, struct control_pool *ret, char *text, size_t cap)
{
    hsm_err err = greet(c, ret);
    if (err == HSM_E_BAD_PARAMETER)
        (void)snprintf(text, cap, "the boundary is of another version");
    else if (err != HSM_OK)
        (void)snprintf(text, cap, "the boundary did not greet: %s", hsm_err_name(err));
    return err;
}

struct loader {
    struct control *c;
    struct wr w; /* CTL_LOAD_RECORDS: a list inside one length */
    size_t list_at;
    unsigned n;
};

static void loader_reset(struct loader *l)
{
    l->w = wr_of(l->c->buf, RING_FRAME_MAX);
    l->list_at = wr_lv_open(&l->w);
    l->n = 0;
}

static hsm_err loader_send(struct loader *l)
{
    if (l->n == 0)
        return HSM_OK;
    wr_lv_close(&l->w, l->list_at);
    TRY(send_now(l->c, CTL_LOAD_RECORDS, &l->w));
    loader_reset(l);
    return HSM_OK;
}

static hsm_err load_one(void *ctx, const uint8_t rid[STORE_RID_LEN], uint64_t revision,
                        struct bytes sealed)
{
    struct loader *l = ctx;
    struct wire_record r = {
        .rid = bytes_of(rid, STORE_RID_LEN),
        .revision = revision,
        .sealed = sealed,
    };
    /* The list holds 700,000 bytes and one record alone may have 600,000. */
    if (l->w.n + sealed.n > LOAD_BYTES)
        TRY(loader_send(l));
    size_t at = wr_lv_open(&l->w);
    wire_record_put(&l->w, &r);
    wr_lv_close(&l->w, at);
    l->n++;
    return wr_ok(&l->w);
}

static hsm_err load(struct control *c, char *text, size_t cap)
{
    struct wr w = wr_of(c->buf, RING_FRAME_MAX);
    struct wire_load_begin begin = {
        .index = store_loaded_index(c->store),
        .digest = store_loaded_digest(c->store),
    };
    struct wire_loaded m;
    struct ring_frame f;
    wire_load_begin_put(&w, &begin);
    TRY(send_now(c, CTL_LOAD_BEGIN, &w));
    struct loader l = {.c = c};
    loader_reset(&l);
    TRY(store_each(c->store, load_one, &l));
    TRY(loader_send(&l));
    w = wr_of(c->buf, RING_FRAME_MAX);
    TRY(send_now(c, CTL_LOAD_END, &w));
    TRY(expect(c, CTL_LOADED, &f));
    TRY(wire_loaded_decode(f.payload, &m));
    if (m.err == HSM_OK)
        return HSM_OK;
    (void)snprintf(text, cap, "the boundary refuses the stored state: %s: %.*s",
                   hsm_err_name(m.err), (int)m.detail.n, (const char *)m.detail.p);
    return HSM_E_CORRUPT;
}

hsm_err control_load(struct control *c, struct store *store, uint64_t audit_seq,
                     const uint8_t audit_hash[32], char *text, size_t cap)
{
    text[0] = '\0';
    c->store = store;
    hsm_err err = load(c, text, cap);
    if (err == HSM_OK) {
        struct wr w = wr_of(c->buf, RING_FRAME_MAX);
        struct wire_audit_resume m = {
            .seq = audit_seq,
            .hash = bytes_of(audit_hash, audit_seq == 0 ? 0 : 32),
        };
        wire_audit_resume_put(&w, &m);
        err = send_now(c, CTL_AUDIT_RESUME, &w);
    }
    if (err != HSM_OK && text[0] == '\0')
        (void)snprintf(text, cap, "the stored state could not be handed over: %s",
                       hsm_err_name(err));
    return err;
}

hsm_err control_run(struct control *c)
{
    if (uv_poll_start(&c->poll, UV_READABLE, on_lane) != 0 ||
        uv_timer_start(&c->tick, on_tick, 100, 100) != 0)
        return HSM_E_IO;
    c->is_running = true;
    return take_all(c);
}

void control_set_relay(struct control *c, struct relay *r)
{
    c->relay = r;
}

void control_quiesce(struct control *c)
{
    control_send(c, CTL_QUIESCE, 0, bytes_of(NULL, 0));
}

/* ---- life ---- */

hsm_err control_new(uv_loop_t *loop, struct ring_set *rings, const struct control_handlers *h,
                    struct control **ret)
{
    struct control *c = calloc(1, sizeof *c);
    if (c == NULL)
        return HSM_E_NOMEM;
    c->loop = loop;
    c->in = rings->in[0];
    c->out = rings->out[0];
    c->lanes = rings->lanes;
    c->h = *h;
    c->buf = malloc(RING_FRAME_MAX);
    c->message = malloc(RING_FRAME_MAX);
    if (c->buf == NULL || c->message == NULL || uv_poll_init(loop, &c->poll, ring_fd(c->in)) != 0) {
        free(c->buf);
        free(c->message);
        free(c);
        return HSM_E_NOMEM;
    }
    (void)uv_timer_init(loop, &c->retry);
    (void)uv_timer_init(loop, &c->tick);
    c->poll.data = c;
    c->retry.data = c;
    c->tick.data = c;
    *ret = c;
    return HSM_OK;
}

void control_stop(struct control *c)
{
    if (c == NULL || c->is_stopping)
        return;
    c->is_stopping = true;
    uv_close((uv_handle_t *)&c->poll, NULL);
    uv_close((uv_handle_t *)&c->retry, NULL);
    uv_close((uv_handle_t *)&c->tick, NULL);
}

void control_free(struct control *c)
{
    if (c == NULL)
        return;
    while (c->first != NULL) {
        struct queued *q = c->first;
        c->first = q->next;
        free(q);
    }
    free(c->buf);
    free(c->message);
    free(c);
}
