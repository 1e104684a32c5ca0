#include "store/internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define MAP_SIZE_DEFAULT  ((size_t)16 << 30)
#define THRESHOLD_DEFAULT 4096
#define TICK_MS           100
#define TICK_FAST_MS      10
#define TICK_CLUSTER_MS   50
#define GIVE_UP_MS        2000

void store_fail(struct store *s, hsm_err err, const char *fmt, ...)
{
    if (s->failed != HSM_OK)
        return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(s->failure, sizeof s->failure, fmt, ap);
    va_end(ap);
    s->failed = err;
    uv_async_send(&s->wake);
}

/* ---- the loop ---- */

static void proved(void *ctx, hsm_err err, uint64_t index)
{
    (void)ctx;
    (void)err;
    (void)index;
}

static void tell_leader(struct store *s)
{
    bool is = raftlog_is_leader(s) && s->failed == HSM_OK;
    if (is && !s->leader_told && s->cl.net)
        store_barrier(s, proved, NULL); /* commits what older leaders left */
    if (is == s->leader_told)
        return;
    s->leader_told = is;
    uv_timer_set_repeat(&s->tick, is ? TICK_MS : TICK_FAST_MS);
    if (s->cb.leader)
        s->cb.leader(s->cb.ctx, is);
}

static void handle_failure(struct store *s)
{
    if (atomic_load(&s->write_failed))
        store_fail(
            s, dir_free_space(&s->dir) < DIR_FULL_BYTES ? HSM_E_DISK_FULL : HSM_E_IO,
            "%s: writing to the log failed. Check the disk and the kernel log, then restart.",
            s->dir.log);
    if (s->failed == HSM_OK || s->failure_told || s->phase != STORE_STARTED)
        return;
    s->failure_told = true;
    raftlog_close(s);
    propose_fail_all(s, HSM_E_UNAVAILABLE);
    if (s->cb.fatal)
        s->cb.fatal(s->cb.ctx, s->failed, s->failure);
}

/* After some failures libraft never finishes closing. Its memory and ours stay then, for what may
 * still be called; the process is about to end anyway. */
static void give_up_cb(uv_timer_t *t)
{
    struct store *s = t->data;
    if (s->phase != STORE_CLOSING || flush_busy(s))
        return;
    s->phase = STORE_CLOSED;
    uv_timer_stop(&s->tick);
    uv_timer_stop(&s->flush_timer);
    propose_abandon(s);
    db_close(&s->db);
    dir_close(&s->dir);
    s->close_done(s->close_ctx);
}

static void start_close(struct store *s)
{
    s->phase = STORE_CLOSING;
    if (s->failed != HSM_OK)
        uv_timer_start(&s->tick, give_up_cb, GIVE_UP_MS, GIVE_UP_MS);
    propose_fail_all(s, HSM_E_UNAVAILABLE);
    raftlog_close(s);
    store_advance_close(s);
}

static void wake_cb(uv_async_t *a)
{
    struct store *s = a->data;
    if (s->phase == STORE_STARTED || s->phase == STORE_OPEN) {
        handle_failure(s);
        tell_leader(s);
        propose_drain(s);
        if (s->close_done)
            start_close(s);
    }
}

static void tick_cb(uv_timer_t *t)
{
    struct store *s = t->data;
    tell_leader(s);
    propose_watch(s);
    if (s->cl.net) {
        cluster_tick(s);
        uv_timer_set_repeat(&s->tick, cluster_leader(s) ? TICK_CLUSTER_MS : TICK_FAST_MS);
    }
    propose_drain(s);
}

/* ---- open ---- */

/* The log must reach the applied state, unless that was fetched from another node. */
static hsm_err scan_log(struct store *s, const struct store_config *cfg, char *text, size_t cap)
{
    bool adopted = false;
    uint64_t loaded = fetch_is_ahead(s) ? 0 : s->db.meta.index;
    TRY(logscan_run(s->dir.log, loaded, cfg->peers && cfg->peers->join, &s->scan, text, cap));
    TRY(fetch_adopt(s, s->scan.snapshot, s->db.meta.index, &adopted, text, cap));
    if (adopted) {
        size_t map_size = s->db.map_size;
        db_close(&s->db);
        TRY(db_open(&s->db, s->dir.state, map_size, cfg->node_id, text, cap));
    }
    if (fetch_is_ahead(s)) {
        s->cl.adopted = s->db.meta.index;
        if (s->scan.last >= s->db.meta.index) {
            s->cl.adopted = 0;
            fetch_caught_up(s);
        }
    }
    return HSM_OK;
}

