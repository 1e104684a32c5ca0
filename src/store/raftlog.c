/* libraft: its set-up, the state machine it drives, and what has to be known about its failures:
 *  - its callbacks assert that storage never fails, so failures are noted here and hidden from it;
 *    the store then stops (nothing is acknowledged any more) and tells the program;
 *  - by default it moves a damaged last segment away and goes on without: switched off;
 *  - its retry of a failed write uses a wrong timer: it must be closed before that fires. */
#include "store/internal.h"

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include "store/logentry.h"
#include "store/transport.h"

#define DISK_RETRY_MS 1000
/* Several voters. LEASE_MS in wire/lease.h is to be no longer than an election takes to begin. */
#define ELECTION_MS    300
#define HEARTBEAT_MS   30
#define RECONNECT_MS   50
#define MANIFEST_MAGIC "KHSNAP01"
#define MANIFEST_BODY  (8 + 8 + 8 + 4 + STORE_DIGEST_MAX)
#define MANIFEST_LEN   (MANIFEST_BODY + 4 + SHA256_DIGEST_LENGTH) /* a multiple of 8 */
_Static_assert(MANIFEST_LEN % 8 == 0, "libraft wants multiples of eight");

bool raftlog_is_leader(struct store *s)
{
    return s->raft_phase == RAFT_PHASE_OPEN && raft_state(&s->raft) == RAFT_LEADER;
}

/* ---- state machine ---- */

static hsm_err base_revision(void *ctx, const uint8_t *rid, uint64_t *ret)
{
    struct store *s = ctx;
    char text[STORE_TEXT_MAX];
    hsm_err err = db_revision(&s->db, rid, ret, text, sizeof text);
    if (err != HSM_OK)
        store_fail(s, err, "%s", text);
    return err;
}

static void count_records(struct store *s, const struct pend *p)
{
    for (size_t i = 0; i < p->n_ops; i++) {
        s->records -= p->ops[i].remove;
        s->records += p->ops[i].expected == 0;
    }
}

static int fsm_apply(struct raft_fsm *fsm, const struct raft_buffer *buf, void **result)
{
    struct store *s = fsm->data;
    uint64_t index = raft_last_applied(&s->raft) + 1;
    uint64_t durable;
    struct bytes txn;
    const struct pend *p;
    *result = NULL;
    if (s->failed != HSM_OK || index <= s->committed)
        return 0;
    if (s->cl.net && !raftlog_is_leader(s))
        s->log_bytes += buf->len; /* the leader counts what it proposes */
    hsm_err err = logentry_decode(bytes_of(buf->base, buf->len), &durable, &txn);
    if (err == HSM_OK)
        err = overlay_add(&s->overlay, index, txn, s->floor, base_revision, s, &p);
    if (err == HSM_E_MALFORMED)
        store_fail(s, HSM_E_CORRUPT, "%s: entry %llu of the log is not a transaction.", s->dir.log,
                   (unsigned long long)index);
    else if (err != HSM_OK)
        store_fail(s, err, "Applying entry %llu of the log failed: %s.", (unsigned long long)index,
                   hsm_err_text(err));
    if (err != HSM_OK)
        return 0;
    s->committed = index;
    s->floor = p->floor_after;
    count_records(s, p);
    s->cb.committed(s->cb.ctx, index, p->accepted, txn);
    if (s->cl.net)
        propose_saw(s, txn.p);
    if (s->cl.adopted != 0 && index >= s->cl.adopted) {
        s->cl.adopted = 0;
        fetch_caught_up(s);
    }
    return 0;
}

static hsm_err manifest_encode(const struct db_meta *m, uint8_t dst[MANIFEST_LEN])
{
    struct wr w = wr_of(dst, MANIFEST_LEN);
    memset(dst, 0, MANIFEST_LEN);
    wr_bytes(&w, MANIFEST_MAGIC, 8);
    wr_u64(&w, m->index);
    wr_u64(&w, m->records);
    wr_lv(&w, bytes_of(m->digest, m->digest_len));
    TRY(wr_ok(&w));
    if (EVP_Digest(dst, MANIFEST_BODY, dst + MANIFEST_BODY, NULL, EVP_sha256(), NULL) != 1)
        return HSM_E_NOMEM;
    return HSM_OK;
}

