/* The store's directory: created 0700, held by one process.
 *   lock        flock()ed while the store is open
 *   state.mdb   applied state (LMDB), state.mdb-lock beside it
 *   reserve     a little space, so that a start on a full disk is possible
 *   log/        libraft's segments, snapshots (small manifests) and metadata */
#ifndef STORE_DIR_H
#define STORE_DIR_H

#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dir {
    int lock_fd;
    char state[4096], log[4096], reserve[4096];
};

HSM_MUST_USE hsm_err dir_open(struct dir *d, const char *path, char *text, size_t cap);
void dir_close(struct dir *d);
/* Give the reserve back to the disk for a moment, or take it (again), when there is room. */
void dir_reserve(const struct dir *d, bool hold);
/* With less than this a failed write is a full disk, whatever the error code was. */
#define DIR_FULL_BYTES (1024u * 1024)
/* What was renamed or created in the store's directory survives a power cut. */
void dir_sync(const struct dir *d);
/* Bytes free for us on the file system of the log; UINT64_MAX when unknown. */
uint64_t dir_free_space(const struct dir *d);

#endif
