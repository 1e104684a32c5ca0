#include "boundary/test_hooks.h"

#ifdef KEYHOLD_TEST_HOOKS

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/secret.h"
#include "base/uuid.h"

#define KEYLOG_MAX 4096u /* bytes of a private part */

static long number_in(const char *name)
{
    const char *text = getenv(name);
    return text == NULL ? -1 : strtol(text, NULL, 10);
}

int test_keylog_fd(void)
{
    static int fd = -2;
    if (fd == -2)
        fd = (int)number_in("KEYHOLD_TEST_KEYLOG_FD");
    return fd;
}

void test_keylog(struct bytes secret_private)
{
    char hex[2 * KEYLOG_MAX + 1];
    int fd = test_keylog_fd();
    if (fd < 0)
        return;
    HSM_ASSERT(secret_private.n <= KEYLOG_MAX);
    size_t n = 2 * secret_private.n;
    hex_encode(hex, secret_private.p, secret_private.n);
    hex[n] = '\n';
    /* One call: several threads make keys. */
    ssize_t done = write(fd, hex, n + 1);
    (void)done;
    secret_wipe(hex, sizeof hex);
}

static void try_socket(void)
{
    (void)socket(AF_INET, SOCK_STREAM, 0);
}
static void try_connect(void)
{
    (void)syscall(SYS_connect, 0, NULL, 0);
}
static void try_open(void)
{
    (void)open("/etc/passwd", O_RDONLY | O_CLOEXEC);
}
static void try_execve(void)
{
    char *const none[] = {NULL};
    (void)execve("/bin/true", none, none);
}
static void try_ptrace(void)
{
    (void)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}
static void try_fork(void)
{
    (void)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
}
static void try_executable_memory(void)
{
    (void)syscall(SYS_mmap, NULL, 4096, 7, 0x22, -1, 0);
}
static void try_kill(void)
{
    (void)kill(1, 0);
}
static void try_tgkill(void)
{
    (void)syscall(SYS_tgkill, 1, 1, 0);
}

void test_forbidden_call(void)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } calls[] = {
        {"socket", try_socket},
        {"connect", try_connect},
        {"open", try_open},
        {"execve", try_execve},
        {"ptrace", try_ptrace},
        {"fork", try_fork},
        {"execmem", try_executable_memory},
        {"kill", try_kill},
        {"tgkill", try_tgkill},
        {"abort", abort},
    };
    const char *name = getenv("KEYHOLD_TEST_SYSCALL");
    for (size_t i = 0; name != NULL && i < sizeof calls / sizeof calls[0]; i++)
        if (bytes_eq_str(bytes_str(name), calls[i].name))
            calls[i].run();
}

#endif
