/* Shared-memory rings between the gateway and the boundary.
 *
 * One memfd holds, for every lane, a ring in each direction; a lane belongs to one gateway loop and
 * the boundary worker on the same core. Lane 0 is the control lane (store, relay, status). After
 * the lanes comes one more ring boundary -> gateway: audit lines. Each ring has two eventfds: one
 * wakes the reader ("data"), one the writer ("room"). One notification per batch: a writer signals
 * only when the reader said that it sleeps.
 *
 * Neither side trusts the other: indices read from shared memory are checked against the ring size,
 * a frame is copied out before anything looks at it, and an inconsistent ring is HSM_E_CORRUPT (the
 * connection ends). Single reader; writers are serialised by a process-local mutex in struct ring.
 */
#ifndef WIRE_RING_H
#define WIRE_RING_H

#include <pthread.h>
#include <stdbool.h>
#include "base/bytes.h"

#define RING_SIZE      (1u << 20) /* data bytes per ring, power of two */
#define RING_FRAME_MAX (RING_SIZE - 4096)
#define RING_LANES_MAX 16 /* request lanes; the control lane comes on top */

struct ring_frame {
    uint16_t type; /* enum wire_type */
    uint64_t id;   /* request id, chosen by the gateway, echoed in the answer */
    struct bytes payload;
};

struct ring; /* one end of one direction */

/* What the supervisor creates and both processes inherit: descriptors in this order
 *   memfd, then for every ring (lane 0 to_boundary, lane 0 to_gateway, lane 1 ..., audit): data,
 * room */
struct ring_fds {
    int memfd;
    unsigned lanes; /* request lanes, without the control lane */
    int event[(2 * (RING_LANES_MAX + 1) + 1) * 2];
    unsigned event_n;
};
HSM_MUST_USE hsm_err ring_fds_create(unsigned lanes, struct ring_fds *ret);
void ring_fds_close(struct ring_fds *f);
/* Text form for a command line or environment: "memfd:lanes:fd,fd,..."; and back. */
HSM_MUST_USE hsm_err ring_fds_format(const struct ring_fds *f, char *dst, size_t cap);
HSM_MUST_USE hsm_err ring_fds_parse(const char *text, struct ring_fds *ret);
/* Descriptors are close-on-exec; a child that is to inherit them calls this between fork and exec
 * (async-signal-safe). ring_fds_parse() in the new program sets the flag again. */
void ring_fds_inheritable(const struct ring_fds *f);

enum ring_side {
    RING_BOUNDARY,
    RING_GATEWAY
};

/* All rings of one side. */
struct ring_set {
    unsigned lanes; /* request lanes: 1..lanes; 0 is control */
    struct ring *in[RING_LANES_MAX + 1];
    struct ring *out[RING_LANES_MAX + 1];
    struct ring *audit; /* boundary: writer; gateway: reader */
    void *map;
    size_t map_n;
};
HSM_MUST_USE hsm_err ring_attach(const struct ring_fds *f, enum ring_side side,
                                 struct ring_set *ret);
void ring_detach(struct ring_set *s);

/* Writer. Waits for room at most wait_ms (0: HSM_E_AGAIN at once, -1: for ever).
 * HSM_E_RANGE: frame larger than RING_FRAME_MAX. wipe: the payload is secret (no copy is kept). */
HSM_MUST_USE hsm_err ring_write(struct ring *r, const struct ring_frame *f, int wait_ms);
/* Write without waking the reader; ring_flush wakes it once for the batch. */
HSM_MUST_USE hsm_err ring_write_quiet(struct ring *r, const struct ring_frame *f, int wait_ms);
void ring_flush(struct ring *r);
/* Bytes that a frame with that payload could take now without waiting. */
bool ring_has_room(struct ring *r, size_t payload_n);

/* Are there frames that the reader has not taken yet? */
bool ring_is_behind(const struct ring *r);

/* Reader. What the next frame says of itself, to choose where it is to be copied; the peer may have
 * changed that by then. Errors as below. */
struct ring_head {
    uint16_t type;
    size_t n; /* payload */
    uint64_t id;
};
HSM_MUST_USE hsm_err ring_peek(struct ring *r, struct ring_head *ret);

/* Copies the next frame into buf[cap] (payload points into it); the shared bytes are wiped.
 * HSM_E_AGAIN: empty. HSM_E_RANGE: cap too small (frame stays). HSM_E_CORRUPT: give up. */
HSM_MUST_USE hsm_err ring_read(struct ring *r, uint8_t *buf, size_t cap, struct ring_frame *ret);
/* Descriptor to poll for reading; call ring_sleep() before polling: it returns false when a frame
 * arrived meanwhile (do not sleep then). After waking call ring_awake(). */
int ring_fd(const struct ring *r);
bool ring_sleep(struct ring *r);
void ring_awake(struct ring *r);
/* The two ends of a lane share a processor: a reader that slept (ring_sleep) waits on ring_fd() for
 * its peer's turn, and hears of its end although no frame came of it. false: a signal is there
 * already. A wait begins only when ring_is_behind() still holds after this, and ends with
 * ring_end_turn(). */
bool ring_await_turn(struct ring *r);
void ring_end_turn(struct ring *r);
/* Writer, before it waits for work itself: its turn is over. */
void ring_turn_over(struct ring *r);
/* Block until a frame is there or timeout (-1: none). false on timeout. */
bool ring_wait(struct ring *r, int timeout_ms);

#endif
