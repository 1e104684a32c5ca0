/* How raft peers reach each other: a raft_uv_transport. With one voter there are no peers: nothing
 * listens and every connect fails. */
#ifndef STORE_TRANSPORT_H
#define STORE_TRANSPORT_H

#include <raft/uv.h>

void transport_none_init(struct raft_uv_transport *t);

#endif
