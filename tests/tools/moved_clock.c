/* The clock of the programs in tests/clock: the wall clock, moved by what the file that
 * KEYHOLD_TEST_CLOCK names holds, eight bytes of milliseconds in this machine's order. Linked in
 * the place of src/base/clock_now.c. The file is mapped before main(): the boundary's sandbox
 * allows no open() later on, but whatever a test writes into the file is seen by all processes at
 * once. */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include "base/clock.h"

static const _Atomic int64_t *ahead_ms;

__attribute__((constructor)) static void map_clock(void)
{
    const char *path = getenv("KEYHOLD_TEST_CLOCK");
    if (path == NULL)
        return;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    void *p = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *ahead_ms, PROT_READ, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED) {
        perror(path);
        _exit(1);
    }
    (void)close(fd);
    ahead_ms = (const _Atomic int64_t *)p;
}

uint64_t clock_now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    int64_t ahead = ahead_ms == NULL ? 0 : atomic_load_explicit(ahead_ms, memory_order_relaxed);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000 + (uint64_t)ahead;
}
