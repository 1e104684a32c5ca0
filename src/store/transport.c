#include "store/transport.h"

#include <stdio.h>
#include "store/peer_internal.h"

static int none_init(struct raft_uv_transport *t, raft_id id, const char *address)
{
    (void)t;
    (void)id;
    (void)address;
    return 0;
}

static int none_listen(struct raft_uv_transport *t, raft_uv_accept_cb cb)
{
    (void)t;
    (void)cb;
    return 0;
}

static int none_connect(struct raft_uv_transport *t, struct raft_uv_connect *req, raft_id id,
                        const char *address, raft_uv_connect_cb cb)
{
    (void)t;
    (void)req;
    (void)id;
    (void)address;
    (void)cb;
    return RAFT_NOCONNECTION;
}

static void none_close(struct raft_uv_transport *t, raft_uv_transport_close_cb cb)
{
    cb(t);
}

void transport_none_init(struct raft_uv_transport *t)
{
    *t = (struct raft_uv_transport){.version = 1,
                                    .init = none_init,
                                    .listen = none_listen,
                                    .connect = none_connect,
                                    .close = none_close};
}

/* ---- over the links of a pool ---- */

static int net_init(struct raft_uv_transport *t, raft_id id, const char *address)
{
    struct peer_net *net = t->impl;
    HSM_ASSERT(id == net->self && net->transport_closed == NULL);
    if (address[0] == '\0' || strlen(address) >= sizeof net->raft_address)
        return RAFT_INVALID;
    (void)snprintf(net->raft_address, sizeof net->raft_address, "%s", address);
    net->transport = t;
    return 0;
}

static int net_listen(struct raft_uv_transport *t, raft_uv_accept_cb cb)
{
    struct peer_net *net = t->impl;
    net->accept_cb = cb;
    return 0;
}

static int net_connect(struct raft_uv_transport *t, struct raft_uv_connect *req, raft_id id,
                       const char *address, raft_uv_connect_cb cb)
{
    struct peer_net *net = t->impl;
    HSM_ASSERT(!net->closing && net->transport == t);
    struct peer *p = id == net->self ? NULL : peer_find_or_add(net, id);
    if (p == NULL || p->forgotten)
        return RAFT_NOCONNECTION;
    struct peer_conn *c = peer_conn_new(net, true);
    if (c == NULL)
        return RAFT_NOMEM;
    c->is_raft = true;
    /* The link's address is the one of libraft's configuration, unless that one is of no use. */
    if (peer_dial(p, p->address[0] != '\0' ? p->address : address, c) != HSM_OK) {
        peer_conn_close(c, NULL, false);
        return RAFT_NOCONNECTION;
    }
    req->cb = cb;
    c->req = req;
    return 0;
}

static void net_close(struct raft_uv_transport *t, raft_uv_transport_close_cb cb)
{
    struct peer_net *net = t->impl;
    net->accept_cb = NULL;
    net->transport = NULL;
    net->closed_transport = t;
    net->transport_closed = cb;
    peer_stream_close_all(net, NULL);
    peer_net_soon(net);
}

void transport_peer_init(struct raft_uv_transport *t, struct peer_net *net)
{
    *t = (struct raft_uv_transport){.version = 1,
                                    .impl = net,
                                    .init = net_init,
                                    .listen = net_listen,
                                    .connect = net_connect,
                                    .close = net_close};
}
