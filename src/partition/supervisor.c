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
#define QUIET_MS  3000u /* for all partitions to finish before the first one leaves */
#define POLL_MS   50
#define POLLS_MAX (3 + PARTITIONS_MAX + COMMAND_CLIENTS_MAX)

/* ---- starting ---- */

hsm_err supervisor_start_unit(struct supervisor *s, enum program program,
                              const struct partition_entry *p, const struct ring_fds *rings,
                              struct unit *u)
{
    int pipe_fd[2] = {-1, -1};
    pid_t pid;
    if (program != PROGRAM_BOUNDARY && !unit_pipe(pipe_fd))
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
    for (unsigned i = 0; i < s->pair_n; i++) {
        pair_look(s, &s->pair[i]);
        pair_start_due(s, &s->pair[i]);
    }
}

/* ---- reporting ---- */

static void say(struct supervisor *s, const char *text)
{
    if (s->report_fd >= 0 && fd_write_all(s->report_fd, text, strlen(text)) != HSM_OK)
        log_warn("nobody waits for reports any more");
}

static void report(struct supervisor *s, const char *text)
{
    if (s->reported)
        return;
    s->reported = true;
    say(s, text);
    if (s->report_fd >= 0 && s->in.role != INSTALLATION_POOL) {
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

/* A node knows how many serve. */
static void tell_count(struct supervisor *s)
{
    char text[32];
    unsigned ready = pairs_ready(s, NULL), n = s->in.config.partition_n;
    if (s->in.role != INSTALLATION_POOL || (s->told == ready && s->told_of == n))
        return;
    s->told = ready;
    s->told_of = n;
    (void)snprintf(text, sizeof text, "serve %u of %u\n", ready, n);
    say(s, text);
}

/* Those that cannot come back count once they are replaced. */
static void check_ready(struct supervisor *s)
{
    tell_count(s);
    if (s->reported)
        return;
    for (unsigned i = 0; i < s->pair_n; i++)
        if (!pair_is_ready(&s->pair[i]))
            return;
    log_info("ready");
    report(s, "ready\n");
}

/* ---- events ---- */

static void reap_one(struct supervisor *s, pid_t pid, int status)
{
    if (operation_is_helper(s, pid, status))
        return;
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
    for (unsigned i = 0; i < s->pair_n; i++) {
        unit_kill_overdue(&s->pair[i].boundary, now);
        unit_kill_overdue(&s->pair[i].gateway, now);
    }
}

/* Gateways first: they drain clients and let the boundaries write their last audit checkpoint, for
 * which a majority must take part: so none closes its store before all have come so far. Then the
 * boundaries are gone by themselves. */
static bool stop_step(struct supervisor *s)
{
    uint64_t now = unit_now_ms();
    bool running = false, quiet = true;
    if (s->stop_at == 0) {
        s->stop_at = now + STOP_MS;
        operation_cancel(s);
    }
    for (unsigned i = 0; i < s->pair_n; i++) {
        pair_stop(&s->pair[i]);
        if (now >= s->stop_at)
            pair_kill(&s->pair[i]);
        running = running || !pair_is_down(&s->pair[i]);
        quiet = quiet && (s->pair[i].gateway.pid == 0 || s->pair[i].gateway.quiet);
    }
    for (unsigned i = 0; i < s->pair_n; i++)
        if (quiet || now + STOP_MS >= s->stop_at + QUIET_MS)
            pair_close(&s->pair[i]);
    return !running;
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
    struct pair *pair[POLLS_MAX];
    struct command_client *client[POLLS_MAX];
    unsigned n;
};

static void polls_add(struct polls *l, int fd, struct pair *p, struct command_client *c)
{
    if (fd < 0)
        return;
    l->p[l->n] = (struct pollfd){.fd = fd, .events = POLLIN};
    l->pair[l->n] = p;
    l->client[l->n++] = c;
}

static void wait_events(struct supervisor *s)
{
    struct polls l = {.n = 0};
    polls_add(&l, s->signals, NULL, NULL);
    polls_add(&l, s->command_fd, NULL, NULL);
    polls_add(&l, s->op.ask.fd, NULL, NULL);
    for (unsigned i = 0; i < s->pair_n; i++)
        polls_add(&l, s->pair[i].gateway.ready_fd, &s->pair[i], NULL);
    for (unsigned i = 0; i < COMMAND_CLIENTS_MAX; i++)
        polls_add(&l, s->client[i].fd, NULL, &s->client[i]);
    if (poll(l.p, l.n, POLL_MS) <= 0)
        return;
    for (unsigned i = 0; i < l.n; i++) {
        if (l.p[i].revents == 0)
            continue;
        if (l.pair[i] != NULL)
            pair_report(s, l.pair[i]);
        else if (l.client[i] != NULL)
            commandd_read(s, l.client[i]);
        else if (l.p[i].fd == s->command_fd)
            commandd_accept(s);
        else if (l.p[i].fd == s->signals)
            on_signals(s);
    }
}

hsm_err supervisor_signals(int *ret)
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
    if (installation_open(&s->in, o->is_pool ? INSTALLATION_POOL : INSTALLATION_ALONE, o->home,
                          o->bindir, text, cap) != HSM_OK ||
        supervisor_signals(&s->signals) != HSM_OK || !commandd_open(s) ||
        snprintf(s->in.door, sizeof s->in.door, "%s", o->door != NULL ? o->door : "") >=
            (int)sizeof s->in.door)
        return false;
    if (o->port != 0)
        s->in.config.port = o->port;
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
