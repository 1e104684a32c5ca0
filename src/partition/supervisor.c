#include "partition/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "partition/commands.h"

#define BACKOFF_FIRST_MS 100u
#define BACKOFF_MAX_MS   5000u
#define STABLE_MS        20000u /* a process that ran this long starts afresh with its pauses */
#define TRIES_MAX        6u     /* failures before the first readiness that end the start */
#define STOP_MS          10000u
#define KILL_MS          2000u

struct unit {
    const char *name;
    pid_t pid;    /* 0: not running */
    int ready_fd; /* read end until it reported; -1 then */
    bool ready;
    uint64_t started, restart_at, kill_at;
    unsigned backoff, failures;
};

struct supervisor {
    struct installation in;
    struct unit unit[UNIT__COUNT];
    int signals;
    int report_fd;
    bool reported, stopping;
    uint64_t stop_at;
    int status;
};

static uint64_t now_ms(void)
{
    return clock_mono_us() / 1000;
}

/* ---- starting ---- */

static hsm_err start_unit(struct supervisor *s, enum unit_id id, const struct ring_fds *rings)
{
    struct unit *u = &s->unit[id];
    int pipe_fd[2] = {-1, -1};
    if (id != UNIT_BOUNDARY && pipe2(pipe_fd, O_CLOEXEC) != 0)
        return HSM_E_IO;
    hsm_err err = installation_start(&s->in, id, pipe_fd[1], rings, &u->pid);
    int saved = errno;
    if (pipe_fd[1] >= 0)
        (void)close(pipe_fd[1]);
    if (err != HSM_OK) {
        if (pipe_fd[0] >= 0)
            (void)close(pipe_fd[0]);
        u->pid = 0;
        log_error("cannot start %s: %s", u->name, strerror(saved));
        return err;
    }
    if (u->ready_fd >= 0)
        (void)close(u->ready_fd);
    u->ready_fd = pipe_fd[0];
    u->ready = id == UNIT_BOUNDARY;
    u->started = now_ms();
    u->restart_at = u->kill_at = 0;
    return HSM_OK;
}

static void schedule(struct unit *u)
{
    uint64_t now = now_ms();
    if (u->started != 0 && now - u->started > STABLE_MS)
        u->backoff = 0;
    u->backoff = u->backoff == 0 ? BACKOFF_FIRST_MS : u->backoff * 2;
    if (u->backoff > BACKOFF_MAX_MS)
        u->backoff = BACKOFF_MAX_MS;
    u->restart_at = now + u->backoff;
}

/* Boundary and gateway get rings of their own at every start: nothing of an earlier life is left
 * in shared memory. */
static void start_partition(struct supervisor *s)
{
    struct ring_fds rings;
    hsm_err err = ring_fds_create(installation_loops(&s->in), &rings);
    if (err == HSM_OK) {
        err = start_unit(s, UNIT_BOUNDARY, &rings);
        if (err == HSM_OK)
            err = start_unit(s, UNIT_GATEWAY, &rings);
        ring_fds_close(&rings);
    }
    if (err == HSM_OK)
        return;
    if (s->unit[UNIT_BOUNDARY].pid > 0)
        (void)kill(s->unit[UNIT_BOUNDARY].pid, SIGKILL);
    schedule(&s->unit[UNIT_BOUNDARY]);
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

static void note_failure(struct supervisor *s, struct unit *u)
{
    u->failures++;
    if (s->reported || u->failures < TRIES_MAX)
        return;
    char text[PATH_MAX + 200];
    (void)snprintf(text, sizeof text,
                   "error: %s does not stay up; the reason is at the end of %s/log/%s.log\n",
                   u->name, s->in.home, u->name);
    report(s, text);
    s->status = 1;
    s->stopping = true;
}

static void check_ready(struct supervisor *s)
{
    for (unsigned i = 0; i < UNIT__COUNT; i++)
        if (!s->unit[i].ready || s->unit[i].pid == 0)
            return;
    if (!s->reported)
        log_info("ready");
    report(s, "ready\n");
}

/* ---- events ---- */

static void end_unit(struct unit *u, int sig, uint64_t kill_after)
{
    if (u->pid == 0 || (u->kill_at != 0 && sig != SIGKILL))
        return;
    (void)kill(u->pid, sig);
    u->kill_at = now_ms() + kill_after;
}

static void on_exit_of(struct supervisor *s, enum unit_id id, int status)
{
    struct unit *u = &s->unit[id];
    u->pid = 0;
    u->ready = false;
    u->kill_at = 0;
    if (s->stopping)
        return;
    if (WIFSIGNALED(status))
        log_warn("%s ended by signal %d", u->name, WTERMSIG(status));
    else
        log_warn("%s ended with status %d", u->name, WEXITSTATUS(status));
    note_failure(s, u);
    if (id == UNIT_BOUNDARY || id == UNIT_GATEWAY) {
        struct unit *other = &s->unit[id == UNIT_BOUNDARY ? UNIT_GATEWAY : UNIT_BOUNDARY];
        end_unit(other, SIGKILL, KILL_MS);
        if (other->pid == 0)
            schedule(&s->unit[UNIT_BOUNDARY]);
        return;
    }
    schedule(u); /* fabric and gateway look for a lost door by themselves */
}

static void reap(struct supervisor *s)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        for (unsigned i = 0; i < UNIT__COUNT; i++)
            if (s->unit[i].pid == pid)
                on_exit_of(s, i, status);
}

