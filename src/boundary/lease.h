/* Whether this partition may answer from its own state now, and up to where its answers may go out.
 * See docs/boundary.md, "Leases"; wire/lease.h has the times.
 *
 * Workers read two numbers without a lock; the control thread asks, checks and writes them. A
 * boundary that is alone in its pool has both at their maximum from the start. */
#ifndef BOUNDARY_LEASE_H
#define BOUNDARY_LEASE_H

#include <stdatomic.h>
#include <stdbool.h>
#include "base/uuid.h"
#include "wire/lease.h"

#define LEASE_ALONE     UINT64_MAX
#define LEASE_US        (LEASE_MS * 1000u)
#define LEASE_GAP_US    50000u  /* between two questions */
#define LEASE_AGAIN_US  100000u /* without an answer */
#define LEASE_WAIT_US   3000000u
#define LEASE_ASKED_MAX 8u /* questions that are young enough to be answered */

struct boundary;

struct lease_asked {
    struct uuid nonce;
    uint64_t at_us;
    uint64_t from_index; /* own state at that time: a leader is that far at least */
    bool is_open;        /* not used up */
    bool has_answer;     /* which waits until the state is that far */
    uint64_t index;
    uint8_t mac[32];
};

struct lease {
    atomic_uint_fast64_t until_us; /* by clock() */
    atomic_uint_fast64_t released; /* index */
    atomic_bool wanted;
    /* The rest is the control thread's. */
    struct lease_asked asked[LEASE_ASKED_MAX];
    unsigned next;
    uint64_t asked_us;  /* of the newest question */
    bool is_unanswered; /* that one */
    bool has_warned_grant, has_warned_sign;
    /* Goes on while the machine sleeps: a lease is over after that, whatever the processes here
     * noticed of it. Steps of the wall clock do not matter. */
    uint64_t (*clock)(void);
};
void lease_init(struct lease *l, bool alone);

/* Before the state is read: until when the lease of this moment lasts. */
static inline uint64_t lease_until(const struct lease *l)
{
    return atomic_load_explicit(&l->until_us, memory_order_acquire);
}
static inline bool lease_is_alone(const struct lease *l)
{
    return lease_until(l) == LEASE_ALONE;
}
/* After it was read: whether that lease, not one that came in between, still lasts. Whoever was
 * stopped in the middle must not answer. One that is getting old is renewed. */
bool lease_covers(struct boundary *b, uint64_t until_us);
static inline uint64_t lease_released(const struct lease *l)
{
    return atomic_load_explicit(&l->released, memory_order_acquire);
}
/* Have a lease asked for. Any thread. */
void lease_want(struct boundary *b);

/* ---- control thread ---- */
/* Ask, if one is wanted and it is time to. */
void lease_tick(struct boundary *b);
/* How long the control thread may sleep: at most that many milliseconds. */
int lease_sleep_ms(struct boundary *b, int most);
/* The state moved on: answers that waited for it. */
void lease_applied(struct boundary *b);
uint32_t lease_ms_left(const struct lease *l);

#endif
