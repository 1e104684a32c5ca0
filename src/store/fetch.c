/* The state of another member as a whole, for a node whose log is too far behind. libraft sends
 * such a node a snapshot, which here is a small manifest; before the manifest is taken for stored
 * (and the log is cut), the leader's LMDB file is copied over the peer link into "fetched". The
 * node then starts again from that file: fetch_adopt() puts it in its place.
 *
 * One copy at a time in both directions. The side that gives makes a consistent copy in a file
 * without a name and sends the parts that are asked for. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/log.h"
#include "store/internal.h"

#define PART_MAX     (256u << 10)
#define PARTS_ASKED  8u
#define SILENCE_MS   5000u
#define OFFER_END_MS 30000u

struct fetch {
    struct store *store;
    unsigned trailing;
    struct raft_io_snapshot_put *req;
    const struct raft_snapshot *snapshot;
    raft_io_snapshot_put_cb cb;
    void *req_data;  /* libraft's, while the callback is ours */
    uint64_t index;  /* that the copy must reach */
    uint64_t source; /* node; 0: not asked yet */
    uint64_t heard_at;
    uint64_t size, asked, got; /* bytes */
    int fd;
    bool storing, stored; /* the manifest, by libraft */
};

struct offer {
    uv_work_t work;
    struct store *store;
    uint64_t to, size, used_at;
    int fd, rc;
    bool ready, orphan;
};

static void path_of(const struct store *s, const char *name, char *dst, size_t cap)
{
    snprintf(dst, cap, "%.*s%s", (int)(strlen(s->dir.state) - strlen("state.mdb")), s->dir.state,
             name);
}

/* ---- giving ---- */

static void offer_free(struct offer *o)
{
    if (o->fd >= 0)
        close(o->fd);
    free(o);
}

static void copy_work(uv_work_t *w)
{
    struct offer *o = w->data;
    struct stat st;
    o->rc = mdb_env_copyfd2(o->store->db.env, o->fd, MDB_CP_COMPACT);
    if (o->rc == 0 && fstat(o->fd, &st) == 0)
        o->size = (uint64_t)st.st_size;
}

static void copy_done(uv_work_t *w, int status)
{
    struct offer *o = w->data;
    struct store *s = o->store;
    uint8_t buf[8];
    s->cl.copying = false;
    if (o->orphan || status != 0 || o->rc != 0) {
        if (o->rc != 0)
            log_error("a copy of the state cannot be made: %s", mdb_strerror(o->rc));
        if (s->cl.offered == o)
            s->cl.offered = NULL;
        offer_free(o);
        if (s->phase == STORE_CLOSING)
            store_advance_close(s);
        return;
    }
    o->ready = true;
    o->used_at = uv_now(s->loop);
    be64_put(buf, o->size);
    cluster_send(s, o->to, MSG_COPY, bytes_of(buf, sizeof buf));
}

static void offer_drop(struct store *s)
{
    struct offer *o = s->cl.offered;
    s->cl.offered = NULL;
    if (!o)
        return;
    if (o->ready)
        offer_free(o);
    else
        o->orphan = true; /* freed when its copy is done */
}

