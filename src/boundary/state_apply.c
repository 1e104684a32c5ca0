#include "boundary/state.h"

#include <stdlib.h>
#include "boundary/settings.h"
#include "boundary/state_internal.h"
#include "model/revision.h"

#define SCRATCH_LEN (640u * 1024u)

/* ---- one record ---- */

static void key_move(struct key_index *from, struct key_index *to, struct key *k)
{
    if (from == to)
        return;
    key_index_remove(from, k);
    key_index_insert(to, k);
}

static struct key_index *index_of(struct state *s, uint64_t deleted_date)
{
    return deleted_date != 0 ? &s->deleted : &s->active;
}

/* Opened keys of a deleted key need not lie in memory any longer. */
static void key_forget_opened(struct state *s, const struct key *k)
{
    for (unsigned i = 0; i < k->version_n; i++)
        keycache_drop(s->cache, &k->version[i]->id);
}

static hsm_err put_key(struct state *s, const struct opened_record *o, void **object)
{
    struct key_fields f;
    if (key_fields_decode(o->body, &f) != HSM_OK)
        return HSM_E_CORRUPT;
    char lower[KEY_NAME_MAX + 1];
    if (!bytes_eq(key_canonical(f.display, lower), o->name))
        return HSM_E_CORRUPT;
    struct key *k = state_key(s, o->name);
    struct key_index *to = index_of(s, f.deleted_date);
    if (k == NULL) {
        TRY(key_new(&s->active, f.display, &k));
        key_index_insert(to, k);
    } else {
        key_move(index_of(s, k->deleted_date), to, k);
        memcpy(k->display, f.display.p, f.display.n);
        s->stub_n -= k->has_record ? 0 : 1;
    }
    k->has_record = true;
    k->created = f.created;
    k->deleted_date = f.deleted_date;
    k->purge_date = f.purge_date;
    k->next_seq = f.next_seq;
    if (f.deleted_date != 0)
        key_forget_opened(s, k);
    *object = k;
    return key_set_rotation(&s->rotations, k, f.has_rotation ? &f.rotation : NULL);
}

static void drop_key_if_empty(struct state *s, struct key *k)
{
    if (k->has_record || k->version_n > 0)
        return;
    s->stub_n--;
    key_index_remove(index_of(s, k->deleted_date), k);
    rotation_index_remove(&s->rotations, k);
    key_free(k);
}

static enum key_class class_of(const struct key_version *v)
{
    return key_class_of(v->kty, v->crv, v->bits);
}

static void drop_version(struct state *s, struct key_version *v)
{
    key_detach(v->key, v);
    s->version_n--;
    s->amount[class_of(v)]--;
    free(v);
}

static hsm_err put_version(struct state *s, const struct opened_record *o, void **object)
{
    struct version_fields f;
    struct uuid id;
    if (version_fields_decode(o->body, &f) != HSM_OK ||
        hex_decode(id.b, sizeof id.b, o->name) != HSM_OK || o->tail.n <= SEAL_PRIVATE_OVERHEAD)
        return HSM_E_CORRUPT;
    struct key *k = state_key(s, f.key);
    struct key_version *old = (struct key_version *)*object;
    if (old != NULL && old->key != k)
        return HSM_E_CORRUPT;
    if (k == NULL) {
        TRY(key_new(&s->active, f.key, &k));
        key_index_insert(&s->active, k);
        s->stub_n++;
    }
    struct key_version *v;
    TRY(key_version_new(&id, &f, o->tail, &v));
    hsm_err err = key_attach(k, v);
    if (err != HSM_OK) {
        free(v);
        return err;
    }
    s->version_n++;
    s->amount[class_of(v)]++;
    if (old != NULL)
        drop_version(s, old);
    *object = v;
    return rotation_index_update(&s->rotations, k);
}

/* Role records keep their plaintext: the tables need it to take them back. */
struct kept {
    size_t n;
    uint8_t p[];
};

