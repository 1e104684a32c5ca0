/* Every message's codec: what decodes must encode to the same bytes again; what does not decode
 * must leave the cursor where it was. The first byte picks the message. */
#include <stdlib.h>
#include "wire/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t out[1u << 20];

/* Lists come out well formed: walking one ends exactly at its end. */
static void walk(struct bytes list)
{
    struct bytes item;
    size_t n = 0;
    const size_t whole = list.n;
    while (wire_list_next(&list, &item))
        n += 4 + item.n;
    if (n != whole)
        abort();
}

#define CHECK_u8(name)
#define CHECK_u16(name)
#define CHECK_u32(name)
#define CHECK_u64(name)
#define CHECK_id(name)
#define CHECK_bytes(name)
#define CHECK_secret(name)
#define CHECK_list(name)       walk(m.name);
#define CHECK(kind, name, max) CHECK_##kind(name)

#define ROUND(name, FIELDS)                                                                        \
    static void round_##name(struct bytes in)                                                      \
    {                                                                                              \
        struct wire_##name m;                                                                      \
        struct rd r = rd_of(in);                                                                   \
        if (wire_##name##_get(&r, &m) != HSM_OK) {                                                 \
            if (r.p != in.p || r.n != in.n)                                                        \
                abort();                                                                           \
            return;                                                                                \
        }                                                                                          \
        FIELDS(CHECK)                                                                              \
        struct wr w = wr_of(out, sizeof out);                                                      \
        wire_##name##_put(&w, &m);                                                                 \
        if (wr_ok(&w) != HSM_OK || !bytes_eq(wr_view(&w), bytes_of(in.p, in.n - r.n)))             \
            abort();                                                                               \
        struct wire_##name again;                                                                  \
        if ((wire_##name##_decode(in, &again) == HSM_OK) != (r.n == 0))                            \
            abort();                                                                               \
    }
WIRE_STRUCTS(ROUND)

static void (*const rounds[])(struct bytes) = {
#define M(name, FIELDS) round_##name,
    WIRE_STRUCTS(M)
#undef M
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > sizeof out)
        return 0;
    rounds[data[0] % (sizeof rounds / sizeof rounds[0])](bytes_of(data + 1, size - 1));
    (void)wire_op_info(data[0]);
    (void)wire_type_name(data[0]);
    return 0;
}
