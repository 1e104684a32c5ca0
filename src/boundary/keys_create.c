#include "boundary/keys.h"

#include <stdlib.h>

#define DELETED_TEXT                                                                               \
    "Key %.*s is currently in a deleted but recoverable state, and its name cannot be reused; in " \
    "this state, the key can only be recovered or purged."

static hsm_err check_export(struct request *rq, const struct wire_key_create *m)
{
    bool exportable = (m->attr_flags & m->attr_set & ATTR_EXPORTABLE) != 0;
    if (exportable && m->release_policy.n == 0)
        return request_fail(rq, HSM_E_BAD_PARAMETER, "Exportable keys must have release policy");
    if (!exportable && m->release_policy.n > 0)
        return request_fail(rq, HSM_E_BAD_PARAMETER,
                            "Non-exportable keys must not have release policy");
    return exportable ? HSM_E_NOT_IMPLEMENTED : HSM_OK;
}

static hsm_err check_request(struct request *rq, const struct wire_key_create *m,
                             struct keymat_spec *spec, uint32_t *ret_ops)
{
    const char *why = "";
    *spec = (struct keymat_spec){.kty = (enum key_type)m->kty,
                                 .crv = (enum key_curve)m->crv,
                                 .bits = m->key_size,
                                 .public_exponent = m->public_exponent};
    hsm_err err = keymat_spec_check(spec, &why);
    if (err != HSM_OK)
        return request_fail(rq, err, "%s", why);
    uint32_t ops = m->has_ops != 0 && m->key_ops != 0 ? m->key_ops : key_default_ops(spec->kty);
    err = key_ops_valid(ops, spec->kty, &why);
    if (err != HSM_OK)
        return request_fail(rq, err, "%s", why);
    TRY(check_export(rq, m));
    TRY(keys_check_tags(rq, m->tags));
    *ret_ops = ops;
    return HSM_OK;
}

static hsm_err check_limits(struct request *rq, const struct key *k, struct bytes name)
{
    const struct state *s = rq->b->state;
    if (k != NULL && key_is_deleted(k))
        return request_fail(rq, HSM_E_CONFLICT, DELETED_TEXT, (int)name.n, (const char *)name.p);
    if (k != NULL && k->version_n >= KEY_VERSIONS_MAX)
        return request_fail(rq, HSM_E_BAD_PARAMETER, "A key can have at most %d versions.",
                            KEY_VERSIONS_MAX);
    if (k == NULL && s->active.n + s->deleted.n >= s->pool.max_keys)
        return request_fail(rq, HSM_E_BAD_PARAMETER, "The HSM can hold at most %u keys.",
                            s->pool.max_keys);
    return HSM_OK;
}

/* The key itself is made without the state lock; the handler runs again then. */
static hsm_err ask_for_key(struct job *j, const struct keymat_spec *spec)
{
    if (j->make == NULL)
        j->make = (struct made_key *)calloc(1, sizeof *j->make);
    if (j->make == NULL)
        return HSM_E_NOMEM;
    j->make->spec = *spec;
    j->want_key = true;
    return HSM_OK;
}

static void fields_of(const struct request *rq, const struct wire_key_create *m,
                      const struct made_key *made, uint32_t ops, uint32_t seq,
                      struct version_fields *ret)
{
    uint8_t flags = (m->attr_set & ATTR_ENABLED) != 0 ? m->attr_flags & ATTR_ENABLED : ATTR_ENABLED;
    *ret = (struct version_fields){
        .key = m->name,
        .seq = seq,
        .kty = (uint8_t)made->spec.kty,
        .crv = (uint8_t)made->spec.crv,
        .attr_set = (uint8_t)(ATTR_ENABLED | (m->attr_set & (ATTR_NBF | ATTR_EXP))),
        .attr_flags = flags,
        .bits = made->spec.bits,
        .ops = ops,
        .nbf = (m->attr_set & ATTR_NBF) != 0 ? m->nbf : 0,
        .exp = (m->attr_set & ATTR_EXP) != 0 ? m->exp : 0,
        .created = rq->now_s,
        .updated = rq->now_s,
        .n = bytes_of(made->pub.n, made->pub.n_len),
        .e = bytes_of(made->pub.e, made->pub.e_len),
        .x = bytes_of(made->pub.x, made->pub.x_len),
        .y = bytes_of(made->pub.y, made->pub.y_len),
        .tags = m->tags,
    };
}

/* The private part goes from secret memory into its sealed form and nowhere else. */
static hsm_err seal_made(struct request *rq, const struct uuid *id, const struct made_key *made,
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

hsm_err keys_handle_create(struct request *rq)
{
    struct job *j = job_of(rq);
    struct wire_key_create m;
    struct keymat_spec spec;
    uint32_t ops = 0;
    TRY(wire_key_create_decode(rq->body, &m));
    /* The right is evaluated at /keys, so nobody has looked at the name yet; with another one the
     * committed record could never be applied, at no start. */
    if (!key_name_valid(m.name))
        return HSM_E_INVALID_KEY_ID;
    TRY(check_request(rq, &m, &spec, &ops));
    const struct key *k = state_key(rq->b->state, m.name);
    TRY(check_limits(rq, k, m.name));
    if (j->make == NULL || j->make->secret_private.p == NULL)
        return ask_for_key(j, &spec);
    struct key_fields kf = {.display = m.name, .created = rq->now_s};
    if (k != NULL)
        key_fields_of(k, &kf);
    struct version_fields f;
    struct uuid id;
    uuid_new_v4(&id);
    fields_of(rq, &m, j->make, ops, kf.next_seq++, &f);
    TRY(keys_put_key(rq, m.name, &kf));
    TRY(seal_made(rq, &id, j->make, &f));
    put_new_result(rq, kf.display, &id, &f);
    return HSM_OK;
}
