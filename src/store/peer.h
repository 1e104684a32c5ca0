/* The links between the gateways of a pool: TLS 1.3 with certificates on both sides, one listener.
 *
 * Who is on the other side is what its certificate says: issued by the CA of the pool and with one
 * subject alternative name URI `keyhold:POOL:P`; partition P has raft id P + 1. Another pool,
 * another number than the one dialled, or one that allowed() does not want: the connection is
 * closed, and the log says so once until the reason changes.
 *
 * Two kinds of connections: message links (here), one for each pair, dialled by both sides and
 * settled by the smaller id; and libraft's streams (store/transport.h).
 *
 * A link is up from the moment both sides know each other's certificate and agreed on the
 * connection, until it is closed, broken, or silent for PEER_SILENCE_MS (pings are sent meanwhile:
 * a stopped process or a network that is cut in one direction is noticed; the libraft streams with
 * that member are then closed, too). Messages of one link arrive in order and once; what was
 * queued or under way when a link went down may be lost.
 *
 * All on the loop's thread. Handlers are called from the loop only, but for down(), which
 * peer_net_forget() calls itself; they may call anything here. SIGPIPE must be ignored. */
#ifndef STORE_PEER_H
#define STORE_PEER_H

#include <uv.h>
#include "base/bytes.h"

#define PEER_PAYLOAD_MAX ((size_t)1 << 20)
#define PEER_QUEUE_MAX   ((size_t)16 << 20)
#define PEER_TYPE_MAX    0xfeff /* message types above are the link's own */
#define PEER_SILENCE_MS  1000
#define PEER_PING_MS     100

struct peer_net;

struct peer_config {
    uint64_t self;               /* raft id */
    const char *pool;            /* name of the pool */
    const char *listen;          /* "host:port"; port 0: any, see peer_net_port() */
    const char *cert, *key, *ca; /* PEM files */
};

struct peer_handlers {
    void *ctx;
    /* payload is valid during the call. */
    void (*message)(void *ctx, uint64_t from, uint16_t type, uint64_t seq, struct bytes payload);
    /* Strictly in turn for each id. */
    void (*up)(void *ctx, uint64_t id);
    void (*down)(void *ctx, uint64_t id);
    /* Whether a member with this id, whose certificate is in order, may connect to us (or we to it,
     * message links only); asked for each connection. is_raft: a stream of libraft. NULL: all may.
     * Forgotten ids are refused without asking. */
    bool (*allowed)(void *ctx, uint64_t id, bool is_raft);
};

/* Listens at once. HSM_E_BAD_PARAMETER (address, files), HSM_E_IO (port in use), HSM_E_NOMEM; text
 * then says what is wrong. Strings are copied. */
HSM_MUST_USE hsm_err peer_net_open(uv_loop_t *loop, const struct peer_config *cfg,
                                   const struct peer_handlers *h, struct peer_net **ret, char *text,
                                   size_t cap);
uint16_t peer_net_port(const struct peer_net *net);

/* Dial that member from now on ("host:port" or "[v6]:port"; the same address again changes
 * nothing, another one does not end a link that is up). HSM_E_BAD_PARAMETER, HSM_E_NOMEM. A member
 * without an address here may still dial us. Undoes peer_net_forget(). Own id: ignored. */
HSM_MUST_USE hsm_err peer_net_set_address(struct peer_net *net, uint64_t id, const char *address);
/* Close all connections with that id and refuse it from now on. */
void peer_net_forget(struct peer_net *net, uint64_t id);

bool peer_net_up(const struct peer_net *net, uint64_t id);
/* Why the link with id is down, for people: "" when it is up or nothing is known. Valid until the
 * loop runs again. */
const char *peer_net_reason(const struct peer_net *net, uint64_t id);
/* Bytes that wait to be sent to id. */
size_t peer_net_queued(const struct peer_net *net, uint64_t id);

/* Queue a message (copied); all of one loop turn go out together. HSM_E_UNAVAILABLE: no link;
 * HSM_E_THROTTLED: PEER_QUEUE_MAX bytes wait already; HSM_E_RANGE: payload or type too large;
 * HSM_E_NOMEM. Calls no handler. */
HSM_MUST_USE hsm_err peer_send(struct peer_net *net, uint64_t id, uint16_t type, uint64_t seq,
                               struct bytes payload);

/* Close everything; no handler is called any more. The raft transport must have been closed before
 * (its close callback was called). net is freed before done is called; that can take as long as the
 * look-up of a host name that is under way. */
void peer_net_close(struct peer_net *net, void (*done)(void *ctx), void *ctx);

#endif
