#include "boundary/keys.h"

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
    TRY(keys_check_tags(rq, m->tags));
    *ret_ops = ops;
    return HSM_OK;
}

hsm_err keys_handle_create(struct request *rq)
{
    struct job *j = job_of(rq);
    struct wire_key_create m;
    struct keymat_spec spec;
    const struct key *k;
    uint32_t ops = 0;
    DEFER(policy_text_done) struct policy_text policy = {0};
    TRY(wire_key_create_decode(rq->body, &m));
    /* The right is evaluated at /keys, so nobody has looked at the name yet; with another one the
     * committed record could never be applied, at no start. */
    if (!key_name_valid(m.name))
        return HSM_E_INVALID_KEY_ID;
    TRY(check_request(rq, &m, &spec, &ops));
    TRY(keys_take_policy(rq, (m.attr_flags & m.attr_set & ATTR_EXPORTABLE) != 0, m.release_policy,
                         &policy));
    TRY(keys_check_new(rq, m.name, &k));
    if (j->make == NULL || j->make->secret_private.p == NULL)
        return keys_ask_for(rq, &spec);
    const struct new_version v = {
        .name = m.name,
        .ops = ops,
        .attr_set = m.attr_set,
        .attr_flags = m.attr_flags,
        .nbf = m.nbf,
        .exp = m.exp,
        .tags = m.tags,
        .policy = bytes_of(policy.p, policy.n),
        .policy_immutable = m.policy_immutable == POLICY_IMMUTABLE_ON,
    };
    return keys_put_new(rq, k, &v, j->make);
}
