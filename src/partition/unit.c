#include "partition/unit.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"

#define BACKOFF_FIRST_MS 100u
#define BACKOFF_MAX_MS   5000u
#define STABLE_MS        20000u /* a process that ran this long starts afresh with its pauses */

uint64_t unit_now_ms(void)
{
    return clock_mono_us() / 1000;
}

void unit_init(struct unit *u, const char *name)
{
    *u = (struct unit){.ready_fd = -1};
    (void)snprintf(u->name, sizeof u->name, "%s", name);
}

static void close_ready(struct unit *u)
{
    if (u->ready_fd >= 0)
        (void)close(u->ready_fd);
    u->ready_fd = -1;
}

void unit_started(struct unit *u, pid_t pid, int ready_fd)
{
    close_ready(u);
    u->pid = pid;
    u->ready_fd = ready_fd;
    u->ready = ready_fd < 0;
    u->ended_by_us = false;
    u->started = unit_now_ms();
    u->restart_at = u->kill_at = 0;
}

void unit_schedule(struct unit *u)
{
    uint64_t now = unit_now_ms();
    if (u->started != 0 && now - u->started > STABLE_MS)
        u->backoff = 0;
    u->backoff = u->backoff == 0 ? BACKOFF_FIRST_MS : u->backoff * 2;
    if (u->backoff > BACKOFF_MAX_MS)
        u->backoff = BACKOFF_MAX_MS;
    u->restart_at = now + u->backoff;
}

void unit_schedule_at_once(struct unit *u)
{
    u->backoff = 0;
    u->restart_at = 0;
}

void unit_end(struct unit *u, int sig, uint64_t kill_after)
{
    if (u->pid == 0 || (u->kill_at != 0 && sig != SIGKILL))
        return;
    (void)kill(u->pid, sig);
    u->ended_by_us = true;
    u->kill_at = unit_now_ms() + kill_after;
}

void unit_kill_overdue(struct unit *u, uint64_t now)
{
    if (u->pid == 0 || u->kill_at == 0 || now < u->kill_at)
        return;
    (void)kill(u->pid, SIGKILL);
    u->kill_at = now + UNIT_KILL_MS;
}

void unit_read_ready(struct unit *u)
{
    char buf[64];
    ssize_t n = read(u->ready_fd, buf, sizeof buf);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    close_ready(u);
    u->ready = n > 0;
}

void unit_gone(struct unit *u)
{
    close_ready(u);
    u->pid = 0;
    u->ready = false;
    u->kill_at = 0;
}
