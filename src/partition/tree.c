#include "partition/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"

#define OPEN_MAX_DIRS  16
#define OVERWRITE_MAX  (1 << 20)
#define OVERWRITE_STEP 4096u

static bool holds_secret(const char *name)
{
    size_t n = strlen(name);
    return strncmp(name, "seal", 4) == 0 || (n > 4 && strcmp(name + n - 4, ".key") == 0);
}

/* As far as a disk lets one: the blocks themselves may lie elsewhere by now. */
static void overwrite(const char *path, off_t size)
{
    static const uint8_t zeros[OVERWRITE_STEP];
    int fd = size <= OVERWRITE_MAX ? open(path, O_WRONLY | O_NOFOLLOW | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    while (size > 0) {
        size_t n = size < (off_t)sizeof zeros ? (size_t)size : sizeof zeros;
        if (fd_write_all(fd, zeros, n) != HSM_OK)
            break;
        size -= (off_t)n;
    }
    (void)!fdatasync(fd);
    (void)close(fd);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    if (type == FTW_F && S_ISREG(st->st_mode) && holds_secret(path + at->base))
        overwrite(path, st->st_size);
    return remove(path) == 0 || errno == ENOENT ? 0 : -1;
}

hsm_err tree_remove(const char *path)
{
    if (nftw(path, remove_one, OPEN_MAX_DIRS, FTW_DEPTH | FTW_PHYS) == 0 || errno == ENOENT)
        return HSM_OK;
    return HSM_E_IO;
}