static hsm_err open_files(struct store *s, const struct store_config *cfg, char *text, size_t cap)
{
    TRY(dir_open(&s->dir, cfg->dir, text, cap));
    hsm_err err = db_open(&s->db, s->dir.state, cfg->map_size ? cfg->map_size : MAP_SIZE_DEFAULT,
                          cfg->node_id, text, cap);
    if (err == HSM_OK)
        err = scan_log(s, cfg, text, cap);
    if (err == HSM_OK) {
        dir_reserve(&s->dir, true);
        return HSM_OK;
    }
    if (err == HSM_E_IO && dir_free_space(&s->dir) < DIR_FULL_BYTES)
        err = HSM_E_DISK_FULL;
    db_close(&s->db);
    dir_close(&s->dir);
    return err;
}

static hsm_err open_handles(struct store *s, uv_loop_t *loop)
{
    s->loop = loop;
    if (uv_sem_init(&s->flush.ready, 0) != 0)
        return HSM_E_IO;
    if (uv_async_init(loop, &s->wake, wake_cb) != 0) {
        uv_sem_destroy(&s->flush.ready);
        return HSM_E_IO;
    }
    uv_timer_init(loop, &s->tick);
    uv_timer_init(loop, &s->flush_timer);
    pthread_mutex_init(&s->lock, NULL);
    s->wake.data = s->tick.data = s->flush_timer.data = s;
    s->handles = 3;
    return HSM_OK;
}

static hsm_err open_peers(struct store *s, const struct store_config *cfg, char *text, size_t cap)
{
    if (!cfg->peers)
        return HSM_OK;
    (void)uv_timer_init(s->loop, &s->cl.barrier_soon);
    (void)uv_prepare_init(s->loop, &s->cl.notice);
    s->cl.barrier_soon.data = s->cl.notice.data = s;
    s->handles += 2;
    return cluster_open(s, cfg, text, cap);
}

hsm_err store_open(uv_loop_t *loop, const struct store_config *cfg,
                   const struct store_callbacks *cb, struct store **ret, char *text, size_t cap)
{
    if (cfg->node_id == 0 || !cfg->dir || !cfg->address || !cb->committed) {
        snprintf(text, cap, "The store's configuration is incomplete.");
        return HSM_E_BAD_PARAMETER;
    }
    struct store *s = calloc(1, sizeof *s);
    if (!s) {
        snprintf(text, cap, "Out of memory.");
        return HSM_E_NOMEM;
    }
    s->cb = *cb;
    s->node_id = cfg->node_id;
    s->threshold = cfg->snapshot_threshold ? cfg->snapshot_threshold : THRESHOLD_DEFAULT;
    snprintf(s->address, sizeof s->address, "%s", cfg->address);
    hsm_err err = open_files(s, cfg, text, cap);
    if (err == HSM_OK) {
        err = open_handles(s, loop);
        if (err != HSM_OK) {
            snprintf(text, cap, "Out of file descriptors.");
            db_close(&s->db);
            dir_close(&s->dir);
        }
    }
    if (err != HSM_OK) {
        free(s);
        return err;
    }
    s->committed = s->db.meta.index;
    s->floor = s->db.meta.floor;
    s->records = s->db.meta.records;
    err = open_peers(s, cfg, text, cap);
    if (err != HSM_OK) {
        store_close(s, NULL, NULL); /* freed when the loop runs */
        return err;
    }
    *ret = s;
    return HSM_OK;
}

uint64_t store_loaded_index(const struct store *s)
{
    return s->db.meta.index;
}

struct bytes store_loaded_digest(const struct store *s)
{
    return bytes_of(s->db.meta.digest, s->db.meta.digest_len);
}

