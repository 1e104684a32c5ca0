#include "fabric/identity/idfile.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

void idfile_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

hsm_err idfile_read(const char *dir, const char *name, struct secret_buf *ret)
{
    char path[IDFILE_PATH_MAX];
    TRY(path_join(path, sizeof path, dir, name));
    DEFER(secret_buf_done) struct secret_buf b = {0};
    TRY(secret_buf_new(&b, IDFILE_MAX));
    size_t n = 0;
    hsm_err e = file_read(path, b.p, b.n, &n);
    if (e == HSM_E_IO && errno == ENOENT)
        return HSM_E_NOT_FOUND;
    if (e == HSM_E_RANGE)
        return HSM_E_CORRUPT;
    TRY(e);
    ret->p = b.p;
    ret->n = n;
    b = (struct secret_buf){0};
    return HSM_OK;
}

hsm_err idfile_write(const char *dir, const char *name, struct bytes data, mode_t mode)
{
    char path[IDFILE_PATH_MAX];
    TRY(path_join(path, sizeof path, dir, name));
    return file_replace(path, data, mode);
}

hsm_err idfile_lock_dir(const char *dir, int *ret_fd)
{
    TRY(dir_ensure(dir, 0700));
    DEFER(idfile_close) int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return HSM_E_IO;
    while (flock(fd, LOCK_EX) != 0) {
        if (errno != EINTR)
            return HSM_E_IO;
    }
    *ret_fd = fd;
    fd = -1;
    return HSM_OK;
}