static int fsm_snapshot(struct raft_fsm *fsm, struct raft_buffer *bufs[], unsigned *n_bufs)
{
    struct store *s = fsm->data;
    /* What libraft drops from the log must be in LMDB: all of it. */
    if (s->overlay.n != s->overlay.n_acked || flush_now(s) != HSM_OK || s->overlay.n != 0)
        return RAFT_BUSY;
    struct raft_buffer *b = raft_malloc(sizeof *b);
    uint8_t *data = b ? raft_malloc(MANIFEST_LEN) : NULL;
    if (!data || manifest_encode(&s->db.meta, data) != HSM_OK) {
        raft_free(data);
        raft_free(b);
        return RAFT_NOMEM;
    }
    *b = (struct raft_buffer){.base = data, .len = MANIFEST_LEN};
    *bufs = b;
    *n_bufs = 1;
    s->snapshot = raft_commit_index(&s->raft);
    s->log_bytes = 0;
    raft_set_snapshot_threshold(&s->raft, s->threshold);
    return 0;
}

hsm_err raftlog_manifest_index(const struct raft_buffer *buf, uint64_t *ret)
{
    uint8_t sha[SHA256_DIGEST_LENGTH];
    const uint8_t *p = buf->base;
    if (buf->len != MANIFEST_LEN || memcmp(p, MANIFEST_MAGIC, 8) != 0 ||
        EVP_Digest(p, MANIFEST_BODY, sha, NULL, EVP_sha256(), NULL) != 1 ||
        memcmp(sha, p + MANIFEST_BODY, sizeof sha) != 0)
        return HSM_E_CORRUPT;
    *ret = be64_get(p + 8);
    return HSM_OK;
}

/* The state itself is in LMDB and must have got there before the snapshot was made. */
static int fsm_restore(struct raft_fsm *fsm, struct raft_buffer *buf)
{
    struct store *s = fsm->data;
    uint64_t index;
    if (raftlog_manifest_index(buf, &index) != HSM_OK) {
        store_fail(s, HSM_E_CORRUPT, "%s: the newest snapshot is damaged.", s->dir.log);
        return RAFT_CORRUPT;
    }
    if (s->db.meta.index < index) {
        store_fail(
            s, HSM_E_CORRUPT,
            "%s is older (entry %llu) than what the log still has (from entry %llu). Restore "
            "this store from a backup or from another node.",
            s->db.path, (unsigned long long)s->db.meta.index, (unsigned long long)index);
        return RAFT_CORRUPT;
    }
    raft_free(buf->base);
    return 0;
}

/* ---- failures ---- */

struct store *store_of_io(struct raft_io *io)
{
    return (struct store *)(void *)((char *)io - offsetof(struct store, io));
}

static int set_term(struct raft_io *io, raft_term term)
{
    struct store *s = store_of_io(io);
    if (s->io_set_term(io, term) != 0)
        store_fail(s, HSM_E_IO, "%s: cannot write the term: %s.", s->dir.log, io->errmsg);
    return 0;
}

static int set_vote(struct raft_io *io, raft_id id)
{
    struct store *s = store_of_io(io);
    if (s->io_set_vote(io, id) != 0)
        store_fail(s, HSM_E_IO, "%s: cannot write the vote: %s.", s->dir.log, io->errmsg);
    return 0;
}

/* libraft tells of a failed write only here. */
static void trace(struct raft_tracer *t, int type, const void *info)
{
    static const char mark[] = "retry failed write";
    const struct raft_tracer_info *i = info;
    struct store *s = t->impl;
    if (type != RAFT_TRACER_DIAGNOSTIC ||
        strncmp(i->diagnostic.message, mark, sizeof mark - 1) != 0)
        return;
    atomic_store(&s->write_failed, true);
    uv_async_send(&s->wake);
}

/* ---- set-up ---- */

static hsm_err raft_fail(struct store *s, int rc, const char *what, const char *detail)
{
    hsm_err err = HSM_E_IO;
    if (rc == RAFT_CORRUPT || rc == RAFT_MALFORMED)
        err = HSM_E_CORRUPT;
    else if (rc == RAFT_NOMEM)
        err = HSM_E_NOMEM;
    else if (rc == RAFT_NOSPACE || dir_free_space(&s->dir) < DIR_FULL_BYTES)
        err = HSM_E_DISK_FULL;
    store_fail(s, err, "%s: cannot %s: %s%s%s.%s", s->dir.log, what, raft_strerror(rc),
               detail[0] ? ": " : "", detail,
               err == HSM_E_DISK_FULL ? " Free space on its disk." : "");
    return s->failed;
}

