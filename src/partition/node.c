/* The node's loop: door and fabric, the pools' supervisors, waiting for ends and reports, stopping
 * in order. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "partition/node_internal.h"

#define POLL_MS   100
#define POLLS_MAX (4 + NODE_CLIENTS_MAX + NODE_POOLS_MAX)

/* ---- reporting ---- */

static void report(struct node *n, const char *line)
{
    if (n->reported)
        return;
    n->reported = true;
    if (n->report_fd < 0)
        return;
    if (fd_write_all(n->report_fd, line, strlen(line)) != HSM_OK ||
        fd_write_all(n->report_fd, "\n", 1) != HSM_OK)
        log_warn("nobody waits for the readiness report any more");
    if (n->stopping)
        return; /* who waits hears the end when nothing runs any more */
    (void)close(n->report_fd);
    n->report_fd = -1;
}

void node_give_up(struct node *n, const char *text)
{
    if (n->reported)
        return;
    n->status = 1;
    n->stopping = true;
    report(n, text);
}

static bool runs(const struct unit *u)
{
    return u->pid != 0 && u->ready;
}

static void check_ready(struct node *n)
{
    const struct node_pool *first = n->pool[0];
    if (n->reported || !runs(&n->door) || !runs(&n->fabric) || (first->run && !runs(&first->unit)))
        return;
    log_info("ready");
    report(n, "ready");
}

/* ---- door and fabric ---- */

void node_send_door(struct node *n, const char *text)
{
    size_t m = strlen(text);
    if (n->door_fd >= 0 && send(n->door_fd, text, m, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)m)
        log_warn("the door does not take messages: %s", strerror(errno));
}

void node_tell_door(struct node *n, const struct node_pool *p, bool is_there)
{
    char text[64];
    (void)snprintf(text, sizeof text, "%s %s", is_there ? "pool" : "gone", p->name);
    node_send_door(n, text);
}

/* A new door is told which pools there are before it starts. */
static bool open_door_control(struct node *n)
{
    int fd[2];
    if (n->door_fd >= 0)
        (void)close(n->door_fd);
    n->door_fd = -1;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd) != 0)
        return false;
    n->door_fd = fd[0];
    n->in.door_control = fd[1];
    for (unsigned i = 0; i < n->pool_n; i++)
        if (n->pool[i]->run)
            node_tell_door(n, n->pool[i], true);
    node_endpoints_tell(n);
    return true;
}

static void start_due(struct node *n, enum program program, struct unit *u)
{
    int pipe_fd[2];
    pid_t pid;
    if (u->pid != 0 || unit_now_ms() < u->restart_at)
        return;
    hsm_err err = HSM_E_IO;
    bool is_door = program == PROGRAM_DOOR;
    if ((!is_door || open_door_control(n)) && unit_pipe(pipe_fd)) {
        err = installation_start(&n->in, program, NULL, pipe_fd[1], NULL, &pid);
        int saved = errno;
        (void)close(pipe_fd[1]);
        if (err == HSM_OK)
            unit_started(u, pid, pipe_fd[0]);
        else
            (void)close(pipe_fd[0]);
        errno = saved;
    }
    if (is_door && n->in.door_control >= 0) {
        (void)close(n->in.door_control);
        n->in.door_control = -1;
    }
    if (err == HSM_OK)
        return;
    log_error("cannot start %s: %s", u->name, strerror(errno));
    unit_schedule(u);
}

static void note_ready(struct unit *u)
{
    char line[UNIT_LINE_MAX];
    while (unit_line(u, line))
        u->ready = true;
}

static void on_exit_of(struct node *n, struct unit *u, int status)
{
    char text[PATH_MAX + 200];
    unit_gone(u);
    if (n->stopping)
        return;
    if (WIFSIGNALED(status))
        log_warn("%s ended by signal %d", u->name, WTERMSIG(status));
    else
        log_warn("%s ended with status %d", u->name, WEXITSTATUS(status));
    (void)snprintf(text, sizeof text,
                   "error: %s does not stay up; the reason is at the end of %s/log/%s.log", u->name,
                   n->in.home, u->name);
    if (++u->failures >= SUPERVISOR_TRIES_MAX)
        node_give_up(n, text);
    unit_schedule(u); /* fabric and gateways look for a lost door by themselves */
}

/* ---- events ---- */

static void reap(struct node *n)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (n->door.pid == pid)
            on_exit_of(n, &n->door, status);
        if (n->fabric.pid == pid)
            on_exit_of(n, &n->fabric, status);
        for (unsigned i = 0; i < n->pool_n; i++) {
            if (n->pool[i]->unit.pid == pid)
                node_pool_on_exit(n, n->pool[i], status);
            else if (n->pool[i]->helper == pid)
                node_pool_prepared(n, n->pool[i], status);
        }
    }
}

