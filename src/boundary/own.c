/* Transactions of the boundary itself, and what follows from the pool record. Control thread. */
#include <stdio.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/log.h"
#include "boundary/control.h"
#include "boundary/keys.h"

struct txn *own_begin(struct boundary *b)
{
    struct worker *w = &b->control;
    txn_begin(&w->txn, w->txn_buf, RING_FRAME_MAX);
    return &w->txn;
}

bool own_send(struct boundary *b, struct job *j)
{
    struct worker *w = &b->control;
    struct bytes payload;
    j->txn_id = w->txn.id;
    hsm_err err = txn_finish(&w->txn, w->sc, &payload);
    if (err == HSM_OK)
        err = held_pend(j);
    if (err != HSM_OK) {
        log_warn("an own transaction cannot be made: %s", hsm_err_name(err));
        job_end(j);
        return false;
    }
    return control_send(b, CTL_PROPOSE, 0, payload);
}

/* false: nothing is on its way. */
static bool send_own(struct boundary *b, enum job_kind kind)
{
    struct job *j = (struct job *)calloc(1, sizeof *j);
    if (j == NULL)
        return false;
    *j = (struct job){.rq = {.b = b}, .kind = kind, .on_heap = true};
    return own_send(b, j);
}

/* ---- genesis ---- */

static hsm_err add_admin(struct boundary *b, struct txn *t, const char *principal)
{
    uint8_t buf[1024];
    char name[UUID_TEXT_LEN + 1];
    struct wr plain = wr_of(buf, sizeof buf);
    struct uuid guid;
    TRY(roles_admin_assignment(bytes_str(principal), &guid, &plain));
    uuid_format(&guid, name);
    TRY(wr_ok(&plain));
    return txn_add(t, b->state, b->control.sc, REC_ROLE_ASSIGNMENT, bytes_str(name),
                   wr_view(&plain), bytes_of(NULL, 0));
}

static bool listed_before(const struct pool_init *init, unsigned at)
{
    for (unsigned i = 0; i < at; i++)
        if (strcmp(init->admin[i], init->admin[at]) == 0)
            return true;
    return false;
}

static hsm_err genesis_ops(struct boundary *b, struct txn *t)
{
    struct wr body = wr_of(b->control.record_buf, WORKER_RECORD_MAX);
    b->init.info.created = clock_now_ms() / 1000;
    pool_info_encode(&b->init.info, &body);
    TRY(wr_ok(&body));
    TRY(txn_add(t, b->state, b->control.sc, REC_POOL, bytes_of(NULL, 0), wr_view(&body),
                bytes_of(NULL, 0)));
    for (unsigned i = 0; i < b->init.admin_n; i++)
        if (!listed_before(&b->init, i))
            TRY(add_admin(b, t, b->init.admin[i]));
    return HSM_OK;
}

void own_genesis(struct boundary *b)
{
    if (b->state->partition != 0)
        return; /* it has the pool from the others */
    struct txn *t = own_begin(b);
    state_lock_shared(b->state);
    hsm_err err = genesis_ops(b, t);
    state_unlock(b->state);
    if (err != HSM_OK)
        log_error("the pool cannot be made: %s", hsm_err_name(err));
    else
        b->genesis_pending = send_own(b, JOB_GENESIS);
}

/* ---- audit mark ---- */

static void seal_position(struct boundary *b, struct audit_position at)
{
    if (at.seq <= b->marked_seq || !b->state->has_pool)
        return;
    uint8_t buf[8 + 32];
    char name[AUDIT_MARK_NAME_MAX + 1];
    struct wr w = wr_of(buf, sizeof buf);
    wr_u64(&w, at.seq);
    wr_bytes(&w, at.hash, sizeof at.hash);
    struct txn *t = own_begin(b);
    state_lock_shared(b->state);
    hsm_err err =
        txn_add(t, b->state, b->control.sc, REC_AUDIT_MARK,
                audit_mark_name(b->state->partition, name), wr_view(&w), bytes_of(NULL, 0));
    state_unlock(b->state);
    if (err == HSM_OK && send_own(b, JOB_AUDIT_MARK))
        b->marked_seq = at.seq;
}

void own_audit_mark(struct boundary *b)
{
    seal_position(b, audit_position(b->audit));
}

void own_audit_mark_settled(struct boundary *b)
{
    struct audit_position settled = b->mark_next;
    b->mark_next = audit_position(b->audit);
    seal_position(b, settled);
}

/* ---- end of retention ---- */

static const struct key *first_to_go(const struct state *s)
{
    const struct key *first = s->deleted.head[0];
    for (const struct key *k = first; k != NULL; k = k->next[0])
        if (k->purge_date < first->purge_date)
            first = k;
    return first;
}

