/* One process that the supervisor keeps running: its state between start and end. */
#ifndef PARTITION_UNIT_H
#define PARTITION_UNIT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define UNIT_KILL_MS  2000u
#define UNIT_LINE_MAX 1000

struct unit {
    char name[32]; /* of its log, without ".log" */
    pid_t pid;     /* 0: not running */
    int ready_fd;  /* what it reports is read here, without waiting; -1: nothing more comes */
    char said[UNIT_LINE_MAX];
    size_t said_n;
    bool ready;
    bool quiet;       /* it has finished and waits for a second signal to end: pair.c */
    bool ended_by_us; /* a signal was sent */
    uint64_t started, restart_at, kill_at;
    unsigned backoff, failures;
};

uint64_t unit_now_ms(void);
void unit_init(struct unit *u, const char *name);
/* For what a process reports: [0] is read without waiting, [1] goes to the process. */
bool unit_pipe(int ret[2]);
/* ready_fd -1: it is ready from the start. */
void unit_started(struct unit *u, pid_t pid, int ready_fd);
/* Again after a pause, which grows unless it ran for long. */
void unit_schedule(struct unit *u);
void unit_schedule_at_once(struct unit *u);
/* Send sig, and SIGKILL when it still runs kill_after ms later. Only once, but for SIGKILL. */
void unit_end(struct unit *u, int sig, uint64_t kill_after);
void unit_kill_overdue(struct unit *u, uint64_t now);
/* Its ready_fd is readable, or was: the next line that it reported, without its end. */
bool unit_line(struct unit *u, char dst[UNIT_LINE_MAX]);
/* It has ended. */
void unit_gone(struct unit *u);

#endif
