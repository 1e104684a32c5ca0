#include "boundary/keys.h"

#define DAY_S 86400u

/* ---- update ---- */

static hsm_err update_export(struct request *rq, const struct wire_key_update *m,
                             const struct version_fields *f)
{
    bool has = (f->attr_flags & ATTR_EXPORTABLE) != 0;
    bool wanted = (m->attr_flags & ATTR_EXPORTABLE) != 0;
    if ((m->attr_set & ATTR_EXPORTABLE) != 0 && has != wanted)
        return request_fail(rq, HSM_E_BAD_PARAMETER,
                            "The exportable attribute of a key cannot be changed.");
    return HSM_OK;
}

static hsm_err update_fields(struct request *rq, const struct wire_key_update *m,
                             struct version_fields *f)
{
    const char *why = "";
    TRY(update_export(rq, m, f));
    if (m->has_ops != 0 && m->key_ops != 0) {
        hsm_err err = key_ops_valid(m->key_ops, (enum key_type)f->kty, &why);
        if (err != HSM_OK)
            return request_fail(rq, err, "%s", why);
        if ((m->key_ops & ~key_possible_ops((enum key_type)f->kty, f->bits)) != 0)
            return request_fail(rq, HSM_E_BAD_PARAMETER, "%s", KEY_OPS_SIZE_TEXT);
        f->ops = m->key_ops;
    }
    if (m->has_tags != 0) {
        TRY(keys_check_tags(rq, m->tags));
        f->tags = m->tags;
    }
    if ((m->attr_set & ATTR_ENABLED) != 0)
        f->attr_flags = (uint8_t)((f->attr_flags & ~ATTR_ENABLED) | (m->attr_flags & ATTR_ENABLED));
    if ((m->attr_set & ATTR_NBF) != 0)
        f->nbf = m->nbf;
    if ((m->attr_set & ATTR_EXP) != 0)
        f->exp = m->exp;
    f->attr_set = (uint8_t)(f->attr_set | (m->attr_set & (ATTR_NBF | ATTR_EXP)));
    f->updated = rq->now_s;
    return HSM_OK;
}

hsm_err keys_handle_update(struct request *rq)
{
    struct wire_key_update m;
    struct key *k;
    struct key_version *v;
    struct version_fields f;
    DEFER(policy_text_done) struct policy_text policy = {0};
    TRY(wire_key_update_decode(rq->body, &m));
    TRY(keys_find(rq, m.name, false, &k));
    TRY(keys_find_version(rq, k, m.name, m.version, &v));
    key_version_fields(v, &f);
    TRY(update_fields(rq, &m, &f));
    TRY(keys_change_policy(rq, &m, &f, &policy));
    TRY(keys_put_version(rq, &v->id, &f, key_version_private(v)));
    keys_put_result(rq, k, &v->id, &f, false, rq->out);
    return HSM_OK;
}

/* ---- delete, recover, purge ---- */

/* The key record with other dates, and the answer as it will be then. */
static hsm_err put_dates(struct request *rq, const struct key *k, uint64_t deleted, uint64_t purge)
{
    struct key_fields kf;
    key_fields_of(k, &kf);
    kf.deleted_date = deleted;
    kf.purge_date = purge;
    TRY(keys_put_key(rq, kf.display, &kf));
    const struct key_version *v = key_current(k);
    struct version_fields f;
    key_version_fields(v, &f);
    struct key shown = {
        .name_n = k->name_n, .display = k->display, .deleted_date = deleted, .purge_date = purge};
    keys_put_result(rq, &shown, &v->id, &f, false, rq->out);
    return HSM_OK;
}

hsm_err keys_handle_delete(struct request *rq)
{
    struct wire_key_name m;
    struct key *k;
    TRY(wire_key_name_decode(rq->body, &m));
    TRY(keys_find(rq, m.name, false, &k));
    uint64_t purge = rq->now_s + (uint64_t)rq->b->state->pool.retention_days * DAY_S;
    return put_dates(rq, k, rq->now_s, purge);
}

hsm_err keys_handle_recover(struct request *rq)
{
    struct wire_key_name m;
    struct key *k;
    TRY(wire_key_name_decode(rq->body, &m));
    TRY(keys_find(rq, m.name, true, &k));
    return put_dates(rq, k, 0, 0);
}

hsm_err keys_handle_purge(struct request *rq)
{
    struct wire_key_name m;
    struct key *k;
    TRY(wire_key_name_decode(rq->body, &m));
    TRY(keys_find(rq, m.name, true, &k));
    if (rq->b->state->pool.purge_protection)
        return request_fail(rq, HSM_E_FORBIDDEN,
                            "Keys cannot be purged while purge protection is enabled.");
    return txn_purge(rq, k);
}
