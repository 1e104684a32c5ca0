/* Removing what a pool had. */
#ifndef PARTITION_TREE_H
#define PARTITION_TREE_H

#include "base/err.h"

/* A file or a directory with all that is in it, without following links; what may hold a secret or
 * a seal is overwritten first. What is not there is fine. HSM_E_IO: errno, some of it is left. */
HSM_MUST_USE hsm_err tree_remove(const char *path);

#endif
