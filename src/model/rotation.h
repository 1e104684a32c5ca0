/* Rotation policies of keys: what one may say, and when something is due. Pure; time is a
 * parameter. */
#ifndef MODEL_ROTATION_H
#define MODEL_ROTATION_H

#include "model/duration.h"

#define ROTATION_ACTIONS_MAX 2u
#define ROTATION_MIN_DAYS    28u
#define ROTATION_NEVER       UINT64_MAX

enum rotation_type {
    ROTATION_NONE,
    ROTATION_ROTATE,
    ROTATION_NOTIFY,
};
/* "Rotate", "Notify", in any case; ROTATION_NONE when unknown. */
enum rotation_type rotation_type_from_name(struct bytes name);
const char *rotation_type_name(enum rotation_type t); /* NULL when unknown */

/* A duration as it was written, and what it means. */
struct rotation_time {
    struct duration d;
    uint8_t text_n; /* 0: none */
    char text[DURATION_TEXT_MAX];
};
static inline struct bytes rotation_text(const struct rotation_time *t)
{
    return bytes_of(t->text, t->text_n);
}
struct rotation_action {
    enum rotation_type type;
    struct rotation_time after_create, before_expiry; /* one of them */
};
struct rotation_policy {
    struct rotation_action action[ROTATION_ACTIONS_MAX]; /* in the order they were given in */
    unsigned action_n;
    struct rotation_time expiry; /* lifetime of new versions */
};

/* A policy from texts; an empty one is not there. */
struct rotation_wish {
    unsigned type; /* enum rotation_type */
    struct bytes after_create, before_expiry;
};
/* HSM_E_BAD_PARAMETER with *why: a rule is broken. The rules compare durations by their nominal
 * days; that automatic rotations are never closer than 28 days is rotation_next()'s business. */
HSM_MUST_USE hsm_err rotation_policy_make(struct bytes expiry, const struct rotation_wish *wish,
                                          size_t n, struct rotation_policy *ret, const char **why);
bool rotation_policy_is_blank(const struct rotation_policy *p);

/* What a key remembers besides its policy. */
struct rotation {
    struct rotation_policy policy;
    uint64_t created, updated; /* of the policy, Unix seconds */
    uint64_t rotated;          /* when a version was last made automatically; 0: never */
    uint64_t failed;           /* when that last failed; 0: not since the policy was set */
    uint32_t notified;         /* number of the version that was notified of + 1; 0: none */
};
/* What is done to a key, as the policy's new state. same_notice: of the one before, a notice that
 * was given already stays given. before: NULL when there was none. */
void rotation_replace(const struct rotation_policy *p, const struct rotation *before,
                      uint64_t now_s, struct rotation *ret);

/* The current version. */
struct rotation_version {
    uint32_t number;
    bool enabled, has_exp;
    uint64_t created, exp;
};
struct rotation_step {
    enum rotation_type what;
    uint64_t at; /* Unix seconds; ROTATION_NEVER */
};
/* What comes next. Versions that are not enabled wait until they are. Of what was missed only the
 * current version's is made up for; at the same time the notice comes first. */
struct rotation_step rotation_next(const struct rotation *r, const struct rotation_version *v);

/* exp of a version made now by that policy; false: none. */
bool rotation_expiry(const struct rotation_policy *p, uint64_t now_s, uint64_t *ret);

#endif
