/* The boundary's cage. sandbox_prepare() in the main thread before any other thread exists,
 * sandbox_close() once all threads exist and no new descriptor or thread will be needed; the first
 * byte from the gateway is looked at after that. Works for root and ordinary users, in a chroot and
 * without /proc. */
#ifndef BOUNDARY_SANDBOX_H
#define BOUNDARY_SANDBOX_H

#include <stddef.h>
#include "base/err.h"

/* No core dumps, not traceable, no new privileges, no file system (Landlock), few descriptors;
 * every descriptor that is not in keep is closed. text[cap]: what is missing, or which level was
 * had. */
HSM_MUST_USE hsm_err sandbox_prepare(const int *keep, size_t keep_n, char *text, size_t cap);
/* System call filter around all threads; anything else ends the process. */
HSM_MUST_USE hsm_err sandbox_close(char *text, size_t cap);

#endif
