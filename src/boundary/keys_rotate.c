/* A new version of a key by its rotation policy, on demand or when it is due. */
#include "boundary/keys.h"

#include <stdio.h>

/* As the current version was made. */
static struct keymat_spec spec_like(const struct version_fields *f)
{
    struct keymat_spec s = {
        .kty = (enum key_type)f->kty, .crv = (enum key_curve)f->crv, .bits = f->bits};
    for (size_t i = 0; i < f->e.n; i++)
        s.public_exponent = s.public_exponent << 8 | f->e.p[i];
    return s;
}

static bool same_spec(const struct keymat_spec *a, const struct keymat_spec *b)
{
    return a->kty == b->kty && a->crv == b->crv && a->bits == b->bits &&
           a->public_exponent == b->public_exponent;
}

/* Everything but the key itself, the dates, and the end of validity is inherited. */
static void inherit(const struct request *rq, const struct version_fields *old,
                    const struct key_fields *k, const struct made_key *made,
                    struct version_fields *ret)
{
    struct version_fields f = *old;
    f.seq = k->next_seq;
    f.attr_set &= (uint8_t) ~(ATTR_NBF | ATTR_EXP);
    f.nbf = 0;
    f.exp = 0;
    if (rotation_expiry(&k->rotation.policy, rq->now_s, &f.exp))
        f.attr_set |= ATTR_EXP;
    f.created = rq->now_s;
    f.updated = rq->now_s;
    f.n = bytes_of(made->pub.n, made->pub.n_len);
    f.e = bytes_of(made->pub.e, made->pub.e_len);
    f.x = bytes_of(made->pub.x, made->pub.x_len);
    f.y = bytes_of(made->pub.y, made->pub.y_len);
    *ret = f;
}

/* The version before is written as it is: what was inherited from it must still hold when this is
 * committed. */
static hsm_err put_rotated(struct request *rq, const struct key *k, const struct key_fields *kf,
                           const struct version_fields *old)
{
    const struct key_version *v = key_current(k);
    struct key_fields next = *kf;
    struct version_fields f;
    struct uuid id;
    uuid_new_v4(&id);
    inherit(rq, old, kf, job_of(rq)->make, &f);
    next.next_seq++;
    TRY(keys_put_key(rq, kf->display, &next));
    TRY(keys_put_version(rq, &v->id, old, key_version_private(v)));
    TRY(keys_put_made(rq, &id, job_of(rq)->make, &f));
    keys_put_result(rq, k, &id, &f, false, rq->out);
    char was[VERSION_HEX + 1], is[VERSION_HEX + 1];
    version_hex(&v->id, was);
    version_hex(&id, is);
    (void)snprintf(rq->audit_note, sizeof rq->audit_note, "version %s follows %s", is, was);
    return HSM_OK;
}

static hsm_err rotate(struct request *rq, const struct key *k, bool automatic)
{
    const struct made_key *made = job_of(rq)->make;
    struct version_fields old;
    struct key_fields kf;
    if (k->rotation == NULL)
        return request_fail(rq, HSM_E_BAD_PARAMETER,
                            "A key can be rotated only while it has a rotation policy.");
    TRY(keys_check_room(rq, k));
    key_version_fields(key_current(k), &old);
    const struct keymat_spec spec = spec_like(&old);
    if (made == NULL || made->secret_private.p == NULL || !same_spec(&made->spec, &spec))
        return keys_ask_for(rq, &spec);
    key_fields_of(k, &kf);
    if (automatic) {
        kf.rotation.rotated = rq->now_s;
        kf.rotation.failed = 0;
    }
    return put_rotated(rq, k, &kf, &old);
}

hsm_err keys_handle_rotate(struct request *rq)
{
    struct wire_key_name m;
    struct key *k;
    TRY(wire_key_name_decode(rq->body, &m));
    TRY(keys_find(rq, m.name, false, &k));
    return rotate(rq, k, false);
}

hsm_err keys_rotate_if_due(struct request *rq)
{
    const struct key *k = key_index_find(&rq->b->state->active, rq->body);
    if (k == NULL || k->rotation == NULL || k->rotation->next.what != ROTATION_ROTATE ||
        k->rotation->next.at > rq->now_s)
        return HSM_E_STALE;
    return rotate(rq, k, true);
}
