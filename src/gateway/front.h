/* One HTTP loop's requests: from a request to a frame on the loop's lane, from the boundary's
 * answer to a response. Everything on the loop's thread; no allocation after front_new(). */
#ifndef GATEWAY_FRONT_H
#define GATEWAY_FRONT_H

#include "gateway/audit_sink.h"
#include "gateway/face.h"
#include "gateway/firewall.h"
#include "gateway/meter.h"
#include "net/http_server.h"

#define FRONT_PENDING_MAX 4096

/* Fixed before the loops start. */
struct front_shared {
    struct faces faces;
    char region[64];
    struct audit_sink *audit;
    struct firewall *firewall;
    struct ring_set *rings;
    struct meter *meters; /* one for each lane from 1 on */
};

struct front;

/* lane: 1..rings->lanes. */
HSM_MUST_USE hsm_err front_new(const struct front_shared *shared, unsigned lane,
                               struct front **ret);
void front_free(struct front *f);
/* For http_server_new(). door_closed (with its ctx) hears of a lost front door. */
struct http_server_handlers front_handlers(struct front *f, void (*door_closed)(void *ctx),
                                           void *ctx);

/* Answers from the boundary: take all that are there, write their audit lines, respond. After it
 * the lane's reader sleeps (poll front_fd()). HSM_E_CORRUPT: the boundary cannot be trusted any
 * more; end the process. */
HSM_MUST_USE hsm_err front_answers(struct front *f);
int front_fd(const struct front *f);
/* Before the loop waits for events, when the lane's worker runs on the same processor: while it has
 * requests to do, wait for its answers alone, a millisecond at most. Clients that send their next
 * request meanwhile would each wake the loop and take the processor from the worker; they are read
 * together afterwards. */
void front_let_worker_run(struct front *f);
unsigned front_pending(const struct front *f);

#endif
