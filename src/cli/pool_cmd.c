/* keyhold pool status, keyhold pool roll. */
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "cli/partition.h"
#include "codec/json.h"

#define ROLL_READY_MS 120000
#define LOOK_MS       100

/* ---- status ---- */

static bool one_rack(const struct pool_view *v)
{
    for (unsigned i = 1; i < v->n; i++)
        if (strcmp(v->partition[i].entry.rack, v->partition[0].entry.rack) != 0)
            return false;
    return v->n > 1;
}

#define WARNINGS_MAX 8
struct warnings {
    char text[WARNINGS_MAX][160];
    unsigned n;
};

__attribute__((format(printf, 2, 3))) static void warn(struct warnings *w, const char *fmt, ...)
{
    va_list ap;
    if (w->n == WARNINGS_MAX)
        return;
    va_start(ap, fmt);
    (void)vsnprintf(w->text[w->n++], sizeof w->text[0], fmt, ap);
    va_end(ap);
}

static void find_warnings(const struct cli *c, const struct pool_view *v, struct warnings *w)
{
    struct partition_config cfg;
    unsigned ready = 0;
    for (unsigned i = 0; i < v->n; i++)
        ready += v->partition[i].answers || strcmp(v->partition[i].state, "linked") == 0;
    if (v->leader < 0)
        warn(w, "nobody leads: nothing can be changed, and reading ends with the leases");
    if (ready < v->n)
        warn(w, "%u of %u partitions do not serve", v->n - ready, v->n);
    if (v->n < 3)
        warn(w, "%u partition%s: the loss of one ends the service; three survive it", v->n,
             v->n > 1 ? "s" : "");
    if (v->n >= 3 && one_rack(v))
        warn(w,
             v->partition[0].entry.rack[0] != '\0'
                 ? "all partitions are in rack %s: its loss is the loss of all"
                 : "no rack labels: the partitions may all be lost together%s",
             v->partition[0].entry.rack);
    if (cli_config(c, &cfg) && (cfg.seal[0] == '\0' || strncmp(cfg.seal, "file", 4) == 0))
        warn(w, "root secrets are sealed by a file on the same disk: for development");
}

static void print_status_json(const struct pool_view *v, const struct warnings *w)
{
    static uint8_t buf[16384];
    struct wr out = wr_of(buf, sizeof buf);
    struct json_wr j = json_wr_of(&out);
    json_obj_open(&j);
    json_name(&j, "leader");
    json_put_int(&j, v->leader);
    json_name(&j, "operation");
    json_put_str(&j, v->operation);
    json_name(&j, "partitions"), json_arr_open(&j);
    for (unsigned i = 0; i < v->n; i++) {
        const struct partition_view *p = &v->partition[i];
        json_obj_open(&j);
        json_name(&j, "number"), json_put_int(&j, p->entry.number);
        json_name(&j, "state"), json_put_str(&j, p->state);
        json_name(&j, "role"), json_put_str(&j, p->role);
        json_name(&j, "address"), json_put_str(&j, p->entry.peer);
        json_name(&j, "rack"), json_put_str(&j, p->entry.rack);
        json_name(&j, "term"), json_put_int(&j, p->term);
        json_name(&j, "applied"), json_put_int(&j, p->applied);
        json_name(&j, "lag"), json_put_int(&j, p->answers ? v->applied - p->applied : -1);
        json_name(&j, "released"), json_put_int(&j, p->released);
        json_name(&j, "leaseMs"), json_put_int(&j, p->lease_ms);
        json_name(&j, "protection"), json_put_str(&j, p->protection);
        json_obj_close(&j);
    }
    json_arr_close(&j);
    json_name(&j, "warnings"), json_arr_open(&j);
    for (unsigned i = 0; i < w->n; i++)
        json_put_str(&j, w->text[i]);
    json_arr_close(&j);
    json_obj_close(&j);
    (void)printf("%.*s\n", (int)out.n, (const char *)buf);
}

