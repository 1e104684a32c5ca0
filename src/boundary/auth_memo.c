#include "boundary/auth_internal.h"

#include "base/ct.h"
#include "base/secret.h"

#define SETS      8u
#define WAYS      2u
#define TOKEN_MAX 4096u /* longer ones are not kept */

struct slot {
    uint8_t *token; /* secret memory */
    size_t n;
    struct auth_verdict verdict; /* who NULL: free */
};
struct auth_memo {
    struct slot slot[SETS][WAYS];
};

hsm_err auth_memo_new(struct auth_memo **ret)
{
    struct auth_memo *m = (struct auth_memo *)secret_alloc(sizeof *m);
    if (m == NULL)
        return HSM_E_NOMEM;
    *ret = m;
    return HSM_OK;
}

static void slot_clear(struct slot *s)
{
    secret_free(s->token);
    identity_unref(s->verdict.who);
    *s = (struct slot){0};
}

void auth_memo_free(struct auth_memo *m)
{
    if (m == NULL)
        return;
    for (unsigned i = 0; i < SETS * WAYS; i++)
        slot_clear(&m->slot[i / WAYS][i % WAYS]);
    secret_free(m);
}

/* The end of a token is signature: as good as random. Whoever finds tokens that share a set only
 * makes them cost a hash again. */
static struct slot *set_of(struct auth_memo *m, struct bytes token)
{
    unsigned sum = 0;
    for (size_t i = 1; i <= 16 && i <= token.n; i++)
        sum = sum * 31 + token.p[token.n - i];
    return m->slot[sum % SETS];
}

/* The ends first: all tokens of an issuer are about as long and begin alike. */
static bool is_of(const struct slot *s, struct bytes token)
{
    size_t end = token.n < 16 ? token.n : 16;
    size_t at = token.n - end;
    return s->n == token.n && ct_eq(s->token + at, token.p + at, end) &&
           ct_eq(s->token, token.p, token.n);
}

struct identity *auth_memo_find(struct auth_memo *m, struct bytes token, uint64_t generation,
                                uint64_t now_s)
{
    struct slot *set = set_of(m, token);
    for (unsigned i = 0; i < WAYS; i++) {
        if (auth_verdict_holds(&set[i].verdict, generation, now_s) && is_of(&set[i], token))
            return auth_identity_ref(set[i].verdict.who);
    }
    return NULL;
}

/* The same token (no second verdict of it may stay), else the oldest; a free one is oldest. */
static struct slot *place_for(struct slot *set, struct bytes token)
{
    struct slot *place = &set[0];
    for (unsigned i = 0; i < WAYS; i++) {
        if (is_of(&set[i], token))
            return &set[i];
        if (set[i].verdict.verified_s < place->verdict.verified_s)
            place = &set[i];
    }
    return place;
}

void auth_memo_add(struct auth_memo *m, struct bytes token, const struct auth_verdict *v)
{
    if (token.n == 0 || token.n > TOKEN_MAX)
        return;
    struct slot *place = place_for(set_of(m, token), token);
    slot_clear(place);
    place->token = (uint8_t *)secret_alloc(token.n);
    if (place->token == NULL)
        return;
    memcpy(place->token, token.p, token.n);
    place->n = token.n;
    place->verdict = *v;
    (void)auth_identity_ref(v->who);
}
