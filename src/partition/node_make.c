/* Making a pool: its directory with what it is made of. The certificates come when it starts. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/file.h"
#include "partition/node_internal.h"
#include "partition/pool_request.h"
#include "partition/tree.h"

#define ROOTS_MAX  16384
#define MADE       "made.json" /* the request, so that the same one again is no conflict */
#define SOCKET_OF  "/" HOME_POOLS "/%s/run/gateway-%u.sock.cmd"
#define PORT_TRIES 50

static bool is_taken(const struct partition_config *c, const struct partition_config *other)
{
    for (unsigned i = 0; i < c->partition_n; i++)
        for (unsigned k = 0; k < other->partition_n; k++)
            if (c->partition[i].peer[0] != '\0' &&
                strcmp(c->partition[i].peer, other->partition[k].peer) == 0)
                return true;
    return false;
}

/* Ports of pools that do not run seem to be free. */
static bool has_ports_of_others(const struct node *n, const struct partition_config *c)
{
    static struct partition_config other;
    char path[PATH_MAX], text[PATH_MAX + 200];
    for (unsigned i = 0; i < n->pool_n; i++)
        if (node_pool_path(n, n->pool[i], HOME_CONFIG, path) == HSM_OK &&
            partition_config_load(path, &other, text, sizeof text) == HSM_OK && is_taken(c, &other))
            return true;
    return false;
}

static hsm_err try_config(const struct node *n, const char *name, const struct pool_request *r,
                          struct partition_config *c)
{
    unsigned number;
    *c = (struct partition_config){.port = n->in.config.port,
                                   .metrics_port = CONFIG_NO_METRICS,
                                   .partition_n = 1,
                                   .next_partition = 1};
    (void)snprintf(c->name, sizeof c->name, "%s", name);
    memcpy(c->tenant, r->tenant, sizeof c->tenant);
    memcpy(c->region, r->region, sizeof c->region);
    /* One installation has one way to seal, and to show what a partition is. */
    memcpy(c->seal, n->in.config.seal, sizeof c->seal);
    memcpy(c->evidence, n->in.config.evidence, sizeof c->evidence);
    while (c->partition_n < r->partition_n)
        TRY(partition_config_add(c, &number));
    for (unsigned i = 0; i < r->partition_n; i++)
        memcpy(c->partition[i].rack, r->rack[i], sizeof c->partition[i].rack);
    return HSM_OK;
}

static hsm_err make_config(const struct node *n, const char *name, const struct pool_request *r,
                           struct partition_config *c)
{
    for (unsigned i = 0; i < PORT_TRIES; i++) {
        TRY(try_config(n, name, r, c));
        if (!has_ports_of_others(n, c))
            return HSM_OK;
    }
    return HSM_E_RANGE;
}

static hsm_err write_files(const struct node *n, const char *dir, const char *name,
                           struct pool_request *r, struct bytes made)
{
    static struct partition_config c;
    static uint8_t roots[ROOTS_MAX];
    char path[PATH_MAX], text[PATH_MAX + 200];
    size_t roots_n;
    TRY(make_config(n, name, r, &c));
    TRY(path_join(path, sizeof path, n->in.home, HOME_PKI "/ca.pem"));
    TRY(file_read(path, roots, sizeof roots, &roots_n));
    r->file.name = name;
    r->file.tenant = r->tenant;
    r->file.port = n->in.config.port;
    r->file.roots = bytes_of(roots, roots_n);
    TRY(dir_ensure(dir, 0700));
    TRY(path_join(path, sizeof path, dir, HOME_POOL_INIT));
    TRY(pool_file_store(path, &r->file));
    TRY(path_join(path, sizeof path, dir, HOME_CONFIG));
    TRY(partition_config_store(path, &c, text, sizeof text));
    TRY(path_join(path, sizeof path, dir, MADE));
    TRY(file_replace(path, made, 0600));
    TRY(path_join(path, sizeof path, dir, HOME_WANTED));
    return file_replace(path, bytes_str("stop\n"), 0600);
}

/* All of it, or nothing: what a crash leaves has another name. */
static hsm_err write_pool(const struct node *n, const char *name, struct pool_request *r,
                          struct bytes made)
{
    char fresh[PATH_MAX], to[PATH_MAX];
    TRY(installation_path(&n->in, fresh, HOME_POOLS "/" NODE_FRESH "%s", name));
    TRY(installation_path(&n->in, to, HOME_POOLS "/%s", name));
    TRY(tree_remove(fresh));
    TRY(write_files(n, fresh, name, r, made));
    return file_adopt(fresh, to);
}

static bool is_equal(const struct node *n, const struct node_pool *p, struct bytes made)
{
    static uint8_t buf[NODE_LINE_MAX];
    char path[PATH_MAX];
    size_t m;
    return !p->is_first && node_pool_path(n, p, MADE, path) == HSM_OK &&
           file_read(path, buf, sizeof buf, &m) == HSM_OK && bytes_eq(bytes_of(buf, m), made);
}

static bool name_fits(const struct node *n, const char *name)
{
    char path[PATH_MAX + 100];
    const struct sockaddr_un a;
    return snprintf(path, sizeof path, "%s" SOCKET_OF, n->in.home, name, 999u) <
           (int)sizeof a.sun_path;
}

const char *node_make(struct node *n, const struct json_doc *d, struct bytes name_text, char *text,
                      size_t cap)
{
    struct pool_request r;
    char name[25] = "";
    uint32_t v = json_get_nn(d, 0, "pool");
    if (name_text.n >= sizeof name) {
        (void)snprintf(text, cap, "the name is too long");
        return "bad";
    }
    memcpy(name, name_text.p, name_text.n);
    if (!pool_name_valid(name)) {
        (void)snprintf(text, cap, "the name is not 3 to 24 letters, digits and single hyphens");
        return "bad";
    }
    if (pool_request_parse(d, v, &r, text, cap) != HSM_OK)
        return "bad";
    const struct node_pool *p = node_pool_find(n, name_text);
    if (p != NULL && is_equal(n, p, json_raw(d, v)))
        return NULL;
    if (p != NULL) {
        (void)snprintf(text, cap, "there is a pool of that name already");
        return "conflict";
    }
    if (!name_fits(n, name) || n->pool_n == NODE_POOLS_MAX) {
        (void)snprintf(
            text, cap,
            n->pool_n == NODE_POOLS_MAX
                ? "this node has no room for another pool"
                : "the path of the home directory is too long for another pool's sockets");
        return "failed";
    }
    hsm_err err = write_pool(n, name, &r, json_raw(d, v));
    if (err == HSM_OK && node_pool_add(n, name) != NULL)
        return NULL;
    (void)snprintf(text, cap, "the pool cannot be made: %s", hsm_err_text(err));
    return "failed";
}
