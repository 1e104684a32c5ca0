/* How raft peers reach each other: a raft_uv_transport. */
#ifndef STORE_TRANSPORT_H
#define STORE_TRANSPORT_H

#include <raft/uv.h>

struct peer_net;

/* With one voter there are no peers: nothing listens and every connect fails. */
void transport_none_init(struct raft_uv_transport *t);

/* Streams over the connections of net (store/peer.h), which must outlive the transport until its
 * close callback was called. One transport at a time; another one may follow. The id given to
 * init() must be the net's own. Incoming streams are accepted between listen() and close(). */
void transport_peer_init(struct raft_uv_transport *t, struct peer_net *net);

#endif
