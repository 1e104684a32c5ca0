#include "base/bytes.h"

#include <stdio.h>
#include <stdlib.h>

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

bool bytes_ieq(struct bytes a, struct bytes b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++)
        if (lower(a.p[i]) != lower(b.p[i]))
            return false;
    return true;
}

hsm_err rd_bytes(struct rd *r, size_t n, struct bytes *ret)
{
    if (r->n < n)
        return HSM_E_MALFORMED;
    *ret = bytes_of(r->p, n);
    if (n > 0) {
        r->p += n;
        r->n -= n;
    }
    return HSM_OK;
}

static hsm_err rd_uint(struct rd *r, unsigned width, uint64_t *ret)
{
    struct bytes b;
    TRY(rd_bytes(r, width, &b));
    uint64_t v = 0;
    for (unsigned i = 0; i < width; i++)
        v = v << 8 | b.p[i];
    *ret = v;
    return HSM_OK;
}

hsm_err rd_u8(struct rd *r, uint8_t *ret)
{
    uint64_t v;
    TRY(rd_uint(r, 1, &v));
    *ret = (uint8_t)v;
    return HSM_OK;
}

hsm_err rd_u16(struct rd *r, uint16_t *ret)
{
    uint64_t v;
    TRY(rd_uint(r, 2, &v));
    *ret = (uint16_t)v;
    return HSM_OK;
}

hsm_err rd_u32(struct rd *r, uint32_t *ret)
{
    uint64_t v;
    TRY(rd_uint(r, 4, &v));
    *ret = (uint32_t)v;
    return HSM_OK;
}

hsm_err rd_u64(struct rd *r, uint64_t *ret)
{
    return rd_uint(r, 8, ret);
}

hsm_err rd_copy(struct rd *r, void *dst, size_t n)
{
    struct bytes b;
    TRY(rd_bytes(r, n, &b));
    if (n > 0)
        memcpy(dst, b.p, n);
    return HSM_OK;
}

hsm_err rd_lv(struct rd *r, size_t max, struct bytes *ret)
{
    struct rd at = *r;
    uint32_t n;
    struct bytes b;
    TRY(rd_u32(&at, &n));
    if (n > max)
        return HSM_E_MALFORMED;
    TRY(rd_bytes(&at, n, &b));
    *r = at;
    *ret = b;
    return HSM_OK;
}

hsm_err rd_end(const struct rd *r)
{
    return r->n == 0 ? HSM_OK : HSM_E_MALFORMED;
}

void wr_bytes(struct wr *w, const void *p, size_t n)
{
    if (w->overflow || n > w->cap - w->n) {
        w->overflow = true;
        return;
    }
    if (n > 0)
        memcpy(w->p + w->n, p, n);
    w->n += n;
}

void wr_u8(struct wr *w, uint8_t v)
{
    wr_bytes(w, &v, 1);
}

void wr_u16(struct wr *w, uint16_t v)
{
    const uint8_t b[2] = {(uint8_t)(v >> 8), (uint8_t)v};
    wr_bytes(w, b, sizeof b);
}

void wr_u32(struct wr *w, uint32_t v)
{
    const uint8_t b[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};
    wr_bytes(w, b, sizeof b);
}

void wr_u64(struct wr *w, uint64_t v)
{
    uint8_t b[8];
    be64_put(b, v);
    wr_bytes(w, b, sizeof b);
}

void wr_lv(struct wr *w, struct bytes b)
{
    wr_u32(w, (uint32_t)b.n);
    wr_bytes(w, b.p, b.n);
}

void wr_str(struct wr *w, const char *s)
{
    wr_bytes(w, s, strlen(s));
}

size_t wr_lv_open(struct wr *w)
{
    size_t at = w->n;
    wr_u32(w, 0);
    return at;
}

void wr_lv_close(struct wr *w, size_t at)
{
    if (w->overflow)
        return;
    size_t n = w->n - at - 4;
    w->p[at] = (uint8_t)(n >> 24);
    w->p[at + 1] = (uint8_t)(n >> 16);
    w->p[at + 2] = (uint8_t)(n >> 8);
    w->p[at + 3] = (uint8_t)n;
}

hsm_err wr_ok(const struct wr *w)
{
    return w->overflow ? HSM_E_RANGE : HSM_OK;
}
