/* The connections that nodes on other hosts keep open to the fabric: store/peer.h under mutual TLS
 * 1.3, dialled by the node only. The fabric sends NODE_LINK_ASK with a line, the node answers with
 * NODE_LINK_ANSWER and the same sequence number. */
#ifndef FABRIC_NODE_LINK_H
#define FABRIC_NODE_LINK_H

#include "fabric/node_client.h"

#define NODE_LINK_ASK    1
#define NODE_LINK_ANSWER 2
/* Ids of store/peer.h: one more than the number in the certificate. */
#define NODE_LINK_ID(number) ((uint64_t)(number) + 1)

struct fabric;
struct node_link;
struct node_link_config {
    const char *listen; /* "HOST:PORT" */
    const char *dir;    /* peer.pem, peer.key; made by pki_ensure_peer() */
    const char *ca;     /* PEM */
    unsigned instance;  /* 0 to 2 */
};
/* nodes_ask() of f->nodes reaches remote nodes from now on. text[cap] says what is wrong. */
HSM_MUST_USE hsm_err node_link_open(struct fabric *f, const struct node_link_config *cfg,
                                    struct node_link **ret, char *text, size_t cap);
uint16_t node_link_port(const struct node_link *l);
bool node_link_is_up(const struct node_link *l, unsigned number);
/* The node was removed: its connection ends. */
void node_link_forget(struct node_link *l, unsigned number);
void node_link_close(struct node_link *l, void (*done)(void *ctx), void *ctx);

#endif
