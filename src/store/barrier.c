/* Proofs of leadership: a barrier in the log that commits after somebody asked. Those who ask while
 * one is under way share the next. */
#include <stdlib.h>
#include "store/internal.h"

#define UNDER_WAY_MAX 2u

static void answer(struct barrier *b, hsm_err err, uint64_t index)
{
    for (size_t i = 0; i < b->n; i++)
        b->waiter[i].done(b->waiter[i].ctx, err, index);
    free(b);
}

static void on_barrier(struct raft_barrier *req, int status)
{
    struct barrier *b = (struct barrier *)(void *)req;
    struct store *s = b->store;
    s->cl.barriers--;
    answer(b, status == 0 && s->failed == HSM_OK ? HSM_OK : HSM_E_UNAVAILABLE, s->committed);
    if (s->cl.barrier && s->phase == STORE_STARTED)
        (void)uv_timer_start(&s->cl.barrier_soon, barrier_submit_cb, 0, 0);
}

static void submit(struct store *s)
{
    struct barrier *b = s->cl.barrier;
    if (!b || s->cl.barriers >= UNDER_WAY_MAX)
        return;
    s->cl.barrier = NULL;
    if (s->failed != HSM_OK || !raftlog_is_leader(s) ||
        raft_barrier(&s->raft, &b->req, on_barrier) != 0) {
        answer(b, HSM_E_UNAVAILABLE, 0);
        return;
    }
    s->cl.barriers++;
}

void barrier_submit_cb(uv_timer_t *t)
{
    submit(t->data);
}

void store_barrier(struct store *s, store_barrier_fn done, void *ctx)
{
    if (!s->cl.barrier) {
        s->cl.barrier = calloc(1, sizeof *s->cl.barrier);
        if (s->cl.barrier)
            s->cl.barrier->store = s;
    }
    struct barrier *b = s->cl.barrier;
    if (!b || b->n == BARRIER_WAITERS || s->phase != STORE_STARTED) {
        done(ctx, HSM_E_UNAVAILABLE, 0);
        return;
    }
    b->waiter[b->n++] = (struct barrier_waiter){done, ctx};
    (void)uv_timer_start(&s->cl.barrier_soon, barrier_submit_cb, 0, 0);
}

void barrier_fail(struct store *s)
{
    struct barrier *b = s->cl.barrier;
    s->cl.barrier = NULL;
    if (b)
        answer(b, HSM_E_UNAVAILABLE, 0);
}
