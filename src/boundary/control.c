#include "boundary/control.h"

#include <poll.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/log.h"
#include "boundary/commands.h"

#define TICK_MS    250
#define SECOND_US  1000000u
#define QUIESCE_US (2u * SECOND_US)
#define MARK_US    (60u * SECOND_US)
#define PURGE_US   SECOND_US
#define GENESIS_US SECOND_US

bool control_send(struct boundary *b, unsigned type, uint64_t id, struct bytes payload)
{
    const struct ring_frame f = {.type = (uint16_t)type, .id = id, .payload = payload};
    bool ok = ring_put(b, b->rings.out[0], &f);
    ring_flush(b->rings.out[0]);
    return ok;
}

bool control_undecodable(struct boundary *b, const struct ring_frame *f)
{
    boundary_end(b, EXIT_PROTOCOL, "message %s does not decode", wire_type_name(f->type));
    return false;
}

static void set_phase(struct boundary *b, enum phase p)
{
    atomic_store(&b->phase, (unsigned)p);
}

bool control_frame(struct boundary *b, const struct ring_frame *f)
{
    const struct command *cmd = command_find(f->type);
    if (cmd == NULL || cmd->lane != LANE_CONTROL || (cmd->phases & boundary_phase(b)) == 0) {
        boundary_end(b, EXIT_PROTOCOL,
                     "message %s (%u) is not allowed on the control lane in phase %u",
                     wire_type_name(f->type), f->type, (unsigned)boundary_phase(b));
        return false;
    }
    return cmd->control(b, f) && !boundary_has_ended(b);
}

/* ---- start ---- */

bool control_hello(struct boundary *b, const struct ring_frame *f)
{
    struct wire_hello h;
    if (wire_hello_decode(f->payload, &h) != HSM_OK)
        return control_undecodable(b, f);
    if (h.version != WIRE_VERSION || h.lanes != b->rings.lanes) {
        boundary_end(b, EXIT_PROTOCOL,
                     "the gateway speaks version %u with %u lanes, not %u with %u", h.version,
                     h.lanes, WIRE_VERSION, b->rings.lanes);
        return false;
    }
    const struct wire_welcome welcome = {
        .version = WIRE_VERSION,
        .pool = b->roots.pool,
        .pool_name = bytes_str(b->init.info.name),
        .tenant = bytes_str(b->init.info.tenant),
        .protection = bytes_str(b->protection),
        .secret_memory = bytes_str(secret_level_name()),
        .fresh = b->fresh ? 1 : 0,
        .joining = b->join.is_joiner ? 1 : 0,
    };
    uint8_t buf[512];
    struct wr w = wr_of(buf, sizeof buf);
    wire_welcome_put(&w, &welcome);
    HSM_ASSERT(wr_ok(&w) == HSM_OK);
    set_phase(b, b->join.is_joiner ? PHASE_JOIN : PHASE_LOAD);
    if (!control_send(b, CTL_WELCOME, f->id, wr_view(&w)))
        return false;
    own_join_tick(b, clock_mono_us()); /* a joiner asks at once */
    return !boundary_has_ended(b);
}

static bool loaded(struct boundary *b, uint64_t id, hsm_err err, const char *why)
{
    uint8_t buf[512];
    struct wr w = wr_of(buf, sizeof buf);
    const struct wire_loaded m = {.err = (uint16_t)err,
                                  .detail = bytes_str(err == HSM_OK ? "" : why)};
    wire_loaded_put(&w, &m);
    HSM_ASSERT(wr_ok(&w) == HSM_OK);
    if (err != HSM_OK)
        log_error("the store's state is refused: %s", why);
    set_phase(b, err == HSM_OK ? PHASE_RESUME : PHASE_REFUSED);
    return control_send(b, CTL_LOADED, id, wr_view(&w));
}

bool control_load_begin(struct boundary *b, const struct ring_frame *f)
{
    struct wire_load_begin m;
    if (wire_load_begin_decode(f->payload, &m) != HSM_OK)
        return control_undecodable(b, f);
    const char *why = "";
    hsm_err err = state_load_begin(b->state, b->control.sc, m.index, m.digest, &b->claim, &why);
    if (err == HSM_OK && b->fresh && m.digest.n > 0) {
        why = "this boundary's secrets are new, the store belongs to another pool";
        err = HSM_E_CORRUPT;
    }
    if (err != HSM_OK)
        return loaded(b, f->id, err, why);
    set_phase(b, PHASE_LOADING);
    return true;
}