/* The list is walked once for each state; the clock, which may be set, is asked every time. */
void own_purge(struct boundary *b)
{
    uint64_t now_s = clock_now_ms() / 1000;
    if (b->purge_index == b->state->index && now_s < b->purge_at_s)
        return;
    struct txn *t = own_begin(b);
    state_lock_shared(b->state);
    const struct key *k = first_to_go(b->state);
    b->purge_index = b->state->index;
    b->purge_at_s = k == NULL ? UINT64_MAX : k->purge_date;
    bool is_due = k != NULL && k->purge_date <= now_s;
    hsm_err err = is_due ? keys_txn_purge(t, b->state, b->control.sc, k) : HSM_OK;
    state_unlock(b->state);
    if (is_due && err == HSM_OK)
        b->purge_pending = send_own(b, JOB_PURGE);
}

#define PURGE_AGAIN_US 10000000u

void own_end(struct boundary *b, struct job *j, hsm_err err)
{
    if (j->kind == JOB_ROTATE || j->kind == JOB_ROTATION_NOTE) {
        own_rotation_end(b, j, err);
        return;
    }
    if (j->kind == JOB_GENESIS)
        b->genesis_pending = false;
    if (j->kind == JOB_PURGE) {
        b->purge_pending = false;
        b->next_purge_us = err == HSM_OK ? 0 : clock_mono_us() + PURGE_AGAIN_US;
        b->tick_soon = b->tick_soon || err == HSM_OK; /* for the next one */
    }
    job_end(j);
}

/* ---- audit lines; the caller is the pool itself ---- */

void own_record(struct boundary *b, struct request *rq, const char *operation, const char *uri,
                hsm_err err, uint64_t started_us)
{
    static char who_text[] = "\"{\\\"claim\\\":{\\\"appid\\\":\\\"keyhold-boundary\\\"}}\"";
    static struct identity who = {.audit_string = who_text};
    rq->caller =
        (struct wire_caller){.user_agent = bytes_str("keyhold-boundary"), .uri = bytes_str(uri)};
    uuid_new_v1(&rq->caller.activity);
    rq->who = &who;
    const struct audit_event e = {
        .rq = rq,
        .operation = operation,
        .err = err,
        .status = hsm_err_http(err),
        .duration_ms = (clock_mono_us() - started_us) / 1000,
    };
    audit_append(b->audit, audit_render(b->audit, &e, b->control.line, AUDIT_LINE_MAX));
    ring_flush(b->rings.audit);
    rq->who = NULL;
}

/* ---- connections through the gateway ---- */

void own_relay_open(void *ctx, uint32_t conn, const char *host, uint16_t port)
{
    uint8_t buf[512];
    struct wr w = wr_of(buf, sizeof buf);
    const struct wire_net_open m = {.conn = conn, .host = bytes_str(host), .port = port};
    wire_net_open_put(&w, &m);
    HSM_ASSERT(wr_ok(&w) == HSM_OK);
    (void)control_send((struct boundary *)ctx, CTL_NET_OPEN, 0, wr_view(&w));
}

#define RELAY_CHUNK 16384u

void own_relay_data(void *ctx, uint32_t conn, struct bytes b)
{
    uint8_t buf[RELAY_CHUNK + 64];
    while (b.n > 0) {
        size_t n = b.n < RELAY_CHUNK ? b.n : RELAY_CHUNK;
        struct wr w = wr_of(buf, sizeof buf);
        const struct wire_net_data m = {.conn = conn, .data = bytes_of(b.p, n)};
        wire_net_data_put(&w, &m);
        (void)control_send((struct boundary *)ctx, CTL_NET_DATA, 0, wr_view(&w));
        b = bytes_of(b.p + n, b.n - n);
    }
}

void own_relay_close(void *ctx, uint32_t conn)
{
    uint8_t buf[64];
    struct wr w = wr_of(buf, sizeof buf);
    const struct wire_net_close m = {.conn = conn};
    wire_net_close_put(&w, &m);
    (void)control_send((struct boundary *)ctx, CTL_NET_CLOSE, 0, wr_view(&w));
}

/* ---- token verifier ---- */

static void relay_keys_changed(void *ctx)
{
    held_keys_changed((struct boundary *)ctx);
}

bool own_start_auth(struct boundary *b)
{
    const struct pool_info *p = &b->state->pool;
    struct auth_config config = {0};
    struct auth *auth;
    char why[256] = "";
    hsm_err err =
        auth_config_parse(bytes_of(p->auth_json, p->auth_json_n), &config, why, sizeof why);
    if (err == HSM_OK) {
        (void)snprintf(config.tenant, sizeof config.tenant, "%s", p->tenant);
        const struct auth_relay relay = {.ctx = b,
                                         .open = own_relay_open,
                                         .data = own_relay_data,
                                         .close = own_relay_close,
                                         .keys_changed = relay_keys_changed};
        err = auth_new(&config, &relay, &auth);
    }
    if (err != HSM_OK) {
        boundary_end(b, EXIT_SETUP, "the pool's token issuers: %s %s", hsm_err_name(err), why);
        return false;
    }
    atomic_store(&b->auth, auth);
    return true;
}
