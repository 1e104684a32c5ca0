/* Destroying a pool. Whatever a crash leaves of it is found at the next start, and nowhere used. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "partition/node_internal.h"
#include "partition/tree.h"

/* ---- the first pool: its home is that of the installation ---- */

static bool belongs_to_first(const char *name)
{
    static const char *const names[] = {HOME_REMOVED,  HOME_ADMISSION,  HOME_POOL_INIT,
                                        HOME_SETTINGS, "audit-key.pem", HOME_NETWORK};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return strncmp(name, "partition-", 10) == 0;
}

static bool belongs_to_first_run(const char *name)
{
    return strncmp(name, "gateway-", 8) == 0 || strncmp(name, "pool-state", 10) == 0;
}

static hsm_err remove_those(const struct node *n, const char *dir, bool (*belongs)(const char *))
{
    char path[PATH_MAX], full[PATH_MAX];
    const struct dirent *e;
    hsm_err err = HSM_OK;
    TRY(installation_path(&n->in, path, "%s", dir));
    DIR *d = opendir(path);
    while (d != NULL && err == HSM_OK && (e = readdir(d)) != NULL) {
        if (!belongs(e->d_name))
            continue;
        err = path_join(full, sizeof full, path, e->d_name);
        if (err == HSM_OK)
            err = tree_remove(full);
    }
    if (d != NULL)
        (void)closedir(d);
    return err;
}

static hsm_err remove_first(const struct node *n)
{
    TRY(remove_those(n, ".", belongs_to_first));
    return remove_those(n, HOME_RUN, belongs_to_first_run);
}

/* ---- others ---- */

static hsm_err remove_other(struct node *n, const struct node_pool *p)
{
    char from[PATH_MAX], to[PATH_MAX];
    TRY(node_pool_path(n, p, "", from));
    TRY(installation_path(&n->in, to, HOME_POOLS "/" NODE_PURGED "%s", p->name));
    TRY(tree_remove(to));
    TRY(file_adopt(from, to));
    node_pool_drop(n, p);
    return tree_remove(to);
}

const char *node_purge(struct node *n, struct node_pool *p, char *text, size_t cap)
{
    char path[PATH_MAX];
    if (p == NULL)
        return NULL; /* it is done */
    if (p->run) {
        (void)snprintf(text, cap, "the pool is to be stopped first");
        return "conflict";
    }
    if (p->unit.pid != 0 || p->helper != 0) {
        (void)snprintf(text, cap, "the pool is stopping");
        return "busy";
    }
    log_info("pool %s is destroyed", p->name);
    hsm_err err;
    if (p->is_first) {
        err = node_pool_path(n, p, HOME_WANTED, path);
        if (err == HSM_OK)
            err = file_replace(path, bytes_str("gone\n"), 0600);
        if (err == HSM_OK) {
            p->gone = true;
            err = remove_first(n);
        }
    } else {
        err = remove_other(n, p);
    }
    if (err == HSM_OK)
        return NULL;
    (void)snprintf(text, cap, "what the pool had cannot be removed: %s", strerror(errno));
    log_error("%s", text);
    return "failed";
}

void node_purge_rest(struct node *n)
{
    char path[PATH_MAX], full[PATH_MAX];
    const struct dirent *e;
    if (n->pool[0]->gone && remove_first(n) != HSM_OK)
        log_error("what the first pool had cannot be removed: %s", strerror(errno));
    DIR *d = installation_path(&n->in, path, HOME_POOLS) == HSM_OK ? opendir(path) : NULL;
    while (d != NULL && (e = readdir(d)) != NULL) {
        bool is_rest = strncmp(e->d_name, NODE_PURGED, sizeof NODE_PURGED - 1) == 0 ||
                       strncmp(e->d_name, NODE_FRESH, sizeof NODE_FRESH - 1) == 0;
        if (is_rest && (path_join(full, sizeof full, path, e->d_name) != HSM_OK ||
                        tree_remove(full) != HSM_OK))
            log_error("%s/%s cannot be removed: %s", path, e->d_name, strerror(errno));
    }
    if (d != NULL)
        (void)closedir(d);
}