static void take_fetch(struct store *s, uint64_t from)
{
    char dir[4096];
    if (s->cl.offered && s->cl.offered->to == from)
        offer_drop(s);
    if (s->cl.offered || s->cl.copying)
        return; /* asked again later */
    path_of(s, "", dir, sizeof dir);
    struct offer *o = calloc(1, sizeof *o);
    if (!o)
        return;
    *o = (struct offer){.store = s, .to = from};
    o->work.data = o;
    o->fd = open(dir, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
    if (o->fd < 0 || uv_queue_work(s->loop, &o->work, copy_work, copy_done) != 0) {
        log_error("%s: a copy of the state cannot be made: %s", dir, strerror(errno));
        offer_free(o);
        return;
    }
    log_info("partition %llu gets a copy of the state", (unsigned long long)from - 1);
    s->cl.copying = true;
    s->cl.offered = o;
}

static void take_part(struct store *s, uint64_t from, struct bytes payload)
{
    static uint8_t buf[8 + PART_MAX];
    struct offer *o = s->cl.offered;
    struct rd r = rd_of(payload);
    uint64_t offset;
    uint32_t n;
    if (!o || !o->ready || o->to != from || rd_u64(&r, &offset) != HSM_OK ||
        rd_u32(&r, &n) != HSM_OK || rd_end(&r) != HSM_OK || n == 0 || n > PART_MAX ||
        offset >= o->size || n > o->size - offset)
        return;
    o->used_at = uv_now(s->loop);
    be64_put(buf, offset);
    if (pread(o->fd, buf + 8, n, (off_t)offset) == (ssize_t)n)
        cluster_send(s, from, MSG_DATA, bytes_of(buf, 8 + n));
}

/* ---- getting ---- */

static void ask(struct store *s, struct fetch *f)
{
    f->source = cluster_leader(s);
    f->heard_at = uv_now(s->loop);
    f->size = f->asked = f->got = 0;
    if (f->source == 0 || f->source == s->node_id ||
        peer_send(s->cl.net, f->source, MSG_FETCH, 0, bytes_str("")) != HSM_OK)
        f->source = 0;
}

static void ask_parts(struct store *s, struct fetch *f)
{
    uint8_t buf[12];
    while (f->asked < f->size && f->asked - f->got < (uint64_t)PARTS_ASKED * PART_MAX) {
        uint64_t left = f->size - f->asked;
        uint32_t n = left < PART_MAX ? (uint32_t)left : PART_MAX;
        struct wr w = wr_of(buf, sizeof buf);
        wr_u64(&w, f->asked);
        wr_u32(&w, n);
        if (peer_send(s->cl.net, f->source, MSG_PART, 0, wr_view(&w)) != HSM_OK)
            return;
        f->asked += n;
    }
}

static void on_stored(struct raft_io_snapshot_put *req, int status)
{
    struct fetch *f = req->data;
    struct store *s = f->store;
    req->data = f->req_data;
    if (status != 0) {
        f->cb(req, status);
        free(f);
        return;
    }
    f->stored = true;
    store_fail(s, HSM_E_STALE,
               "The state of another partition was taken over; this one starts "
               "again from it.");
}

/* The file is whole: its structure is checked here, its records when they are loaded. */
static void finish(struct store *s, struct fetch *f)
{
    char path[4200], last[4200], text[STORE_TEXT_MAX];
    struct db_meta meta;
    path_of(s, "fetching", path, sizeof path);
    path_of(s, "fetched", last, sizeof last);
    bool ok = fsync(f->fd) == 0;
    close(f->fd);
    f->fd = -1;
    hsm_err err =
        ok ? db_adopt(path, s->db.map_size, s->node_id, &meta, text, sizeof text) : HSM_E_IO;
    if (err == HSM_OK && meta.index < f->index) {
        snprintf(text, sizeof text, "its state is older than what was announced");
        err = HSM_E_STALE;
    }
    if (err == HSM_OK && rename(path, last) != 0)
        err = HSM_E_IO;
    if (err != HSM_OK) {
        log_error("the copy of partition %llu is of no use: %s: %s",
                  (unsigned long long)f->source - 1, hsm_err_name(err), text);
        f->source = 0; /* from the beginning */
        return;
    }
    dir_sync(&s->dir);
    f->storing = true;
    f->req_data = f->req->data;
    f->req->data = f;
    if (s->cl.io_snapshot_put(&s->io, f->trailing, f->req, f->snapshot, on_stored) != 0)
        store_fail(s, HSM_E_IO, "%s: cannot write a snapshot: %s", s->dir.log, s->io.errmsg);
}

static void take_copy(struct store *s, uint64_t from, struct bytes payload)
{
    char path[4200];
    struct fetch *f = s->cl.fetch;
    struct rd r = rd_of(payload);
    uint64_t size;
    if (!f || f->storing || f->source != from || f->size != 0 || rd_u64(&r, &size) != HSM_OK ||
        rd_end(&r) != HSM_OK || size == 0)
        return;
    path_of(s, "fetching", path, sizeof path);
    if (f->fd >= 0)
        close(f->fd);
    f->fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (f->fd < 0) {
        log_error("%s: %s", path, strerror(errno));
        f->source = 0;
        return;
    }
    f->size = size;
    f->heard_at = uv_now(s->loop);
    ask_parts(s, f);
}

static void take_data(struct store *s, uint64_t from, struct bytes payload)
{
    struct fetch *f = s->cl.fetch;
    struct rd r = rd_of(payload);
    uint64_t offset;
    if (!f || f->storing || f->source != from || f->fd < 0 || rd_u64(&r, &offset) != HSM_OK ||
        offset != f->got || r.n == 0 || r.n > f->asked - f->got)
        return;
    if (pwrite(f->fd, r.p, r.n, (off_t)offset) != (ssize_t)r.n) {
        log_error("the copy of the state cannot be written: %s", strerror(errno));
        f->source = 0;
        return;
    }
    f->got += r.n;
    f->heard_at = uv_now(s->loop);
    if (f->got == f->size)
        finish(s, f);
    else
        ask_parts(s, f);
}

void fetch_message(struct store *s, uint64_t from, uint16_t type, struct bytes payload)
{
    if (type == MSG_FETCH)
        take_fetch(s, from);
    else if (type == MSG_PART)
        take_part(s, from, payload);
    else if (type == MSG_COPY)
        take_copy(s, from, payload);
    else if (type == MSG_DATA)
        take_data(s, from, payload);
}

void fetch_tick(struct store *s)
{
    struct fetch *f = s->cl.fetch;
    struct offer *o = s->cl.offered;
    uint64_t now = uv_now(s->loop);
    if (f && !f->storing && (f->source == 0 || now - f->heard_at > SILENCE_MS))
        ask(s, f);
    if (o && o->ready && now - o->used_at > OFFER_END_MS)
        offer_drop(s);
}

void fetch_link_down(struct store *s, uint64_t id)
{
    struct fetch *f = s->cl.fetch;
    if (f && !f->storing && f->source == id)
        f->source = 0;
    if (s->cl.offered && s->cl.offered->to == id)
        offer_drop(s);
}

/* Snapshots of our own keep some entries behind them; one that the leader sent keeps none. */
int fetch_snapshot_put(struct raft_io *io, unsigned trailing, struct raft_io_snapshot_put *req,
                       const struct raft_snapshot *snapshot, raft_io_snapshot_put_cb cb)
{
    struct store *s = store_of_io(io);
    uint64_t index;
    if (trailing > 0 || raftlog_manifest_index(&snapshot->bufs[0], &index) != HSM_OK)
        return s->cl.io_snapshot_put(io, trailing, req, snapshot, cb);
    if (s->overlay.n == s->overlay.n_acked)
        (void)!flush_now(s);
    if (s->db.meta.index >= index)
        return s->cl.io_snapshot_put(io, trailing, req, snapshot, cb);
    if (s->cl.fetch)
        return RAFT_BUSY;
    struct fetch *f = calloc(1, sizeof *f);
    if (!f)
        return RAFT_NOMEM;
    log_info("the state is too old (%llu, needed %llu): it is fetched from the leader",
             (unsigned long long)s->db.meta.index, (unsigned long long)index);
    *f = (struct fetch){.store = s,
                        .trailing = trailing,
                        .req = req,
                        .snapshot = snapshot,
                        .cb = cb,
                        .index = index,
                        .fd = -1};
    s->cl.fetch = f;
    return 0;
}

/* libraft waits for the end of what it began. */
void fetch_close(struct store *s)
{
    struct fetch *f = s->cl.fetch;
    offer_drop(s);
    s->cl.fetch = NULL;
    if (!f || (f->storing && !f->stored))
        return; /* on_stored() does the rest */
    if (f->fd >= 0)
        close(f->fd);
    f->cb(f->req, RAFT_CANCELED);
    free(f);
}

/* ---- at the start ---- */

static bool exists(const char *path)
{
    return access(path, F_OK) == 0;
}

bool fetch_is_ahead(const struct store *s)
{
    char path[4200];
    path_of(s, "adopted", path, sizeof path);
    return exists(path);
}

/* "fetched" counts from the moment libraft has the manifest: its log alone is no use then. */
hsm_err fetch_adopt(struct store *s, uint64_t snapshot, uint64_t loaded, bool *ret, char *text,
                    size_t cap)
{
    *ret = false;
    char path[4200], mark[4200];
    path_of(s, "fetching", path, sizeof path);
    (void)unlink(path);
    path_of(s, "fetched", path, sizeof path);
    path_of(s, "adopted", mark, sizeof mark);
    if (!exists(path))
        return HSM_OK;
    if (loaded >= snapshot) {
        (void)unlink(path);
        return HSM_OK;
    }
    int fd = open(mark, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool ok = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    char lock[4200];
    snprintf(lock, sizeof lock, "%s-lock", s->dir.state);
    (void)unlink(lock);
    if (!ok || rename(path, s->dir.state) != 0) {
        snprintf(text, cap, "%s cannot be put in its place: %s", path, strerror(errno));
        return HSM_E_IO;
    }
    dir_sync(&s->dir);
    *ret = true;
    return HSM_OK;
}

/* The log has reached the state that was fetched. */
void fetch_caught_up(const struct store *s)
{
    char path[4200];
    path_of(s, "adopted", path, sizeof path);
    (void)unlink(path);
}
