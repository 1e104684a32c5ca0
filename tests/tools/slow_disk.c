/* Preloaded into a gateway of a test: every sync to disk takes longer by what the file that
 * KEYHOLD_SLOW_DISK names holds, eight bytes of milliseconds in this machine's order. libraft hands
 * its writes to the kernel with syscall(), and they are synced when they complete: these calls
 * count as well. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static const _Atomic int64_t *slow_ms;
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_msync)(void *, size_t, int);
static long (*real_syscall)(long, ...);

__attribute__((constructor)) static void map_control(void)
{
    const char *path = getenv("KEYHOLD_SLOW_DISK");
    *(void **)&real_fsync = dlsym(RTLD_NEXT, "fsync");
    *(void **)&real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    *(void **)&real_msync = dlsym(RTLD_NEXT, "msync");
    *(void **)&real_syscall = dlsym(RTLD_NEXT, "syscall");
    int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    void *p = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *slow_ms, PROT_READ, MAP_SHARED, fd, 0);
    if (p != MAP_FAILED)
        slow_ms = (const _Atomic int64_t *)p;
    if (fd >= 0)
        (void)close(fd);
}

static void linger(void)
{
    int64_t ms = slow_ms == NULL ? 0 : atomic_load_explicit(slow_ms, memory_order_relaxed);
    if (ms <= 0)
        return;
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    while (nanosleep(&t, &t) != 0) {
    }
}

int fsync(int fd)
{
    linger();
    return real_fsync(fd);
}

int fdatasync(int fd)
{
    linger();
    return real_fdatasync(fd);
}

int msync(void *addr, size_t n, int flags)
{
    linger();
    return real_msync(addr, n, flags);
}

long syscall(long number, ...)
{
    long a[6];
    va_list ap;
    va_start(ap, number);
    for (unsigned i = 0; i < 6; i++)
        a[i] = va_arg(ap, long);
    va_end(ap);
    if (number == SYS_io_submit)
        linger();
    return real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
