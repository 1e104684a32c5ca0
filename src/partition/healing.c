/* Which partition has to be replaced, and when. */
#include "base/log.h"
#include "partition/supervisor_internal.h"

#define PAUSE_FIRST_MS 10000u
#define PAUSE_MAX_MS   600000u

static bool all_are_here(const struct supervisor *s)
{
    return s->pair_n == s->in.config.partition_n;
}

/* A replacement that a stop of the supervisor interrupted. */
static bool resume(struct supervisor *s)
{
    struct partition_config *c = &s->in.config;
    for (unsigned i = 0; i < c->partition_n; i++) {
        unsigned id = c->partition[i].replaces_id;
        struct pair *old = id > 0 ? pair_find(s, id - 1) : NULL;
        struct pair *fresh = pair_find(s, c->partition[i].number);
        if (old == NULL || fresh == NULL || !pairs_majority(s, old))
            continue;
        if (pair_is_ready(old) && !pair_is_ready(fresh))
            continue; /* it came back, and the new one may do so yet */
        old->hold = true;
        pair_kill(old);
        operation_resume(s, old->number, fresh->number);
        return true;
    }
    return false;
}

static void begin(struct supervisor *s, const struct pair *p)
{
    char text[200];
    log_warn("partition %u is replaced: %s", p->number, p->why);
    if (!operation_begin(s, OPERATION_REPLACE, p->number, -1, text, sizeof text))
        log_warn("partition %u cannot be replaced: %s", p->number, text);
}

void healing_step(struct supervisor *s)
{
    char text[200];
    if (s->op.kind != OPERATION_NONE || !all_are_here(s) || resume(s))
        return;
    for (unsigned i = 0; i < s->pair_n; i++) {
        struct pair *p = &s->pair[i];
        if (p->fate == PAIR_REMOVED && s->in.config.partition_n > 1) {
            (void)!operation_begin(s, OPERATION_REMOVE, p->number, -1, text, sizeof text);
            return;
        }
        if (p->fate == PAIR_REPLACE && unit_now_ms() >= s->heal_at && pairs_majority(s, p)) {
            begin(s, p);
            return;
        }
    }
}

void healing_done(struct supervisor *s, bool ok)
{
    uint64_t pause = PAUSE_FIRST_MS << (s->heals_failed < 6 ? s->heals_failed : 6);
    s->heals_failed = ok ? 0 : s->heals_failed + 1;
    s->heal_at = ok ? 0 : unit_now_ms() + (pause < PAUSE_MAX_MS ? pause : PAUSE_MAX_MS);
}
