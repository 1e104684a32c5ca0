/* TCP connections on behalf of the boundary: its own TLS runs over them, the gateway carries bytes.
 * A connection goes to the host of an external issuer if the boundary names one of those (they are
 * resolved then), and to the one configured address in all other cases: a boundary cannot be used
 * to reach other hosts. On the control loop. */
#ifndef GATEWAY_RELAY_H
#define GATEWAY_RELAY_H

#include <uv.h>
#include "gateway/control.h"
#include "gateway/issuer_hosts.h"

#define RELAY_CONNS_MAX  8
#define RELAY_BYTES_MAX  (256u << 10) /* waiting in either direction */
#define RELAY_TIMEOUT_MS 10000

/* target: "host:port", resolved now. NULL: only external issuers are connected to. */
HSM_MUST_USE hsm_err relay_new(uv_loop_t *loop, struct control *c, const char *target,
                               const struct issuer_hosts *external, struct relay **ret);
void relay_stop(struct relay *r); /* closes all handles */
void relay_free(struct relay *r); /* after the loop has closed them */

void relay_open(struct relay *r, const struct wire_net_open *m);
void relay_data(struct relay *r, const struct wire_net_data *m);
void relay_close(struct relay *r, const struct wire_net_close *m);

#endif
