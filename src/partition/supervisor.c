/* The supervisor's loop: starts what is due, waits for ends and readiness, stops in order. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "partition/supervisor_internal.h"

#define STOP_MS   10000u
#define POLL_MS   50
#define POLLS_MAX (6 + PARTITIONS_MAX + COMMAND_CLIENTS_MAX)

/* ---- starting ---- */

hsm_err supervisor_start_unit(struct supervisor *s, enum program program,
                              const struct partition_entry *p, const struct ring_fds *rings,
                              struct unit *u)
{
    int pipe_fd[2] = {-1, -1};
    pid_t pid;
    if (program != PROGRAM_BOUNDARY && pipe2(pipe_fd, O_CLOEXEC) != 0)
        return HSM_E_IO;
    hsm_err err = installation_start(&s->in, program, p, pipe_fd[1], rings, &pid);
    int saved = errno;
    if (pipe_fd[1] >= 0)
        (void)close(pipe_fd[1]);
    if (err == HSM_OK) {
        unit_started(u, pid, pipe_fd[0]);
        return HSM_OK;
    }
    if (pipe_fd[0] >= 0)
        (void)close(pipe_fd[0]);
    log_error("cannot start %s: %s", u->name, strerror(saved));
    return err;
}

static void start_due(struct supervisor *s)
{
    uint64_t now = unit_now_ms();
    struct unit *door = &s->door, *fabric = &s->fabric;
    bool has_fabric = !s->in.config.no_fabric;
    if (has_fabric && door->pid == 0 && now >= door->restart_at &&
        supervisor_start_unit(s, PROGRAM_DOOR, NULL, NULL, door) != HSM_OK)
        unit_schedule(door);
    if (has_fabric && fabric->pid == 0 && now >= fabric->restart_at &&
        supervisor_start_unit(s, PROGRAM_FABRIC, NULL, NULL, fabric) != HSM_OK)
        unit_schedule(fabric);
    for (unsigned i = 0; i < s->pair_n; i++) {
        pair_look(s, &s->pair[i]);
        pair_start_due(s, &s->pair[i]);
    }
}

/* ---- reporting ---- */

static void report(struct supervisor *s, const char *text)
{
    if (s->reported)
        return;
    s->reported = true;
    if (s->report_fd >= 0) {
        if (fd_write_all(s->report_fd, text, strlen(text)) != HSM_OK)
            log_warn("nobody waits for the readiness report any more");
        (void)close(s->report_fd);
        s->report_fd = -1;
    }
}

void supervisor_give_up(struct supervisor *s, const char *unit_name)
{
    char text[PATH_MAX + 200];
    (void)snprintf(text, sizeof text,
                   "error: %s does not stay up; the reason is at the end of %s/log/%s.log\n",
                   unit_name, s->in.home, unit_name);
    report(s, text);
    s->status = 1;
    s->stopping = true;
}

static bool runs(const struct unit *u)
{
    return u->pid != 0 && u->ready;
}

/* Those that cannot come back count once they are replaced. */
static void check_ready(struct supervisor *s)
{
    if (s->reported || (!s->in.config.no_fabric && (!runs(&s->door) || !runs(&s->fabric))))
        return;
    for (unsigned i = 0; i < s->pair_n; i++)
        if (!pair_is_ready(&s->pair[i]))
            return;
    log_info("ready");
    report(s, "ready\n");
}

/* ---- events ---- */

static void on_exit_of(struct supervisor *s, struct unit *u, int status)
{
    unit_gone(u);
    if (s->stopping)
        return;
    if (WIFSIGNALED(status))
        log_warn("%s ended by signal %d", u->name, WTERMSIG(status));
    else
        log_warn("%s ended with status %d", u->name, WEXITSTATUS(status));
    if (++u->failures >= SUPERVISOR_TRIES_MAX && !s->reported)
        supervisor_give_up(s, u->name);
    unit_schedule(u); /* fabric and gateways look for a lost door by themselves */
}

static void reap_one(struct supervisor *s, pid_t pid, int status)
{
    if (operation_is_helper(s, pid, status))
        return;
    if (s->door.pid == pid)
        on_exit_of(s, &s->door, status);
    if (s->fabric.pid == pid)
        on_exit_of(s, &s->fabric, status);
    for (unsigned i = 0; i < s->pair_n; i++) {
        struct pair *p = &s->pair[i];
        if (p->boundary.pid == pid)
            pair_on_exit(s, p, &p->boundary, status);
        else if (p->gateway.pid == pid)
            pair_on_exit(s, p, &p->gateway, status);
    }
}

static void reap(struct supervisor *s)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        reap_one(s, pid, status);
}

static void kill_overdue(struct supervisor *s)
{
    uint64_t now = unit_now_ms();
    unit_kill_overdue(&s->door, now);
    unit_kill_overdue(&s->fabric, now);
    for (unsigned i = 0; i < s->pair_n; i++) {
        unit_kill_overdue(&s->pair[i].boundary, now);
        unit_kill_overdue(&s->pair[i].gateway, now);
    }
}

