#include "partition/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
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

bool unit_pipe(int ret[2])
{
    if (pipe2(ret, O_CLOEXEC) != 0)
        return false;
    if (fcntl(ret[0], F_SETFL, O_NONBLOCK) == 0)
        return true;
    (void)close(ret[0]);
    (void)close(ret[1]);
    return false;
}

void unit_started(struct unit *u, pid_t pid, int ready_fd)
{
    close_ready(u);
    u->pid = pid;
    u->ready_fd = ready_fd;
    u->said_n = 0;
    u->ready = ready_fd < 0;
    u->quiet = u->ended_by_us = false;
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

static bool take_line(struct unit *u, char dst[UNIT_LINE_MAX])
{
    const char *end = memchr(u->said, '\n', u->said_n);
    if (end == NULL)
        return false;
    size_t n = (size_t)(end - u->said);
    memcpy(dst, u->said, n);
    dst[n] = '\0';
    u->said_n -= n + 1;
    memmove(u->said, end + 1, u->said_n);
    return true;
}

bool unit_line(struct unit *u, char dst[UNIT_LINE_MAX])
{
    while (!take_line(u, dst)) {
        if (u->ready_fd < 0)
            return false;
        ssize_t n = read(u->ready_fd, u->said + u->said_n, sizeof u->said - u->said_n);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            return false;
        if (n <= 0) /* its end, or a line without one */
            close_ready(u);
        u->said_n += n > 0 ? (size_t)n : 0;
    }
    return true;
}

void unit_gone(struct unit *u)
{
    close_ready(u);
    u->pid = 0;
    u->ready = u->quiet = false;
    u->kill_at = 0;
}
