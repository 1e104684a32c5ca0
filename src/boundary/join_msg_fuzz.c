/* A turn of a join connection: what is taken for a frame is written back as the same bytes, and no
 * beginning of it is a frame or wrong. */
#include "boundary/join_msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t again[JOIN_FRAME_MAX];
    struct join_msg m, part;
    if (join_msg_decode(bytes_of(data, size), &m) != HSM_OK)
        return 0;
    struct wr w = wr_of(again, sizeof again);
    join_msg_encode(&m, &w);
    HSM_ASSERT(wr_ok(&w) == HSM_OK && bytes_eq(wr_view(&w), bytes_of(data, size)));
    for (size_t n = 0; n < size; n++)
        HSM_ASSERT(join_msg_decode(bytes_of(data, n), &part) == HSM_E_AGAIN);
    return 0;
}
