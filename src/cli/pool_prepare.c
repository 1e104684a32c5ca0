/* keyhold pool prepare NAME: what a further pool of the installation starts with, as far as it is
 * missing. The node runs it before it starts the pool. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "cli/partition.h"
#include "fabric/identity/pki.h"
#include "partition/node.h"

static bool certificates(const struct cli *c, const char *name)
{
    char ca[PATH_MAX], dir[PATH_MAX], text[PATH_MAX + 200] = "", lower[25] = "", local[80],
                                                      public[80];
    const char *const names[] = {local, public};
    for (size_t i = 0; name[i] != '\0'; i++)
        lower[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] - 'A' + 'a' : name[i]);
    (void)snprintf(local, sizeof local, "%s.managedhsm.localhost", lower);
    (void)snprintf(public, sizeof public, "%s.managedhsm.azure.net", lower);
    cli_path(c, HOME_PKI, ca);
    cli_pool_path(c, HOME_PKI, dir);
    if (dir_ensure(dir, 0700) == HSM_OK &&
        pki_ensure_pool(ca, dir, names, 2, clock_now_ms(), text, sizeof text) == HSM_OK)
        return true;
    (void)cli_fail(CLI_FAILED, "certificates: %s", text[0] != '\0' ? text : strerror(errno));
    return false;
}

int cmd_pool_prepare(struct cli *c)
{
    struct partition_config cfg;
    struct arg args[] = {{.name = NULL}};
    const char *name = c->argc > 0 ? c->argv[0] : "";
    int ret;
    if (c->argc > 0 && name[0] != '-') {
        c->argc--;
        c->argv++;
    }
    if (!cli_args(c, args, "pool prepare NAME", &ret))
        return ret;
    if (!cli_select_pool(c, name) || strcmp(c->home, c->pool_home) == 0)
        return cli_fail(CLI_NOT_FOUND, "there is no further pool of that name in %s", c->home);
    if (!cli_config(c, &cfg) || !certificates(c, cfg.name))
        return CLI_FAILED;
    return partitions_prepare(c, &cfg);
}
