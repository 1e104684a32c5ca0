/* Small whole files. errno tells the cause after HSM_E_IO. */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include <stdbool.h>
#include <sys/types.h>
#include "base/bytes.h"

/* Read all of a regular file into buf[cap]. HSM_E_RANGE (errno EFBIG) when it is larger. */
HSM_MUST_USE hsm_err file_read(const char *path, uint8_t *buf, size_t cap, size_t *ret_n);
/* Replace atomically: PATH.tmp with its final mode, fsync, rename, fsync of the directory.
 * HSM_E_DISK_FULL or HSM_E_IO; the old file is then untouched. */
HSM_MUST_USE hsm_err file_replace(const char *path, struct bytes content, mode_t mode);
/* Give a file that may not be on disk yet its final name: fsync, rename, fsync of the directory. */
HSM_MUST_USE hsm_err file_adopt(const char *from, const char *to);
/* mkdir -p of one path, new directories with that mode. */
HSM_MUST_USE hsm_err dir_ensure(const char *path, mode_t mode);
/* "DIR/NAME" into dst[cap]; HSM_E_RANGE when it does not fit. */
HSM_MUST_USE hsm_err path_join(char *dst, size_t cap, const char *dir, const char *name);
/* write(2) all of it, through EINTR and short writes. */
HSM_MUST_USE hsm_err fd_write_all(int fd, const void *p, size_t n);

#endif
