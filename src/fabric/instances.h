/* The state of the only instance of the fabric, or of one of three. Each has a directory of its own
 * (--home); directory.json, signing.key and state.key are copies of those of instance 1, and so is
 * the CA beside it or the instance's own certificate (home/peer: peer.pem, peer.key). */
#ifndef FABRIC_INSTANCES_H
#define FABRIC_INSTANCES_H

#include "fabric/fabric.h"

HSM_MUST_USE hsm_err instances_open(const struct fabric_config *c, const struct state_handlers *h,
                                    uint64_t now_ms, struct state **ret, char *text, size_t cap);
/* It is one of several now: from now on it never makes a state of its own. */
void instances_note(const struct fabric_config *c);

#endif
