#include "net/door_message.h"

bool door_endpoint_valid(struct bytes id)
{
    if (id.n == 0 || id.n > DOOR_ENDPOINT_MAX)
        return false;
    for (size_t i = 0; i < id.n; i++) {
        if (id.p[i] <= ' ' || id.p[i] >= 0x7f)
            return false;
    }
    return true;
}

size_t door_message_write(const char *endpoint, uint8_t dst[DOOR_MESSAGE_MAX])
{
    struct wr w = wr_of(dst, DOOR_MESSAGE_MAX);
    bool is_private = endpoint != NULL && endpoint[0] != '\0';
    wr_u8(&w, is_private ? DOOR_PRIVATE : DOOR_PUBLIC);
    if (is_private)
        wr_str(&w, endpoint);
    HSM_ASSERT(wr_ok(&w) == HSM_OK);
    return w.n;
}

hsm_err door_message_parse(struct bytes in, char id[DOOR_ENDPOINT_MAX + 1])
{
    struct rd r = rd_of(in);
    uint8_t way = 0;
    TRY(rd_u8(&r, &way));
    if (way == DOOR_PUBLIC) {
        TRY(rd_end(&r));
        id[0] = '\0';
        return HSM_OK;
    }
    if (way != DOOR_PRIVATE || !door_endpoint_valid(bytes_of(r.p, r.n)))
        return HSM_E_MALFORMED;
    memcpy(id, r.p, r.n);
    id[r.n] = '\0';
    return HSM_OK;
}
