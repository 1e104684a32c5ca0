#include "wire/wire.h"

static hsm_err get_list(struct rd *r, size_t max, struct bytes *ret)
{
    struct rd at = *r;
    struct bytes list;
    TRY(rd_lv(&at, max, &list));
    TRY(wire_list_check(list));
    *r = at;
    *ret = list;
    return HSM_OK;
}

#define GET_u8(name, max)     TRY(rd_u8(&at, &m.name));
#define GET_u16(name, max)    TRY(rd_u16(&at, &m.name));
#define GET_u32(name, max)    TRY(rd_u32(&at, &m.name));
#define GET_u64(name, max)    TRY(rd_u64(&at, &m.name));
#define GET_id(name, max)     TRY(rd_copy(&at, m.name.b, sizeof m.name.b));
#define GET_bytes(name, max)  TRY(rd_lv(&at, max, &m.name));
#define GET_secret(name, max) TRY(rd_lv(&at, max, &m.name));
#define GET_list(name, max)   TRY(get_list(&at, max, &m.name));
#define GET(kind, name, max)  GET_##kind(name, max)

#define PUT_u8(name)         wr_u8(w, m->name);
#define PUT_u16(name)        wr_u16(w, m->name);
#define PUT_u32(name)        wr_u32(w, m->name);
#define PUT_u64(name)        wr_u64(w, m->name);
#define PUT_id(name)         wr_bytes(w, m->name.b, sizeof m->name.b);
#define PUT_bytes(name)      wr_lv(w, m->name);
#define PUT_secret(name)     wr_lv(w, m->name);
#define PUT_list(name)       wr_lv(w, m->name);
#define PUT(kind, name, max) PUT_##kind(name)

#define DEFINE(name, FIELDS)                                                                       \
    hsm_err wire_##name##_get(struct rd *r, struct wire_##name *ret)                               \
    {                                                                                              \
        struct rd at = *r;                                                                         \
        struct wire_##name m = {0};                                                                \
        FIELDS(GET)                                                                                \
        *r = at;                                                                                   \
        *ret = m;                                                                                  \
        return HSM_OK;                                                                             \
    }                                                                                              \
    hsm_err wire_##name##_decode(struct bytes in, struct wire_##name *ret)                         \
    {                                                                                              \
        struct rd r = rd_of(in);                                                                   \
        struct wire_##name m;                                                                      \
        TRY(wire_##name##_get(&r, &m));                                                            \
        TRY(rd_end(&r));                                                                           \
        *ret = m;                                                                                  \
        return HSM_OK;                                                                             \
    }                                                                                              \
    void wire_##name##_put(struct wr *w, const struct wire_##name *m)                              \
    {                                                                                              \
        (void)w;                                                                                   \
        (void)m;                                                                                   \
        FIELDS(PUT)                                                                                \
    }
WIRE_STRUCTS(DEFINE)

bool wire_list_next(struct bytes *list, struct bytes *ret)
{
    struct rd r = rd_of(*list);
    if (r.n == 0 || rd_lv(&r, r.n, ret) != HSM_OK)
        return false;
    *list = bytes_of(r.p, r.n);
    return true;
}

hsm_err wire_list_check(struct bytes list)
{
    struct rd r = rd_of(list);
    struct bytes item;
    while (r.n > 0)
        TRY(rd_lv(&r, r.n, &item));
    return HSM_OK;
}

const struct wire_op_info *wire_op_info(unsigned type)
{
    static const struct wire_op_info infos[] = {
#define O(op, req, res, name, http) [op] = {name, http},
        WIRE_OPS(O)
#undef O
    };
    if (type >= WIRE_OP__END || infos[type].audit_name == NULL)
        return NULL;
    return &infos[type];
}

const char *wire_type_name(unsigned type)
{
    switch (type) {
#define O(op, req, res, name, http)                                                                \
    case op:                                                                                       \
        return #op;
        WIRE_OPS(O)
#undef O
#define C(ctl, msg)                                                                                \
    case ctl:                                                                                      \
        return #ctl;
        WIRE_CONTROLS(C)
#undef C
    case WIRE_ANSWER:
        return "WIRE_ANSWER";
    default:
        return "?";
    }
}
