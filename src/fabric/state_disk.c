/* The state in its store: opening, and commits through the log.
 *
 * A commit is one transaction: its documents, and the head, which every commit replaces. The store
 * takes a transaction only if each record has the revision it was computed from; as all commits
 * have the head in common, those of several instances have one order, too. */
#include "fabric/state_disk.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include "base/ct.h"
#include "base/file.h"
#include "base/log.h"
#include "base/secret.h"
#include "wire/wire.h"

#define PATH_MAX_LEN 4096
#define MAP_SIZE     ((size_t)4 << 30)

static void die(struct state_disk *d, hsm_err err, const char *text)
{
    d->handlers.fatal(d->handlers.ctx, err, text);
}

/* ---- applying ---- */

/* What an operation of a transaction did. */
struct applied {
    enum state_kind kind;
    struct bytes key;
    struct document *gone;
    bool is_head;
};

static const struct document *by_rid(const struct state *s, struct bytes rid)
{
    for (size_t kind = 0; kind < STATE__KINDS; kind++) {
        for (size_t i = 0; i < s->table[kind].n; i++) {
            if (bytes_eq(rid, bytes_of(document_rid(s->table[kind].at[i]), STATE_RID_LEN)))
                return s->table[kind].at[i];
        }
    }
    return NULL;
}

static hsm_err apply_removal(struct state_disk *d, struct bytes rid, struct applied *ret)
{
    const struct document *old = by_rid(d->state, rid);
    if (old == NULL)
        return HSM_E_CORRUPT;
    ret->gone = document_new(old->kind, old->revision, old->key, bytes_of(NULL, 0));
    struct document *doc = document_new(old->kind, old->revision, old->key, bytes_of(NULL, 0));
    if (ret->gone == NULL || doc == NULL) {
        free(doc);
        return HSM_E_NOMEM;
    }
    ret->kind = ret->gone->kind;
    ret->key = ret->gone->key;
    state_sum_remove(&d->seal, &d->sum, old);
    return state_take(d->state, doc, true);
}

static hsm_err apply_op(struct state_disk *d, struct bytes item, struct applied *ret)
{
    struct wire_txn_op op;
    struct state_record r;
    uint8_t head[STATE_RID_LEN];
    TRY(wire_txn_op_decode(item, &op));
    if (op.rid.n != STATE_RID_LEN)
        return HSM_E_CORRUPT;
    state_rid_head(head);
    ret->is_head = memcmp(op.rid.p, head, sizeof head) == 0;
    if (ret->is_head) {
        d->state->version = op.revision;
        return HSM_OK;
    }
    if (op.remove != 0)
        return apply_removal(d, op.rid, ret);
    TRY(state_seal_open(&d->seal, op.rid.p, op.revision, op.sealed, &r));
    ret->kind = r.kind;
    ret->key = r.key;
    return state_put_record(d, &r, op.revision);
}

static hsm_err check_txn(const struct state_disk *d, const struct wire_txn *t)
{
    uint8_t mac[STATE_SEAL_LEN];
    state_seal_txn(&d->seal, bytes_of(t->txn.b, sizeof t->txn.b), t->ops, mac);
    return t->mac.n == sizeof mac && ct_eq(mac, t->mac.p, sizeof mac) ? HSM_OK : HSM_E_CORRUPT;
}

static size_t count_ops(struct bytes list)
{
    struct bytes item;
    size_t n = 0;
    while (wire_list_next(&list, &item))
        n++;
    return n;
}

static hsm_err apply_ops(struct state_disk *d, struct bytes list, struct applied *done)
{
    struct bytes item;
    for (size_t i = 0; wire_list_next(&list, &item); i++)
        TRY(apply_op(d, item, &done[i]));
    return HSM_OK;
}

static hsm_err apply(struct state_disk *d, const struct wire_txn *t)
{
    TRY(check_txn(d, t));
    size_t n = count_ops(t->ops);
    struct applied *done = calloc(n + 1, sizeof *done);
    if (done == NULL)
        return HSM_E_NOMEM;
    hsm_err e = apply_ops(d, t->ops, done);
    for (size_t i = 0; i < n; i++) {
        if (e == HSM_OK && !done[i].is_head)
            state_tell(d->state, done[i].kind, done[i].key);
        free(done[i].gone);
    }
    free(done);
    return e;
}

static void on_committed(void *ctx, uint64_t index, bool accepted, struct bytes bytes)
{
    struct state_disk *d = ctx;
    struct wire_txn t;
    uint8_t head[STATE_SEAL_LEN];
    hsm_err e = wire_txn_decode(bytes, &t);
    if (e == HSM_OK && accepted)
        e = apply(d, &t);
    if (e != HSM_OK) {
        die(d, e == HSM_E_NOMEM ? e : HSM_E_CORRUPT,
            e == HSM_E_NOMEM
                ? "no memory for the control plane's state"
                : "a change in the log of the control plane's state does not fit its key");
        return;
    }
    if (d->current != NULL && memcmp(&t.txn, &d->txn, sizeof t.txn) == 0) {
        d->verdict_seen = true;
        d->accepted = accepted;
    }
    state_seal_head(&d->seal, d->state->version, &d->sum, head);
    store_applied(d->store, index, bytes_of(head, sizeof head));
    d->applied = index;
    if (d->has_peers)
        state_peers_applied(d);
}

