/* Several instances of the fabric over one state: commits of those that do not lead go to the one
 * that does; a read waits for what was committed before it, which the leader proves by a barrier.
 */
#include <stdlib.h>
#include "fabric/state_disk.h"

#define TICK_MS     50
#define PATIENCE_MS 5000

enum {
    MSG_READ = STORE_MESSAGE_MIN, /* u64 number of the question */
    MSG_READ_AT,                  /* the same, u16 hsm_err, u64 index */
};

/* Somebody who waits for the state to be as new as the leader's. */
struct state_read {
    struct state_disk *disk;
    uint64_t seq, deadline;
    bool answered;  /* by the leader: */
    uint64_t index; /* what was committed there */
    state_done_fn done;
    void *ctx;
    struct state_read *next;
};

/* A question of another instance. */
struct asked {
    struct state_disk *disk;
    uint64_t from, seq;
};

static struct asked *asked_new(struct state_disk *d, uint64_t from)
{
    struct asked *a = calloc(1, sizeof *a);
    if (a != NULL)
        *a = (struct asked){.disk = d, .from = from};
    return a;
}

/* ---- reads ---- */

static void finish_read(struct state_read *r, hsm_err err)
{
    state_done_fn done = r->done;
    void *ctx = r->ctx;
    free(r);
    done(ctx, err);
}

/* Take out and end those for which it is time. */
static void sweep_reads(struct state_disk *d, bool all)
{
    uint64_t now = uv_now(d->timer.loop);
    for (struct state_read **at = &d->reads; *at != NULL;) {
        struct state_read *r = *at;
        bool there = r->answered && r->index <= d->applied;
        if (!there && !all && r->deadline > now) {
            at = &r->next;
            continue;
        }
        *at = r->next;
        finish_read(r, there && !all ? HSM_OK : HSM_E_UNAVAILABLE);
        at = &d->reads; /* anything may have happened */
    }
}

void state_peers_applied(struct state_disk *d)
{
    sweep_reads(d, false);
}

static void on_own_barrier(void *ctx, hsm_err err, uint64_t index)
{
    struct state_read *r = ctx;
    (void)index;
    finish_read(r, err);
}

static void ask_leader(struct state_disk *d, struct state_read *r)
{
    uint8_t number[8];
    uint64_t leader = store_leader(d->store);
    r->seq = ++d->read_seq;
    be64_put(number, r->seq);
    if (leader == 0 || leader == d->self ||
        store_send(d->store, leader, MSG_READ, bytes_of(number, sizeof number)) != HSM_OK) {
        finish_read(r, HSM_E_UNAVAILABLE);
        return;
    }
    r->next = d->reads;
    d->reads = r;
}

void state_disk_fresh(struct state *s, state_done_fn done, void *ctx)
{
    struct state_disk *d = s->disk;
    if (!d->has_peers || s->closed) {
        done(ctx, s->closed ? HSM_E_UNAVAILABLE : HSM_OK);
        return;
    }
    struct state_read *r = calloc(1, sizeof *r);
    if (r == NULL) {
        done(ctx, HSM_E_NOMEM);
        return;
    }
    *r = (struct state_read){
        .disk = d, .deadline = uv_now(d->timer.loop) + PATIENCE_MS, .done = done, .ctx = ctx};
    if (store_term_led(d->store) != 0)
        store_barrier(d->store, on_own_barrier, r);
    else
        ask_leader(d, r);
}

static void on_asked_barrier(void *ctx, hsm_err err, uint64_t index)
{
    struct asked *a = ctx;
    uint8_t buf[18];
    be64_put(buf, a->seq);
    be16_put(buf + 8, (uint16_t)err);
    be64_put(buf + 10, index);
    if (!a->disk->state->closed)
        (void)!store_send(a->disk->store, a->from, MSG_READ_AT, bytes_of(buf, sizeof buf));
    free(a);
}

static void take_read(struct state_disk *d, uint64_t from, struct bytes payload)
{
    struct asked *a = payload.n == 8 ? asked_new(d, from) : NULL;
    if (a == NULL)
        return;
    a->seq = be64_get(payload.p);
    store_barrier(d->store, on_asked_barrier, a);
}

static void take_read_at(struct state_disk *d, struct bytes payload)
{
    if (payload.n != 18)
        return;
    uint64_t seq = be64_get(payload.p), index = be64_get(payload.p + 10);
    for (struct state_read *r = d->reads; r != NULL; r = r->next) {
        if (r->seq != seq)
            continue;
        r->answered = be16_get(payload.p + 8) == HSM_OK;
        r->index = index;
        if (!r->answered)
            r->deadline = 0;
        break;
    }
    sweep_reads(d, false);
}

/* ---- leading, and the rest ---- */

static void on_lead_barrier(void *ctx, hsm_err err, uint64_t index)
{
    struct state_disk *d = ctx;
    (void)index;
    d->proving = false;
    if (err != HSM_OK || d->state->closed || store_term_led(d->store) == 0 || d->leads)
        return;
    d->leads = true;
    if (d->handlers.leads != NULL)
        d->handlers.leads(d->handlers.ctx, true);
    state_disk_ready(d);
}

void state_peers_leader(struct state_disk *d, bool is_leader)
{
    if (is_leader) {
        if (!d->proving && !d->leads) {
            d->proving = true;
            store_barrier(d->store, on_lead_barrier, d);
        }
        return;
    }
    if (d->leads && d->handlers.leads != NULL)
        d->handlers.leads(d->handlers.ctx, false);
    d->leads = false;
}

void state_peers_message(void *ctx, uint64_t from, uint16_t type, struct bytes payload)
{
    struct state_disk *d = ctx;
    if (type == MSG_READ)
        take_read(d, from, payload);
    else if (type == MSG_READ_AT)
        take_read_at(d, payload);
}

static void on_ready_read(void *ctx, hsm_err err)
{
    struct state_disk *d = ctx;
    d->proving = false;
    if (err == HSM_OK)
        state_disk_ready(d);
}

static void on_tick(uv_timer_t *t)
{
    struct state_disk *d = t->data;
    bool leads = store_term_led(d->store) != 0;
    sweep_reads(d, false);
    if (leads && !d->leads)
        state_peers_leader(d, true);
    if (!leads && !d->ready && !d->proving && !d->state->closed) {
        d->proving = true;
        state_disk_fresh(d->state, on_ready_read, d);
    }
}

hsm_err state_peers_open(uv_loop_t *loop, struct state_disk *d)
{
    if (uv_timer_init(loop, &d->timer) != 0)
        return HSM_E_IO;
    d->timer.data = d;
    d->has_peers = true;
    return uv_timer_start(&d->timer, on_tick, TICK_MS, TICK_MS) == 0 ? HSM_OK : HSM_E_IO;
}

void state_peers_end(struct state_disk *d)
{
    (void)uv_timer_stop(&d->timer);
    sweep_reads(d, true);
}
