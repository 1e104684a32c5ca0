#include "base/secret_arena.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The number is the same on every architecture; older C libraries do not know it. */
#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif

/* Address space for guard + arena + guard, not accessible. */
static uint8_t *reserve(size_t size)
{
    void *p = mmap(NULL, size + 2 * (size_t)ARENA_PAGE, PROT_NONE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : (uint8_t *)p;
}

static void unreserve(uint8_t *space, size_t size)
{
    (void)munmap(space, size + 2 * (size_t)ARENA_PAGE);
}

static hsm_err map_fd(int fd, size_t size, uint8_t **ret)
{
    if (ftruncate(fd, (off_t)size) != 0)
        return HSM_E_NOMEM;
    uint8_t *space = reserve(size);
    if (space == NULL)
        return HSM_E_NOMEM;
    void *p = mmap(space + ARENA_PAGE, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
    if (p == MAP_FAILED) {
        unreserve(space, size);
        return HSM_E_NOMEM;
    }
    /* The mapping is shared by nature: without this a forked child would write into the arena of
     * its parent. The dump flag is set by the kernel already; asking twice costs nothing. */
    (void)madvise(p, size, MADV_DONTFORK);
    (void)madvise(p, size, MADV_DONTDUMP);
    *ret = (uint8_t *)p;
    return HSM_OK;
}

hsm_err arena_map_memfd(size_t size, uint8_t **ret)
{
    int fd = (int)syscall(SYS_memfd_secret, (unsigned)O_CLOEXEC);
    if (fd < 0)
        return HSM_E_NOMEM;
    hsm_err err = map_fd(fd, size, ret);
    (void)close(fd); /* the mapping keeps the pages */
    return err;
}

hsm_err arena_map_locked(size_t size, uint8_t **ret)
{
    uint8_t *space = reserve(size);
    if (space == NULL)
        return HSM_E_NOMEM;
    uint8_t *p = space + ARENA_PAGE;
    if (mprotect(p, size, PROT_READ | PROT_WRITE) != 0 || mlock(p, size) != 0 ||
        madvise(p, size, MADV_DONTDUMP) != 0 || madvise(p, size, MADV_WIPEONFORK) != 0) {
        unreserve(space, size);
        return HSM_E_NOMEM;
    }
    *ret = p;
    return HSM_OK;
}
