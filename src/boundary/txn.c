#include "boundary/txn.h"

void txn_begin(struct txn *t, uint8_t *buf, size_t cap)
{
    static const uint8_t none[SEAL_MAC_LEN];
    *t = (struct txn){.w = wr_of(buf, cap)};
    uuid_new_v4(&t->id);
    wr_bytes(&t->w, t->id.b, sizeof t->id.b); /* WIRE_PROPOSE: txn, bytes */
    t->outer = wr_lv_open(&t->w);
    wr_bytes(&t->w, t->id.b, sizeof t->id.b); /* WIRE_TXN: txn, seen, past, ops, mac */
    t->past = t->w.n;
    wr_u64(&t->w, 0);
    wr_lv(&t->w, bytes_of(none, sizeof none));
    t->ops = wr_lv_open(&t->w);
}

static hsm_err failed(struct txn *t, hsm_err err)
{
    if (t->err == HSM_OK)
        t->err = err;
    return t->err;
}

/* Where in the pool's history the transaction belongs: it is refused in any other one. */
static void note_past(struct txn *t, const struct state *s)
{
    if (t->has_past || t->w.overflow)
        return;
    be64_put(t->w.p + t->past, s->applied_n);
    memcpy(t->w.p + t->past + 8 + 4, s->past, sizeof s->past);
    t->has_past = true;
}

static hsm_err add_op(struct txn *t, struct state *s, struct seal_ctx *sc, enum record_kind kind,
                      struct bytes name, const struct bytes *body, struct bytes tail)
{
    uint8_t rid[RID_LEN];
    note_past(t, s);
    TRY(seal_rid(sc, kind, name, rid));
    uint64_t expected = state_revision(s, rid);
    uint64_t revision = state_new_revision(s);
    size_t item = wr_lv_open(&t->w);
    wr_lv(&t->w, bytes_of(rid, sizeof rid));
    wr_u64(&t->w, expected);
    wr_u64(&t->w, revision);
    wr_u8(&t->w, body == NULL ? 1 : 0);
    size_t sealed = wr_lv_open(&t->w);
    if (body != NULL)
        TRY(seal_record(sc, rid, revision, kind, name, *body, tail, &t->w));
    wr_lv_close(&t->w, sealed);
    wr_lv_close(&t->w, item);
    t->n++;
    return t->w.overflow ? HSM_E_TOO_LARGE : HSM_OK;
}

hsm_err txn_add(struct txn *t, struct state *s, struct seal_ctx *sc, enum record_kind kind,
                struct bytes name, struct bytes body, struct bytes tail)
{
    hsm_err err = add_op(t, s, sc, kind, name, &body, tail);
    return err == HSM_OK ? HSM_OK : failed(t, err);
}

hsm_err txn_take(struct txn *t, struct state *s, struct seal_ctx *sc, enum record_kind kind,
                 struct bytes name)
{
    hsm_err err = add_op(t, s, sc, kind, name, NULL, bytes_of(NULL, 0));
    return err == HSM_OK ? HSM_OK : failed(t, err);
}

hsm_err txn_finish(struct txn *t, struct seal_ctx *sc, struct bytes *ret)
{
    if (t->err != HSM_OK)
        return t->err;
    wr_lv_close(&t->w, t->ops);
    struct bytes ops = bytes_of(t->w.p + t->ops + 4, t->w.n - t->ops - 4);
    if (t->w.overflow || ops.n > TXN_OPS_MAX)
        return failed(t, HSM_E_TOO_LARGE);
    uint8_t mac[SEAL_MAC_LEN];
    const uint8_t *past = t->w.p + t->past;
    TRY(seal_txn_mac(sc, &t->id, be64_get(past), past + 8 + 4, ops, mac));
    wr_lv(&t->w, bytes_of(mac, sizeof mac));
    wr_lv_close(&t->w, t->outer);
    if (wr_ok(&t->w) != HSM_OK)
        return failed(t, HSM_E_TOO_LARGE);
    *ret = wr_view(&t->w);
    return HSM_OK;
}
