#include "partition/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

void process_args_add(struct process_args *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(a->buf + a->used, sizeof a->buf - a->used, fmt, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= sizeof a->buf - a->used || a->n >= PROCESS_ARGS_MAX) {
        a->overflow = true;
        return;
    }
    a->argv[a->n++] = a->buf + a->used;
    a->argv[a->n] = NULL;
    a->used += (size_t)n + 1;
}

/* After fork: async-signal-safe calls only. */
static void child(const struct process_spec *spec, pid_t parent, int log_fd)
{
    /* Nobody is left to end the processes in their order, and the next `keyhold up` needs port and
     * store at once: what the store and the audit log promise holds for a sudden end as well. */
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127);
    (void)setpgid(0, 0);
    sigset_t none;
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null_fd >= 0)
        (void)dup2(null_fd, 0);
    (void)dup2(log_fd, 1);
    (void)dup2(log_fd, 2);
    for (unsigned i = 0; i < spec->inherit_n; i++)
        (void)fcntl(spec->inherit[i], F_SETFD, 0);
    if (spec->rings != NULL)
        ring_fds_inheritable(spec->rings);
    if (spec->ready_fd >= 0)
        (void)fcntl(spec->ready_fd, F_SETFD, 0);
    (void)execv(spec->args->argv[0], spec->args->argv);
    _exit(127);
}

hsm_err process_start(const struct process_spec *spec, pid_t *ret)
{
    if (spec->args->overflow)
        return HSM_E_RANGE;
    int log_fd = open(spec->log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log_fd < 0)
        return HSM_E_IO;
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0)
        child(spec, parent, log_fd);
    int saved = errno;
    (void)close(log_fd);
    errno = saved;
    if (pid < 0)
        return HSM_E_IO;
    *ret = pid;
    return HSM_OK;
}
