/* keyhold partition list, add, remove, transfer, certificate. */
#include "cli/partition.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "fabric/identity/pki.h"
#include "partition/supervisor.h"

#define ADMISSION_LEN 32

static int cmd_list(struct cli *c);
static int cmd_add(struct cli *c);
static int cmd_remove(struct cli *c);
static int cmd_transfer(struct cli *c);
static int cmd_certificate(struct cli *c);

const struct cli_command cli_partition_commands[] = {
    {"pool list", cmd_pool_list, "the pools of the installation"},
    {"pool status", cmd_pool_status, "who leads, how far the others are, leases, what to look at"},
    {"pool roll", cmd_pool_roll, "restart the partitions one after the other"},
    {"pool prepare", cmd_pool_prepare, "make what a further pool starts with; the node does that"},
    {"partition list", cmd_list, "partitions of the pool and their states"},
    {"partition add", cmd_add, "one more, which joins the others"},
    {"partition remove", cmd_remove, "take one out of the pool"},
    {"partition transfer", cmd_transfer, "let another one lead the pool"},
    {"partition certificate", cmd_certificate, "make the certificate of one for its links"},
    {NULL, NULL, NULL},
};

/* A leading word that is a number; number -1: there is none. */
static bool take_number(struct cli *c, long *ret)
{
    *ret = -1;
    if (c->argc > 0 && c->argv[0][0] >= '0' && c->argv[0][0] <= '9') {
        if (!text_number(c->argv[0], PARTITION_MAX, ret))
            return false;
        c->argc--;
        c->argv++;
    }
    return true;
}

/* Command line and configuration of a command that has, perhaps, a number. */
static bool begin(struct cli *c, const char *usage, struct partition_config *cfg, long *ret_number,
                  int *ret_status)
{
    struct arg args[] = {{.name = NULL}};
    if (!take_number(c, ret_number)) {
        *ret_status = cli_fail(CLI_USAGE, "no partition has number %s", c->argv[0]);
        return false;
    }
    if (!cli_args(c, args, usage, ret_status))
        return false;
    *ret_status = CLI_FAILED;
    return cli_config(c, cfg);
}

static bool check_number(struct partition_config *cfg, long number, int *ret_status)
{
    *ret_status = CLI_USAGE;
    if (number < 0) {
        (void)cli_fail(CLI_USAGE, "the number of a partition is missing; see "
                                  "`keyhold partition list`");
        return false;
    }
    if (partition_config_find(cfg, (unsigned)number) != NULL)
        return true;
    *ret_status = cli_fail(CLI_NOT_FOUND,
                           "the pool has no partition %ld; see "
                           "`keyhold partition list`",
                           number);
    return false;
}

/* ---- list ---- */

static void print_json(const struct pool_view *v)
{
    (void)printf("[");
    for (unsigned i = 0; i < v->n; i++) {
        const struct partition_view *p = &v->partition[i];
        (void)printf("%s{\"number\":%u,\"state\":\"%s\",\"leads\":%s,\"address\":\"%s\","
                     "\"rack\":\"%s\",\"applied\":%lld,\"boundary\":%lld,\"gateway\":%lld}",
                     i > 0 ? "," : "", p->entry.number, p->state,
                     v->leader == (int64_t)p->entry.number ? "true" : "false", p->entry.peer,
                     p->entry.rack, (long long)p->applied, (long long)p->boundary_pid,
                     (long long)p->gateway_pid);
    }
    (void)printf("]\n");
}

static int cmd_list(struct cli *c)
{
    struct partition_config cfg;
    struct pool_view v;
    long number;
    int ret;
    if (!begin(c, "partition list [-o json]", &cfg, &number, &ret))
        return ret;
    if (!pool_view_read(c, &v))
        return CLI_FAILED;
    if (c->json) {
        print_json(&v);
        return CLI_OK;
    }
    for (unsigned i = 0; i < v.n; i++) {
        const struct partition_view *p = &v.partition[i];
        (void)printf("%-4u %-10s %-7s %-22s %s\n", p->entry.number, p->state,
                     v.leader == (int64_t)p->entry.number ? "leads" : "", p->entry.peer,
                     p->reason[0] != '\0' ? p->reason : p->entry.rack);
    }
    return CLI_OK;
}

