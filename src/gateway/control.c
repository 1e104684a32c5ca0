#include <stdlib.h>
#include "base/clock.h"
#include "base/log.h"
#include "gateway/control_internal.h"
#include "gateway/joining.h"
#include "gateway/peers.h"
#include "gateway/peers_join.h"
#include "gateway/relay.h"

#define RETRY_MS  1
#define STATUS_MS 2000

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
    c->h.store_failed(c->h.ctx, err);
}

static void on_message(void *ctx, uint64_t from, uint16_t type, struct bytes payload)
{
    struct control *c = ctx;
    if (c->peers != NULL)
        peers_message(c->peers, from, type, payload);
}

static void on_link(void *ctx, uint64_t id, bool up)
{
    struct control *c = ctx;
    if (c->peers != NULL)
        peers_link(c->peers, id, up);
}

struct store_callbacks control_store_callbacks(struct control *c)
{
    return (struct store_callbacks){
        .ctx = c,
        .committed = on_committed,
        .leader = on_leader,
        .fatal = on_store_fatal,
        .message = on_message,
        .link = on_link,
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

/* Whose connection: that of a joining boundary, to a member; that of another one, which joins; or
 * one to the issuer of tokens. */
static hsm_err dispatch_net(struct control *c, const struct ring_frame *f)
{
    struct wire_net_open open;
    struct wire_net_data data;
    struct wire_net_close gone;
    if (f->type == CTL_NET_OPEN) {
        TRY(wire_net_open_decode(f->payload, &open));
        if (c->joining != NULL)
            joining_open(c->joining, &open);
        else
            relay_open(c->relay, &open);
    } else if (f->type == CTL_NET_DATA) {
        TRY(wire_net_data_decode(f->payload, &data));
        if (c->joining != NULL)
            joining_data(c->joining, &data);
        else if ((data.conn & PEERS_JOIN_INBOUND) == 0)
            relay_data(c->relay, &data);
        else if (c->peers != NULL)
            peers_net_data(c->peers, &data);
    } else {
        TRY(wire_net_close_decode(f->payload, &gone));
        if (c->joining != NULL)
            joining_close(c->joining, &gone);
        else if ((gone.conn & PEERS_JOIN_INBOUND) == 0)
            relay_close(c->relay, &gone);
        else if (c->peers != NULL)
            peers_net_close(c->peers, &gone);
    }
    return HSM_OK;
}

static hsm_err dispatch_lease(struct control *c, const struct ring_frame *f)
{
    struct wire_lease_want want;
    struct wire_lease_proof proof;
    if (f->type == CTL_LEASE_WANT) {
        TRY(wire_lease_want_decode(f->payload, &want));
        if (c->peers != NULL)
            peers_lease_want(c->peers, &want.nonce);
    } else {
        TRY(wire_lease_proof_decode(f->payload, &proof));
        if (c->peers != NULL)
            peers_lease_proof(c->peers, &proof);
    }
    return HSM_OK;
}

static hsm_err dispatch(struct control *c, const struct ring_frame *f)
{
    struct wire_propose propose;
    struct wire_applied applied;
    struct wire_status status;
    switch (f->type) {
    case CTL_PROPOSE:
        TRY(wire_propose_decode(f->payload, &propose));
        take_proposal(c, &propose);
        return HSM_OK;
    case CTL_APPLIED:
        TRY(wire_applied_decode(f->payload, &applied));
        store_applied(c->store, applied.index, applied.digest);
        if (c->peers != NULL)
            peers_applied(c->peers, applied.index);
        return HSM_OK;
    case CTL_NET_OPEN:
    case CTL_NET_DATA:
    case CTL_NET_CLOSE:
        return dispatch_net(c, f);
    case CTL_LEASE_WANT:
    case CTL_LEASE_PROOF:
        return dispatch_lease(c, f);
    case CTL_JOINED:
        c->h.joined(c->h.ctx);
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

void control_set_peers(struct control *c, struct peers *p)
{
    c->peers = p;
}

void control_set_joining(struct control *c, struct joining *j)
{
    c->joining = j;
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
