/* The listener of monitoring: plain HTTP on a loopback socket, GET and HEAD of /metrics, /healthz
 * and /readyz, one request a connection. On the control loop. It holds few connections, none of
 * them for long, and takes only so many a second: whoever floods it does not reach the requests. */
#ifndef GATEWAY_METRICSD_H
#define GATEWAY_METRICSD_H

#include "gateway/audit_sink.h"
#include "gateway/metrics.h"

struct metricsd;

/* Borrowed; as long as the listener runs. */
struct metricsd_config {
    int fd; /* bound socket; owned */
    const struct control_pool *pool;
    struct control *control;
    struct store *store;
    const struct audit_sink *audit;
    const struct meter *meters;
    unsigned loops;
    enum metrics_phase (*phase)(void *ctx);
    void *ctx;
};

HSM_MUST_USE hsm_err metricsd_new(uv_loop_t *loop, const struct metricsd_config *cfg,
                                  struct metricsd **ret);
uint16_t metricsd_port(const struct metricsd *d);
void metricsd_stop(struct metricsd *d);
/* After the loop closed its handles. */
void metricsd_free(struct metricsd *d);

#endif