static hsm_err bootstrap(struct store *s)
{
    struct raft_configuration conf;
    raft_configuration_init(&conf);
    int rc = raft_configuration_add(&conf, s->node_id, s->address, RAFT_VOTER);
    if (rc == 0)
        rc = raft_bootstrap(&s->raft, &conf);
    raft_configuration_close(&conf);
    return rc == 0 ? HSM_OK : raft_fail(s, rc, "create the log", s->io.errmsg);
}

static hsm_err init(struct store *s)
{
    if (s->cl.net)
        transport_peer_init(&s->transport, s->cl.net);
    else
        transport_none_init(&s->transport);
    int rc = raft_uv_init(&s->io, s->loop, s->dir.log, &s->transport);
    if (rc != 0)
        return raft_fail(s, rc, "open the log", s->io.errmsg);
    s->tracer = (struct raft_tracer){.impl = s, .version = 2, .emit = trace};
    raft_uv_set_tracer(&s->io, &s->tracer);
    raft_uv_set_auto_recovery(&s->io, false);
    raft_uv_set_disk_retry(&s->io, DISK_RETRY_MS);
    s->fsm = (struct raft_fsm){.version = 1,
                               .data = s,
                               .apply = fsm_apply,
                               .snapshot = fsm_snapshot,
                               .restore = fsm_restore};
    rc = raft_init(&s->raft, &s->io, &s->fsm, s->node_id, s->address);
    if (rc != 0) {
        hsm_err err = raft_fail(s, rc, "open the log", s->io.errmsg);
        raft_uv_close(&s->io);
        return err;
    }
    s->raft_phase = RAFT_PHASE_OPEN;
    s->io_set_term = s->io.set_term;
    s->io_set_vote = s->io.set_vote;
    s->io.set_term = set_term;
    s->io.set_vote = set_vote;
    unsigned trailing = s->threshold / 16;
    raft_set_snapshot_threshold(&s->raft, s->threshold);
    raft_set_snapshot_trailing(&s->raft, trailing > 0 ? trailing : 1);
    raft_set_pre_vote(&s->raft, true);
    if (s->cl.net) {
        raft_set_election_timeout(&s->raft, ELECTION_MS);
        raft_set_heartbeat_timeout(&s->raft, HEARTBEAT_MS);
        raft_uv_set_connect_retry_delay(&s->io, RECONNECT_MS);
        s->cl.io_snapshot_put = s->io.snapshot_put;
        s->io.snapshot_put = fetch_snapshot_put;
        s->cl.io_start = s->io.start;
        s->io.start = rewound_io_start;
    }
    return HSM_OK;
}

static bool is_member(const struct store *s)
{
    for (unsigned i = 0; i < s->raft.configuration.n; i++)
        if (s->raft.configuration.servers[i].id == s->node_id)
            return true;
    return false;
}

hsm_err raftlog_start(struct store *s)
{
    TRY(init(s));
    s->snapshot = s->scan.snapshot;
    if (s->scan.pristine && !s->cl.join)
        TRY(bootstrap(s));
    int rc = raft_start(&s->raft);
    if (rc != 0)
        return raft_fail(s, rc, "load the log", raft_errmsg(&s->raft));
    if (s->failed == HSM_OK && !s->cl.join && !is_member(s))
        store_fail(s, HSM_E_BAD_PARAMETER, "%s belongs to another node than %llu.", s->dir.log,
                   (unsigned long long)s->node_id);
    return s->failed;
}

static void closed_cb(struct raft *r)
{
    struct store *s = (struct store *)(void *)((char *)r - offsetof(struct store, raft));
    raft_uv_close(&s->io);
    s->raft_phase = RAFT_PHASE_CLOSED;
    if (s->phase == STORE_CLOSING)
        store_advance_close(s);
}

void raftlog_close(struct store *s)
{
    if (s->raft_phase != RAFT_PHASE_OPEN)
        return;
    s->raft_phase = RAFT_PHASE_CLOSING;
    raft_close(&s->raft, closed_cb);
    fetch_close(s);
}
