/* Proposals: from any thread into a queue, from the queue into libraft as far as that is safe now:
 * leadership, room on the disk for all that is in flight, a snapshot that is due. */
#include "store/internal.h"

#include <stdlib.h>
#include "store/logentry.h"

#define IN_FLIGHT_BYTES (4u * 1024 * 1024)
/* libraft prepares segments of 8 MiB. More room than one means that at least one whole segment is
 * ready, and everything in flight fits into one. */
#define CAPACITY_KIB (9u * 1024)
#define SPACE_BYTES  (10u * 1024 * 1024) /* less on the disk: no further segment will come */
/* Writes end before the disk does: libraft may still prepare a segment, and what is left then is
 * the audit log's, without which no request is answered at all. */
#define ROOM_BYTES     (16u * 1024 * 1024)
#define LOG_BYTES      (64u * 1024 * 1024) /* snapshot early: libraft keeps the log in memory */
#define WAIT_LEADER_MS 2000
#define WAIT_SPACE_MS  5000
#define WAIT_BUSY_MS   30000
#define STUCK_MS       60000
#define ROOM_MS        10000

static void push(struct proposals *q, struct proposal *p)
{
    p->next = NULL;
    if (q->last)
        q->last->next = p;
    else
        q->first = p;
    q->last = p;
}

static struct proposal *pop(struct proposals *q)
{
    struct proposal *p = q->first;
    if (p) {
        q->first = p->next;
        if (!q->first)
            q->last = NULL;
    }
    return p;
}

void propose_finish(struct proposal *p, hsm_err err)
{
    store_done_fn done = p->done;
    void *ctx = p->ctx;
    raft_free(p->buf.base);
    free(p);
    if (done)
        done(ctx, err);
}

hsm_err store_propose(struct store *s, struct bytes txn, store_done_fn done, void *ctx)
{
    size_t n_ops;
    TRY(overlay_check(txn, &n_ops));
    struct proposal *p = calloc(1, sizeof *p);
    size_t size = logentry_size(txn.n);
    uint8_t *buf = p ? raft_malloc(size) : NULL;
    if (!buf) {
        free(p);
        return HSM_E_NOMEM;
    }
    logentry_encode(buf, txn);
    p->store = s;
    p->done = done;
    p->ctx = ctx;
    memcpy(p->txn, txn.p, sizeof p->txn); /* a transaction begins with its id */
    p->buf = (struct raft_buffer){.base = buf, .len = size};
    pthread_mutex_lock(&s->lock);
    bool refused = s->refusing;
    if (!refused) {
        push(&s->incoming, p);
        uv_async_send(&s->wake);
    }
    pthread_mutex_unlock(&s->lock);
    if (refused) {
        raft_free(buf);
        free(p);
        return HSM_E_UNAVAILABLE;
    }
    return HSM_OK;
}

static void take_incoming(struct store *s)
{
    pthread_mutex_lock(&s->lock);
    struct proposals in = s->incoming;
    s->incoming = (struct proposals){0};
    pthread_mutex_unlock(&s->lock);
    if (!in.first)
        return;
    if (s->held.last)
        s->held.last->next = in.first;
    else
        s->held.first = in.first;
    s->held.last = in.last;
}

void propose_fail_all(struct store *s, hsm_err err)
{
    take_incoming(s);
    struct proposals q = s->held; /* done() may propose again */
    s->held = (struct proposals){0};
    s->held_since = 0;
    for (struct proposal *p = pop(&q); p; p = pop(&q))
        propose_finish(p, err);
}

static void given_add(struct store *s, struct proposal *p)
{
    if (s->in_flight == 0)
        s->progress_at = uv_now(s->loop);
    p->prev = NULL;
    p->next = s->given;
    if (s->given)
        s->given->prev = p;
    s->given = p;
    s->in_flight++;
    s->in_flight_bytes += p->buf.len;
}