static hsm_err apply_role(struct state *s, unsigned kind, struct bytes plain, bool removed)
{
    return kind == REC_ROLE_DEFINITION ? roles_apply_definition(s->roles, plain, removed)
                                       : roles_apply_assignment(s->roles, plain, removed);
}

static hsm_err put_role(struct state *s, const struct opened_record *o, void **object)
{
    struct kept *keep = (struct kept *)malloc(sizeof *keep + o->body.n);
    if (keep == NULL)
        return HSM_E_NOMEM;
    keep->n = o->body.n;
    memcpy(keep->p, o->body.p, o->body.n);
    hsm_err err = apply_role(s, o->kind, o->body, false);
    if (err != HSM_OK) {
        free(keep);
        return err == HSM_E_NOMEM ? err : HSM_E_CORRUPT;
    }
    free(*object);
    *object = keep;
    return HSM_OK;
}

static hsm_err put_pool(struct state *s, const struct opened_record *o)
{
    struct pool_info p;
    hsm_err err = pool_info_decode(o->body, &p);
    if (err != HSM_OK)
        return err == HSM_E_NOMEM ? err : HSM_E_CORRUPT;
    pool_info_done(&s->pool);
    s->pool = p;
    s->has_pool = true;
    return HSM_OK;
}

/* Marks of other partitions are records like any other; nothing here depends on what they say. */
static hsm_err put_mark(struct state *s, const struct opened_record *o)
{
    char own[AUDIT_MARK_NAME_MAX + 1];
    struct rd r = rd_of(o->body);
    struct audit_mark m = {.present = true};
    if (rd_u64(&r, &m.seq) != HSM_OK || rd_copy(&r, m.hash, sizeof m.hash) != HSM_OK ||
        rd_end(&r) != HSM_OK)
        return HSM_E_CORRUPT;
    if (bytes_eq(o->name, audit_mark_name(s->partition, own)))
        s->mark = m;
    return HSM_OK;
}

static hsm_err put_setting(struct state *s, const struct opened_record *o)
{
    enum setting which = setting_find(o->name);
    bool value;
    if (which == SETTING__COUNT || setting_body_decode(o->body, &value) != HSM_OK)
        return HSM_E_CORRUPT;
    s->setting[which] = value;
    return HSM_OK;
}

static hsm_err put_object(struct state *s, const struct opened_record *o, void **object)
{
    switch (o->kind) {
    case REC_POOL:
        return put_pool(s, o);
    case REC_KEY:
        return put_key(s, o, object);
    case REC_KEY_VERSION:
        return put_version(s, o, object);
    case REC_ROLE_DEFINITION:
    case REC_ROLE_ASSIGNMENT:
        return put_role(s, o, object);
    case REC_AUDIT_MARK:
        return put_mark(s, o);
    case REC_SETTING:
        return put_setting(s, o);
    }
    return HSM_E_CORRUPT;
}

hsm_err state_put(struct state *s, struct seal_ctx *sc, const uint8_t rid[RID_LEN],
                  uint64_t revision, struct bytes sealed)
{
    struct opened_record o;
    TRY(open_record(sc, rid, revision, sealed, s->scratch, SCRATCH_LEN, &o));
    struct record *r = record_find(&s->records, rid);
    if (r != NULL && r->kind != (uint8_t)o.kind)
        return HSM_E_CORRUPT;
    void *object = r == NULL ? NULL : r->object;
    uint8_t element[SEAL_MAC_LEN];
    if (r != NULL) {
        TRY(seal_digest_element(sc, rid, r->revision, r->tag, element));
        state_sum_sub(s->sum, element);
    }
    TRY(put_object(s, &o, &object));
    if (r == NULL)
        r = record_insert(&s->records, rid);
    r->kind = (uint8_t)o.kind;
    r->revision = revision;
    r->object = object;
    memcpy(r->tag, o.tag, sizeof r->tag);
    TRY(seal_digest_element(sc, rid, revision, r->tag, element));
    state_sum_add(s->sum, element);
    return HSM_OK;
}

