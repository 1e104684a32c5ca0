/* Commands for the members of the pool, by a unix socket: one line in, one line out.
 *   remove N     member with raft id N leaves
 *   transfer [N] another member leads
 * "ok": it was begun; the status tells when it happened. On the control loop. */
#ifndef GATEWAY_COMMANDD_H
#define GATEWAY_COMMANDD_H

#include <uv.h>
#include "store/store.h"

struct commandd;

/* path: an existing socket is replaced; mode 0600. */
HSM_MUST_USE hsm_err commandd_new(uv_loop_t *loop, const char *path, struct store *s,
                                  struct commandd **ret);
void commandd_stop(struct commandd *d);
void commandd_free(struct commandd *d);

#endif