static void on_ready_fd(struct supervisor *s, enum unit_id id)
{
    struct unit *u = &s->unit[id];
    char buf[64];
    ssize_t n = read(u->ready_fd, buf, sizeof buf);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    (void)close(u->ready_fd);
    u->ready_fd = -1;
    u->ready = n > 0;
}

static void start_due(struct supervisor *s)
{
    uint64_t now = now_ms();
    struct unit *door = &s->unit[UNIT_DOOR];
    struct unit *fabric = &s->unit[UNIT_FABRIC];
    struct unit *boundary = &s->unit[UNIT_BOUNDARY];
    if (door->pid == 0 && now >= door->restart_at && start_unit(s, UNIT_DOOR, NULL) != HSM_OK)
        schedule(door);
    if (fabric->pid == 0 && now >= fabric->restart_at && start_unit(s, UNIT_FABRIC, NULL) != HSM_OK)
        schedule(fabric);
    if (boundary->pid == 0 && s->unit[UNIT_GATEWAY].pid == 0 && now >= boundary->restart_at)
        start_partition(s);
}

static void kill_overdue(struct supervisor *s)
{
    uint64_t now = now_ms();
    for (unsigned i = 0; i < UNIT__COUNT; i++) {
        struct unit *u = &s->unit[i];
        if (u->pid != 0 && u->kill_at != 0 && now >= u->kill_at) {
            (void)kill(u->pid, SIGKILL);
            u->kill_at = now + KILL_MS;
        }
    }
}

/* Gateway first: it drains clients, closes the store and lets the boundary write its last audit
 * checkpoint; then the boundary is gone by itself. */
static bool stop_step(struct supervisor *s)
{
    uint64_t now = now_ms();
    if (s->stop_at == 0) {
        s->stop_at = now + STOP_MS;
        end_unit(&s->unit[UNIT_GATEWAY], SIGTERM, STOP_MS);
    }
    if (s->unit[UNIT_GATEWAY].pid == 0) {
        end_unit(&s->unit[UNIT_BOUNDARY], SIGTERM, KILL_MS);
        end_unit(&s->unit[UNIT_FABRIC], SIGTERM, KILL_MS);
        end_unit(&s->unit[UNIT_DOOR], SIGTERM, KILL_MS);
    }
    bool running = false;
    for (unsigned i = 0; i < UNIT__COUNT; i++) {
        if (now >= s->stop_at)
            end_unit(&s->unit[i], SIGKILL, KILL_MS);
        running = running || s->unit[i].pid != 0;
    }
    return !running;
}

static void wait_events(struct supervisor *s)
{
    struct pollfd p[1 + UNIT__COUNT] = {{.fd = s->signals, .events = POLLIN}};
    for (unsigned i = 0; i < UNIT__COUNT; i++)
        p[1 + i] = (struct pollfd){.fd = s->unit[i].ready_fd, .events = POLLIN};
    if (poll(p, 1 + UNIT__COUNT, 50) <= 0)
        return;
    for (unsigned i = 0; i < UNIT__COUNT; i++)
        if (p[1 + i].revents != 0)
            on_ready_fd(s, i);
    struct signalfd_siginfo si;
    while (p[0].revents != 0 && read(s->signals, &si, sizeof si) == (ssize_t)sizeof si) {
        if (si.ssi_signo != SIGCHLD) {
            log_info("stopping");
            s->stopping = true;
        }
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

int supervisor_run(const struct supervisor_options *o)
{
    static const char *const names[UNIT__COUNT] = {
        [UNIT_DOOR] = "door",
        [UNIT_FABRIC] = "fabric",
        [UNIT_BOUNDARY] = "boundary",
        [UNIT_GATEWAY] = "gateway",
    };
    struct supervisor s = {.report_fd = o->ready_fd};
    char text[600] = "a path is too long, or no descriptor is left";
    for (unsigned i = 0; i < UNIT__COUNT; i++)
        s.unit[i] = (struct unit){.name = names[i], .ready_fd = -1};
    if (s.report_fd >= 0)
        (void)fcntl(s.report_fd, F_SETFD, FD_CLOEXEC);
    if (installation_open(&s.in, o->home, o->bindir, text, sizeof text) != HSM_OK ||
        take_signals(&s.signals) != HSM_OK) {
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
            start_due(&s);
            check_ready(&s);
        }
        wait_events(&s);
    }
    report(&s, "error: stopped before it was ready\n");
    installation_close(&s.in);
    return s.status;
}