/* ---- committing ---- */

static void put_op(struct wr *w, const struct wire_txn_op *op)
{
    size_t item = wr_lv_open(w);
    wire_txn_op_put(w, op);
    wr_lv_close(w, item);
}

static void put_sealed(const struct state_disk *d, struct wr *w, const struct change *one,
                       uint64_t expected, uint64_t revision)
{
    /* As wire_txn_op_put(), with the sealed bytes made in place. */
    size_t item = wr_lv_open(w);
    wr_lv(w, bytes_of(document_rid(one->doc), STATE_RID_LEN));
    wr_u64(w, expected);
    wr_u64(w, revision);
    wr_u8(w, 0);
    size_t sealed = wr_lv_open(w);
    state_seal_put(&d->seal, one->doc, w);
    wr_lv_close(w, sealed);
    wr_lv_close(w, item);
}

/* Removals come last: they raise the revision that a created record must have. */
static void put_changes(const struct state_disk *d, struct wr *w, const struct changes *c,
                        bool removals, struct state_sum *sum)
{
    for (const struct change *one = c->first; one != NULL; one = one->next) {
        const struct document *old = state_get(d->state, one->doc->kind, one->doc->key);
        if (one->is_delete != removals || (removals && old == NULL))
            continue;
        uint64_t expected = old != NULL ? old->revision : 0;
        if (old != NULL)
            state_sum_remove(&d->seal, sum, old);
        if (!removals) {
            put_sealed(d, w, one, expected, c->base + 1);
            state_sum_add(&d->seal, sum, one->doc);
            continue;
        }
        put_op(w, &(struct wire_txn_op){.rid = bytes_of(document_rid(one->doc), STATE_RID_LEN),
                                        .expected = expected,
                                        .revision = c->base + 1,
                                        .remove = 1});
    }
}

static void put_head(const struct state_disk *d, struct wr *w, uint64_t version,
                     const struct state_sum *sum)
{
    uint8_t rid[STATE_RID_LEN], head[STATE_SEAL_LEN];
    state_rid_head(rid);
    state_seal_head(&d->seal, version + 1, sum, head);
    put_op(w, &(struct wire_txn_op){.rid = bytes_of(rid, sizeof rid),
                                    .expected = version,
                                    .revision = version + 1,
                                    .sealed = bytes_of(head, sizeof head)});
}

static hsm_err make_txn(struct state_disk *d, const struct changes *c, struct bytes *ret)
{
    static const uint8_t none[32];
    struct wr w = wr_of(d->buf, sizeof d->buf);
    struct state_sum sum = d->sum;
    uint8_t mac[STATE_SEAL_LEN];
    uuid_new_v4(&d->txn);
    wr_bytes(&w, d->txn.b, sizeof d->txn.b);
    wr_u64(&w, 0); /* what went before is the head's business */
    wr_lv(&w, bytes_of(none, sizeof none));
    size_t list = wr_lv_open(&w);
    put_changes(d, &w, c, false, &sum);
    put_changes(d, &w, c, true, &sum);
    put_head(d, &w, c->base, &sum);
    wr_lv_close(&w, list);
    if (wr_ok(&w) != HSM_OK)
        return HSM_E_TOO_LARGE;
    state_seal_txn(&d->seal, bytes_of(d->txn.b, sizeof d->txn.b),
                   bytes_of(w.p + list + 4, w.n - list - 4), mac);
    wr_lv(&w, bytes_of(mac, sizeof mac));
    if (wr_ok(&w) != HSM_OK)
        return HSM_E_TOO_LARGE;
    *ret = wr_view(&w);
    return HSM_OK;
}

static void finish(struct state_disk *d, hsm_err err)
{
    struct state_commit *k = d->current;
    state_done_fn done = k->done;
    void *ctx = k->ctx;
    d->current = NULL;
    d->state->busy = false;
    free(k);
    done(ctx, err);
    state_next(d->state);
}

static void on_proposed(void *ctx, hsm_err err)
{
    struct state_disk *d = ctx;
    if (err == HSM_OK && !d->verdict_seen)
        err = HSM_E_IO; /* the store has failed meanwhile */
    else if (err == HSM_OK && !d->accepted)
        err = HSM_E_CONFLICT;
    finish(d, err);
}

hsm_err state_disk_commit(struct state *s, struct state_commit *k)
{
    struct state_disk *d = s->disk;
    struct bytes txn;
    if (!d->ready && !d->leads)
        return HSM_E_UNAVAILABLE;
    TRY(make_txn(d, k->changes, &txn));
    d->verdict_seen = d->accepted = false;
    TRY(store_propose(d->store, txn, on_proposed, d));
    d->current = k;
    s->busy = true;
    return HSM_OK;
}

/* ---- opening and closing ---- */

static void prove(struct state_disk *d);

