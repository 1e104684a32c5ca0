/* Commands for a gateway, by a unix socket: one line in, one line out.
 *   remove N     member with raft id N leaves
 *   transfer [N] another member leads
 *   network      read the network's rules again
 * "ok": it was begun; the status tells when it happened. On the control loop. */
#ifndef GATEWAY_COMMANDD_H
#define GATEWAY_COMMANDD_H

#include <uv.h>
#include "gateway/firewall.h"
#include "store/store.h"

struct commandd;

/* path: an existing socket is replaced; mode 0600. s: NULL when the pool has one partition. */
HSM_MUST_USE hsm_err commandd_new(uv_loop_t *loop, const char *path, struct store *s,
                                  struct firewall *firewall, struct commandd **ret);
void commandd_stop(struct commandd *d);
void commandd_free(struct commandd *d);

#endif
