/* Release policies of key versions: canonical as they are stored and shown. */
#include <stdlib.h>
#include "boundary/keys.h"
#include "model/release_policy.h"

#define IMMUTABLE_TEXT "AKV.SKR.1020: Immutable Key Release Policy cannot be modified."
#define FORBIDDEN_TEXT "Non-exportable keys must not have release policy"

void policy_text_done(struct policy_text *t)
{
    free(t->p);
    *t = (struct policy_text){0};
}

static hsm_err canonical(struct request *rq, struct bytes given, struct policy_text *ret)
{
    const char *why = "";
    uint8_t *p = (uint8_t *)malloc(given.n + 1);
    struct json_tok *toks = (struct json_tok *)malloc(RELEASE_POLICY_TOKENS * sizeof *toks);
    hsm_err err = HSM_E_UNAVAILABLE;
    struct wr w = wr_of(p, given.n);
    if (p != NULL && toks != NULL)
        err = release_policy_canonical(given, toks, &w, &why);
    free(toks);
    if (err != HSM_OK) {
        free(p);
        return why[0] != '\0' ? request_fail(rq, err, "%s", why) : err;
    }
    *ret = (struct policy_text){.p = p, .n = w.n};
    return HSM_OK;
}

hsm_err keys_take_policy(struct request *rq, bool exportable, struct bytes given,
                         struct policy_text *ret)
{
    if (exportable && given.n == 0)
        return request_fail(rq, HSM_E_BAD_PARAMETER, "Exportable keys must have release policy");
    if (!exportable && given.n > 0)
        return request_fail(rq, HSM_E_BAD_PARAMETER, FORBIDDEN_TEXT);
    return exportable ? canonical(rq, given, ret) : HSM_OK;
}

hsm_err keys_change_policy(struct request *rq, const struct wire_key_update *m,
                           struct version_fields *f, struct policy_text *ret)
{
    bool exportable = (f->attr_flags & ATTR_EXPORTABLE) != 0;
    if (m->release_policy.n == 0 && m->policy_immutable == POLICY_IMMUTABLE_NONE)
        return HSM_OK;
    if (!exportable)
        return request_fail(rq, HSM_E_BAD_PARAMETER, FORBIDDEN_TEXT);
    if (m->release_policy.n > 0)
        TRY(canonical(rq, m->release_policy, ret));
    struct bytes text = m->release_policy.n > 0 ? bytes_of(ret->p, ret->n) : f->policy;
    /* Clients that send back all of a key they have read change nothing by that. */
    bool same = bytes_eq(text, f->policy) && m->policy_immutable != POLICY_IMMUTABLE_OFF;
    if (f->policy_immutable != 0 && !same)
        return request_fail(rq, HSM_E_BAD_PARAMETER, IMMUTABLE_TEXT);
    f->policy = text;
    if (m->policy_immutable == POLICY_IMMUTABLE_ON)
        f->policy_immutable = 1;
    return HSM_OK;
}