bool control_load_records(struct boundary *b, const struct ring_frame *f)
{
    struct wire_load_records m;
    struct wire_record r;
    struct bytes item;
    if (wire_load_records_decode(f->payload, &m) != HSM_OK)
        return control_undecodable(b, f);
    while (wire_list_next(&m.records, &item)) {
        const char *why = "";
        if (wire_record_decode(item, &r) != HSM_OK)
            return control_undecodable(b, f);
        hsm_err err = state_load_record(b->state, b->control.sc, &r, &why);
        if (err != HSM_OK)
            return loaded(b, f->id, err, why);
    }
    return true;
}

/* What a pool is made with it keeps. */
#define OTHER_POOL                                                                                 \
    "pool.json has another name, tenant, retention or purge protection than the sealed pool "      \
    "record, which never changes"
static bool is_pool_of_init(const struct boundary *b)
{
    const struct pool_info *p = &b->state->pool, *init = &b->init.info;
    return strcmp(p->name, init->name) == 0 && strcmp(p->tenant, init->tenant) == 0 &&
           p->retention_days == init->retention_days &&
           p->purge_protection == init->purge_protection;
}

static hsm_err check_loaded(struct boundary *b, const char **why)
{
    struct state *s = b->state;
    TRY(state_load_end(s, &b->claim, why));
    if (!s->has_pool && s->index != 0) {
        *why = "the store has no pool record";
        return HSM_E_CORRUPT;
    }
    if (s->has_pool && !is_pool_of_init(b)) {
        *why = OTHER_POOL;
        return HSM_E_CORRUPT;
    }
    return HSM_OK;
}

bool control_load_end(struct boundary *b, const struct ring_frame *f)
{
    const char *why = "";
    if (f->payload.n != 0)
        return control_undecodable(b, f);
    hsm_err err = check_loaded(b, &why);
    if (err != HSM_OK)
        return loaded(b, f->id, err, why);
    log_info("loaded %zu records at index %llu", b->state->records.n,
             (unsigned long long)b->state->index);
    if (b->state->has_pool) {
        audit_set_pool(b->audit, &b->state->pool);
        if (!own_start_auth(b))
            return false;
    }
    return loaded(b, f->id, HSM_OK, "");
}

bool control_audit_resume(struct boundary *b, const struct ring_frame *f)
{
    struct wire_audit_resume m;
    struct audit_position at = {0};
    if (wire_audit_resume_decode(f->payload, &m) != HSM_OK ||
        m.hash.n != (m.seq == 0 ? 0 : sizeof at.hash))
        return control_undecodable(b, f);
    at.seq = m.seq;
    if (m.hash.n > 0)
        memcpy(at.hash, m.hash.p, sizeof at.hash);
    if (audit_resume(b->audit, &at, &b->state->mark))
        log_error("the audit log ends at line %llu, but line %llu was written",
                  (unsigned long long)at.seq, (unsigned long long)b->state->mark.seq);
    b->marked_seq = b->state->mark.seq;
    b->next_mark_us = clock_mono_us() + MARK_US;
    ring_flush(b->rings.audit);
    set_phase(b, PHASE_SERVING);
    if (!b->state->has_pool && !b->join.no_genesis)
        own_genesis(b);
    return true;
}

/* ---- transactions ---- */

static bool send_applied(struct boundary *b)
{
    uint8_t digest[STATE_DIGEST_LEN], buf[STATE_DIGEST_LEN + 64];
    struct wr dw = wr_of(digest, sizeof digest);
    struct wr w = wr_of(buf, sizeof buf);
    HSM_ASSERT(state_digest(b->state, b->control.sc, &dw) == HSM_OK);
    const struct wire_applied m = {.index = b->state->index, .digest = wr_view(&dw)};
    wire_applied_put(&w, &m);
    HSM_ASSERT(wr_ok(&w) == HSM_OK);
    return control_send(b, CTL_APPLIED, 0, wr_view(&w));
}

