#include "boundary/sandbox.h"

#include <errno.h>
#include <limits.h>
#include <linux/landlock.h>
#include <malloc.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_restrict_self  446
#endif

/* Descriptors stay open above the limit; poll() wants it no smaller than its own array. */
#define DESCRIPTORS_MAX 16

static hsm_err failed(char *text, size_t cap, const char *what)
{
    (void)snprintf(text, cap, "%s: %s", what, strerror(errno));
    return HSM_E_IO;
}

/* ---- descriptors ---- */

static int by_number(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

static void close_span(unsigned from, unsigned to)
{
    if (from > to || syscall(SYS_close_range, from, to, 0) == 0)
        return;
    /* Kernels before 5.9. */
    struct rlimit r;
    unsigned end =
        getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < 65536 ? (unsigned)r.rlim_cur : 65536;
    for (unsigned fd = from; fd <= to && fd < end; fd++)
        (void)close((int)fd);
}

static hsm_err close_others(const int *keep, size_t n)
{
    int *sorted = (int *)malloc((n + 1) * sizeof *sorted);
    if (sorted == NULL)
        return HSM_E_NOMEM;
    memcpy(sorted, keep, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, by_number);
    unsigned from = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned fd = (unsigned)sorted[i];
        if (fd > from)
            close_span(from, fd - 1);
        from = fd + 1;
    }
    close_span(from, ~0u);
    free(sorted);
    return HSM_OK;
}

/* ---- limits ---- */

static hsm_err limit(int what, rlim_t value, const char *name, char *text, size_t cap)
{
    const struct rlimit r = {.rlim_cur = value, .rlim_max = value};
    return setrlimit((__rlimit_resource_t)what, &r) == 0 ? HSM_OK : failed(text, cap, name);
}

static hsm_err set_limits(char *text, size_t cap)
{
    TRY(limit(RLIMIT_CORE, 0, "RLIMIT_CORE", text, cap));
    TRY(limit(RLIMIT_NOFILE, DESCRIPTORS_MAX, "RLIMIT_NOFILE", text, cap));
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return failed(text, cap, "PR_SET_DUMPABLE");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return failed(text, cap, "PR_SET_NO_NEW_PRIVS");
    return HSM_OK;
}

/* ---- Landlock: a rule set that handles every right and grants none ---- */

/* All rights of each ABI; newer kernels know more, which an older header cannot name but the bits
 * of which are consecutive. */
static uint64_t landlock_rights(long abi)
{
    static const unsigned bits[] = {0, 13, 14, 15, 15, 16};
    size_t known = sizeof bits / sizeof bits[0] - 1;
    size_t i = (size_t)abi < known ? (size_t)abi : known;
    return ((uint64_t)1 << bits[i]) - 1;
}

static hsm_err close_file_system(char *text, size_t cap)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (abi < 1) {
        /* The system call filter allows no open() either; Landlock is the second wall. */
        (void)snprintf(text, cap, "no Landlock in this kernel");
        return HSM_OK;
    }
    const struct landlock_ruleset_attr attr = {.handled_access_fs = landlock_rights(abi)};
    long fd = syscall(SYS_landlock_create_ruleset, &attr, sizeof attr.handled_access_fs, 0);
    if (fd < 0)
        return failed(text, cap, "landlock_create_ruleset");
    long rc = syscall(SYS_landlock_restrict_self, fd, 0);
    (void)close((int)fd);
    if (rc != 0)
        return failed(text, cap, "landlock_restrict_self");
    (void)snprintf(text, cap, "Landlock ABI %ld", abi);
    return HSM_OK;
}

/* The allocator of glibc reads /proc/sys/vm/overcommit_memory when a thread's heap first shrinks:
 * that would be a forbidden call, at whatever moment enough was freed. It does not shrink heaps
 * that may keep everything. */
