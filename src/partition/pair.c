#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/log.h"
#include "partition/supervisor_internal.h"

#define READY_MS         10000u
#define GOOD_LIFE_MS     3000u
#define FAILURES_MAX     3u
#define HANDOVERS_MAX    5u
#define HEALTH_EVERY_MS  2000u
#define HEALTH_ANSWER_MS 5000u
#define SILENCE_MS       15000u

/* Exit statuses of boundary (src/boundary/boundary.h) and gateway that mean more than a failure. */
enum {
    STATUS_SETUP = 65,
    STATUS_PROTOCOL = 67,
    STATUS_INTEGRITY = 68,
    STATUS_JOINED = 70,  /* root secrets are sealed here now */
    STATUS_FETCHED = 71, /* another partition's state is here now */
    STATUS_REMOVED = 72  /* no member of the pool any more */
};

enum {
    BOUNDARY,
    GATEWAY
};

/* ---- the list ---- */

struct pair *pair_find(struct supervisor *s, unsigned number)
{
    for (unsigned i = 0; i < s->pair_n; i++)
        if (s->pair[i].number == number)
            return &s->pair[i];
    return NULL;
}

struct pair *pair_add(struct supervisor *s, unsigned number)
{
    char name[32];
    if (s->pair_n == PARTITIONS_MAX)
        return NULL;
    struct pair *p = &s->pair[s->pair_n++];
    *p = (struct pair){.number = number};
    ask_init(&p->health);
    program_log_name(PROGRAM_BOUNDARY, number, name, sizeof name);
    unit_init(&p->boundary, name);
    program_log_name(PROGRAM_GATEWAY, number, name, sizeof name);
    unit_init(&p->gateway, name);
    return p;
}

void pair_drop(struct supervisor *s, unsigned number)
{
    struct pair *p = pair_find(s, number);
    if (p == NULL)
        return;
    unit_gone(&p->boundary);
    unit_gone(&p->gateway);
    ask_end(&p->health);
    memmove(p, p + 1, (size_t)(&s->pair[s->pair_n] - (p + 1)) * sizeof *p);
    s->pair_n--;
}

bool pair_is_ready(const struct pair *p)
{
    return p->boundary.pid != 0 && p->gateway.pid != 0 && p->gateway.ready && !p->hold &&
           !p->is_restarting;
}

bool pair_is_down(const struct pair *p)
{
    return p->boundary.pid == 0 && p->gateway.pid == 0;
}

unsigned pairs_ready(const struct supervisor *s, const struct pair *but)
{
    unsigned n = 0;
    for (unsigned i = 0; i < s->pair_n; i++)
        n += &s->pair[i] != but && pair_is_ready(&s->pair[i]);
    return n;
}

bool pairs_majority(const struct supervisor *s, const struct pair *but)
{
    return pairs_ready(s, but) > s->in.config.partition_n / 2;
}

/* ---- start ---- */

/* Boundary and gateway get rings of their own at every start: nothing of an earlier life is left
 * in shared memory. */
static void start(struct supervisor *s, struct pair *p, const struct partition_entry *e)
{
    struct ring_fds rings;
    p->was_ready = p->is_restarting = false;
    if (p->waits_from == 0)
        p->waits_from = unit_now_ms();
    hsm_err err = ring_fds_create(installation_loops(&s->in), &rings);
    if (err == HSM_OK) {
        err = supervisor_start_unit(s, PROGRAM_BOUNDARY, e, &rings, &p->boundary);
        if (err == HSM_OK)
            err = supervisor_start_unit(s, PROGRAM_GATEWAY, e, &rings, &p->gateway);
        ring_fds_close(&rings);
    }
    if (err == HSM_OK)
        return;
    unit_end(&p->boundary, SIGKILL, UNIT_KILL_MS);
    unit_schedule(&p->boundary);
}

static void condemn(struct pair *p, const char *why)
{
    if (p->fate == PAIR_REPLACE)
        return;
    p->fate = PAIR_REPLACE;
    (void)snprintf(p->why, sizeof p->why, "%s", why);
    log_warn("partition %u: %s", p->number, why);
}