static void print_lead(const struct pool_view *v)
{
    int64_t term = 0;
    for (unsigned i = 0; i < v->n; i++)
        if (v->partition[i].term > term)
            term = v->partition[i].term;
    if (v->leader < 0)
        (void)printf("leader        none\n");
    else
        (void)printf("leader        partition %lld (term %lld)\n", (long long)v->leader,
                     (long long)term);
    if (strcmp(v->operation, "none") != 0)
        (void)printf("under way     %s\n", v->operation);
}

static void print_status(const struct pool_view *v, const struct warnings *w)
{
    print_lead(v);
    (void)printf("\n%-4s %-10s %-9s %10s %6s %9s  %-10s %-10s %s\n", "no", "state", "role",
                 "applied", "lag", "lease", "protection", "rack", "address");
    for (unsigned i = 0; i < v->n; i++) {
        const struct partition_view *p = &v->partition[i];
        char lease[24] = "-";
        if (p->lease_ms > 0)
            (void)snprintf(lease, sizeof lease, "%lld ms", (long long)p->lease_ms);
        (void)printf("%-4u %-10s %-9s %10lld %6lld %9s  %-10s %-10s %s%s%s\n", p->entry.number,
                     p->state, p->answers ? p->role : "-", (long long)p->applied,
                     (long long)(p->answers ? v->applied - p->applied : 0), lease, p->protection,
                     p->entry.rack[0] != '\0' ? p->entry.rack : "-", p->entry.peer,
                     p->reason[0] != '\0' ? "  " : "", p->reason);
    }
    for (unsigned i = 0; i < w->n; i++)
        (void)printf("%swarning: %s\n", i == 0 ? "\n" : "", w->text[i]);
}

int cmd_pool_status(struct cli *c)
{
    struct arg args[] = {{.name = NULL}};
    struct pool_view v;
    struct warnings w = {.n = 0};
    int ret;
    if (!cli_args(c, args, "pool status [-o json]", &ret))
        return ret;
    if (!pool_view_read(c, &v))
        return CLI_FAILED;
    find_warnings(c, &v, &w);
    if (c->json)
        print_status_json(&v, &w);
    else
        print_status(&v, &w);
    return CLI_OK;
}

/* ---- roll ---- */

static bool is_settled(const struct pool_view *v)
{
    if (v->leader < 0 || strcmp(v->operation, "none") != 0)
        return false;
    for (unsigned i = 0; i < v->n; i++)
        if (strcmp(v->partition[i].state, "ready") != 0 || !v->partition[i].answers)
            return false;
    return true;
}

/* All are ready, and somebody (not that one; -1: anybody) leads. */
static bool wait_settled(const struct cli *c, int64_t not_led_by, struct pool_view *ret)
{
    uint64_t end = clock_mono_us() / 1000 + ROLL_READY_MS;
    while (pool_view_read(c, ret)) {
        if (is_settled(ret) && ret->leader != not_led_by)
            return true;
        if (clock_mono_us() / 1000 > end) {
            (void)cli_fail(CLI_FAILED, "not all partitions are ready; see `keyhold pool status`");
            return false;
        }
        (void)poll(NULL, 0, LOOK_MS);
    }
    return false;
}

static bool roll_one(const struct cli *c, unsigned number, struct pool_view *v)
{
    static struct cli_status s;
    char line[32];
    if (v->leader == (int64_t)number && v->n > 1 &&
        (!leader_transfer(c, -1, v) || !wait_settled(c, number, v)))
        return false;
    (void)snprintf(line, sizeof line, "restart %u", number);
    if (!supervisor_ask(c, line, &s) || !wait_settled(c, -1, v))
        return false;
    (void)printf("partition %u was restarted\n", number);
    return true;
}

int cmd_pool_roll(struct cli *c)
{
    struct arg args[] = {{.name = NULL}};
    struct pool_view v, first;
    int ret;
    if (!cli_args(c, args, "pool roll", &ret))
        return ret;
    if (!wait_settled(c, -1, &v))
        return CLI_FAILED;
    first = v;
    for (unsigned turn = 0; turn < 2; turn++) {
        for (unsigned i = 0; i < first.n; i++) {
            unsigned number = first.partition[i].entry.number;
            bool led = first.leader == (int64_t)number; /* it is the last one */
            if (led == (turn == 1) && !roll_one(c, number, &v))
                return CLI_FAILED;
        }
    }
    return CLI_OK;
}
