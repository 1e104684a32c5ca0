/* Counters of one HTTP loop. Its thread alone writes them, the control loop reads them: relaxed
 * loads and stores, no locked instruction, no cache line shared with another loop. What is read is
 * a little older than the present, never torn. */
#ifndef GATEWAY_METER_H
#define GATEWAY_METER_H

#include <stdatomic.h>
#include "wire/wire.h"

/* Upper ends of the latency buckets in microseconds and in Prometheus' words. */
#define METER_BOUNDS(B)                                                                            \
    B(50, "0.00005")                                                                               \
    B(100, "0.0001")                                                                               \
    B(200, "0.0002")                                                                               \
    B(500, "0.0005")                                                                               \
    B(1000, "0.001")                                                                               \
    B(2000, "0.002")                                                                               \
    B(5000, "0.005")                                                                               \
    B(10000, "0.01")                                                                               \
    B(20000, "0.02")                                                                               \
    B(50000, "0.05")                                                                               \
    B(100000, "0.1")                                                                               \
    B(200000, "0.2")                                                                               \
    B(500000, "0.5")                                                                               \
    B(1000000, "1")                                                                                \
    B(5000000, "5")
enum {
#define B(us, text) METER_BUCKET_##us,
    METER_BOUNDS(B)
#undef B
    METER_BUCKET_MORE,
    METER_BUCKETS
};
enum meter_class {
    METER_2XX,
    METER_4XX,
    METER_5XX,
    METER_CLASSES
};

typedef _Atomic uint64_t meter_count;

struct meter_op {
    meter_count answers[METER_CLASSES];
    meter_count bucket[METER_BUCKETS]; /* each answer in one of them */
    meter_count sum_us;
};
/* One for each loop, in an array: the size is a multiple of the alignment. */
struct meter {
    _Alignas(64) meter_count in_flight; /* requests that wait for their answer */
    meter_count refused[HSM_E__COUNT];  /* by error */
    struct meter_op op[WIRE_OP__END];   /* by enum wire_type; 0: none was recognised */
};

/* NULL: no memory. Free with free(). */
struct meter *meters_new(unsigned loops);

/* ---- the loop's thread ---- */
static inline void meter_add(meter_count *c, uint64_t n)
{
    uint64_t was = atomic_load_explicit(c, memory_order_relaxed);
    atomic_store_explicit(c, was + n, memory_order_relaxed);
}
static inline void meter_in_flight(struct meter *m, unsigned n)
{
    atomic_store_explicit(&m->in_flight, n, memory_order_relaxed);
}
/* The end of a request. op: enum wire_type, or 0; err counts from status 400 on. */
void meter_answer(struct meter *m, unsigned op, unsigned status, unsigned err, uint64_t us);
/* Refused before it was a request: no operation, no latency. */
void meter_refusal(struct meter *m, unsigned err);

/* ---- any thread ---- */
static inline uint64_t meter_read(const meter_count *c)
{
    return atomic_load_explicit(c, memory_order_relaxed);
}

#endif
