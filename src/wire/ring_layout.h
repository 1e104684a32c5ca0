/* Layout of the shared memory of a set of rings; used by ring.c, ring_fds.c and the tests that play
 * a hostile peer. */
#ifndef WIRE_RING_LAYOUT_H
#define WIRE_RING_LAYOUT_H

#include <stdatomic.h>
#include <stdint.h>
#include "wire/ring.h"

#define RING_HEADER_PAGE 4096u
#define RING_SLOT        (RING_HEADER_PAGE + RING_SIZE)
#define RING_HEADER_LEN  16u /* u32 payload length, u16 type, u16 zero, u64 id; big-endian */

/* ring_shared.reader_sleeps: the reader wants a signal */
#define RING_READER_AWAKE 0u
#define RING_READER_FRAME 1u /* when there is a frame */
#define RING_READER_TURN  2u /* or when the writer has nothing to do */

/* Reader's and writer's words on cache lines of their own. */
struct ring_shared {
    _Alignas(64) _Atomic uint64_t head; /* written by the reader */
    _Atomic uint32_t reader_sleeps;
    _Alignas(64) _Atomic uint64_t tail; /* written by the writer */
    _Atomic uint32_t writer_waits;
};
_Static_assert(sizeof(struct ring_shared) <= RING_HEADER_PAGE, "header fits its page");

static inline unsigned ring_count(unsigned lanes)
{
    return 2 * (lanes + 1) + 1;
}

#endif
