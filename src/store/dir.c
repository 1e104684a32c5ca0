#include "store/dir.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* libraft's own limit on the length of a directory's path. */
#define PATH_LIMIT 800
/* libraft probes the file system with a file of one block when it starts. */
#define RESERVE_BYTES (256 * 1024)

static hsm_err fail(const char *path, const char *what, char *text, size_t cap)
{
    int e = errno;
    snprintf(text, cap, "%s: %s: %s", path, what, strerror(e));
    errno = e;
    return e == ENOSPC || e == EDQUOT ? HSM_E_DISK_FULL : HSM_E_IO;
}

/* A new directory survives a power cut only when its parent is synced. */
static void sync_parent(const char *path)
{
    char copy[PATH_LIMIT + 64];
    snprintf(copy, sizeof copy, "%s", path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)!fsync(fd);
        close(fd);
    }
}

static hsm_err make(const char *path, char *text, size_t cap)
{
    struct stat st;
    if (mkdir(path, 0700) == 0) {
        sync_parent(path);
        return HSM_OK;
    }
    if (errno != EEXIST)
        return fail(path, "cannot create", text, cap);
    if (stat(path, &st) != 0)
        return fail(path, "cannot read", text, cap);
    if (!S_ISDIR(st.st_mode)) {
        snprintf(text, cap, "%s is not a directory.", path);
        return HSM_E_IO;
    }
    if ((st.st_mode & 077) != 0 && chmod(path, 0700) != 0)
        return fail(path, "others may read it and that cannot be changed", text, cap);
    return HSM_OK;
}

static hsm_err take_lock(struct dir *d, const char *path, char *text, size_t cap)
{
    char file[PATH_LIMIT + 64];
    snprintf(file, sizeof file, "%s/lock", path);
    d->lock_fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (d->lock_fd < 0)
        return fail(file, "cannot open", text, cap);
    if (flock(d->lock_fd, LOCK_EX | LOCK_NB) == 0)
        return HSM_OK;
    hsm_err err = fail(file, "cannot lock", text, cap);
    if (errno == EWOULDBLOCK) {
        snprintf(text, cap, "%s is in use by another process (it holds %s).", path, file);
        err = HSM_E_CONFLICT;
    }
    dir_close(d);
    return err;
}

hsm_err dir_open(struct dir *d, const char *path, char *text, size_t cap)
{
    *d = (struct dir){.lock_fd = -1};
    if (strlen(path) > PATH_LIMIT) {
        snprintf(text, cap, "The path of the store's directory is too long.");
        return HSM_E_BAD_PARAMETER;
    }
    TRY(make(path, text, cap));
    TRY(take_lock(d, path, text, cap));
    snprintf(d->state, sizeof d->state, "%s/state.mdb", path);
    snprintf(d->log, sizeof d->log, "%s/log", path);
    snprintf(d->reserve, sizeof d->reserve, "%s/reserve", path);
    hsm_err err = make(d->log, text, cap);
    if (err != HSM_OK)
        dir_close(d);
    return err;
}

void dir_close(struct dir *d)
{
    if (d->lock_fd >= 0)
        close(d->lock_fd);
    d->lock_fd = -1;
}

void dir_reserve(const struct dir *d, bool hold)
{
    if (!hold) {
        (void)unlink(d->reserve);
        return;
    }
    int fd = open(d->reserve, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return;
    bool ok = posix_fallocate(fd, 0, RESERVE_BYTES) == 0;
    close(fd);
    if (!ok)
        (void)unlink(d->reserve);
}

void dir_sync(const struct dir *d)
{
    sync_parent(d->state);
}

uint64_t dir_free_space(const struct dir *d)
{
    struct statvfs v;
    if (statvfs(d->log, &v) != 0)
        return UINT64_MAX;
    return (uint64_t)v.f_bavail * v.f_frsize;
}
