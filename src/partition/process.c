#include "partition/process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOG_KEEP_MAX (8 << 20)

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

int process_log_open(const char *path)
{
    char old[PATH_MAX];
    struct stat st;
    if (stat(path, &st) == 0 && st.st_size > LOG_KEEP_MAX &&
        snprintf(old, sizeof old, "%s.1", path) < (int)sizeof old)
        (void)rename(path, old); /* when it cannot be moved it grows on */
    return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
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
    if (log_fd >= 0) {
        (void)dup2(log_fd, 1);
        (void)dup2(log_fd, 2);
    }
    for (unsigned i = 0; i < spec->inherit_n; i++)
        (void)fcntl(spec->inherit[i], F_SETFD, 0);
    if (spec->rings != NULL)
        ring_fds_inheritable(spec->rings);
    if (spec->ready_fd >= 0)
        (void)fcntl(spec->ready_fd, F_SETFD, 0);
    (void)execv(spec->args->argv[0], spec->args->argv);
    static const char text[] = "the program cannot be started: it is missing or not executable\n";
    (void)!write(2, text, sizeof text - 1); /* to its log */
    _exit(127);
}

hsm_err process_start(const struct process_spec *spec, pid_t *ret)
{
    if (spec->args->overflow)
        return HSM_E_RANGE;
    int log_fd = spec->log_path != NULL ? process_log_open(spec->log_path) : -1;
    if (spec->log_path != NULL && log_fd < 0)
        return HSM_E_IO;
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0)
        child(spec, parent, log_fd);
    int saved = errno;
    if (log_fd >= 0)
        (void)close(log_fd);
    errno = saved;
    if (pid < 0)
        return HSM_E_IO;
    *ret = pid;
    return HSM_OK;
}