static void step(struct node *n)
{
    start_due(n, PROGRAM_DOOR, &n->door);
    start_due(n, PROGRAM_FABRIC, &n->fabric);
    for (unsigned i = 0; i < n->pool_n; i++)
        node_pool_step(n, n->pool[i]);
    check_ready(n);
}

static void kill_overdue(struct node *n)
{
    uint64_t now = unit_now_ms();
    unit_kill_overdue(&n->door, now);
    unit_kill_overdue(&n->fabric, now);
    for (unsigned i = 0; i < n->pool_n; i++)
        unit_kill_overdue(&n->pool[i]->unit, now);
}

/* Pools first: their gateways drain clients. */
static bool stop_step(struct node *n)
{
    bool running = false;
    for (unsigned i = 0; i < n->pool_n; i++) {
        n->pool[i]->run = false; /* not on disk: the next start begins with what is wanted */
        node_pool_step(n, n->pool[i]);
        running = running || n->pool[i]->unit.pid != 0;
    }
    if (!running) {
        unit_end(&n->fabric, SIGTERM, UNIT_KILL_MS);
        unit_end(&n->door, SIGTERM, UNIT_KILL_MS);
    }
    return !running && n->fabric.pid == 0 && n->door.pid == 0;
}

static void on_signals(struct node *n)
{
    struct signalfd_siginfo si;
    while (read(n->signals, &si, sizeof si) == (ssize_t)sizeof si) {
        if (si.ssi_signo != SIGCHLD) {
            log_info("stopping");
            n->stopping = true;
        }
    }
}

static void wait_events(struct node *n)
{
    static struct pollfd p[POLLS_MAX];
    nfds_t m = 0;
    const int fixed[] = {n->signals, n->command_fd, n->door.ready_fd, n->fabric.ready_fd};
    for (unsigned i = 0; i < 4; i++) /* those below 0 are passed over by poll() */
        p[m++] = (struct pollfd){.fd = fixed[i], .events = POLLIN};
    for (unsigned i = 0; i < NODE_CLIENTS_MAX; i++)
        p[m++] = (struct pollfd){.fd = n->client[i].fd, .events = POLLIN};
    unsigned pools = n->pool_n;
    for (unsigned i = 0; i < pools; i++)
        p[m++] = (struct pollfd){.fd = n->pool[i]->unit.ready_fd, .events = POLLIN};
    if (poll(p, m, POLL_MS) <= 0)
        return;
    if (p[0].revents != 0)
        on_signals(n);
    if (p[2].revents != 0)
        note_ready(&n->door);
    if (p[3].revents != 0)
        note_ready(&n->fabric);
    for (unsigned i = 0; i < pools; i++)
        if (p[4 + NODE_CLIENTS_MAX + i].revents != 0)
            node_pool_report(n, n->pool[i]);
    for (unsigned i = 0; i < NODE_CLIENTS_MAX; i++)
        if (p[4 + i].revents != 0)
            noded_read(n, &n->client[i]); /* may change the list of pools: last */
    if (p[1].revents != 0)
        noded_accept(n);
}

static bool open_all(struct node *n, const struct supervisor_options *o, char *text, size_t cap)
{
    (void)snprintf(text, cap, "a path is too long, or no descriptor is left");
    if (installation_open(&n->in, INSTALLATION_NODE, o->home, o->bindir, text, cap) != HSM_OK ||
        supervisor_signals(&n->signals) != HSM_OK || !noded_open(n) ||
        !node_pools_load(n, text, cap))
        return false;
    node_purge_rest(n);
    node_endpoints_load(n);
    return true;
}

int node_run(const struct supervisor_options *o)
{
    static struct node n;
    char text[600], line[700];
    n.report_fd = o->ready_fd;
    n.command_fd = n.door_fd = n.in.door_control = -1;
    unit_init(&n.door, "door");
    unit_init(&n.fabric, "fabric");
    if (n.report_fd >= 0)
        (void)fcntl(n.report_fd, F_SETFD, FD_CLOEXEC);
    if (!open_all(&n, o, text, sizeof text)) {
        log_error("%s", text);
        (void)snprintf(line, sizeof line, "error: %s", text);
        report(&n, line);
        return 1;
    }
    for (;;) {
        reap(&n);
        kill_overdue(&n);
        if (!n.stopping)
            step(&n);
        else if (stop_step(&n))
            break;
        wait_events(&n);
    }
    report(&n, "error: stopped before it was ready");
    noded_close(&n);
    node_pools_free(&n);
    installation_close(&n.in);
    return n.status;
}
