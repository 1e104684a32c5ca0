/* One change of the pool at a time: a partition is added, removed, restarted or replaced. */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "partition/supervisor_internal.h"

#define JOIN_MS    120000u
#define EXPEL_MS   30000u
#define RESTART_MS 120000u
#define ASK_MS     10000u
#define RETRY_MS   100u

void operation_init(struct operation *op)
{
    *op = (struct operation){.client = -1, .helper_status = -1};
    ask_init(&op->ask);
}

/* ---- end ---- */

static void answer(struct operation *op, const char *line)
{
    if (op->client < 0)
        return;
    if (send(op->client, line, strlen(line), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        log_warn("nobody waits for the answer of a command any more");
    (void)close(op->client);
    op->client = -1;
}

static void finish(struct supervisor *s)
{
    struct operation *op = &s->op;
    char line[sizeof op->text + 16];
    bool ok = !op->failed;
    if (!ok)
        log_warn("%s", op->text);
    if (ok && op->kind == OPERATION_ADD)
        (void)snprintf(line, sizeof line, "ok %u\n", op->fresh);
    else
        (void)snprintf(line, sizeof line, ok ? "ok\n" : "error: %s\n", op->text);
    answer(op, line);
    if (op->kind == OPERATION_REPLACE)
        healing_done(s, ok);
    ask_end(&op->ask);
    operation_init(op);
}

__attribute__((format(printf, 2, 3))) static void note(struct operation *op, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(op->text, sizeof op->text, fmt, ap);
    va_end(ap);
}

static void enter(struct operation *op, enum operation_stage stage, uint64_t limit)
{
    op->stage = stage;
    op->deadline = unit_now_ms() + limit;
    op->retry_at = 0;
}

/* ---- the partition that goes ---- */

/* What is left of a partition stays for a look at it; nothing starts from there. */
static void put_away(const struct supervisor *s, unsigned number)
{
    char from[PATH_MAX], dir[PATH_MAX], to[PATH_MAX];
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    if (installation_path(&s->in, from, HOME_PARTITION, number) != HSM_OK ||
        installation_path(&s->in, dir, HOME_REMOVED) != HSM_OK ||
        installation_path(&s->in, to, HOME_REMOVED "/" HOME_PARTITION "-%lld", number,
                          (long long)now.tv_sec) != HSM_OK ||
        access(from, F_OK) != 0)
        return;
    if (dir_ensure(dir, 0700) != HSM_OK || rename(from, to) != 0)
        log_warn("%s cannot be moved to %s: %s", from, to, strerror(errno));
}

static void drop(struct supervisor *s, unsigned number)
{
    pair_drop(s, number);
    partition_config_remove(&s->in.config, number);
    for (unsigned i = 0; i < s->in.config.partition_n; i++)
        if (s->in.config.partition[i].replaces_id == number + 1)
            s->in.config.partition[i].replaces_id = 0;
    (void)!installation_store_config(&s->in);
    put_away(s, number);
    log_info("partition %u was removed", number);
}

/* A failed addition is taken back the same way, as far as it came. */
static unsigned leaving(const struct operation *op)
{
    bool takes_back = op->failed && (op->kind == OPERATION_ADD || op->kind == OPERATION_REPLACE);
    return takes_back ? op->fresh : op->number;
}

static void step_end(struct supervisor *s)
{
    struct operation *op = &s->op;
    struct pair *p = pair_find(s, leaving(op));
    if (p != NULL) {
        p->hold = true;
        pair_stop(p);
        if (!pair_is_down(p))
            return;
    }
    drop(s, leaving(op));
    finish(s);
}

/* ---- leaving the pool ---- */

static bool ask_at(struct supervisor *s, const struct pair *p, const char *line)
{
    char path[PATH_MAX];
    return pair_is_ready(p) &&
           installation_path(&s->in, path, HOME_CONTROL ".cmd", p->number) == HSM_OK &&
           ask_start(&s->op.ask, path, line, ASK_MS);
}

/* Each in turn until one leads. One that shall go gives up the lead first. */
static bool ask_next(struct supervisor *s)
{
    struct operation *op = &s->op;
    const struct pair *old = pair_find(s, leaving(op));
    char line[32];
    if (op->leads && old != NULL && ask_at(s, old, "transfer")) {
        op->leads = false;
        op->transfers = true;
        return true;
    }
    op->transfers = false;
    (void)snprintf(line, sizeof line, "remove %u", leaving(op) + 1); /* raft ids start at 1 */
    for (unsigned i = 0; i < s->pair_n; i++) {
        const struct pair *p = &s->pair[op->ask_turn++ % s->pair_n];
        if (p != old && ask_at(s, p, line))
            return true;
    }
    return false;
}

static bool is_removed(const char *answer, bool was_transfer)
{
    return !was_transfer && (strcmp(answer, "ok") == 0 || strstr(answer, "no such member") != NULL);
}

static void expel_failed(struct supervisor *s)
{
    struct operation *op = &s->op;
    struct pair *p = pair_find(s, leaving(op));
    op->retry_at = unit_now_ms() + RETRY_MS;
    if (p != NULL && op->kind == OPERATION_REMOVE && !p->hold &&
        unit_now_ms() + EXPEL_MS > op->deadline + ASK_MS) {
        log_warn("partition %u does not leave by itself: %s", p->number, op->text);
        p->hold = true; /* it was to end anyway, and the others choose another leader */
        pair_kill(p);
    }
    /* A replaced one is asked away as long as it takes: it must not count any more. */
    if (unit_now_ms() < op->deadline || op->failed || op->kind == OPERATION_REPLACE)
        return;
    op->failed = true;
    if (p != NULL)
        p->hold = false;
    finish(s);
}

static void step_expel(struct supervisor *s)
{
    struct operation *op = &s->op;
    if (op->ask.fd < 0) {
        if (unit_now_ms() >= op->retry_at && !ask_next(s))
            expel_failed(s);
        return;
    }
    enum ask_result r = ask_step(&op->ask);
    if (r == ASK_WAITS)
        return;
    if (r == ASK_ANSWERED && is_removed(op->ask.line, op->transfers)) {
        enter(op, STAGE_END, 0);
        return;
    }
    char leads[32];
    (void)snprintf(leads, sizeof leads, "node %u leads", leaving(op) + 1);
    op->leads = r == ASK_ANSWERED && strstr(op->ask.line, leads) != NULL;
    if (!op->failed)
        note(op, "partition %u stays in the pool: %.120s%s", op->number,
             r == ASK_ANSWERED ? op->ask.line : "no partition answers",
             op->transfers ? " (to give up the lead)" : "");
    expel_failed(s);
}

/* ---- the partition that comes ---- */

static void give_back(struct supervisor *s)
{
    struct pair *p = pair_find(s, s->op.fresh);
    s->op.failed = true;
    if (p != NULL) {
        p->hold = true;
        pair_kill(p);
    }
    enter(&s->op, STAGE_EXPEL, EXPEL_MS);
}

static bool start_helper(struct supervisor *s, unsigned number)
{
    s->op.helper_status = -1;
    return installation_make_directory(&s->in, number) == HSM_OK &&
           installation_start_certificate(&s->in, number, &s->op.helper) == HSM_OK;
}

static void prepare(struct supervisor *s)
{
    struct operation *op = &s->op;
    const struct partition_config before = s->in.config;
    hsm_err err = partition_config_add(&s->in.config, &op->fresh);
    if (err == HSM_OK && op->kind == OPERATION_REPLACE)
        partition_config_find(&s->in.config, op->fresh)->replaces_id = op->number + 1;
    /* The only partition of a pool has no link for others yet: it starts again with one. */
    op->links = before.partition_n == 1;
    if (op->links)
        s->in.config.partition[0].joined = true;
    if (err == HSM_OK)
        err = installation_store_config(&s->in);
    if (err == HSM_OK && !start_helper(s, op->fresh))
        err = HSM_E_IO;
    if (err == HSM_OK) {
        enter(op, STAGE_PREPARE, JOIN_MS);
        return;
    }
    note(op, "no partition can be added: %s", hsm_err_text(err));
    s->in.config = before;
    (void)!installation_store_config(&s->in);
    op->failed = true;
    finish(s);
}

static void start_fresh(struct supervisor *s)
{
    if (pair_add(s, s->op.fresh) == NULL) { /* cannot be: the configuration has room for it */
        s->op.failed = true;
        enter(&s->op, STAGE_END, 0);
        return;
    }
    log_info("partition %u joins the pool", s->op.fresh);
    enter(&s->op, STAGE_JOIN, JOIN_MS);
}

static void restart(struct supervisor *s, struct pair *p, enum operation_stage stage)
{
    p->is_restarting = true;
    p->was_ready = false;
    pair_stop(p);
    enter(&s->op, stage, RESTART_MS);
}

static void step_prepare(struct supervisor *s)
{
    struct operation *op = &s->op;
    if (op->helper_status < 0)
        return;
    bool made = WIFEXITED(op->helper_status) && WEXITSTATUS(op->helper_status) == 0;
    unsigned first = s->in.config.partition[0].number;
    if (!made) {
        note(op, "partition %u has no certificate; see log/partition.log", op->fresh);
        op->failed = true;
        enter(op, STAGE_END, 0);
    } else if (op->links && !op->has_link_certificate) {
        op->has_link_certificate = true;
        if (!start_helper(s, first))
            op->helper_status = 1;
    } else if (op->links) {
        restart(s, &s->pair[0], STAGE_LINK);
    } else {
        start_fresh(s);
    }
}

static void step_link(struct supervisor *s)
{
    const struct pair *p = &s->pair[0];
    if (p->was_ready && pair_is_ready(p)) {
        start_fresh(s);
    } else if (unit_now_ms() >= s->op.deadline) {
        note(&s->op, "partition %u does not come back with a link for others", p->number);
        s->op.failed = true;
        enter(&s->op, STAGE_END, 0);
    }
}

static void step_join(struct supervisor *s)
{
    struct operation *op = &s->op;
    const struct pair *p = pair_find(s, op->fresh);
    if (p != NULL && p->was_ready && pair_is_ready(p)) {
        if (op->kind == OPERATION_REPLACE)
            enter(op, STAGE_EXPEL, EXPEL_MS);
        else
            finish(s);
        return;
    }
    if (p != NULL && p->failures < SUPERVISOR_TRIES_MAX && unit_now_ms() < op->deadline)
        return;
    note(op, "partition %u cannot join the pool; see log/boundary-%u.log and gateway-%u.log",
         op->fresh, op->fresh, op->fresh);
    give_back(s);
}

/* ---- restart ---- */

static void step_restart(struct supervisor *s)
{
    struct operation *op = &s->op;
    const struct pair *p = pair_find(s, op->number);
    if (p != NULL && p->was_ready && pair_is_ready(p)) {
        finish(s);
        return;
    }
    if (p != NULL && p->fate == PAIR_SERVES && unit_now_ms() < op->deadline)
        return;
    note(op, "partition %u does not come back", op->number);
    op->failed = true;
    finish(s);
}

/* ---- begin and step ---- */

static const char *refusal(struct supervisor *s, enum operation_kind kind, unsigned number)
{
    struct pair *p = pair_find(s, number);
    const struct partition_config *c = &s->in.config;
    if (s->stopping || s->op.kind != OPERATION_NONE)
        return "the pool is being changed already; try again when that is done";
    bool spread = c->partition_n > s->pair_n;
    if (kind == OPERATION_ADD && spread)
        return "the pool is on several hosts: write the new partition into config.json there";
    if (kind == OPERATION_ADD)
        return c->partition_n == PARTITIONS_MAX ? "a pool has at most 9 partitions"
               : pairs_ready(s, NULL) == 0      ? "no partition of the pool is ready here"
                                                : NULL;
    bool elsewhere =
        kind == OPERATION_REMOVE && partition_config_find(&s->in.config, number) != NULL;
    if (p == NULL && !elsewhere)
        return "no partition of that number runs here";
    if (kind == OPERATION_REMOVE && c->partition_n == 1)
        return "it is the only partition of the pool";
    /* The others must be able to go on: a majority of all, before and after. */
    if (kind == OPERATION_REMOVE && !spread && !pairs_majority(s, p) &&
        !(c->partition_n == 2 && pairs_ready(s, NULL) == 2))
        return "too few of the other partitions are ready";
    return NULL;
}

bool operation_begin(struct supervisor *s, enum operation_kind kind, unsigned number, int client,
                     char *text, size_t cap)
{
    const char *why = refusal(s, kind, number);
    struct pair *p = pair_find(s, number);
    if (why != NULL) {
        (void)snprintf(text, cap, "%s", why);
        return false;
    }
    operation_init(&s->op);
    s->op.kind = kind;
    s->op.number = number;
    s->op.client = client;
    if (kind == OPERATION_RESTART) {
        restart(s, p, STAGE_RESTART);
    } else if (kind == OPERATION_REMOVE) {
        enter(&s->op, p != NULL && p->fate == PAIR_REMOVED ? STAGE_END : STAGE_EXPEL, EXPEL_MS);
    } else if (kind == OPERATION_REPLACE) {
        p->hold = true;
        pair_kill(p);
        prepare(s);
    } else {
        prepare(s);
    }
    return true;
}

void operation_resume(struct supervisor *s, unsigned number, unsigned fresh)
{
    operation_init(&s->op);
    s->op.kind = OPERATION_REPLACE;
    s->op.number = number;
    s->op.fresh = fresh;
    enter(&s->op, STAGE_JOIN, JOIN_MS);
}

bool operation_is_helper(struct supervisor *s, pid_t pid, int status)
{
    if (s->op.kind == OPERATION_NONE || s->op.helper != pid)
        return false;
    s->op.helper = 0;
    s->op.helper_status = status;
    return true;
}

void operation_step(struct supervisor *s)
{
    if (s->op.kind == OPERATION_NONE)
        return;
    switch (s->op.stage) {
    case STAGE_PREPARE:
        step_prepare(s);
        return;
    case STAGE_LINK:
        step_link(s);
        return;
    case STAGE_JOIN:
        step_join(s);
        return;
    case STAGE_EXPEL:
        step_expel(s);
        return;
    case STAGE_END:
        step_end(s);
        return;
    case STAGE_RESTART:
        step_restart(s);
        return;
    }
}

void operation_cancel(struct supervisor *s)
{
    if (s->op.kind == OPERATION_NONE)
        return;
    answer(&s->op, "error: the pool is being stopped\n");
    ask_end(&s->op.ask);
    operation_init(&s->op);
}