void pair_start_due(struct supervisor *s, struct pair *p)
{
    const struct partition_entry *e = partition_config_find(&s->in.config, p->number);
    if (!pair_is_down(p) || p->hold || e == NULL || unit_now_ms() < p->boundary.restart_at)
        return;
    if (e->joined && !installation_has(&s->in, p->number, "store")) {
        /* With its number and nothing of what it promised the others it must never come back. */
        p->hold = true;
        condemn(p, "its store is gone");
        return;
    }
    bool makes_pool = p->number == 0 && !e->joined;
    bool has_secrets = installation_has(&s->in, p->number, "seal");
    bool can_join = pairs_ready(s, p) > 0 || s->pair_n < s->in.config.partition_n;
    if (makes_pool || has_secrets || can_join)
        start(s, p, e);
}

/* ---- end ---- */

static bool exited_with(int status, int code)
{
    return WIFEXITED(status) && WEXITSTATUS(status) == code;
}

static bool is_refusal(const struct pair *p)
{
    int b = p->status[BOUNDARY], g = p->status[GATEWAY];
    bool killed = WIFSIGNALED(g) && !p->gateway.ended_by_us;
    return !killed && (exited_with(b, STATUS_SETUP) || exited_with(b, STATUS_PROTOCOL) ||
                       exited_with(b, STATUS_INTEGRITY) || exited_with(g, STATUS_SETUP) ||
                       exited_with(g, STATUS_INTEGRITY));
}

static void note_failure(struct supervisor *s, struct pair *p, const char *unit_name)
{
    const struct partition_entry *e = partition_config_find(&s->in.config, p->number);
    bool replaceable = e != NULL && e->joined && s->in.config.partition_n > 1;
    p->failures = p->was_ready ? 1 : p->failures + 1;
    if (p->was_ready && unit_now_ms() - p->boundary.started > GOOD_LIFE_MS)
        unit_schedule_at_once(&p->boundary);
    else
        unit_schedule(&p->boundary);
    if (replaceable && !p->was_ready && is_refusal(p))
        condemn(p, "its secrets or its store are refused");
    else if (replaceable && p->failures >= FAILURES_MAX)
        condemn(p, "it failed three times in a row");
    if (!s->reported && p->failures >= SUPERVISOR_TRIES_MAX && s->op.kind == OPERATION_NONE &&
        !(replaceable && pairs_majority(s, p)))
        supervisor_give_up(s, unit_name);
}

/* Both have ended. */
static void judge(struct supervisor *s, struct pair *p, const char *first)
{
    int b = p->status[BOUNDARY], g = p->status[GATEWAY];
    bool took_over = exited_with(b, STATUS_JOINED) || exited_with(g, STATUS_JOINED) ||
                     exited_with(g, STATUS_FETCHED);
    p->waits_from = unit_now_ms();
    if (exited_with(g, STATUS_REMOVED)) {
        p->hold = true;
        p->fate = PAIR_REMOVED;
        log_warn("partition %u is no member of the pool any more", p->number);
    } else if (p->is_restarting || p->hold) {
        unit_schedule_at_once(&p->boundary);
    } else if (took_over && ++p->handovers <= HANDOVERS_MAX) {
        log_info("partition %u: %s, starting it", p->number,
                 exited_with(g, STATUS_FETCHED) ? "the state is here" : "the secrets are here");
        unit_schedule_at_once(&p->boundary);
    } else {
        note_failure(s, p, first);
    }
}

void pair_on_exit(struct supervisor *s, struct pair *p, struct unit *u, int status)
{
    bool is_boundary = u == &p->boundary;
    struct unit *other = is_boundary ? &p->gateway : &p->boundary;
    unit_gone(u);
    p->status[is_boundary ? BOUNDARY : GATEWAY] = status;
    if (s->stopping)
        return;
    bool expected = p->is_restarting || p->hold || u->ended_by_us;
    if (!expected && WIFSIGNALED(status))
        log_warn("%s ended by signal %d", u->name, WTERMSIG(status));
    else if (!expected)
        log_warn("%s ended with status %d", u->name, WEXITSTATUS(status));
    bool orderly = expected && exited_with(status, 0);
    if (other->pid != 0 && is_boundary && !orderly) /* else the gateway closes the store by now */
        unit_end(other, SIGKILL, UNIT_KILL_MS);
    else if (other->pid != 0 && is_boundary)
        unit_end(other, SIGTERM, UNIT_KILL_MS);
    else if (other->pid != 0) /* after an orderly end of the gateway it ends by itself */
        unit_end(other, orderly ? SIGTERM : SIGKILL, UNIT_KILL_MS);
    else
        judge(s, p, other->ended_by_us ? u->name : other->name);
}

