/* Import of a key that somebody else made. Its clear form is in the frame until the first run of
 * the handler has read it into secret memory; everything later works from there. */
#include <stdlib.h>
#include "boundary/keys.h"
#include "codec/jwk_private.h"

static hsm_err jwk_failed(struct request *rq, hsm_err err, const char *member)
{
    if (err != HSM_E_MALFORMED && err != HSM_E_RANGE)
        return err;
    if (member == NULL)
        return request_fail(rq, HSM_E_BAD_PARAMETER,
                            err == HSM_E_RANGE ? "JSON Web Key: it has too many members."
                                               : "JSON Web Key: it is not a valid JSON object.");
    if (err == HSM_E_RANGE && strcmp(member, "k") == 0)
        return request_fail(rq, HSM_E_BAD_PARAMETER,
                            "JSON Web Key: k property of oct key is too large, maximum size is %d",
                            JWK_K_MAX);
    return request_fail(rq, HSM_E_BAD_PARAMETER, "JSON Web Key: %s property is %s.", member,
                        err == HSM_E_RANGE ? "too large" : "malformed");
}

static hsm_err read_ops(struct request *rq, const struct jwk_private *jwk, uint32_t *ret)
{
    uint32_t ops = 0;
    for (size_t i = 0; i < jwk->op_n; i++) {
        uint32_t op = key_op_from_name(jwk->op[i]);
        if (op == 0)
            return request_fail(rq, HSM_E_BAD_PARAMETER,
                                "JSON Web Key: key_ops contains an unknown operation.");
        ops |= op;
    }
    *ret = ops;
    return HSM_OK;
}

/* Once the size is known. */
static hsm_err fit_ops(struct request *rq, struct made_key *made)
{
    const char *why = "";
    uint32_t possible = key_possible_ops(made->spec.kty, made->spec.bits);
    if (made->ops == 0)
        made->ops = key_default_ops(made->spec.kty) & possible;
    hsm_err err = key_ops_valid(made->ops, made->spec.kty, &why);
    if (err != HSM_OK)
        return request_fail(rq, err, "%s", why);
    if ((made->ops & ~possible) != 0)
        return request_fail(rq, HSM_E_BAD_PARAMETER, "%s", KEY_OPS_SIZE_TEXT);
    return HSM_OK;
}

static hsm_err take(struct request *rq, const struct wire_key_import *m, struct made_key *made)
{
    struct jwk_private jwk;
    const char *member = NULL;
    const char *why = "";
    TRY(secret_buf_new(&made->secret_given, JWK_NUMBERS_MAX));
    hsm_err err = jwk_private_parse(m->key, made->secret_given.p, &jwk, &member);
    if (err != HSM_OK)
        return jwk_failed(rq, err, member);
    if (jwk.has_other)
        return request_fail(rq, HSM_E_BAD_PARAMETER,
                            "JSON Web Key: RSA keys of more than two primes are not supported.");
    made->spec = (struct keymat_spec){.kty = key_type_from_name(jwk.kty),
                                      .crv = key_curve_from_name(jwk.crv)};
    made->given = jwk.num;
    if (made->spec.kty != KTY_EC)
        made->spec.crv = CRV_NONE;
    TRY(read_ops(rq, &jwk, &made->ops));
    if (jwk.key_hsm.p != NULL)
        return keys_take_transfer(rq, &jwk, made);
    err = keymat_import_size(&made->given, &made->spec, &why);
    if (err != HSM_OK)
        return request_fail(rq, err, "%s", why);
    return fit_ops(rq, made);
}

/* The numbers are checked without the state lock; the handler runs again then. */
static hsm_err ask_for_check(struct job *j, const struct wire_key_import *m)
{
    if (j->make == NULL) {
        struct made_key *made = (struct made_key *)calloc(1, sizeof *made);
        hsm_err err = made == NULL ? HSM_E_NOMEM : take(&j->rq, m, made);
        if (err == HSM_E_NOMEM && made != NULL) {
            /* the frame is still there: it may run again */
            made_key_free(made);
            return err;
        }
        j->make = made;
        job_wipe(m->key);
        TRY(err);
    }
    j->want_key = true;
    return HSM_OK;
}

hsm_err keys_handle_import(struct request *rq)
{
    struct job *j = job_of(rq);
    struct wire_key_import m;
    const struct key *k;
    DEFER(policy_text_done) struct policy_text policy = {0};
    TRY(wire_key_import_decode(rq->body, &m));
    if (!key_name_valid(m.name)) /* as in keys_handle_create */
        return HSM_E_INVALID_KEY_ID;
    TRY(keys_take_policy(rq, (m.attr_flags & m.attr_set & ATTR_EXPORTABLE) != 0, m.release_policy,
                         &policy));
    TRY(keys_check_tags(rq, m.tags));
    TRY(keys_check_new(rq, m.name, &k));
    if (j->make == NULL || j->make->secret_private.p == NULL)
        return ask_for_check(j, &m);
    TRY(fit_ops(rq, j->make)); /* of a wrapped key the size is known only now */
    const struct new_version v = {
        .name = m.name,
        .ops = j->make->ops,
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
