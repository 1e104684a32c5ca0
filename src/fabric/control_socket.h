/* HOME/run/fabric.sock: commands of the installation's own user, one JSON line there, one back:
 *   {"op":"node-token"}                  -> {"ok":true,"token":T,"expires":unix ms}
 *   {"op":"nodes"}                       ->
 * {"ok":true,"nodes":[{"name","region","zone","rack","up", "partitions"}]}
 *   {"op":"node-remove","name":NAME}     -> {"ok":true}
 * or {"ok":false,"code":...,"text":...} as a node answers. */
#ifndef FABRIC_CONTROL_SOCKET_H
#define FABRIC_CONTROL_SOCKET_H

#include <stddef.h>
#include "base/err.h"

struct fabric;
struct control_socket;
HSM_MUST_USE hsm_err control_socket_open(struct fabric *f, const char *path,
                                         struct control_socket **ret, char *text, size_t cap);
void control_socket_close(struct control_socket *s, void (*done)(void *ctx), void *ctx);

#endif