/* ---- watching ---- */

static void note_ready(struct supervisor *s, struct pair *p)
{
    struct partition_entry *e = partition_config_find(&s->in.config, p->number);
    uint64_t took = unit_now_ms() - p->gateway.started;
    if (p->was_ready)
        return;
    p->was_ready = true;
    p->alive_at = unit_now_ms();
    p->failures = p->handovers = 0;
    p->waits_from = 0;
    p->fate = PAIR_SERVES;
    if (took > s->slowest)
        s->slowest = took;
    if (s->in.config.partition_n > 1)
        log_info("partition %u is ready", p->number);
    if (e != NULL && !e->joined && s->in.config.partition_n > 1) {
        e->joined = true;
        if (installation_store_config(&s->in) != HSM_OK)
            e->joined = false; /* with the next start */
    }
}

/* A partition that serves says its status now and then. One that hangs, or was stopped, is ended,
 * and starts again. The only one of a pool is left alone. */
static void check_health(struct supervisor *s, struct pair *p)
{
    char path[PATH_MAX];
    uint64_t now = unit_now_ms();
    if (p->health.fd >= 0) {
        enum ask_result r = ask_step(&p->health);
        /* the gateway's word for a boundary that does not answer it */
        if (r == ASK_ANSWERED && strstr(p->health.line, "\"state\":\"Unknown\"") == NULL)
            p->alive_at = now;
        if (r == ASK_WAITS)
            return;
    } else if (now >= p->health_at) {
        p->health_at = now + HEALTH_EVERY_MS;
        if (installation_path(&s->in, path, HOME_CONTROL, p->number) == HSM_OK)
            (void)ask_start(&p->health, path, "", HEALTH_ANSWER_MS);
    }
    if (now - p->alive_at < SILENCE_MS || s->in.config.partition_n == 1)
        return;
    log_warn("partition %u does not answer any more", p->number);
    p->alive_at = now;
    pair_kill(p);
}

/* A large pool takes its time at every start. */
static uint64_t patience(const struct supervisor *s)
{
    return READY_MS + 3 * s->slowest;
}

void pair_look(struct supervisor *s, struct pair *p)
{
    const struct partition_entry *e = partition_config_find(&s->in.config, p->number);
    uint64_t now = unit_now_ms();
    char why[80];
    if (pair_is_ready(p)) {
        note_ready(s, p);
        check_health(s, p);
        return;
    }
    bool waits = !p->hold && !p->is_restarting && e != NULL && e->joined &&
                 s->in.config.partition_n > 1 && pairs_majority(s, p);
    if (!waits || p->waits_from == 0) {
        p->waits_from = now; /* without a majority nobody becomes ready */
        return;
    }
    if (now - p->waits_from <= patience(s))
        return;
    (void)snprintf(why, sizeof why, "it is not ready after %llu s",
                   (unsigned long long)(patience(s) / 1000));
    condemn(p, why);
}

/* ---- stopping ---- */

void pair_report(struct supervisor *s, struct pair *p)
{
    char line[UNIT_LINE_MAX];
    while (unit_line(&p->gateway, line)) {
        if (strcmp(line, "quiet") == 0)
            p->gateway.quiet = true;
        else
            p->gateway.ready = true;
    }
    if (!s->stopping)
        pair_close(p);
}

void pair_close(struct pair *p)
{
    if (p->gateway.pid != 0 && p->gateway.quiet)
        (void)kill(p->gateway.pid, SIGTERM);
    p->gateway.quiet = false;
}

void pair_stop(struct pair *p)
{
    unit_end(&p->gateway, SIGTERM, PAIR_STOP_MS);
    if (p->gateway.pid == 0)
        unit_end(&p->boundary, SIGTERM, UNIT_KILL_MS);
}

void pair_kill(struct pair *p)
{
    unit_end(&p->gateway, SIGKILL, UNIT_KILL_MS);
    unit_end(&p->boundary, SIGKILL, UNIT_KILL_MS);
}
