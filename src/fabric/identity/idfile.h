/* The private files of identity/: reading with a limit, and one writer at a time. Thread-safe. */
#ifndef FABRIC_IDENTITY_IDFILE_H
#define FABRIC_IDENTITY_IDFILE_H

#include "base/bytes.h"
#include "base/file.h"
#include "base/secret.h"

#define IDFILE_PATH_MAX 4096
#define IDFILE_MAX      65536

/* All of DIR/NAME. HSM_E_NOT_FOUND when there is no such file, HSM_E_CORRUPT when longer than
 * IDFILE_MAX, HSM_E_IO. */
HSM_MUST_USE hsm_err idfile_read(const char *dir, const char *name, struct secret_buf *ret);
/* file_replace() of DIR/NAME. */
HSM_MUST_USE hsm_err idfile_write(const char *dir, const char *name, struct bytes data,
                                  mode_t mode);
/* Create dir (0700) when missing and take an exclusive lock on it; closing the descriptor releases
 * the lock. HSM_E_IO. */
HSM_MUST_USE hsm_err idfile_lock_dir(const char *dir, int *ret_fd);
/* For DEFER: closes when >= 0. */
void idfile_close(int *fd);

#endif
