#include "store/overlay.h"

#include <stdlib.h>
#include "model/revision.h"
#include "wire/wire.h"

static hsm_err op_decode(struct bytes item, struct wire_txn_op *ret)
{
    struct wire_txn_op op;
    TRY(wire_txn_op_decode(item, &op));
    if (op.rid.n != STORE_RID_LEN || op.remove > 1 || (op.remove && op.sealed.n != 0))
        return HSM_E_MALFORMED;
    *ret = op;
    return HSM_OK;
}

hsm_err overlay_check(struct bytes txn, size_t *ret_ops)
{
    struct wire_txn t;
    TRY(wire_txn_decode(txn, &t));
    struct bytes list = t.ops;
    struct bytes item;
    size_t n = 0;
    for (; wire_list_next(&list, &item); n++) {
        struct wire_txn_op op;
        TRY(op_decode(item, &op));
    }
    *ret_ops = n;
    return HSM_OK;
}

/* rids are keyed hashes: any eight bytes of them are uniform. */
static struct pend_op **bucket(struct overlay *o, const uint8_t *rid)
{
    return &o->buckets[be64_get(rid) % OVERLAY_BUCKETS];
}

static struct pend_op *find(struct overlay *o, const uint8_t *rid)
{
    struct pend_op *op = *bucket(o, rid);
    while (op && memcmp(op->rid, rid, STORE_RID_LEN) != 0)
        op = op->older;
    return op;
}

static void unlink_ops(struct overlay *o, struct pend *p)
{
    for (size_t i = 0; i < p->n_ops; i++) {
        struct pend_op **at = bucket(o, p->ops[i].rid);
        while (*at != &p->ops[i])
            at = &(*at)->older;
        *at = p->ops[i].older;
    }
    p->n_ops = 0;
}

/* One allocation: the head, the operations, the bytes. */
static struct pend *pend_new(uint64_t index, struct bytes txn, size_t n_ops)
{
    size_t size = sizeof(struct pend) + n_ops * sizeof(struct pend_op) + txn.n;
    struct pend *p = malloc(size);
    if (!p)
        return NULL;
    *p = (struct pend){.index = index, .size = size};
    p->ops = (struct pend_op *)(void *)(p + 1);
    p->data = (uint8_t *)(p->ops + n_ops);
    memcpy(p->data, txn.p, txn.n);
    return p;
}

static hsm_err judge_op(struct overlay *o, struct pend *p, const struct wire_txn_op *w,
                        uint64_t floor, overlay_base_fn base, void *ctx, bool *ret)
{
    uint64_t current = 0;
    const struct pend_op *newest = find(o, w->rid.p);
    *ret = false;
    if (newest && newest->owner == p)
        return HSM_OK; /* a record twice in one transaction */
    if (newest)
        current = newest->remove ? 0 : newest->revision;
    else
        TRY(base(ctx, w->rid.p, &current));
    if (!revision_accepts(current, floor, w->expected, w->revision, w->remove))
        return HSM_OK;
    struct pend_op **at = bucket(o, w->rid.p);
    struct pend_op *op = &p->ops[p->n_ops++];
    *op = (struct pend_op){.rid = w->rid.p,
                           .expected = w->expected,
                           .revision = w->revision,
                           .remove = w->remove,
                           .sealed = w->sealed,
                           .owner = p,
                           .older = *at};
    *at = op;
    if (w->remove)
        p->floor_after = revision_floor_after(p->floor_after, w->revision);
    *ret = true;
    return HSM_OK;
}

/* All operations against the state before the transaction: its own removals do not raise the floor
 * for its own creations. */
static hsm_err judge(struct overlay *o, struct pend *p, struct bytes txn, uint64_t floor,
                     overlay_base_fn base, void *ctx)
{
    struct wire_txn t;
    struct bytes item;
    p->accepted = true;
    p->floor_after = floor;
    TRY(wire_txn_decode(txn, &t));
    while (p->accepted && wire_list_next(&t.ops, &item)) {
        struct wire_txn_op op;
        TRY(op_decode(item, &op));
        TRY(judge_op(o, p, &op, floor, base, ctx, &p->accepted));
    }
    return HSM_OK;
}

hsm_err overlay_add(struct overlay *o, uint64_t index, struct bytes txn, uint64_t floor,
                    overlay_base_fn base, void *ctx, const struct pend **ret)
{
    size_t n_ops;
    TRY(overlay_check(txn, &n_ops));
    struct pend *p = pend_new(index, txn, n_ops);
    if (!p)
        return HSM_E_NOMEM;
    hsm_err err = judge(o, p, bytes_of(p->data, txn.n), floor, base, ctx);
    if (err != HSM_OK) {
        unlink_ops(o, p);
        free(p);
        return err;
    }
    if (!p->accepted) {
        unlink_ops(o, p);
        p->floor_after = floor;
    }
    if (o->last)
        o->last->next = p;
    else
        o->first = p;
    o->last = p;
    if (!o->unacked)
        o->unacked = p;
    o->n++;
    o->bytes += p->size;
    *ret = p;
    return HSM_OK;
}

hsm_err overlay_ack(struct overlay *o, uint64_t index, struct bytes digest)
{
    struct pend *p = o->unacked;
    if (!p || p->index != index || digest.n > sizeof p->digest)
        return HSM_E_RANGE;
    if (digest.n > 0)
        memcpy(p->digest, digest.p, digest.n);
    p->digest_len = digest.n;
    p->acked = true;
    o->unacked = p->next;
    o->n_acked++;
    return HSM_OK;
}

void overlay_pop(struct overlay *o, size_t n)
{
    for (; n > 0 && o->first; n--) {
        struct pend *p = o->first;
        unlink_ops(o, p);
        o->first = p->next;
        if (!o->first)
            o->last = NULL;
        o->n--;
        if (p->acked)
            o->n_acked--;
        else
            o->unacked = p->next;
        o->bytes -= p->size;
        free(p);
    }
}

void overlay_done(struct overlay *o)
{
    overlay_pop(o, o->n);
}
