#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "partition/node_internal.h"

#define POOL_STOP_MS 15000u
#define STATE_FILE   "pool-state"

/* ---- the list ---- */

hsm_err node_pool_path(const struct node *n, const struct node_pool *p, const char *rest,
                       char dst[PATH_MAX])
{
    const char *slash = rest[0] != '\0' ? "/" : "";
    int m = p->is_first ? snprintf(dst, PATH_MAX, "%s%s%s", n->in.home, slash, rest)
                        : snprintf(dst, PATH_MAX, "%s/" HOME_POOLS "/%s%s%s", n->in.home, p->name,
                                   slash, rest);
    return m > 0 && m < PATH_MAX ? HSM_OK : HSM_E_RANGE;
}

struct node_pool *node_pool_find(struct node *n, struct bytes name)
{
    for (unsigned i = 0; i < n->pool_n; i++)
        if (!n->pool[i]->gone && bytes_ieq(name, bytes_str(n->pool[i]->name)))
            return n->pool[i];
    return NULL;
}

static struct node_pool *add(struct node *n, const char *name, bool is_first)
{
    struct node_pool *p = n->pool_n < NODE_POOLS_MAX ? calloc(1, sizeof *p) : NULL;
    if (p == NULL)
        return NULL;
    (void)snprintf(p->name, sizeof p->name, "%s", name);
    p->is_first = is_first;
    unit_init(&p->unit, name);
    n->pool[n->pool_n++] = p;
    return p;
}

struct node_pool *node_pool_add(struct node *n, const char *name)
{
    return add(n, name, false);
}

void node_pool_drop(struct node *n, const struct node_pool *p)
{
    for (unsigned i = 0; i < n->pool_n; i++) {
        if (n->pool[i] != p)
            continue;
        free(n->pool[i]);
        n->pool[i] = n->pool[--n->pool_n];
        return;
    }
}

/* What the last `start` or `stop` left. */
static hsm_err read_wanted(const struct node *n, struct node_pool *p)
{
    char path[PATH_MAX], word[16] = "";
    size_t m = 0;
    TRY(node_pool_path(n, p, HOME_WANTED, path));
    hsm_err err = file_read(path, (uint8_t *)word, sizeof word - 1, &m);
    if (err == HSM_E_IO && errno == ENOENT) {
        p->run = true;
        return HSM_OK;
    }
    TRY(err);
    p->run = bytes_ieq(bytes_of(word, m), bytes_str("run\n"));
    p->gone = p->is_first && bytes_ieq(bytes_of(word, m), bytes_str("gone\n"));
    return p->run || p->gone || bytes_ieq(bytes_of(word, m), bytes_str("stop\n")) ? HSM_OK
                                                                                  : HSM_E_MALFORMED;
}

static hsm_err load(struct node *n, const char *name, bool is_first)
{
    struct node_pool *p = add(n, name, is_first);
    return p != NULL ? read_wanted(n, p) : HSM_E_NOMEM;
}

bool node_pools_load(struct node *n, char *text, size_t cap)
{
    char path[PATH_MAX];
    const struct dirent *e;
    hsm_err err = load(n, n->in.config.name, true);
    if (err != HSM_OK || installation_path(&n->in, path, HOME_POOLS) != HSM_OK) {
        (void)snprintf(text, cap, "%s/" HOME_WANTED " cannot be read: %s", n->in.home,
                       hsm_err_text(err));
        return false;
    }
    DIR *d = opendir(path);
    while (d != NULL && (e = readdir(d)) != NULL) {
        if (!pool_name_valid(e->d_name))
            continue;
        err = load(n, e->d_name, false);
        if (err != HSM_OK) /* it stays stopped, and the others are not held up by it */
            log_error("pool %s cannot be read: %s", e->d_name, hsm_err_text(err));
    }
    if (d != NULL)
        (void)closedir(d);
    return true;
}

void node_pools_free(struct node *n)
{
    for (unsigned i = 0; i < n->pool_n; i++)
        free(n->pool[i]);
    n->pool_n = 0;
}

/* ---- its supervisor ---- */

static hsm_err start(struct node *n, struct node_pool *p)
{
    char home[PATH_MAX], log[PATH_MAX];
    int pipe_fd[2];
    pid_t pid;
    TRY(node_pool_path(n, p, "", home));
    TRY(node_pool_path(n, p, HOME_LOG, log));
    TRY(dir_ensure(log, 0700));
    TRY(node_pool_path(n, p, HOME_LOG "/supervisor.log", log));
    if (!unit_pipe(pipe_fd))
        return HSM_E_IO;
    hsm_err err = installation_start_pool(&n->in, home, p->is_first ? NULL : log, pipe_fd[1], &pid);
    (void)close(pipe_fd[1]);
    if (err == HSM_OK)
        unit_started(&p->unit, pid, pipe_fd[0]);
    else
        (void)close(pipe_fd[0]);
    return err;
}

/* Certificates and what else a pool starts with: by a process that has the CA's key for it. `up`
 * did that for the first one. */
