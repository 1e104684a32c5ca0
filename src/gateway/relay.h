/* TCP connections on behalf of the boundary: its own TLS runs over them, the gateway carries bytes.
 * Every connection goes to the one configured address, whatever the boundary names, so a boundary
 * cannot be used to reach other hosts and needs no name resolution. On the control loop. */
#ifndef GATEWAY_RELAY_H
#define GATEWAY_RELAY_H

#include <uv.h>
#include "gateway/control.h"

#define RELAY_CONNS_MAX  8
#define RELAY_BYTES_MAX  (256u << 10) /* waiting in either direction */
#define RELAY_TIMEOUT_MS 10000

/* target: "host:port", resolved now. NULL: every open is refused. */
HSM_MUST_USE hsm_err relay_new(uv_loop_t *loop, struct control *c, const char *target,
                               struct relay **ret);
void relay_stop(struct relay *r); /* closes all handles */
void relay_free(struct relay *r); /* after the loop has closed them */

void relay_open(struct relay *r, const struct wire_net_open *m);
void relay_data(struct relay *r, const struct wire_net_data *m);
void relay_close(struct relay *r, const struct wire_net_close *m);

#endif