static hsm_err keep_heaps(char *text, size_t cap)
{
    if (mallopt(M_TRIM_THRESHOLD, INT_MAX) == 1)
        return HSM_OK;
    (void)snprintf(text, cap, "the allocator cannot be told to keep its heaps");
    return HSM_E_INTERNAL;
}

hsm_err sandbox_prepare(const int *keep, size_t keep_n, char *text, size_t cap)
{
    hsm_err err = close_others(keep, keep_n);
    if (err != HSM_OK)
        return failed(text, cap, "closing descriptors");
    /* Before the descriptor limit: the rule set needs one. */
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return failed(text, cap, "PR_SET_NO_NEW_PRIVS");
    TRY(close_file_system(text, cap));
    char level[64];
    (void)snprintf(level, sizeof level, "%s", text);
    TRY(set_limits(text, cap));
    TRY(keep_heaps(text, cap));
    (void)snprintf(text, cap, "%s", level);
    return HSM_OK;
}

/* ---- system calls ---- */

static const int plain_calls[] = {
    /* Rings and inboxes: wait for, clear and signal eventfds; log lines go to standard error.
     * No call that could make a new descriptor is in this list. */
    SCMP_SYS(read),
    SCMP_SYS(write),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    /* Mutexes, condition variables, the state's lock; yielding inside them. */
    SCMP_SYS(futex),
    SCMP_SYS(sched_yield),
    SCMP_SYS(restart_syscall),
    /* The heap gives memory back and grows in place; fresh mappings are below, never executable. */
    SCMP_SYS(munmap),
    SCMP_SYS(brk),
    SCMP_SYS(madvise),
    /* libcrypto's generator: entropy, and its check whether the process was forked. */
    SCMP_SYS(getrandom),
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    /* Time, where the vDSO cannot answer; short waits for room in a ring. */
    SCMP_SYS(clock_gettime),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(time),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(nanosleep),
    /* The allocator counts processors when a second thread first allocates. */
    SCMP_SYS(sched_getaffinity),
    /* qsort() asks how much memory there is before it takes a buffer. */
    SCMP_SYS(sysinfo),
    /* The end: abort() after a failed assertion unblocks and raises its signal. */
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
};

static int add_plain(scmp_filter_ctx ctx)
{
    for (size_t i = 0; i < sizeof plain_calls / sizeof plain_calls[0]; i++) {
        int rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, plain_calls[i], 0);
        /* Calls that this architecture does not have need no rule. */
        if (rc != 0 && rc != -EDOM && plain_calls[i] >= 0)
            return rc;
    }
    return 0;
}

static int add_memory(scmp_filter_ctx ctx)
{
    /* Anonymous private memory without execution: heap arenas and large blocks. */
    int rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 2,
                              SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0),
                              SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_ANONYMOUS, MAP_ANONYMOUS));
    /* Heap arenas of further threads are mapped without access first and then opened. */
    if (rc == 0)
        rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
                              SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    /* realloc() of large blocks. */
    if (rc == 0)
        rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mremap), 0);
    return rc;
}

/* abort() signals its own thread; nobody else may be signalled. */
static int add_signals(scmp_filter_ctx ctx)
{
    return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
                            SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid(), 0));
}

hsm_err sandbox_close(char *text, size_t cap)
{
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
    if (ctx == NULL) {
        (void)snprintf(text, cap, "seccomp_init failed");
        return HSM_E_NOMEM;
    }
    /* All threads: they exist already. */
    int rc = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);
    if (rc == 0)
        rc = add_plain(ctx);
    if (rc == 0)
        rc = add_memory(ctx);
    if (rc == 0)
        rc = add_signals(ctx);
    if (rc == 0)
        rc = seccomp_load(ctx);
    seccomp_release(ctx);
    if (rc != 0) {
        (void)snprintf(text, cap, "the system call filter cannot be loaded: %s", strerror(-rc));
        return HSM_E_IO;
    }
    return HSM_OK;
}