/* Whoever waits for this transaction. */
static void settle(struct boundary *b, const struct uuid *txn, uint64_t index, bool accepted)
{
    struct job *j = held_take(b, txn);
    if (j == NULL)
        return;
    if (j->kind != JOB_REQUEST) {
        own_end(b, j, accepted ? HSM_OK : HSM_E_STALE);
    } else if (accepted) {
        j->index = index;
        j->held_err = HSM_OK;
        if (held_await_release(j, true) != HSM_OK)
            job_finish(&b->control, j, HSM_OK, false);
    } else if (++j->attempts >= JOB_ATTEMPTS_MAX) {
        job_finish(&b->control, j, HSM_E_CONFLICT, false);
    } else {
        held_run_again(j);
    }
}

/* A mark of before the start that was not in the loaded state yet: the audit file may have been
 * further than the gateway told us, or have been another one. */
static void check_mark(struct boundary *b)
{
    const struct audit_mark *m = &b->state->mark;
    if (!m->present || m->seq <= b->marked_seq)
        return;
    b->marked_seq = m->seq;
    if (audit_late_mark(b->audit, m))
        log_error("the audit log lacks lines up to %llu", (unsigned long long)m->seq);
    ring_flush(b->rings.audit);
}

static bool pool_appeared(struct boundary *b)
{
    const struct pool_info *p = &b->state->pool;
    log_info("pool %s is there", p->name);
    if (!is_pool_of_init(b)) {
        boundary_end(b, EXIT_INTEGRITY, "%s", OTHER_POOL);
        return false;
    }
    /* Workers read these texts; they change only if pool.json was edited between two starts. */
    if (strcmp(p->resource_id, b->init.info.resource_id) != 0)
        audit_set_pool(b->audit, p);
    return own_start_auth(b);
}

bool control_apply(struct boundary *b, const struct ring_frame *f)
{
    struct wire_apply m;
    struct uuid txn;
    const char *why = "";
    if (wire_apply_decode(f->payload, &m) != HSM_OK)
        return control_undecodable(b, f);
    bool had_pool = b->state->has_pool;
    hsm_err err = state_apply(b->state, b->control.sc, &m, &txn, &why);
    if (err != HSM_OK) {
        boundary_end(b, err == HSM_E_CORRUPT ? EXIT_INTEGRITY : EXIT_RESOURCES,
                     "transaction at index %llu: %s", (unsigned long long)m.index, why);
        return false;
    }
    if (!had_pool && b->state->has_pool && !pool_appeared(b))
        return false;
    if (!send_applied(b))
        return false;
    check_mark(b);
    lease_applied(b);
    settle(b, &txn, m.index, m.accepted == 1);
    return true;
}

bool control_txn_failed(struct boundary *b, const struct ring_frame *f)
{
    struct wire_txn_failed m;
    if (wire_txn_failed_decode(f->payload, &m) != HSM_OK)
        return control_undecodable(b, f);
    struct job *j = held_take(b, &m.txn);
    if (j == NULL)
        return true;
    if (j->kind == JOB_REQUEST) {
        j->rq.detail[0] = '\0';
        job_finish(&b->control, j, m.err == HSM_E_DISK_FULL ? HSM_E_DISK_FULL : HSM_E_UNAVAILABLE,
                   false);
        return true;
    }
    own_end(b, j, m.err == HSM_E_DISK_FULL ? HSM_E_DISK_FULL : HSM_E_UNAVAILABLE);
    return true;
}

/* ---- connections to issuers and other boundaries ---- */

bool control_net_data(struct boundary *b, const struct ring_frame *f)
{
    struct wire_net_data m;
    if (wire_net_data_decode(f->payload, &m) != HSM_OK)
        return control_undecodable(b, f);
    struct auth *auth = atomic_load(&b->auth);
    if (own_join_owns(b, m.conn))
        own_join_data(b, m.conn, m.data);
    else if (auth != NULL)
        auth_net_data(auth, m.conn, m.data);
    return !boundary_has_ended(b);
}

bool control_net_close(struct boundary *b, const struct ring_frame *f)
{
    struct wire_net_close m;
    if (wire_net_close_decode(f->payload, &m) != HSM_OK)
        return control_undecodable(b, f);
    struct auth *auth = atomic_load(&b->auth);
    if (own_join_owns(b, m.conn))
        own_join_closed(b, m.conn);
    else if (auth != NULL)
        auth_net_closed(auth, m.conn);
    return !boundary_has_ended(b);
}

