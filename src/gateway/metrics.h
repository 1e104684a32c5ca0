/* What the partition says of itself to monitoring: Prometheus' text format 0.0.4, and readiness.
 * Pure. Labels are operations, errors, states and numbers of loops: nothing that a client sent and
 * nothing that names a key or a caller. docs/METRICS.md lists every series. */
#ifndef GATEWAY_METRICS_H
#define GATEWAY_METRICS_H

#include "gateway/control.h"
#include "gateway/meter.h"

#define METRICS_TEXT_MAX (256u << 10)

enum metrics_phase {
    METRICS_STARTING,
    METRICS_SERVING,
    METRICS_STOPPING
};

struct metrics_facts {
    enum metrics_phase phase;
    const struct control_pool *pool;
    const struct meter *meters; /* loops of them */
    unsigned loops;
    uint64_t start_s;                 /* of the gateway, Unix seconds */
    const struct wire_status *status; /* NULL: the boundary does not answer */
    struct store_info store;
    bool audit_writable;
    size_t backlog; /* bytes for the boundary that wait for room */
};

void metrics_render(const struct metrics_facts *f, struct wr *out);

/* NULL: requests are served. Else what is in the way, in one line. */
const char *metrics_obstacle(const struct metrics_facts *f);

#endif
