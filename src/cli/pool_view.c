/* What supervisor and partitions say of the pool, put together. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cli/partition.h"
#include "cli/pool.h"
#include "partition/supervisor.h"

#define ASK_S             10
#define SUPERVISE_S       300
#define TRANSFER_MS       30000
#define TRANSFER_AGAIN_MS 2000
#define LOOK_MS           50

struct partition_view *pool_view_find(struct pool_view *v, unsigned number)
{
    for (unsigned i = 0; i < v->n; i++)
        if (v->partition[i].entry.number == number)
            return &v->partition[i];
    return NULL;
}

/* ---- questions ---- */

/* true: the line is "ok", or JSON; what follows "ok " moves to its beginning. */
static bool take_answer(struct cli_status *s)
{
    if (s->doc.n > 0)
        return true;
    s->text[strcspn(s->text, "\n")] = '\0';
    size_t n = strncmp(s->text, "ok", 2) == 0 ? 2 : 0;
    if (n == 0)
        return false;
    n += s->text[n] == ' ';
    memmove(s->text, s->text + n, strlen(s->text + n) + 1);
    return true;
}

static bool print_error(const struct cli_status *s)
{
    const char *text = s->text;
    if (strncmp(text, "error: ", 7) == 0)
        text += 7;
    (void)cli_fail(CLI_FAILED, "%s", text[0] != '\0' ? text : "no answer");
    return false;
}

bool supervisor_ask(const struct cli *c, const char *line, struct cli_status *ret)
{
    char path[PATH_MAX];
    cli_pool_path(c, HOME_SUPERVISOR, path);
    if (!cli_ask(path, line, SUPERVISE_S, ret)) {
        (void)cli_fail(CLI_FAILED, "the pool in %s does not run; start it with `keyhold up`",
                       c->pool_home);
        return false;
    }
    return take_answer(ret) || print_error(ret);
}

/* ---- reading ---- */

static void take_supervisor(struct pool_view *v, const struct cli_status *s)
{
    const struct json_doc *d = &s->doc;
    uint32_t list = json_get_nn(d, 0, "partitions");
    (void)pool_text(d, 0, "operation", v->operation, sizeof v->operation);
    for (uint32_t at = json_first(d, list); list != JSON_NONE && at != JSON_NONE;
         at = json_next(d, list, at)) {
        struct partition_view *p = pool_view_find(v, (unsigned)pool_int(d, at, "number"));
        if (p == NULL)
            continue;
        (void)pool_text(d, at, "state", p->state, sizeof p->state);
        (void)pool_text(d, at, "reason", p->reason, sizeof p->reason);
        p->boundary_pid = pool_int(d, at, "boundary");
        p->gateway_pid = pool_int(d, at, "gateway");
    }
}

static void take_gateway(struct partition_view *p, const struct cli_status *s)
{
    const struct json_doc *d = &s->doc;
    p->answers = true;
    (void)pool_text(d, 0, "state", p->pool_state, sizeof p->pool_state);
    (void)pool_text(d, 0, "protection", p->protection, sizeof p->protection);
    (void)pool_text(d, 0, "raft.role", p->role, sizeof p->role);
    p->leader = pool_int(d, 0, "raft.leader") - 1;
    p->term = pool_int(d, 0, "raft.term");
    p->applied = pool_int(d, 0, "raft.applied");
    p->released = pool_int(d, 0, "raft.released");
    p->lease_ms = pool_int(d, 0, "lease.msLeft");
}

/* Of partitions on other hosts only this is known here: whether there is a link with them. */
static void take_links(struct pool_view *v, const struct cli_status *s)
{
    const struct json_doc *d = &s->doc;
    uint32_t raft = json_get_nn(d, 0, "raft");
    uint32_t list = raft != JSON_NONE ? json_get_nn(d, raft, "members") : JSON_NONE;
    for (uint32_t at = json_first(d, list); list != JSON_NONE && at != JSON_NONE;
         at = json_next(d, list, at)) {
        struct partition_view *p = pool_view_find(v, (unsigned)(pool_int(d, at, "id") - 1));
        bool linked = false;
        uint32_t value = json_get_nn(d, at, "linked");
        if (p != NULL && strcmp(p->state, "elsewhere") == 0 && value != JSON_NONE &&
            json_bool(d, value, &linked) == HSM_OK)
            (void)snprintf(p->state, sizeof p->state, linked ? "linked" : "no link");
    }
}

/* The one that most of them, or the newest term, call their leader. */
static void find_leader(struct pool_view *v)
{
    int64_t term = -1;
    v->leader = -1;
    for (unsigned i = 0; i < v->n; i++) {
        const struct partition_view *p = &v->partition[i];
        if (!p->answers)
            continue;
        if (p->applied > v->applied)
            v->applied = p->applied;
        if (p->leader < 0 || p->term <= term)
            continue;
        term = p->term;
        v->leader = p->leader;
    }
}

bool pool_view_read(const struct cli *c, struct pool_view *ret)
{
    static struct cli_status s;
    struct partition_config cfg;
    struct pool_view v = {.leader = -1};
    if (!cli_config(c, &cfg))
        return false;
    for (unsigned i = 0; i < cfg.partition_n; i++)
        v.partition[v.n++] = (struct partition_view){.entry = cfg.partition[i], .leader = -1};
    if (!supervisor_ask(c, "status", &s))
        return false;
    take_supervisor(&v, &s);
    for (unsigned i = 0; i < v.n; i++) {
        if (v.partition[i].entry.remote ||
            !cli_partition_status(c, v.partition[i].entry.number, &s))
            continue;
        take_gateway(&v.partition[i], &s);
        take_links(&v, &s);
    }
    find_leader(&v);
    *ret = v;
    return true;
}

/* ---- handing over the lead ---- */

static bool has_moved(const struct pool_view *v, int64_t from, int64_t to)
{
    return to >= 0 ? v->leader == to : v->leader >= 0 && v->leader != from;
}

bool leader_transfer(const struct cli *c, int64_t to, struct pool_view *ret)
{
    static struct cli_status s;
    char line[32] = "transfer";
    uint64_t end = clock_mono_us() / 1000 + TRANSFER_MS, again = 0;
    if (to >= 0) /* raft ids start at 1 */
        (void)snprintf(line, sizeof line, "transfer %lld", (long long)to + 1);
    if (!pool_view_read(c, ret))
        return false;
    int64_t from = ret->leader;
    while (!has_moved(ret, from, to)) {
        uint64_t now = clock_mono_us() / 1000;
        char path[PATH_MAX];
        if (now > end) {
            (void)cli_fail(CLI_FAILED, "partition %lld does not give up the lead: %s",
                           (long long)ret->leader, s.text);
            return false;
        }
        if (now >= again && ret->leader >= 0) { /* one that came to nothing is over by then */
            again = now + TRANSFER_AGAIN_MS;
            cli_partition_path(c, HOME_CONTROL, (unsigned)ret->leader, ".cmd", path);
            (void)cli_ask(path, line, ASK_S, &s);
        }
        (void)poll(NULL, 0, LOOK_MS);
        if (!pool_view_read(c, ret))
            return false;
    }
    return true;
}
