/* An accepted frame, hello or name, made again, is the same bytes. */
#include <stdio.h>
#include <stdlib.h>
#include "store/peer_frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void again(const struct peer_frame *f, struct bytes was)
{
    uint8_t head[PEER_FRAME_HEAD];
    char address[PEER_ADDRESS_CAP];
    uint8_t hello[PEER_HELLO_MAX];
    peer_frame_head(head, f->type, f->seq, f->payload.n);
    HSM_ASSERT(was.n == sizeof head + f->payload.n && memcmp(was.p, head, sizeof head) == 0);
    HSM_ASSERT(f->type <= PEER_TYPE_MAX || f->payload.n <= PEER_HELLO_MAX);
    if (peer_hello_parse(f, address) != HSM_OK)
        return;
    HSM_ASSERT(bytes_eq(bytes_of(hello, peer_hello_make(hello, address)), f->payload));
}

static void name(struct bytes in)
{
    char text[64];
    struct bytes pool;
    uint64_t id;
    if (peer_name_parse(in, &pool, &id) != HSM_OK)
        return;
    HSM_ASSERT(id > 0 && pool.n > 0 && pool.n <= PEER_POOL_MAX);
    int n = snprintf(text, sizeof text, "keyhold:%.*s:%llu", (int)pool.n, (const char *)pool.p,
                     (unsigned long long)id - 1);
    HSM_ASSERT(bytes_eq(bytes_of(text, (size_t)n), in));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in = bytes_of(data, size);
    name(in);
    while (in.n > 0) {
        struct peer_frame f;
        size_t total = 0;
        hsm_err err = peer_frame_parse(in, &f, &total);
        if (err == HSM_E_MALFORMED)
            break;
        HSM_ASSERT(total >= PEER_FRAME_HEAD && total <= PEER_FRAME_MAX);
        HSM_ASSERT((err == HSM_E_AGAIN) == (total > in.n));
        if (err == HSM_E_AGAIN)
            break;
        again(&f, bytes_of(in.p, total));
        in = bytes_of(in.p + total, in.n - total);
    }
    return 0;
}
