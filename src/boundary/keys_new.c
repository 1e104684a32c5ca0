/* What create, import and rotation have in common. */
#include "boundary/keys.h"

#include <stdlib.h>

#define DELETED_TEXT                                                                               \
    "Key %.*s is currently in a deleted but recoverable state, and its name cannot be reused; in " \
    "this state, the key can only be recovered or purged."

hsm_err keys_check_room(struct request *rq, const struct key *k)
{
    if (k->version_n >= KEY_VERSIONS_MAX)
        return request_fail(rq, HSM_E_BAD_PARAMETER, "A key can have at most %d versions.",
                            KEY_VERSIONS_MAX);
    return HSM_OK;
}

static hsm_err find_not_deleted(struct request *rq, struct bytes name, const struct key **ret)
{
    const struct key *k = state_key(rq->b->state, name);
    if (k != NULL && key_is_deleted(k))
        return request_fail(rq, HSM_E_CONFLICT, DELETED_TEXT, (int)name.n, (const char *)name.p);
    *ret = k;
    return HSM_OK;
}

static hsm_err check_pool_room(struct request *rq)
{
    const struct state *s = rq->b->state;
    if (s->active.n + s->deleted.n >= s->pool.max_keys)
        return request_fail(rq, HSM_E_BAD_PARAMETER, "The HSM can hold at most %u keys.",
                            s->pool.max_keys);
    return HSM_OK;
}

hsm_err keys_check_new(struct request *rq, struct bytes name, const struct key **ret)
{
    TRY(find_not_deleted(rq, name, ret));
    return *ret != NULL ? keys_check_room(rq, *ret) : check_pool_room(rq);
}

hsm_err keys_check_absent(struct request *rq, struct bytes name)
{
    const struct key *k = NULL;
    TRY(find_not_deleted(rq, name, &k));
    if (k != NULL)
        return request_fail(rq, HSM_E_CONFLICT, "A key with the name %.*s already exists.",
                            (int)name.n, (const char *)name.p);
    return check_pool_room(rq);
}

hsm_err keys_ask_for(struct request *rq, const struct keymat_spec *spec)
{
    struct job *j = job_of(rq);
    if (j->make == NULL)
        j->make = (struct made_key *)calloc(1, sizeof *j->make);
    if (j->make == NULL)
        return HSM_E_NOMEM;
    secret_buf_done(&j->make->secret_private); /* one that was made by another specification */
    j->make->spec = *spec;
    j->want_key = true;
    return HSM_OK;
}

static void fields_of(const struct request *rq, const struct new_version *v,
                      const struct made_key *made, uint32_t seq, struct version_fields *ret)
{
    uint8_t flags = (v->attr_set & ATTR_ENABLED) != 0 ? v->attr_flags & ATTR_ENABLED : ATTR_ENABLED;
    if (v->policy.n > 0)
        flags |= ATTR_EXPORTABLE;
    *ret = (struct version_fields){
        .key = v->name,
        .seq = seq,
        .kty = (uint8_t)made->spec.kty,
        .crv = (uint8_t)made->spec.crv,
        .attr_set = (uint8_t)(ATTR_ENABLED | (v->attr_set & (ATTR_NBF | ATTR_EXP))),
        .attr_flags = flags,
        .bits = made->spec.bits,
        .ops = v->ops,
        .nbf = (v->attr_set & ATTR_NBF) != 0 ? v->nbf : 0,
        .exp = (v->attr_set & ATTR_EXP) != 0 ? v->exp : 0,
        .created = rq->now_s,
        .updated = rq->now_s,
        .n = bytes_of(made->pub.n, made->pub.n_len),
        .e = bytes_of(made->pub.e, made->pub.e_len),
        .x = bytes_of(made->pub.x, made->pub.x_len),
        .y = bytes_of(made->pub.y, made->pub.y_len),
        .tags = v->tags,
        .policy = v->policy,
        .policy_immutable = v->policy_immutable,
    };
}

hsm_err keys_put_made(struct request *rq, const struct uuid *id, const struct made_key *made,
                      const struct version_fields *f)
{
    struct seal_ctx *sc = job_of(rq)->w->sc;
    char hex[VERSION_HEX + 1];
    uint8_t rid[RID_LEN];
    uint8_t tail[4096];
    size_t n = made->secret_private.n;
    if (n + SEAL_PRIVATE_OVERHEAD > sizeof tail)
        return HSM_E_TOO_LARGE;
    version_hex(id, hex);
    TRY(seal_rid(sc, REC_KEY_VERSION, bytes_str(hex), rid));
    TRY(seal_private(sc, rid, bytes_of(made->secret_private.p, n), tail));
    return keys_put_version(rq, id, f, bytes_of(tail, n + SEAL_PRIVATE_OVERHEAD));
}

/* What a reader sees of a key that is not in the index yet. */
static void put_new_result(struct request *rq, struct bytes display, const struct uuid *id,
                           const struct version_fields *f)
{
    char name[KEY_NAME_MAX + 1];
    struct key shown = {.name_n = (uint8_t)display.n, .display = name};
    memcpy(name, display.p, display.n);
    keys_put_result(rq, &shown, id, f, false, rq->out);
}

hsm_err keys_put_new(struct request *rq, const struct key *k, const struct new_version *v,
                     const struct made_key *made)
{
    struct key_fields kf = {.display = v->name, .created = rq->now_s};
    if (k != NULL)
        key_fields_of(k, &kf);
    struct version_fields f;
    struct uuid id;
    uuid_new_v4(&id);
    fields_of(rq, v, made, kf.next_seq++, &f);
    TRY(keys_put_key(rq, v->name, &kf));
    TRY(keys_put_made(rq, &id, made, &f));
    put_new_result(rq, kf.display, &id, &f);
    return HSM_OK;
}
