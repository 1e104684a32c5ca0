#include "boundary/join_msg.h"

#define VERSION 1u

const char *join_reason_member(enum join_reason r)
{
    static const char *const text[JOIN__REASONS] = {
#define X(name, member, joiner) [name] = member,
        JOIN_REASONS(X)
#undef X
    };
    return text[r];
}

const char *join_reason_joiner(enum join_reason r)
{
    static const char *const text[JOIN__REASONS] = {
#define X(name, member, joiner) [name] = joiner,
        JOIN_REASONS(X)
#undef X
    };
    return text[r];
}

void join_msg_encode(const struct join_msg *m, struct wr *w)
{
    wr_u8(w, VERSION);
    wr_u8(w, (uint8_t)m->type);
    switch (m->type) {
    case JOIN_ASK:
        wr_u16(w, JOIN_PROOF_LEN + 4);
        wr_bytes(w, m->proof.p, JOIN_PROOF_LEN);
        wr_u32(w, m->partition);
        break;
    case JOIN_GIVE:
        wr_u16(w, (uint16_t)(JOIN_PROOF_LEN + sizeof m->pool.b + m->roots.n));
        wr_bytes(w, m->proof.p, JOIN_PROOF_LEN);
        wr_bytes(w, m->pool.b, sizeof m->pool.b);
        wr_bytes(w, m->roots.p, m->roots.n);
        break;
    case JOIN_NO:
        wr_u16(w, 1);
        wr_u8(w, (uint8_t)m->reason);
        break;
    case JOIN_DONE:
        wr_u16(w, 0);
        break;
    }
}

static hsm_err decode_body(struct rd r, struct join_msg *m)
{
    uint8_t reason;
    switch (m->type) {
    case JOIN_ASK:
        TRY(rd_bytes(&r, JOIN_PROOF_LEN, &m->proof));
        TRY(rd_u32(&r, &m->partition));
        break;
    case JOIN_GIVE:
        TRY(rd_bytes(&r, JOIN_PROOF_LEN, &m->proof));
        TRY(rd_copy(&r, m->pool.b, sizeof m->pool.b));
        if (r.n == 0 || r.n > JOIN_ROOTS_MAX)
            return HSM_E_MALFORMED;
        TRY(rd_bytes(&r, r.n, &m->roots));
        break;
    case JOIN_NO:
        TRY(rd_u8(&r, &reason));
        if (reason >= JOIN__REASONS)
            return HSM_E_MALFORMED;
        m->reason = (enum join_reason)reason;
        break;
    case JOIN_DONE:
        break;
    }
    return rd_end(&r);
}

hsm_err join_msg_decode(struct bytes in, struct join_msg *ret)
{
    struct rd r = rd_of(in);
    struct join_msg m = {0};
    uint8_t version = VERSION, type = JOIN_ASK;
    uint16_t n = 0;
    /* Wrong from its first byte on is wrong at once. */
    if (r.n > 0)
        TRY(rd_u8(&r, &version));
    if (r.n > 0)
        TRY(rd_u8(&r, &type));
    if (version != VERSION || type < JOIN_ASK || type > JOIN_DONE)
        return HSM_E_MALFORMED;
    if (in.n < JOIN_HEAD_LEN)
        return HSM_E_AGAIN;
    TRY(rd_u16(&r, &n));
    if (n > JOIN_FRAME_MAX - JOIN_HEAD_LEN || r.n > n)
        return HSM_E_MALFORMED;
    if (r.n < n)
        return HSM_E_AGAIN;
    m.type = (enum join_type)type;
    TRY(decode_body(r, &m));
    *ret = m;
    return HSM_OK;
}