static hsm_err drop_object(struct state *s, const struct record *r)
{
    if (r->kind == REC_KEY) {
        struct key *k = (struct key *)r->object;
        k->has_record = false;
        s->stub_n++;
        drop_key_if_empty(s, k);
        return HSM_OK;
    }
    if (r->kind == REC_KEY_VERSION) {
        struct key_version *v = (struct key_version *)r->object;
        struct key *k = v->key;
        keycache_drop(s->cache, &v->id);
        drop_version(s, v);
        TRY(rotation_index_update(&s->rotations, k));
        drop_key_if_empty(s, k);
        return HSM_OK;
    }
    if (r->kind == REC_ROLE_DEFINITION || r->kind == REC_ROLE_ASSIGNMENT) {
        struct kept *keep = (struct kept *)r->object;
        hsm_err err = apply_role(s, r->kind, bytes_of(keep->p, keep->n), true);
        free(keep);
        return err;
    }
    return HSM_E_CORRUPT; /* the pool, the mark and settings are never removed */
}

hsm_err state_drop(struct state *s, struct seal_ctx *sc, const uint8_t rid[RID_LEN])
{
    struct record *r = record_find(&s->records, rid);
    if (r == NULL)
        return HSM_E_CORRUPT;
    uint8_t element[SEAL_MAC_LEN];
    TRY(seal_digest_element(sc, rid, r->revision, r->tag, element));
    state_sum_sub(s->sum, element);
    TRY(drop_object(s, r));
    record_remove(&s->records, r);
    return HSM_OK;
}

/* ---- one transaction ---- */

static hsm_err next_op(struct bytes *list, struct wire_txn_op *ret, bool *ret_more)
{
    struct bytes item;
    *ret_more = wire_list_next(list, &item);
    if (!*ret_more)
        return HSM_OK;
    TRY(wire_txn_op_decode(item, ret));
    return ret->rid.n == RID_LEN && ret->revision != 0 && ret->remove <= 1 ? HSM_OK
                                                                           : HSM_E_MALFORMED;
}

/* Whether rid occurs in what lies in front of the current operation. */
static bool seen_before(struct bytes ops, const uint8_t *until, const uint8_t *rid)
{
    struct wire_txn_op op;
    bool more = true;
    while (next_op(&ops, &op, &more) == HSM_OK && more && op.rid.p < until)
        if (memcmp(op.rid.p, rid, RID_LEN) == 0)
            return true;
    return false;
}

/* The same rule as the store's, on our own revisions. */
static hsm_err judge(const struct state *s, struct bytes ops, bool *ret_accept, size_t *ret_n)
{
    struct bytes at = ops;
    struct wire_txn_op op;
    bool more = true, accept = true;
    size_t n = 0;
    for (;; n++) {
        TRY(next_op(&at, &op, &more));
        if (!more)
            break;
        accept = accept &&
                 revision_accepts(state_revision(s, op.rid.p), s->floor, op.expected, op.revision,
                                  op.remove == 1) &&
                 !seen_before(ops, op.rid.p, op.rid.p);
    }
    *ret_accept = accept;
    *ret_n = n;
    return HSM_OK;
}

static hsm_err apply_ops(struct state *s, struct seal_ctx *sc, struct bytes ops)
{
    struct wire_txn_op op;
    bool more = true;
    for (;;) {
        TRY(next_op(&ops, &op, &more));
        if (!more)
            return s->stub_n == 0 ? HSM_OK : HSM_E_CORRUPT;
        if (op.remove == 1) {
            TRY(state_drop(s, sc, op.rid.p));
            s->floor = revision_floor_after(s->floor, op.revision);
        } else {
            TRY(state_put(s, sc, op.rid.p, op.revision, op.sealed));
        }
    }
}

