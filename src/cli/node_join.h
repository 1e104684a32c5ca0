/* One HTTPS request to a server whose CA is known by its fingerprint only. */
#ifndef CLI_NODE_JOIN_H
#define CLI_NODE_JOIN_H

#include "base/bytes.h"

/* POST body to URL/keyhold/nodes/join. The server's certificate must be issued for its name by the
 * CA with that fingerprint (SHA-256, hex), which the server sends along; its PEM goes to ret_ca.
 * HSM_E_IO: no answer, HSM_E_DENIED: another CA; text[cap] says what happened. */
HSM_MUST_USE hsm_err node_join_post(const char *url, const char *fingerprint, struct bytes body,
                                    unsigned *ret_status, struct wr *ret_body, struct wr *ret_ca,
                                    char *text, size_t cap);

#endif
