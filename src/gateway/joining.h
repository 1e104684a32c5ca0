/* The gateway of a partition whose boundary has no root secrets yet: it carries the bytes between
 * its boundary and that of a member, and does nothing else. On the control loop. */
#ifndef GATEWAY_JOINING_H
#define GATEWAY_JOINING_H

#include "gateway/control.h"
#include "store/store.h"

struct joining;

/* text[cap]: what is wrong with the links' settings. */
HSM_MUST_USE hsm_err joining_new(uv_loop_t *loop, struct control *c, uint64_t self,
                                 const struct store_peers *peers, struct joining **ret, char *text,
                                 size_t cap);

/* From the boundary. */
void joining_open(struct joining *j, const struct wire_net_open *m);
void joining_data(struct joining *j, const struct wire_net_data *m);
void joining_close(struct joining *j, const struct wire_net_close *m);

#endif