/* Whatever became of it: its revisions are used up. */
static void saw_revisions(struct state *s, struct bytes ops)
{
    struct wire_txn_op op;
    bool more = true;
    while (next_op(&ops, &op, &more) == HSM_OK && more)
        state_saw_revision(s, op.revision);
}

/* A gateway could leave out a transaction of the log, one that took a right away, and give all that
 * came after it. So every transaction names the past in which it was made; it must be ours. What
 * was made before the loaded state, or very many transactions ago, cannot be compared; that is no
 * reason to refuse it: a partition that was stopped for a night gives the leader what it was about
 * to propose, and one old proposal must not end the pool. Its revisions decide, and whoever is
 * given another history than the leader's gets no lease (lease.h). */
static bool past_is_ours(const struct state *s, const struct wire_txn *t)
{
    if (t->past.n != SEAL_MAC_LEN || t->seen > s->applied_n)
        return false;
    return t->seen < s->past_from || s->applied_n - t->seen >= STATE_PAST_MAX ||
           memcmp(s->pasts[t->seen % STATE_PAST_MAX], t->past.p, SEAL_MAC_LEN) == 0;
}

static hsm_err past_add(struct state *s, struct seal_ctx *sc, const uint8_t mac[SEAL_MAC_LEN],
                        bool accepted)
{
    TRY(seal_past_add(sc, s->past, mac, accepted));
    s->applied_n++;
    memcpy(s->pasts[s->applied_n % STATE_PAST_MAX], s->past, sizeof s->past);
    s->past_index[s->applied_n % STATE_PAST_MAX] = s->index;
    return HSM_OK;
}

static hsm_err apply_locked(struct state *s, struct seal_ctx *sc, const struct wire_apply *a,
                            struct bytes ops, const char **why)
{
    bool accept;
    size_t n;
    *why = "a transaction is malformed";
    if (judge(s, ops, &accept, &n) != HSM_OK)
        return HSM_E_CORRUPT;
    *why = "the store's verdict on a transaction is not ours";
    if (accept != (a->accepted == 1))
        return HSM_E_CORRUPT;
    *why = "out of memory";
    TRY(record_reserve(&s->records, n));
    *why = "a record of a transaction does not authenticate";
    if (accept)
        TRY(apply_ops(s, sc, ops));
    saw_revisions(s, ops);
    s->index = a->index;
    return HSM_OK;
}

hsm_err state_apply(struct state *s, struct seal_ctx *sc, const struct wire_apply *a,
                    struct uuid *ret_txn, const char **why)
{
    struct wire_txn t;
    uint8_t mac[SEAL_MAC_LEN];
    *why = "a transaction's index is not above the one before";
    if (a->index <= s->index)
        return HSM_E_CORRUPT;
    *why = "a transaction is malformed";
    if (a->accepted > 1 || wire_txn_decode(a->txn, &t) != HSM_OK)
        return HSM_E_CORRUPT;
    if (t.past.n != SEAL_MAC_LEN)
        return HSM_E_CORRUPT;
    TRY(seal_txn_mac(sc, &t.txn, t.seen, t.past.p, t.ops, mac));
    *why = "a transaction was not made by a boundary of this pool";
    if (t.mac.n != SEAL_MAC_LEN || !ct_eq(mac, t.mac.p, SEAL_MAC_LEN))
        return HSM_E_CORRUPT;
    *why = "a transaction was made in another history: one before it is missing, or it is old";
    if (!past_is_ours(s, &t))
        return HSM_E_CORRUPT;
    state_lock_exclusive(s);
    hsm_err err = apply_locked(s, sc, a, t.ops, why);
    if (err == HSM_OK)
        err = past_add(s, sc, mac, a->accepted == 1);
    state_unlock(s);
    if (err == HSM_OK)
        *ret_txn = t.txn;
    return err;
}
