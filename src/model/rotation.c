#include "model/rotation.h"

#define DAY_S 86400u

static const char *const type_names[] = {
    [ROTATION_ROTATE] = "Rotate",
    [ROTATION_NOTIFY] = "Notify",
};

enum rotation_type rotation_type_from_name(struct bytes name)
{
    if (bytes_ieq(name, bytes_str(type_names[ROTATION_ROTATE])))
        return ROTATION_ROTATE;
    return bytes_ieq(name, bytes_str(type_names[ROTATION_NOTIFY])) ? ROTATION_NOTIFY
                                                                   : ROTATION_NONE;
}

const char *rotation_type_name(enum rotation_type t)
{
    return (unsigned)t < sizeof type_names / sizeof type_names[0] ? type_names[t] : NULL;
}

/* ---- the rules ---- */

static hsm_err refuse(const char *text, const char **why)
{
    *why = text;
    return HSM_E_BAD_PARAMETER;
}

static hsm_err take_time(struct bytes text, const char *what, struct rotation_time *ret,
                         const char **why)
{
    struct rotation_time t = {0};
    if (text.n == 0) {
        *ret = t;
        return HSM_OK;
    }
    if (duration_parse(text, &t.d) != HSM_OK)
        return refuse(what, why);
    memcpy(t.text, text.p, text.n);
    t.text_n = (uint8_t)text.n;
    *ret = t;
    return HSM_OK;
}

static hsm_err check_action(const struct rotation_action *a, const struct rotation_time *expiry,
                            const char **why)
{
    bool after = a->after_create.text_n > 0, before = a->before_expiry.text_n > 0;
    if (after == before)
        return refuse("A trigger needs either timeAfterCreate or timeBeforeExpiry.", why);
    if (after && duration_nominal_days(a->after_create.d) < ROTATION_MIN_DAYS)
        return refuse("timeAfterCreate must be at least 28 days.", why);
    if (!before)
        return HSM_OK;
    uint64_t days = duration_nominal_days(a->before_expiry.d);
    if (days == 0)
        return refuse("timeBeforeExpiry must be at least one day.", why);
    if (expiry->text_n > 0 && days + ROTATION_MIN_DAYS > duration_nominal_days(expiry->d))
        return refuse("timeBeforeExpiry must be at least 28 days shorter than expiryTime.", why);
    return HSM_OK;
}

#define NO_DURATION(name)                                                                          \
    name " must be a duration in years, months, weeks and days, such as P2Y, P18M or P90D."

static hsm_err take_action(const struct rotation_wish *wish, struct rotation_policy *p,
                           const char **why)
{
    struct rotation_action a = {.type = (enum rotation_type)wish->type};
    if (rotation_type_name(a.type) == NULL)
        return refuse("The type of an action must be Rotate or Notify.", why);
    for (unsigned i = 0; i < p->action_n; i++)
        if (p->action[i].type == a.type)
            return refuse("A rotation policy can have at most one action of each type.", why);
    TRY(take_time(wish->after_create, NO_DURATION("timeAfterCreate"), &a.after_create, why));
    TRY(take_time(wish->before_expiry, NO_DURATION("timeBeforeExpiry"), &a.before_expiry, why));
    TRY(check_action(&a, &p->expiry, why));
    p->action[p->action_n++] = a;
    return HSM_OK;
}

hsm_err rotation_policy_make(struct bytes expiry, const struct rotation_wish *wish, size_t n,
                             struct rotation_policy *ret, const char **why)
{
    struct rotation_policy p = {0};
    if (n > ROTATION_ACTIONS_MAX)
        return refuse("A rotation policy can have at most one action of each type.", why);
    TRY(take_time(expiry, NO_DURATION("expiryTime"), &p.expiry, why));
    if (p.expiry.text_n > 0 && duration_nominal_days(p.expiry.d) < ROTATION_MIN_DAYS)
        return refuse("expiryTime must be at least 28 days.", why);
    for (size_t i = 0; i < n; i++)
        TRY(take_action(&wish[i], &p, why));
    *ret = p;
    return HSM_OK;
}

bool rotation_policy_is_blank(const struct rotation_policy *p)
{
    return p->action_n == 0 && p->expiry.text_n == 0;
}

/* ---- its life ---- */

static const struct rotation_action *action_of(const struct rotation_policy *p,
                                               enum rotation_type type)
{
    for (unsigned i = 0; i < p->action_n; i++)
        if (p->action[i].type == type)
            return &p->action[i];
    return NULL;
}

static bool same_duration(struct duration a, struct duration b)
{
    return a.months == b.months && a.days == b.days;
}

static bool same_trigger(const struct rotation_action *a, const struct rotation_action *b)
{
    return a != NULL && b != NULL && (a->after_create.text_n > 0) == (b->after_create.text_n > 0) &&
           same_duration(a->after_create.d, b->after_create.d) &&
           same_duration(a->before_expiry.d, b->before_expiry.d);
}

void rotation_replace(const struct rotation_policy *p, const struct rotation *before,
                      uint64_t now_s, struct rotation *ret)
{
    struct rotation r = {.policy = *p, .created = now_s, .updated = now_s};
    if (before != NULL) {
        r.created = before->created;
        r.rotated = before->rotated;
        if (same_trigger(action_of(p, ROTATION_NOTIFY),
                         action_of(&before->policy, ROTATION_NOTIFY)))
            r.notified = before->notified;
    }
    *ret = r;
}

static uint64_t trigger_at(const struct rotation_action *a, const struct rotation_version *v)
{
    if (a == NULL || !v->enabled)
        return ROTATION_NEVER;
    if (a->after_create.text_n > 0)
        return duration_after(v->created, a->after_create.d);
    return v->has_exp ? duration_before(v->exp, a->before_expiry.d) : ROTATION_NEVER;
}

static uint64_t not_before(uint64_t at, uint64_t last, uint64_t gap_s)
{
    return last != 0 && at < last + gap_s ? last + gap_s : at;
}

struct rotation_step rotation_next(const struct rotation *r, const struct rotation_version *v)
{
    uint64_t rotate = trigger_at(action_of(&r->policy, ROTATION_ROTATE), v);
    uint64_t notify = r->notified == v->number + 1
                          ? ROTATION_NEVER
                          : trigger_at(action_of(&r->policy, ROTATION_NOTIFY), v);
    rotate = not_before(rotate, r->rotated, (uint64_t)ROTATION_MIN_DAYS * DAY_S);
    rotate = not_before(rotate, r->failed, DAY_S);
    if (notify == ROTATION_NEVER && rotate == ROTATION_NEVER)
        return (struct rotation_step){.what = ROTATION_NONE, .at = ROTATION_NEVER};
    return notify <= rotate ? (struct rotation_step){.what = ROTATION_NOTIFY, .at = notify}
                            : (struct rotation_step){.what = ROTATION_ROTATE, .at = rotate};
}

bool rotation_expiry(const struct rotation_policy *p, uint64_t now_s, uint64_t *ret)
{
    if (p->expiry.text_n == 0)
        return false;
    *ret = duration_after(now_s, p->expiry.d);
    return true;
}
