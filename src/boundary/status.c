/* CTL_STATUS: what the gateway may show of this boundary. Control thread. */
#include "base/clock.h"
#include "boundary/control.h"

static size_t queued(struct job_queue *q)
{
    (void)pthread_mutex_lock(&q->lock);
    size_t n = q->n;
    (void)pthread_mutex_unlock(&q->lock);
    return n;
}

static void put_queues(struct boundary *b, struct wire_status *m)
{
    struct held *h = &b->held;
    size_t lanes = 0;
    for (unsigned i = 1; i <= b->rings.lanes; i++)
        lanes += queued(&b->inbox[i]);
    m->lanes_queued = (uint32_t)lanes;
    m->slow_queued = (uint32_t)queued(&b->slow_queue);
    m->makers_queued = (uint32_t)queued(&b->maker_queue);
    (void)pthread_mutex_lock(&h->lock);
    m->keys_awaited = (uint32_t)h->parked_n;
    m->commits_awaited = (uint32_t)(h->pending_n + h->unreleased_n);
    m->lease_waits = (uint32_t)h->lease_n;
    m->turns_awaited = (uint32_t)h->blocked_n;
    (void)pthread_mutex_unlock(&h->lock);
}

static void put_stock(struct boundary *b, struct wire_status *m)
{
    uint32_t ready[STOCK__SIZES];
    stock_count(b->stock, ready);
    m->prepared_2048 = ready[STOCK_2048];
    m->prepared_3072 = ready[STOCK_3072];
    m->prepared_4096 = ready[STOCK_4096];
}

static void put_auth(struct boundary *b, struct wire_status *m)
{
    struct auth *auth = atomic_load(&b->auth);
    if (auth == NULL)
        return;
    struct auth_counts c = auth_counts(auth, clock_now_ms());
    m->token_hits = c.hits;
    m->token_misses = c.misses;
    m->issuers = (uint8_t)c.issuers;
    m->issuers_known = (uint8_t)c.known;
}

static void put_amounts(const struct state *s, uint8_t buf[8 * KEY_CLASS__COUNT],
                        struct wire_status *m)
{
    struct wr w = wr_of(buf, 8 * KEY_CLASS__COUNT);
    for (unsigned i = 0; i < KEY_CLASS__COUNT; i++)
        wr_u64(&w, s->amount[i]);
    m->amounts = wr_view(&w);
}

bool control_status(struct boundary *b, const struct ring_frame *f)
{
    if (f->payload.n != 0)
        return control_undecodable(b, f);
    /* A boundary that joins has no log yet. */
    struct audit_position at = {0};
    if (b->audit != NULL)
        at = audit_position(b->audit);
    const struct state *s = b->state;
    struct wire_status m = {
        .pool_state = (uint8_t)(s->has_pool ? s->pool.state : POOL_NEW),
        .keys = s->active.n + s->deleted.n,
        .versions = s->version_n,
        .applied = s->index,
        .audit_seq = at.seq,
        .audit_hash = bytes_of(at.hash, sizeof at.hash),
        .audit_key =
            b->audit == NULL ? bytes_of(NULL, 0) : bytes_of(b->audit->spki, b->audit->spki_n),
        .retention_days = s->has_pool ? s->pool.retention_days : 0,
        .purge_protection = s->has_pool && s->pool.purge_protection ? 1 : 0,
        .deleted = s->deleted.n,
        .lease_ms_left = lease_ms_left(&b->lease),
        .released = lease_is_alone(&b->lease) ? s->index : lease_released(&b->lease),
    };
    put_auth(b, &m);
    put_queues(b, &m);
    put_stock(b, &m);
    uint8_t amounts[8 * KEY_CLASS__COUNT];
    put_amounts(s, amounts, &m);
    uint8_t buf[640];
    struct wr w = wr_of(buf, sizeof buf);
    wire_status_put(&w, &m);
    HSM_ASSERT(wr_ok(&w) == HSM_OK);
    return control_send(b, CTL_STATUS_RESULT, f->id, wr_view(&w));
}
