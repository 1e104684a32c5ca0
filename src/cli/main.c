/* keyhold: start and stop a local managed HSM, activate it, and use it. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "cli/billing.h"
#include "cli/cli.h"

static const struct cli_command *const tables[] = {
    cli_local_commands,   cli_pool_commands,    cli_audit_commands, cli_partition_commands,
    cli_billing_commands, cli_network_commands, cli_node_commands};
#define TABLES (sizeof tables / sizeof tables[0])

static void usage(const char *prefix)
{
    (void)printf("keyhold %s: a managed HSM of your own\n\n"
                 "usage: keyhold [--home DIR] [--pool NAME] [-o json] COMMAND ...\n\n",
                 KEYHOLD_VERSION);
    for (size_t t = 0; t < TABLES; t++)
        for (const struct cli_command *c = tables[t]; c->words != NULL; c++)
            if (strncmp(c->words, prefix, strlen(prefix)) == 0)
                (void)printf("  %-36s %s\n", c->words, c->help);
    (void)printf("\nEvery command explains its options with --help.\n");
}

/* Longest command whose words begin argv; *ret_used counts them. */
static const struct cli_command *find(int argc, char **argv, int *ret_used)
{
    const struct cli_command *best = NULL;
    for (size_t t = 0; t < TABLES; t++) {
        for (const struct cli_command *c = tables[t]; c->words != NULL; c++) {
            const char *w = c->words;
            int used = 0;
            while (used < argc && *w != '\0') {
                size_t n = strcspn(w, " ");
                if (strlen(argv[used]) != n || memcmp(argv[used], w, n) != 0)
                    break;
                used++;
                w += n;
                w += strspn(w, " ");
            }
            if (*w == '\0' && (best == NULL || used > *ret_used)) {
                best = c;
                *ret_used = used;
            }
        }
    }
    return best;
}

static bool default_home(char dst[PATH_MAX])
{
    const char *home = getenv("KEYHOLD_HOME");
    int n;
    if (home != NULL && home[0] != '\0') {
        n = snprintf(dst, PATH_MAX, "%s", home);
    } else if ((home = getenv("XDG_STATE_HOME")) != NULL && home[0] == '/') {
        n = snprintf(dst, PATH_MAX, "%s/keyhold", home);
    } else {
        home = getenv("HOME");
        n = snprintf(dst, PATH_MAX, "%s/.local/state/keyhold", home != NULL ? home : "/root");
    }
    return n > 0 && n < PATH_MAX;
}

static bool make_absolute(char path[PATH_MAX])
{
    if (path[0] == '/')
        return true;
    char cwd[PATH_MAX], joined[PATH_MAX];
    if (getcwd(cwd, sizeof cwd) == NULL || path_join(joined, sizeof joined, cwd, path) != HSM_OK)
        return false;
    memcpy(path, joined, strlen(joined) + 1);
    return true;
}

/* Global options may stand anywhere; they are taken out of argv. */
static bool take_globals(struct cli *c, int *argc, char **argv, const char **ret_pool)
{
    int kept = 0;
    for (int i = 0; i < *argc; i++) {
        bool home = strcmp(argv[i], "--home") == 0;
        bool output = strcmp(argv[i], "-o") == 0 || strcmp(argv[i], "--output") == 0;
        bool pool = strcmp(argv[i], "--pool") == 0;
        if (!home && !output && !pool) {
            argv[kept++] = argv[i];
            continue;
        }
        if (i + 1 == *argc) {
            (void)cli_fail(CLI_USAGE, "%s needs a value", argv[i]);
            return false;
        }
        const char *v = argv[++i];
        if (pool) {
            *ret_pool = v;
        } else if (home) {
            if (snprintf(c->home, sizeof c->home, "%s", v) >= (int)sizeof c->home) {
                (void)cli_fail(CLI_USAGE, "--home: the path is too long");
                return false;
            }
        } else if (strcmp(v, "json") == 0) {
            c->json = true;
        } else if (strcmp(v, "table") != 0) {
            (void)cli_fail(CLI_USAGE, "-o takes json or table, not '%s'", v);
            return false;
        }
    }
    *argc = kept;
    return true;
}

int cli_fail(int status, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)fputs("keyhold: ", stderr);
    (void)vfprintf(stderr, fmt, ap);
    (void)fputc('\n', stderr);
    va_end(ap);
    return status;
}

bool cli_args(struct cli *c, struct arg *table, const char *usage_text, int *ret)
{
    for (int i = 0; i < c->argc; i++) {
        if (strcmp(c->argv[i], "--help") == 0 || strcmp(c->argv[i], "-h") == 0) {
            (void)printf("usage: keyhold %s\n\n", usage_text);
            args_help(table);
            *ret = CLI_OK;
            return false;
        }
    }
    char text[300];
    if (args_parse(table, c->argc, c->argv, text, sizeof text))
        return true;
    *ret = cli_fail(CLI_USAGE, "%s", text);
    return false;
}

int main(int argc, char **argv)
{
    static struct cli c;
    log_init("keyhold", LOG_WARN_L);
    argc--;
    argv++;
    const char *pool = NULL;
    if (!default_home(c.home) || !take_globals(&c, &argc, argv, &pool) || !make_absolute(c.home))
        return CLI_USAGE;
    if (!cli_select_pool(&c, pool))
        return cli_fail(CLI_NOT_FOUND, "there is no pool %s in %s; see `keyhold pool list`", pool,
                        c.home);
    if (argc == 0 || strcmp(argv[0], "help") == 0 || strcmp(argv[0], "--help") == 0) {
        usage("");
        return argc == 0 ? CLI_USAGE : CLI_OK;
    }
    if (strcmp(argv[0], "--version") == 0) {
        (void)printf("keyhold %s\n", KEYHOLD_VERSION);
        return CLI_OK;
    }
    int used = 0;
    const struct cli_command *cmd = find(argc, argv, &used);
    if (cmd == NULL) {
        usage(argv[0]);
        return cli_fail(CLI_USAGE, "no such command: %s%s%s", argv[0], argc > 1 ? " " : "",
                        argc > 1 ? argv[1] : "");
    }
    c.argc = argc - used;
    c.argv = argv + used;
    return cmd->run(&c);
}