static hsm_err prepare(struct node *n, struct node_pool *p)
{
    char log[PATH_MAX];
    TRY(node_pool_path(n, p, HOME_LOG, log));
    TRY(dir_ensure(log, 0700));
    TRY(node_pool_path(n, p, HOME_LOG "/prepare.log", log));
    return installation_start_prepare(&n->in, p->name, log, &p->helper);
}

void node_pool_prepared(struct node *n, struct node_pool *p, int status)
{
    p->helper = 0;
    p->prepared = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (p->prepared || n->stopping)
        return;
    (void)snprintf(
        p->why, sizeof p->why,
        "its certificates cannot be made; see " HOME_POOLS "/%s/" HOME_LOG "/prepare.log", p->name);
    log_error("pool %s: %s", p->name, p->why);
    unit_schedule(&p->unit);
}

void node_pool_step(struct node *n, struct node_pool *p)
{
    struct unit *u = &p->unit;
    if (!p->run) {
        unit_end(u, SIGTERM, POOL_STOP_MS);
        return;
    }
    if (u->pid != 0 || p->helper != 0 || unit_now_ms() < u->restart_at)
        return;
    hsm_err err = p->is_first || p->prepared ? start(n, p) : prepare(n, p);
    if (err == HSM_OK)
        return;
    (void)snprintf(p->why, sizeof p->why, "it cannot be started: %s", strerror(errno));
    log_error("pool %s cannot be started: %s", p->name, strerror(errno));
    unit_schedule(u);
}

static void failed(struct node *n, struct node_pool *p, const char *line)
{
    const char *why = strncmp(line, "error: ", 7) == 0 ? line + 7 : line;
    (void)snprintf(p->why, sizeof p->why, "%s", why);
    if (p->is_first)
        node_give_up(n, line);
}

void node_pool_report(struct node *n, struct node_pool *p)
{
    char line[UNIT_LINE_MAX];
    while (unit_line(&p->unit, line)) {
        if (sscanf(line, "serve %3u of %3u", &p->ready, &p->partitions) == 2)
            continue;
        p->unit.ready = strcmp(line, "ready") == 0;
        if (p->unit.ready)
            p->why[0] = '\0';
        else if (!n->stopping)
            failed(n, p, line);
    }
}

void node_pool_on_exit(struct node *n, struct node_pool *p, int status)
{
    struct unit *u = &p->unit;
    node_pool_report(n, p);
    bool was_ready = u->ready, by_us = u->ended_by_us;
    unit_gone(u);
    p->ready = 0;
    if (n->stopping || by_us) {
        p->prepared = false;
        unit_schedule_at_once(u);
        return;
    }
    if (WIFSIGNALED(status))
        log_warn("the supervisor of pool %s ended by signal %d", p->name, WTERMSIG(status));
    else
        log_warn("the supervisor of pool %s ended with status %d", p->name, WEXITSTATUS(status));
    if (!was_ready && p->why[0] == '\0')
        failed(n, p, "error: the pool's supervisor does not stay up; see log/supervisor.log");
    unit_schedule(u);
}

/* ---- what is wanted, and what there is ---- */

hsm_err node_pool_want(struct node *n, struct node_pool *p, bool run)
{
    char path[PATH_MAX];
    if (run && p->unit.pid == 0) {
        p->why[0] = '\0';
        unit_schedule_at_once(&p->unit);
    }
    if (p->run == run)
        return HSM_OK;
    TRY(node_pool_path(n, p, HOME_WANTED, path));
    TRY(file_replace(path, bytes_str(run ? "run\n" : "stop\n"), 0600));
    p->run = run;
    node_tell_door(n, p, run);
    log_info("pool %s is %s", p->name, run ? "started" : "stopped");
    return HSM_OK;
}

const char *node_pool_state(const struct node_pool *p)
{
    if (p->unit.pid == 0 && !p->run)
        return "stopped";
    if (!p->run)
        return "stopping";
    return p->unit.ready ? "running" : p->why[0] != '\0' ? "failed" : "starting";
}

static void look_at(const char *run, const char *name, bool *active, bool *made)
{
    char path[PATH_MAX], word[32];
    size_t n = 0;
    if (path_join(path, sizeof path, run, name) != HSM_OK ||
        file_read(path, (uint8_t *)word, sizeof word, &n) != HSM_OK)
        return;
    *active = *active || bytes_ieq(bytes_of(word, n), bytes_str("Active\n"));
    *made = *made || bytes_ieq(bytes_of(word, n), bytes_str("NotActivated\n"));
}

const char *node_pool_activation(const struct node *n, const struct node_pool *p)
{
    char run[PATH_MAX];
    bool active = false, made = false;
    const struct dirent *e;
    DIR *d = node_pool_path(n, p, HOME_RUN, run) == HSM_OK ? opendir(run) : NULL;
    while (d != NULL && (e = readdir(d)) != NULL)
        if (strncmp(e->d_name, STATE_FILE, sizeof STATE_FILE - 1) == 0 &&
            strchr(e->d_name, '.') == NULL)
            look_at(run, e->d_name, &active, &made);
    if (d != NULL)
        (void)closedir(d);
    return active ? "Active" : made ? "NotActivated" : "Unknown";
}