/* A full disk takes no entry that would prove it. */
static bool is_caught_up(const struct state_disk *d)
{
    struct store_info i;
    store_info(d->store, &i);
    return i.leader && i.applied == i.log_last;
}

/* Everything that was in the log before is applied. */
static void on_proved(void *ctx, hsm_err err)
{
    struct state_disk *d = ctx;
    d->proving = false;
    if (d->state->closed || d->ready)
        return;
    if (err != HSM_OK && !(err == HSM_E_DISK_FULL && is_caught_up(d))) {
        if (err != HSM_E_IO)
            prove(d);
        return;
    }
    d->leads = true;
    if (d->handlers.leads != NULL)
        d->handlers.leads(d->handlers.ctx, true);
    state_disk_ready(d);
}

void state_disk_ready(struct state_disk *d)
{
    if (d->ready || d->state->closed)
        return;
    d->ready = true;
    d->handlers.ready(d->handlers.ctx);
}

/* A transaction without operations. */
static void prove(struct state_disk *d)
{
    struct wr w = wr_of(d->buf, sizeof d->buf);
    struct uuid id;
    uint8_t mac[STATE_SEAL_LEN];
    uuid_new_v4(&id);
    wr_bytes(&w, id.b, sizeof id.b);
    wr_u64(&w, 0);
    wr_lv(&w, bytes_str(""));
    wr_lv(&w, bytes_str(""));
    state_seal_txn(&d->seal, bytes_of(id.b, sizeof id.b), bytes_str(""), mac);
    wr_lv(&w, bytes_of(mac, sizeof mac));
    d->proving = store_propose(d->store, wr_view(&w), on_proved, d) == HSM_OK;
}

static void on_leader(void *ctx, bool is_leader)
{
    struct state_disk *d = ctx;
    if (d->has_peers)
        state_peers_leader(d, is_leader);
    else if (is_leader && !d->ready && !d->proving)
        prove(d);
}

static void on_fatal(void *ctx, hsm_err err, const char *text)
{
    die(ctx, err, text);
}

static hsm_err open_store(uv_loop_t *loop, const struct state_config *cfg, struct state_disk *d,
                          char *text, size_t cap)
{
    char path[PATH_MAX_LEN];
    struct stat st;
    if (path_join(path, sizeof path, cfg->dir, "store") != HSM_OK) {
        snprintf(text, cap, "the directory's name is too long");
        return HSM_E_RANGE;
    }
    TRY(state_key_load(cfg->dir, stat(path, &st) != 0, &d->seal, text, cap));
    const struct store_config sc = {.dir = path,
                                    .node_id = cfg->instance,
                                    .address = cfg->address != NULL ? cfg->address : "127.0.0.1:0",
                                    .peers = cfg->peers,
                                    .map_size = MAP_SIZE};
    const struct store_callbacks cb = {.ctx = d,
                                       .committed = on_committed,
                                       .leader = on_leader,
                                       .fatal = on_fatal,
                                       .message = state_peers_message};
    TRY(store_open(loop, &sc, &cb, &d->store, text, cap));
    TRY(state_load(d, text, cap));
    d->applied = store_loaded_index(d->store);
    d->self = cfg->instance;
    if (cfg->peers != NULL)
        TRY(state_peers_open(loop, d));
    hsm_err e = store_start(d->store);
    if (e != HSM_OK)
        snprintf(text, cap, "%s", store_failure(d->store));
    return e;
}

hsm_err state_open(uv_loop_t *loop, const struct state_config *cfg, const struct state_handlers *h,
                   struct state **ret, char *text, size_t cap)
{
    struct state *s = NULL;
    struct state_disk *d = calloc(1, sizeof *d);
    hsm_err e = d != NULL ? state_open_memory(&s) : HSM_E_NOMEM;
    if (e != HSM_OK) {
        free(d);
        snprintf(text, cap, "no memory");
        return e;
    }
    d->state = s;
    d->handlers = *h;
    s->disk = d;
    e = open_store(loop, cfg, d, text, cap);
    if (e != HSM_OK) {
        state_close(s, NULL, NULL);
        return e;
    }
    *ret = s;
    return HSM_OK;
}

static void release(struct state_disk *d)
{
    void (*done)(void *ctx) = d->closed;
    void *ctx = d->closed_ctx;
    state_free(d->state);
    secret_wipe(d, sizeof *d);
    free(d);
    if (done != NULL)
        done(ctx);
}

static void on_timer_closed(uv_handle_t *h)
{
    release(h->data);
}

static void on_store_closed(void *ctx)
{
    struct state_disk *d = ctx;
    if (d->current != NULL)
        finish(d, HSM_E_UNAVAILABLE);
    state_next(d->state);
    if (d->has_peers)
        uv_close((uv_handle_t *)&d->timer, on_timer_closed);
    else
        release(d);
}

void state_disk_close(struct state *s, void (*done)(void *ctx), void *ctx)
{
    struct state_disk *d = s->disk;
    d->closed = done;
    d->closed_ctx = ctx;
    if (d->has_peers)
        state_peers_end(d);
    if (d->store != NULL)
        store_close(d->store, on_store_closed, d);
    else
        on_store_closed(d);
}