static void given_remove(struct store *s, struct proposal *p)
{
    if (p->next)
        p->next->prev = p->prev;
    if (p->prev)
        p->prev->next = p->next;
    else
        s->given = p->next;
    s->in_flight--;
    s->in_flight_bytes -= p->buf.len;
}

static void applied_cb(struct raft_apply *req, int status, void *result)
{
    struct proposal *p = (struct proposal *)(void *)req;
    struct store *s = p->store;
    (void)result;
    if (s->phase == STORE_CLOSED)
        return; /* abandoned: answered already */
    given_remove(s, p);
    s->progress_at = uv_now(s->loop);
    uv_async_send(&s->wake);
    if (s->cl.net && status != 0 && s->failed == HSM_OK && s->phase == STORE_STARTED) {
        propose_take_back(s, p); /* another one leads */
        return;
    }
    if (!s->cl.net)
        p->buf.base = NULL; /* libraft's now */
    propose_finish(p, status == 0 && s->failed == HSM_OK ? HSM_OK : HSM_E_IO);
}

/* The memory stays: libraft has the addresses. */
void propose_abandon(struct store *s)
{
    for (struct proposal *p = s->given; p; p = p->next)
        if (p->done)
            p->done(p->ctx, HSM_E_IO);
    s->given = NULL;
}

/* Started on a full disk, libraft does not try again to prepare room for its log when there is
 * space: only another start helps. */
static void watch_room(struct store *s, uint64_t now)
{
    bool waits = s->phase == STORE_STARTED && raftlog_is_leader(s) && s->failed == HSM_OK &&
                 s->io.capacity < CAPACITY_KIB && dir_free_space(&s->dir) > 2 * ROOM_BYTES;
    if (!waits || s->room_at == 0)
        s->room_at = now + 1; /* never 0 */
    else if (now - s->room_at > ROOM_MS)
        store_fail(s, HSM_E_IO, "%s: the disk has room again, but the log prepares none. Restart.",
                   s->dir.log);
}

/* Some errors of storage end in silence inside libraft. */
void propose_watch(struct store *s)
{
    uint64_t now = uv_now(s->loop);
    watch_room(s, now);
    if (s->in_flight == 0)
        s->progress_at = now;
    else if (now - s->progress_at > STUCK_MS)
        store_fail(s, HSM_E_IO, "%s: the log took no write for %u s. Check the disk, then restart.",
                   s->dir.log, STUCK_MS / 1000);
}

bool propose_snapshot_due(const struct store *s)
{
    uint64_t entries = s->raft.last_stored - s->snapshot;
    return entries > s->threshold + s->threshold / 2 || s->log_bytes > LOG_BYTES;
}

hsm_err propose_obstacle(const struct store *s)
{
    if (s->failed != HSM_OK)
        return HSM_E_UNAVAILABLE;
    if (s->flush_err != HSM_OK)
        return s->flush_err;
    uint64_t room = dir_free_space(&s->dir);
    bool no_segment = s->io.capacity < CAPACITY_KIB && room < SPACE_BYTES;
    return room < ROOM_BYTES || no_segment ? HSM_E_DISK_FULL : HSM_OK;
}

/* Why the first held proposal has to wait: HSM_OK: it has not; else what to answer when waiting
 * lasts longer than *patience_ms. */
static hsm_err why_wait(struct store *s, unsigned *patience_ms)
{
    bool idle = s->in_flight == 0 && s->overlay.n == s->overlay.n_acked;
    *patience_ms = WAIT_BUSY_MS;
    if (s->failed != HSM_OK)
        return *patience_ms = 0, HSM_E_UNAVAILABLE;
    if (s->flush_err != HSM_OK)
        return *patience_ms = 0, s->flush_err;
    if (!raftlog_is_leader(s))
        return *patience_ms = WAIT_LEADER_MS, HSM_E_UNAVAILABLE;
    if (dir_free_space(&s->dir) < ROOM_BYTES)
        return *patience_ms = 0, HSM_E_DISK_FULL;
    if (s->io.capacity < CAPACITY_KIB) {
        *patience_ms = dir_free_space(&s->dir) < SPACE_BYTES ? 0 : WAIT_SPACE_MS;
        return HSM_E_DISK_FULL;
    }
    if (s->in_flight_bytes > 0 && s->in_flight_bytes + s->held.first->buf.len > IN_FLIGHT_BYTES)
        return HSM_E_UNAVAILABLE;
    /* libraft takes a snapshot only at a moment when all is applied: make such a moment. */
    if (propose_snapshot_due(s) && !idle)
        return HSM_E_UNAVAILABLE;
    return HSM_OK;
}

