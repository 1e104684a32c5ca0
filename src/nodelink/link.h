/* A node's end of its connection to the fabric (fabric/node_link.h): it dials, and hands each line
 * that comes to the node's own socket. Holds no key but that of its certificate. */
#ifndef NODELINK_LINK_H
#define NODELINK_LINK_H

#include <uv.h>
#include "base/bytes.h"

#define LINK_FILE "link.json" /* {"number":16,"address":"HOST:PORT"} */

struct link_config {
    const char *dir;    /* peer.pem, peer.key, ca.pem, link.json */
    const char *socket; /* of the node */
};

struct link;
/* text[cap] says what is wrong. */
HSM_MUST_USE hsm_err link_open(uv_loop_t *loop, const struct link_config *cfg, struct link **ret,
                               char *text, size_t cap);
bool link_is_up(const struct link *l);
/* Why it is not, for people. */
const char *link_reason(const struct link *l);
void link_close(struct link *l, void (*done)(void *ctx), void *ctx);

#endif
