/* Which pool of the installation a command is about, and what there are. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/partition.h"
#include "cli/pool.h"
#include "partition/node.h"

#define NODE_ASK_S 10

bool cli_first_is_gone(const struct cli *c)
{
    char path[PATH_MAX], word[16] = "";
    size_t n = 0;
    cli_path(c, HOME_WANTED, path);
    return file_read(path, (uint8_t *)word, sizeof word - 1, &n) == HSM_OK &&
           strcmp(word, "gone\n") == 0;
}

static bool names_first(const struct cli *c, const char *name)
{
    static struct partition_config cfg;
    char path[PATH_MAX], text[PATH_MAX + 200];
    cli_path(c, HOME_CONFIG, path);
    return !cli_first_is_gone(c) &&
           partition_config_load(path, &cfg, text, sizeof text) == HSM_OK &&
           bytes_ieq(bytes_str(cfg.name), bytes_str(name));
}

bool cli_select_pool(struct cli *c, const char *name)
{
    char path[PATH_MAX], lower[25] = "";
    if (name == NULL || names_first(c, name)) {
        memcpy(c->pool_home, c->home, strlen(c->home) + 1);
        return true;
    }
    if (!pool_name_valid(name))
        return false;
    for (size_t i = 0; name[i] != '\0'; i++)
        lower[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] - 'A' + 'a' : name[i]);
    const char *const spelled[] = {name, lower};
    for (size_t i = 0; i < 2; i++) {
        if (snprintf(path, sizeof path, "%s/" HOME_POOLS "/%s", c->home, spelled[i]) >=
                (int)sizeof path ||
            access(path, F_OK) != 0)
            continue;
        memcpy(c->pool_home, path, strlen(path) + 1);
        return true;
    }
    return false;
}

/* ---- the list ---- */

bool cli_node_status(const struct cli *c, struct cli_status *ret)
{
    char path[PATH_MAX];
    cli_path(c, HOME_NODE, path);
    return cli_ask(path, "{\"op\":\"status\"}", NODE_ASK_S, ret) && ret->doc.n > 0;
}

static void print_pool(const struct json_doc *d, uint32_t v, const char *label)
{
    char name[32], state[16], activation[32], text[256];
    (void)printf("%-14s%-24s %s, %lld of %lld partitions, %s%s%s\n", label,
                 pool_text(d, v, "name", name, sizeof name),
                 pool_text(d, v, "state", state, sizeof state), (long long)pool_int(d, v, "ready"),
                 (long long)pool_int(d, v, "partitions"),
                 pool_text(d, v, "activation", activation, sizeof activation),
                 pool_text(d, v, "text", text, sizeof text)[0] != '\0' ? ": " : "", text);
}

unsigned cli_print_pools(const struct json_doc *d)
{
    uint32_t list = json_get_nn(d, 0, "pools");
    unsigned n = 0;
    for (uint32_t v = list == JSON_NONE ? JSON_NONE : json_first(d, list); v != JSON_NONE;
         v = json_next(d, list, v))
        print_pool(d, v, n++ == 0 ? "pools" : "");
    return n;
}

int cmd_pool_list(struct cli *c)
{
    static struct cli_status s;
    struct arg args[] = {{.name = NULL}};
    int ret;
    if (!cli_args(c, args, "pool list [-o json]", &ret))
        return ret;
    if (!cli_node_status(c, &s))
        return cli_fail(CLI_NOT_FOUND, "nothing runs in %s; start it with `keyhold up`", c->home);
    if (!c->json) {
        if (cli_print_pools(&s.doc) == 0)
            (void)printf("there is no pool\n");
        return CLI_OK;
    }
    struct bytes list = json_raw(&s.doc, json_get(&s.doc, 0, "pools"));
    (void)printf("%.*s\n", (int)list.n, (const char *)list.p);
    return CLI_OK;
}