/* libraft takes what it is given; with other nodes it may come back, to be proposed again. */
static bool entry_of(const struct store *s, const struct proposal *p, struct raft_buffer *ret)
{
    *ret = p->buf;
    if (!s->cl.net)
        return true;
    ret->base = raft_malloc(p->buf.len);
    if (!ret->base)
        return false;
    memcpy(ret->base, p->buf.base, p->buf.len);
    return true;
}

static bool submit(struct store *s)
{
    struct proposal *p = s->held.first;
    struct raft_buffer entry;
    if (s->log_bytes > LOG_BYTES)
        raft_set_snapshot_threshold(&s->raft, 1);
    logentry_set_durable(p->buf.base, raft_commit_index(&s->raft));
    if (!entry_of(s, p, &entry))
        return false;
    int rc = raft_apply(&s->raft, &p->req, &entry, 1, applied_cb);
    if (rc == 0) {
        pop(&s->held);
        given_add(s, p);
        s->log_bytes += p->buf.len;
        return true;
    }
    if (rc == RAFT_NOTLEADER || rc == RAFT_NOSPACE) {
        if (s->cl.net)
            raft_free(entry.base);
        return false; /* nothing happened */
    }
    /* libraft's own state is not sure any more, nor who owns the buffer. */
    store_fail(s, HSM_E_IO, "The log refused an entry: %s (%s).", raft_errmsg(&s->raft),
               raft_strerror(rc));
    if (!s->cl.net)
        p->buf.base = NULL;
    pop(&s->held);
    propose_finish(p, HSM_E_IO);
    return false;
}

void propose_take_back(struct store *s, struct proposal *p)
{
    p->next = s->held.first;
    s->held.first = p;
    if (!s->held.last)
        s->held.last = p;
    uv_async_send(&s->wake);
}

/* It may have been proposed twice, or by a leader of before. */
void propose_saw(struct store *s, const uint8_t txn[16])
{
    struct proposal *before = NULL;
    cluster_applied(s, txn);
    for (struct proposal *p = s->held.first; p; before = p, p = p->next) {
        if (memcmp(p->txn, txn, sizeof p->txn) != 0)
            continue;
        if (before)
            before->next = p->next;
        else
            s->held.first = p->next;
        if (s->held.last == p)
            s->held.last = before;
        propose_finish(p, HSM_OK);
        return;
    }
}

static bool forward_first(struct store *s)
{
    if (!s->cl.net || raftlog_is_leader(s) || s->failed != HSM_OK)
        return false;
    struct proposal *p = pop(&s->held);
    if (cluster_forward(s, p)) {
        s->held_since = 0;
        return true;
    }
    propose_take_back(s, p);
    return false;
}

void propose_drain(struct store *s)
{
    take_incoming(s);
    if (s->phase != STORE_STARTED)
        return;
    while (s->held.first) {
        unsigned patience;
        uint64_t now = uv_now(s->loop);
        if (forward_first(s))
            continue;
        hsm_err wait = why_wait(s, &patience);
        if (wait == HSM_OK) {
            if (!submit(s))
                return;
            s->held_since = 0;
            continue;
        }
        if (s->held_since == 0)
            s->held_since = now + 1; /* never 0 */
        if (now + 1 - s->held_since < patience)
            return;
        propose_fail_all(s, wait);
    }
}
