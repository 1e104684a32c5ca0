#include "store/segment.h"

#include "store/logentry.h"

#define BATCH_HEAD  16u /* two checksums, number of entries */
#define ENTRY_HEAD  16u /* term, type, size */
#define ENTRIES_MAX (8u * 1024 * 1024 / 32)
enum {
    TYPE_COMMAND = 1
};

static uint32_t le32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t le64(const uint8_t *p)
{
    return le32(p) | (uint64_t)le32(p + 4) << 32;
}

/* CRC-32/BZIP2 polynomial, most significant bit first, start value 0, no final inversion. */
static uint32_t crc(const uint8_t *p, size_t n)
{
    static const uint32_t table[16] = {
        0x00000000, 0x04c11db7, 0x09823b6e, 0x0d4326d9, 0x130476dc, 0x17c56b6b,
        0x1a864db2, 0x1e475005, 0x2608edb8, 0x22c9f00f, 0x2f8ad6d6, 0x2b4bcb61,
        0x350c9b64, 0x31cd86d3, 0x3c8ea00a, 0x384fbdbd,
    };
    uint32_t c = 0;
    for (size_t i = 0; i < n; i++) {
        c = c << 4 ^ table[(c >> 28 ^ p[i] >> 4) & 15];
        c = c << 4 ^ table[(c >> 28 ^ p[i]) & 15];
    }
    return c;
}

bool segment_head_ok(struct bytes file)
{
    return file.n >= SEGMENT_HEAD && le64(file.p) == 1;
}

bool segment_is_zero(struct bytes file, size_t from)
{
    for (size_t i = from; i < file.n; i++)
        if (file.p[i] != 0)
            return false;
    return true;
}

/* Sizes are checked by the caller. */
static void look_inside(const uint8_t *heads, const uint8_t *data, struct segment_batch *b)
{
    for (uint64_t i = 0; i < b->entries; i++) {
        const uint8_t *h = heads + ENTRY_HEAD * i;
        size_t len = le32(h + 12);
        uint64_t durable;
        struct bytes txn;
        if (le64(h) > b->max_term)
            b->max_term = le64(h);
        if (h[8] == TYPE_COMMAND &&
            logentry_decode(bytes_of(data, len), &durable, &txn) == HSM_OK && durable > b->durable)
            b->durable = durable;
        data += len;
    }
}

hsm_err segment_batch_read(struct bytes file, size_t at, struct segment_batch *ret)
{
    if (at > file.n || file.n - at < BATCH_HEAD)
        return HSM_E_MALFORMED;
    const uint8_t *p = file.p + at;
    size_t left = file.n - at - BATCH_HEAD;
    struct segment_batch b = {.entries = le64(p + 8)};
    if (b.entries == 0 || b.entries > ENTRIES_MAX || left / ENTRY_HEAD < b.entries)
        return HSM_E_MALFORMED;
    size_t heads = (size_t)b.entries * ENTRY_HEAD;
    if (crc(p + 8, 8 + heads) != le32(p))
        return HSM_E_MALFORMED;
    left -= heads;
    size_t data = 0;
    for (size_t i = 0; i < b.entries; i++) {
        size_t len = le32(p + BATCH_HEAD + ENTRY_HEAD * i + 12);
        if (len % 8 != 0 || len > left - data)
            return HSM_E_MALFORMED;
        data += len;
    }
    if (crc(p + BATCH_HEAD + heads, data) != le32(p + 4))
        return HSM_E_MALFORMED;
    look_inside(p + BATCH_HEAD, p + BATCH_HEAD + heads, &b);
    b.end = at + BATCH_HEAD + heads + data;
    *ret = b;
    return HSM_OK;
}
