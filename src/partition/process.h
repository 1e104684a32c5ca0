/* Child processes of the supervisor: start, end, log file. */
#ifndef PARTITION_PROCESS_H
#define PARTITION_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>
#include "base/bytes.h"
#include "wire/ring.h"

#define PROCESS_ARGS_MAX 72

/* Arguments under construction; texts live in buf. */
struct process_args {
    char buf[8192];
    size_t used;
    char *argv[PROCESS_ARGS_MAX + 1];
    unsigned n;
    bool overflow;
};
void process_args_add(struct process_args *a, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

struct process_spec {
    const struct process_args *args; /* argv[0] is the program's path */
    const char *log_path; /* standard output and error, appended; NULL: those of this process */
    int ready_fd;         /* stays open under its number; -1: none */
    const int *inherit;   /* descriptors that stay open under their numbers */
    unsigned inherit_n;
    const struct ring_fds *rings; /* NULL, or inherited as well */
};
/* Open for appending, made when missing. What it holds moves to PATH.1 first when it is larger than
 * 8 MiB, so that the logs of an installation do not grow with every start. -1: errno. */
int process_log_open(const char *path);
/* fork + exec. The child dies with the supervisor (PR_SET_PDEATHSIG), gets its own process group
 * and default signal handling. HSM_E_IO: errno. */
HSM_MUST_USE hsm_err process_start(const struct process_spec *spec, pid_t *ret);

#endif
