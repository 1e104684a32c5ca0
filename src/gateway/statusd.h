/* The partition's status for people and the supervisor: every connection to a unix socket gets one
 * JSON line and is closed. On the control loop. */
#ifndef GATEWAY_STATUSD_H
#define GATEWAY_STATUSD_H

#include "gateway/audit_sink.h"
#include "gateway/control.h"
#include "gateway/face.h"
#include "gateway/meter.h"

struct statusd;

/* What does not change while the gateway runs; borrowed. */
struct statusd_facts {
    const struct control_pool *pool;
    const struct faces *faces;
    struct store *store;
    const struct peers *peers; /* NULL: one partition */
    struct audit_sink *audit;  /* drained first: the file holds every line the status counts */
    unsigned loops;
    uint16_t metrics_port;      /* 0: none */
    const struct meter *meters; /* of all loops; NULL: none */
    const char *region;
};

/* path: an existing socket is replaced; mode 0600. */
HSM_MUST_USE hsm_err statusd_new(uv_loop_t *loop, struct control *c, const char *path,
                                 const struct statusd_facts *facts, struct statusd **ret);
void statusd_stop(struct statusd *s);
void statusd_free(struct statusd *s);

/* The line, with its newline. m may be NULL: the boundary does not answer. */
void statusd_render(const struct statusd_facts *facts, const struct wire_status *m, struct wr *out);

#endif