/* Gateways first: they drain clients, close the store and let the boundaries write their last audit
 * checkpoint; then the boundaries are gone by themselves. */
static bool stop_step(struct supervisor *s)
{
    uint64_t now = unit_now_ms();
    bool serving = false, running = false;
    if (s->stop_at == 0) {
        s->stop_at = now + STOP_MS;
        operation_cancel(s);
    }
    for (unsigned i = 0; i < s->pair_n; i++) {
        pair_stop(&s->pair[i]);
        if (now >= s->stop_at)
            pair_kill(&s->pair[i]);
        serving = serving || s->pair[i].gateway.pid != 0;
        running = running || !pair_is_down(&s->pair[i]);
    }
    if (!serving) {
        unit_end(&s->fabric, SIGTERM, UNIT_KILL_MS);
        unit_end(&s->door, SIGTERM, UNIT_KILL_MS);
    }
    return !running && s->fabric.pid == 0 && s->door.pid == 0;
}

static void on_signals(struct supervisor *s)
{
    struct signalfd_siginfo si;
    while (read(s->signals, &si, sizeof si) == (ssize_t)sizeof si) {
        if (si.ssi_signo != SIGCHLD) {
            log_info("stopping");
            s->stopping = true;
        }
    }
}

struct polls {
    struct pollfd p[POLLS_MAX];
    struct unit *unit[POLLS_MAX];
    struct command_client *client[POLLS_MAX];
    unsigned n;
};

static void polls_add(struct polls *l, int fd, struct unit *u, struct command_client *c)
{
    if (fd < 0)
        return;
    l->p[l->n] = (struct pollfd){.fd = fd, .events = POLLIN};
    l->unit[l->n] = u;
    l->client[l->n++] = c;
}

static void wait_events(struct supervisor *s)
{
    struct polls l = {.n = 0};
    polls_add(&l, s->signals, NULL, NULL);
    polls_add(&l, s->command_fd, NULL, NULL);
    polls_add(&l, s->door.ready_fd, &s->door, NULL);
    polls_add(&l, s->fabric.ready_fd, &s->fabric, NULL);
    polls_add(&l, s->op.ask.fd, NULL, NULL);
    for (unsigned i = 0; i < s->pair_n; i++)
        polls_add(&l, s->pair[i].gateway.ready_fd, &s->pair[i].gateway, NULL);
    for (unsigned i = 0; i < COMMAND_CLIENTS_MAX; i++)
        polls_add(&l, s->client[i].fd, NULL, &s->client[i]);
    if (poll(l.p, l.n, POLL_MS) <= 0)
        return;
    for (unsigned i = 0; i < l.n; i++) {
        if (l.p[i].revents == 0)
            continue;
        if (l.unit[i] != NULL)
            unit_read_ready(l.unit[i]);
        else if (l.client[i] != NULL)
            commandd_read(s, l.client[i]);
        else if (l.p[i].fd == s->command_fd)
            commandd_accept(s);
        else if (l.p[i].fd == s->signals)
            on_signals(s);
    }
}

static hsm_err take_signals(int *ret)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGCHLD);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
        return HSM_E_IO;
    *ret = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return *ret >= 0 ? HSM_OK : HSM_E_IO;
}

static bool open_all(struct supervisor *s, const struct supervisor_options *o, char *text,
                     size_t cap)
{
    (void)snprintf(text, cap, "a path is too long, or no descriptor is left");
    if (installation_open(&s->in, o->home, o->bindir, text, cap) != HSM_OK ||
        take_signals(&s->signals) != HSM_OK || !commandd_open(s))
        return false;
    for (unsigned i = 0; i < s->in.config.partition_n; i++) {
        const struct partition_entry *e = &s->in.config.partition[i];
        if (e->remote)
            continue;
        if (pair_add(s, e->number) == NULL ||
            (!e->joined && installation_make_directory(&s->in, e->number) != HSM_OK))
            return false;
    }
    return true;
}

static void step(struct supervisor *s)
{
    start_due(s);
    operation_step(s);
    healing_step(s);
    check_ready(s);
}

int supervisor_run(const struct supervisor_options *o)
{
    static struct supervisor s;
    char text[600];
    s.report_fd = o->ready_fd;
    s.command_fd = -1;
    unit_init(&s.door, "door");
    unit_init(&s.fabric, "fabric");
    operation_init(&s.op);
    if (s.report_fd >= 0)
        (void)fcntl(s.report_fd, F_SETFD, FD_CLOEXEC);
    if (!open_all(&s, o, text, sizeof text)) {
        log_error("%s", text);
        char line[700];
        (void)snprintf(line, sizeof line, "error: %s\n", text);
        report(&s, line);
        return 1;
    }
    for (;;) {
        reap(&s);
        kill_overdue(&s);
        if (s.stopping) {
            if (stop_step(&s))
                break;
        } else {
            step(&s);
        }
        wait_events(&s);
    }
    report(&s, "error: stopped before it was ready\n");
    commandd_close(&s);
    installation_close(&s.in);
    return s.status;
}