hsm_err store_each(struct store *s, store_record_fn fn, void *ctx)
{
    char text[STORE_TEXT_MAX] = "";
    hsm_err err = db_each(&s->db, fn, ctx, text, sizeof text);
    if (err != HSM_OK && text[0])
        store_fail(s, err, "%s", text);
    return err;
}

hsm_err store_start(struct store *s)
{
    if (s->phase != STORE_OPEN)
        return HSM_E_CONFLICT;
    if (s->failed != HSM_OK)
        return s->failed;
    s->phase = STORE_STARTED;
    dir_reserve(&s->dir, false);
    hsm_err err = raftlog_start(s);
    dir_reserve(&s->dir, true);
    TRY(err);
    uv_timer_start(&s->tick, tick_cb, 0, TICK_FAST_MS);
    if (s->cl.net)
        notice_start(s);
    return HSM_OK;
}

const char *store_failure(const struct store *s)
{
    return s->failure;
}

void store_applied(struct store *s, uint64_t index, struct bytes digest)
{
    if (s->failed != HSM_OK)
        return;
    if (overlay_ack(&s->overlay, index, digest) != HSM_OK) {
        store_fail(s, HSM_E_INTERNAL, "The boundary acknowledged entry %llu out of turn.",
                   (unsigned long long)index);
        return;
    }
    flush_schedule(s);
    if (s->held.first)
        uv_async_send(&s->wake);
}

hsm_err store_flush(struct store *s)
{
    return flush_now(s);
}

void store_info(struct store *s, struct store_info *ret)
{
    *ret = (struct store_info){.applied = s->committed,
                               .flushed = s->db.meta.index,
                               .records = s->records,
                               .leader = raftlog_is_leader(s),
                               .voter = !s->cl.net || cluster_is_voter(s),
                               .node_id = s->node_id,
                               .leader_id = cluster_leader(s),
                               .obstacle = propose_obstacle(s)};
    ret->term = s->raft_phase == RAFT_PHASE_OPEN ? raft_current_term(&s->raft) : 0;
    ret->log_last = s->raft_phase == RAFT_PHASE_OPEN ? raft_last_index(&s->raft) : s->committed;
}

/* ---- close ---- */

static void handle_closed_cb(uv_handle_t *h)
{
    struct store *s = h->data;
    if (--s->handles > 0)
        return;
    void (*done)(void *ctx) = s->close_done;
    void *ctx = s->close_ctx;
    propose_abandon(s);
    db_close(&s->db);
    dir_close(&s->dir);
    overlay_done(&s->overlay);
    uv_sem_destroy(&s->flush.ready);
    pthread_mutex_destroy(&s->lock);
    free(s);
    done(ctx);
}

static void net_closed_cb(void *ctx)
{
    store_advance_close(ctx);
}

/* The next step once libraft is closed and no worker runs. */
void store_advance_close(struct store *s)
{
    if (s->phase != STORE_CLOSING || s->raft_phase == RAFT_PHASE_CLOSING ||
        s->raft_phase == RAFT_PHASE_OPEN || flush_busy(s) || s->cl.copying || s->cl.closing)
        return;
    if (s->cl.net && !s->cl.closed) {
        cluster_close(s, net_closed_cb);
        return;
    }
    s->phase = STORE_CLOSED;
    (void)!flush_now(s); /* else it comes from the log at the next start */
    uv_close((uv_handle_t *)&s->wake, handle_closed_cb);
    uv_close((uv_handle_t *)&s->tick, handle_closed_cb);
    uv_close((uv_handle_t *)&s->flush_timer, handle_closed_cb);
    if (s->handles > 3) {
        uv_close((uv_handle_t *)&s->cl.barrier_soon, handle_closed_cb);
        uv_close((uv_handle_t *)&s->cl.notice, handle_closed_cb);
    }
}

static void close_nothing(void *ctx)
{
    (void)ctx;
}

void store_close(struct store *s, void (*done)(void *ctx), void *ctx)
{
    pthread_mutex_lock(&s->lock);
    s->refusing = true;
    pthread_mutex_unlock(&s->lock);
    s->close_done = done ? done : close_nothing;
    s->close_ctx = ctx;
    uv_async_send(&s->wake); /* not from inside a callback of libraft */
}