/* ---- stop ---- */

bool control_quiesce(struct boundary *b, const struct ring_frame *f)
{
    if (f->payload.n != 0)
        return control_undecodable(b, f);
    b->quiesce_us = clock_mono_us() + QUIESCE_US;
    b->quiesce_id = f->id;
    if (boundary_phase(b) == PHASE_SERVING)
        own_audit_mark(b);
    return true;
}

/* Once nothing waits for a commit any more, or for too long. */
static void quiesce_if_idle(struct boundary *b, uint64_t now)
{
    if (b->quiesce_us == 0 || (held_pending(b) > 0 && now < b->quiesce_us))
        return;
    if (boundary_phase(b) == PHASE_SERVING) {
        audit_checkpoint(b->audit, "stop", true);
        ring_flush(b->rings.audit);
    }
    b->quiesce_us = 0;
    if (control_send(b, CTL_QUIESCED, b->quiesce_id, bytes_of(NULL, 0)))
        boundary_end(b, EXIT_QUIESCED, "stopped");
}

/* ---- timers and loop ---- */

static bool due(uint64_t *at, uint64_t now, uint64_t every)
{
    if (now < *at)
        return false;
    *at = now + every;
    return true;
}

void control_tick(struct boundary *b, uint64_t now)
{
    held_expire(b, now);
    quiesce_if_idle(b, now);
    own_join_tick(b, now);
    bool serving = boundary_phase(b) == PHASE_SERVING && !boundary_has_ended(b);
    stock_tick(b->stock, serving && b->state->has_pool && b->state->pool.state == POOL_ACTIVE, now);
    if (!serving)
        return;
    struct auth *auth = atomic_load(&b->auth);
    if (auth != NULL)
        auth_tick(auth, clock_now_ms());
    if (due(&b->next_checkpoint_us, now, SECOND_US)) {
        audit_checkpoint(b->audit, "interval", false);
        ring_flush(b->rings.audit);
    }
    if (!b->state->has_pool) {
        if (!b->genesis_pending && !b->join.no_genesis && due(&b->next_genesis_us, now, GENESIS_US))
            own_genesis(b);
        return;
    }
    if (due(&b->next_mark_us, now, MARK_US))
        own_audit_mark_settled(b);
    if (!b->purge_pending && due(&b->next_purge_us, now, PURGE_US))
        own_purge(b);
    own_rotate(b, now);
}

static bool control_frames(struct boundary *b, unsigned *ret_n)
{
    unsigned n = 0;
    while (n < 64) {
        struct ring_frame f;
        hsm_err err = ring_read(b->rings.in[0], b->control.frame, RING_FRAME_MAX, &f);
        if (err == HSM_E_AGAIN)
            break;
        if (err != HSM_OK) {
            boundary_end(b, EXIT_PROTOCOL, "the ring of the control lane is damaged");
            return false;
        }
        if (!control_frame(b, &f))
            return false;
        n++;
    }
    *ret_n = n;
    return true;
}

static void control_sleep(struct boundary *b)
{
    struct ring *in = b->rings.in[0];
    if (!ring_sleep(in))
        return;
    struct pollfd p[] = {{.fd = ring_fd(in), .events = POLLIN},
                         {.fd = b->control_event, .events = POLLIN}};
    (void)poll(p, 2, lease_sleep_ms(b, TICK_MS));
    ring_awake(in);
    uint64_t count;
    if ((p[1].revents & POLLIN) != 0) {
        ssize_t n = read(b->control_event, &count, sizeof count);
        (void)n;
        b->tick_soon = true; /* somebody waits for issuer keys or a lease */
    }
}

void boundary_control(struct boundary *b)
{
    uint64_t next_tick = 0;
    while (!atomic_load(&b->stop)) {
        unsigned n = 0;
        if (!control_frames(b, &n))
            break;
        uint64_t now = clock_mono_us();
        if (due(&next_tick, now, TICK_MS * 1000u) || b->tick_soon) {
            b->tick_soon = false;
            control_tick(b, now);
        }
        lease_tick(b);
        worker_flush(&b->control);
        quiesce_if_idle(b, now);
        if (boundary_has_ended(b))
            break;
        if (n == 0)
            control_sleep(b);
    }
}
