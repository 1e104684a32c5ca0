/* Nodes on other hosts: who may join, who has joined, and what is known of each.
 *
 * `keyhold node token` makes a one-time token; with it a node that has made a key of its own asks
 * POST /keyhold/nodes/join for a certificate (URI keyhold:-nodes-:NUMBER, by the installation's
 * CA), and from then on it keeps a connection under mutual TLS (node_link.h). */
#ifndef FABRIC_NODE_REGISTRY_H
#define FABRIC_NODE_REGISTRY_H

#include "fabric/node_client.h"
#include "fabric/placement.h"
#include "fabric/state.h"

#define NODE_LINK_POOL    "-nodes-" /* no pool can have that name */
#define NODE_NUMBER_MIN   16        /* below are instances of the fabric */
#define NODE_LABEL_MAX    40
#define NODE_SECRET_LEN   43 /* base64url of 32 bytes */
#define NODE_SPKI_MAX     128
#define NODE_TOKEN_TTL_MS 3600000ull

struct node_record {
    char name[NODE_NAME_MAX + 1];
    char region[NODE_LABEL_MAX + 1], zone[NODE_LABEL_MAX + 1], rack[NODE_LABEL_MAX + 1];
    unsigned number; /* 0: the embedded one */
};

/* {"token","name","region","zone","rack","publicKey"}: publicKey is base64url of a
 * SubjectPublicKeyInfo. Pure. HSM_E_MALFORMED, HSM_E_BAD_PARAMETER: a name or label is not allowed.
 */
struct node_join {
    char secret[NODE_SECRET_LEN + 1];
    struct node_record node;
    uint8_t spki[NODE_SPKI_MAX];
    size_t spki_n;
};
HSM_MUST_USE hsm_err node_join_parse(struct bytes body, struct node_join *ret);
/* HSM_E_CORRUPT: not the document of a node. */
HSM_MUST_USE hsm_err node_read(const struct document *d, struct node_record *ret);
/* Stage a token that is good for one join until then. */
void node_token_make(struct changes *c, uint64_t expires_ms, char ret_secret[NODE_SECRET_LEN + 1]);
/* Take a token away and put the node with a number of its own in ret. HSM_E_DENIED: no such token,
 * or too late; HSM_E_CONFLICT: there is a node of that name. */
HSM_MUST_USE hsm_err node_join_stage(const struct state *s, struct changes *c,
                                     const struct node_join *j, uint64_t now_ms,
                                     struct node_record *ret);

/* What the nodes said of themselves last. */
struct fabric;
struct node_views;
HSM_MUST_USE hsm_err node_views_new(struct fabric *f, struct node_views **ret);
void node_views_free(struct node_views *v);
/* Ask all of them now; with a loop this happens every few seconds. */
void node_views_ask(struct node_views *v);
/* For placement_choose(); at most cap. Texts live until the next answer of a node. A node is up
 * when its last question was answered. */
size_t node_views_get(const struct node_views *v, struct placement_node *ret, size_t cap);

#endif
