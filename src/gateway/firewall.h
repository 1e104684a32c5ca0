/* The pool's network rules in the gateway: read from a file, asked for each request. The gateway
 * cannot judge a token: the caller that a token claims to be only decides whether the request goes
 * on to the boundary, which judges it.
 *
 * firewall_load() from one thread, firewall_decide() from any. */
#ifndef GATEWAY_FIREWALL_H
#define GATEWAY_FIREWALL_H

#include "model/network_rules.h"
#include "net/http_server.h"

struct firewall;

/* Working room of one loop for claims. */
struct firewall_room {
    uint8_t *buf;
    size_t buf_n;
    struct json_tok *toks;
    size_t tok_n;
};

/* path: NULL, or a file that firewall_load() reads; until then nobody gets in. NULL: everybody. */
HSM_MUST_USE hsm_err firewall_new(const char *path, struct firewall **ret);
void firewall_free(struct firewall *fw);
/* Read the file again: absent means open. Anything that cannot be read or understood closes the
 * pool to everybody, is logged and returned. */
HSM_MUST_USE hsm_err firewall_load(struct firewall *fw);

/* HSM_OK, HSM_E_FIREWALL_ADDRESS or HSM_E_FIREWALL_WAY. */
HSM_MUST_USE hsm_err firewall_decide(struct firewall *fw, const struct http_request *rq,
                                     struct bytes token, const struct firewall_room *room);
/* The object id that a token claims, unverified. HSM_E_MALFORMED, HSM_E_NOT_FOUND. */
HSM_MUST_USE hsm_err firewall_claimed_caller(struct bytes token, const struct firewall_room *room,
                                             struct uuid *ret);

#endif