/* ---- changes ---- */

static int cmd_add(struct cli *c)
{
    static struct cli_status s;
    struct partition_config cfg;
    long number;
    int ret;
    if (!begin(c, "partition add", &cfg, &number, &ret))
        return ret;
    if (!admission_ensure(c))
        return CLI_FAILED;
    if (!supervisor_ask(c, "add", &s))
        return CLI_FAILED;
    (void)printf("partition %s serves\n", s.text);
    return CLI_OK;
}

static int cmd_remove(struct cli *c)
{
    static struct cli_status s;
    struct partition_config cfg;
    char line[32];
    long number;
    int ret;
    if (!begin(c, "partition remove N", &cfg, &number, &ret) || !check_number(&cfg, number, &ret))
        return ret;
    (void)snprintf(line, sizeof line, "remove %ld", number);
    if (!supervisor_ask(c, line, &s))
        return CLI_FAILED;
    (void)printf("partition %ld was removed; what it had lies in %s/" HOME_REMOVED "\n", number,
                 c->pool_home);
    return CLI_OK;
}

static int cmd_transfer(struct cli *c)
{
    struct partition_config cfg;
    struct pool_view v;
    long number;
    int ret;
    if (!begin(c, "partition transfer [N]", &cfg, &number, &ret) ||
        (number >= 0 && !check_number(&cfg, number, &ret)))
        return ret;
    if (cfg.partition_n == 1)
        return cli_fail(CLI_FAILED, "it is the only partition of the pool");
    if (!leader_transfer(c, number, &v))
        return CLI_FAILED;
    (void)printf("partition %lld leads\n", (long long)v.leader);
    return CLI_OK;
}

/* ---- first-run files ---- */

bool admission_ensure(const struct cli *c)
{
    uint8_t key[ADMISSION_LEN];
    char path[PATH_MAX];
    cli_pool_path(c, HOME_ADMISSION, path);
    if (access(path, F_OK) == 0)
        return true;
    bool made = getrandom(key, sizeof key, 0) == (ssize_t)sizeof key &&
                file_replace(path, bytes_of(key, sizeof key), 0600) == HSM_OK;
    explicit_bzero(key, sizeof key);
    if (!made)
        (void)cli_fail(CLI_FAILED, "cannot write %s: %s", path, strerror(errno));
    return made;
}

int partition_certificate(const struct cli *c, const struct partition_config *cfg, unsigned number)
{
    char dir[PATH_MAX], pki[PATH_MAX], text[PATH_MAX + 200] = "";
    cli_partition_path(c, HOME_PARTITION, number, "", dir);
    cli_pool_path(c, HOME_PKI, pki);
    if (dir_ensure(dir, 0700) != HSM_OK)
        return cli_fail(CLI_FAILED, "cannot create %s: %s", dir, strerror(errno));
    if (pki_ensure_peer(pki, dir, cfg->name, number, clock_now_ms(), text, sizeof text) != HSM_OK)
        return cli_fail(CLI_FAILED, "certificates: %s", text);
    return CLI_OK;
}

int partitions_prepare(struct cli *c, const struct partition_config *cfg)
{
    if (cfg->partition_n == 1)
        return CLI_OK;
    if (!admission_ensure(c))
        return CLI_FAILED;
    for (unsigned i = 0; i < cfg->partition_n; i++) {
        const struct partition_entry *e = &cfg->partition[i];
        char path[PATH_MAX];
        cli_partition_path(c, HOME_PARTITION, e->number, "", path);
        /* The supervisor replaces one whose directory was lost. */
        if (e->remote || (e->joined && access(path, F_OK) != 0))
            continue;
        int status = partition_certificate(c, cfg, e->number);
        if (status != CLI_OK)
            return status;
    }
    return CLI_OK;
}

static int cmd_certificate(struct cli *c)
{
    struct partition_config cfg;
    long number;
    int ret;
    if (!begin(c, "partition certificate N", &cfg, &number, &ret) ||
        !check_number(&cfg, number, &ret))
        return ret;
    ret = partition_certificate(c, &cfg, (unsigned)number);
    if (ret == CLI_OK)
        (void)printf("%s/" HOME_PARTITION "/" PKI_PEER_CERT "\n", c->pool_home, (unsigned)number);
    return ret;
}
