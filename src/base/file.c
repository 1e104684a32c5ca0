#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

hsm_err path_join(char *dst, size_t cap, const char *dir, const char *name)
{
    int n = snprintf(dst, cap, "%s/%s", dir, name);
    return n >= 0 && (size_t)n < cap ? HSM_OK : HSM_E_RANGE;
}

hsm_err fd_write_all(int fd, const void *p, size_t n)
{
    const uint8_t *at = p;
    while (n > 0) {
        ssize_t m = write(fd, at, n);
        if (m < 0 && errno == EINTR)
            continue;
        if (m < 0)
            return errno == ENOSPC || errno == EDQUOT ? HSM_E_DISK_FULL : HSM_E_IO;
        at += m;
        n -= (size_t)m;
    }
    return HSM_OK;
}

static hsm_err read_fd(int fd, uint8_t *buf, size_t cap, size_t *ret_n)
{
    size_t n = 0;
    for (;;) {
        uint8_t more;
        ssize_t m = n < cap ? read(fd, buf + n, cap - n) : read(fd, &more, 1);
        if (m < 0 && errno == EINTR)
            continue;
        if (m < 0)
            return HSM_E_IO;
        if (m == 0)
            break;
        if (n == cap) {
            errno = EFBIG;
            return HSM_E_RANGE;
        }
        n += (size_t)m;
    }
    *ret_n = n;
    return HSM_OK;
}

static void close_keep_errno(int fd)
{
    int saved = errno;
    (void)close(fd);
    errno = saved;
}

hsm_err file_read(const char *path, uint8_t *buf, size_t cap, size_t *ret_n)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return HSM_E_IO;
    hsm_err err = read_fd(fd, buf, cap, ret_n);
    close_keep_errno(fd);
    return err;
}

static hsm_err sync_parent(const char *path)
{
    char dir[PATH_MAX];
    size_t n = strlen(path);
    while (n > 0 && path[n - 1] != '/')
        n--;
    if (n == 0) {
        dir[0] = '.';
        n = 1;
    } else if (n < sizeof dir) {
        memcpy(dir, path, n);
    } else {
        return HSM_E_RANGE;
    }
    dir[n] = '\0';
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return HSM_E_IO;
    hsm_err err = fsync(fd) == 0 ? HSM_OK : HSM_E_IO;
    close_keep_errno(fd);
    return err;
}

static hsm_err write_synced(const char *path, struct bytes content, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0)
        return errno == ENOSPC ? HSM_E_DISK_FULL : HSM_E_IO;
    hsm_err err = fchmod(fd, mode) == 0 ? HSM_OK : HSM_E_IO;
    if (err == HSM_OK)
        err = fd_write_all(fd, content.p, content.n);
    if (err == HSM_OK && fsync(fd) != 0)
        err = errno == ENOSPC ? HSM_E_DISK_FULL : HSM_E_IO;
    close_keep_errno(fd);
    return err;
}

hsm_err file_replace(const char *path, struct bytes content, mode_t mode)
{
    char tmp[PATH_MAX];
    int n = snprintf(tmp, sizeof tmp, "%s.tmp", path);
    if (n < 0 || (size_t)n >= sizeof tmp)
        return HSM_E_RANGE;
    hsm_err err = write_synced(tmp, content, mode);
    if (err == HSM_OK && rename(tmp, path) != 0)
        err = HSM_E_IO;
    if (err != HSM_OK) {
        int saved = errno;
        (void)unlink(tmp);
        errno = saved;
        return err;
    }
    return sync_parent(path);
}

hsm_err file_adopt(const char *from, const char *to)
{
    int fd = open(from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return HSM_E_IO;
    hsm_err err = fsync(fd) == 0 ? HSM_OK : HSM_E_IO;
    close_keep_errno(fd);
    TRY(err);
    return rename(from, to) == 0 ? sync_parent(to) : HSM_E_IO;
}

hsm_err dir_ensure(const char *path, mode_t mode)
{
    char at[PATH_MAX];
    size_t n = strlen(path);
    if (n == 0 || n >= sizeof at)
        return HSM_E_RANGE;
    memcpy(at, path, n + 1);
    for (size_t i = 1; i <= n; i++) {
        if (at[i] != '/' && at[i] != '\0')
            continue;
        char keep = at[i];
        at[i] = '\0';
        if (mkdir(at, mode) != 0 && errno != EEXIST)
            return errno == ENOSPC ? HSM_E_DISK_FULL : HSM_E_IO;
        at[i] = keep;
    }
    struct stat st;
    if (stat(path, &st) != 0)
        return HSM_E_IO;
    if (!S_ISDIR(st.st_mode)) {
        errno = ENOTDIR;
        return HSM_E_IO;
    }
    return HSM_OK;
}
