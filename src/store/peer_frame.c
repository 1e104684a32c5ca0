#include "store/peer_frame.h"

#define HELLO_VERSION 1
#define NUMBER_DIGITS 9

static bool is_hello(uint16_t type)
{
    return type == PEER_HELLO_LINK || type == PEER_HELLO_RAFT;
}

static bool may_be(const struct peer_frame *f)
{
    if (f->type <= PEER_TYPE_MAX)
        return true;
    if (f->type < PEER_HELLO_LINK || f->type > PEER_PING || f->seq != 0)
        return false;
    return is_hello(f->type) ? f->payload.n <= PEER_HELLO_MAX : f->payload.n == 0;
}

hsm_err peer_frame_parse(struct bytes in, struct peer_frame *ret, size_t *ret_total)
{
    struct rd r = rd_of(in);
    struct peer_frame f;
    uint32_t n;
    if (in.n < PEER_FRAME_HEAD) {
        *ret_total = PEER_FRAME_HEAD;
        return HSM_E_AGAIN;
    }
    TRY(rd_u32(&r, &n));
    if (n < PEER_FRAME_HEAD - 4 || n > PEER_FRAME_MAX - 4)
        return HSM_E_MALFORMED;
    TRY(rd_u16(&r, &f.type));
    TRY(rd_u64(&r, &f.seq));
    /* the head alone is judged, so that nothing is gathered for a frame that will be refused */
    f.payload = bytes_of(r.p, n - (PEER_FRAME_HEAD - 4));
    if (!may_be(&f))
        return HSM_E_MALFORMED;
    *ret_total = 4 + (size_t)n;
    if (r.n < f.payload.n)
        return HSM_E_AGAIN;
    *ret = f;
    return HSM_OK;
}

void peer_frame_head(uint8_t dst[PEER_FRAME_HEAD], uint16_t type, uint64_t seq, size_t payload_n)
{
    be32_put(dst, (uint32_t)(payload_n + PEER_FRAME_HEAD - 4));
    be16_put(dst + 4, type);
    be64_put(dst + 6, seq);
}

hsm_err peer_hello_parse(const struct peer_frame *f, char address[PEER_ADDRESS_CAP])
{
    struct rd r = rd_of(f->payload);
    uint8_t version;
    TRY(rd_u8(&r, &version));
    bool wants_address = f->type == PEER_HELLO_RAFT;
    if (!is_hello(f->type) || version != HELLO_VERSION || r.n >= PEER_ADDRESS_CAP ||
        wants_address != (r.n > 0))
        return HSM_E_MALFORMED;
    for (size_t i = 0; i < r.n; i++)
        if (r.p[i] <= ' ' || r.p[i] > '~')
            return HSM_E_MALFORMED;
    memcpy(address, r.p, r.n);
    address[r.n] = '\0';
    return HSM_OK;
}

size_t peer_hello_make(uint8_t dst[PEER_HELLO_MAX], const char *address)
{
    size_t n = strnlen(address, PEER_ADDRESS_CAP - 1);
    dst[0] = HELLO_VERSION;
    memcpy(dst + 1, address, n);
    return 1 + n;
}

static bool pool_char(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
}

static hsm_err parse_number(struct bytes b, uint64_t *ret)
{
    uint64_t v = 0;
    if (b.n == 0 || b.n > NUMBER_DIGITS || (b.n > 1 && b.p[0] == '0'))
        return HSM_E_MALFORMED;
    for (size_t i = 0; i < b.n; i++) {
        if (b.p[i] < '0' || b.p[i] > '9')
            return HSM_E_MALFORMED;
        v = v * 10 + (b.p[i] - '0');
    }
    *ret = v;
    return HSM_OK;
}

hsm_err peer_name_parse(struct bytes uri, struct bytes *ret_pool, uint64_t *ret_id)
{
    static const size_t scheme_n = sizeof PEER_NAME_SCHEME - 1;
    uint64_t number;
    if (uri.n < scheme_n || memcmp(uri.p, PEER_NAME_SCHEME, scheme_n) != 0)
        return HSM_E_MALFORMED;
    struct bytes pool = bytes_of(uri.p + scheme_n, 0);
    size_t left = uri.n - scheme_n;
    while (pool.n < left && pool_char(pool.p[pool.n]))
        pool.n++;
    if (pool.n == 0 || pool.n > PEER_POOL_MAX || pool.n == left || pool.p[pool.n] != ':')
        return HSM_E_MALFORMED;
    TRY(parse_number(bytes_of(pool.p + pool.n + 1, left - pool.n - 1), &number));
    *ret_pool = pool;
    *ret_id = number + 1;
    return HSM_OK;
}
