/* Views, a bounded reader and a bounded writer over byte strings.
 * No allocation, no I/O. Big-endian integers. Thread-safe (no state). */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "base/err.h"

/* A borrowed byte string; valid as long as what it points into. p may be NULL when n == 0. */
struct bytes {
    const uint8_t *p;
    size_t n;
};

static inline struct bytes bytes_of(const void *p, size_t n)
{
    return (struct bytes){.p = (const uint8_t *)p, .n = n};
}
static inline struct bytes bytes_str(const char *s)
{
    return bytes_of(s, strlen(s));
}
/* Not for secrets: stops at the first difference. */
static inline bool bytes_eq(struct bytes a, struct bytes b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}
static inline bool bytes_eq_str(struct bytes a, const char *s)
{
    return bytes_eq(a, bytes_str(s));
}
/* ASCII case-insensitive comparison. */
bool bytes_ieq(struct bytes a, struct bytes b);

/* Plain big-endian stores and loads; memcpy and a swap become one instruction each. */
static inline void be16_put(uint8_t *p, uint16_t v)
{
    v = htobe16(v);
    memcpy(p, &v, sizeof v);
}
static inline void be32_put(uint8_t *p, uint32_t v)
{
    v = htobe32(v);
    memcpy(p, &v, sizeof v);
}
static inline void be64_put(uint8_t *p, uint64_t v)
{
    v = htobe64(v);
    memcpy(p, &v, sizeof v);
}
static inline uint16_t be16_get(const uint8_t *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return be16toh(v);
}
static inline uint32_t be32_get(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return be32toh(v);
}
static inline uint64_t be64_get(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return be64toh(v);
}

/* Reader, used by value as the cursor of a parser: a function that takes struct rd by value and
 * fails cannot have moved its caller's cursor. Every getter returns HSM_E_MALFORMED when too few
 * bytes are left and then moves nothing. Inline: a frame has dozens of fields. */
struct rd {
    const uint8_t *p;
    size_t n;
};
static inline struct rd rd_of(struct bytes b)
{
    return (struct rd){.p = b.p, .n = b.n};
}
HSM_MUST_USE static inline hsm_err rd_bytes(struct rd *r, size_t n, struct bytes *ret)
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
HSM_MUST_USE static inline hsm_err rd_u8(struct rd *r, uint8_t *ret)
{
    struct bytes b;
    TRY(rd_bytes(r, 1, &b));
    *ret = b.p[0];
    return HSM_OK;
}
HSM_MUST_USE static inline hsm_err rd_u16(struct rd *r, uint16_t *ret)
{
    struct bytes b;
    TRY(rd_bytes(r, 2, &b));
    *ret = be16_get(b.p);
    return HSM_OK;
}
HSM_MUST_USE static inline hsm_err rd_u32(struct rd *r, uint32_t *ret)
{
    struct bytes b;
    TRY(rd_bytes(r, 4, &b));
    *ret = be32_get(b.p);
    return HSM_OK;
}
HSM_MUST_USE static inline hsm_err rd_u64(struct rd *r, uint64_t *ret)
{
    struct bytes b;
    TRY(rd_bytes(r, 8, &b));
    *ret = be64_get(b.p);
    return HSM_OK;
}
HSM_MUST_USE static inline hsm_err rd_copy(struct rd *r, void *dst, size_t n)
{
    struct bytes b;
    TRY(rd_bytes(r, n, &b));
    if (n > 0)
        memcpy(dst, b.p, n);
    return HSM_OK;
}
/* A u32 length followed by that many bytes; longer than max is HSM_E_MALFORMED. */
HSM_MUST_USE static inline hsm_err rd_lv(struct rd *r, size_t max, struct bytes *ret)
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
/* HSM_E_MALFORMED when anything is left. */
HSM_MUST_USE static inline hsm_err rd_end(const struct rd *r)
{
    return r->n == 0 ? HSM_OK : HSM_E_MALFORMED;
}

/* Writer into a caller's buffer of fixed capacity. An overflow is remembered and everything after
 * it is dropped: check once with wr_ok() at the end. */
struct wr {
    uint8_t *p;
    size_t cap;
    size_t n; /* bytes written */
    bool overflow;
};
static inline struct wr wr_of(void *p, size_t cap)
{
    return (struct wr){.p = (uint8_t *)p, .cap = cap};
}
/* Room for n bytes, counted as written; NULL: an overflow. */
static inline uint8_t *wr_room(struct wr *w, size_t n)
{
    if (w->overflow || n > w->cap - w->n) {
        w->overflow = true;
        return NULL;
    }
    uint8_t *at = w->p + w->n;
    w->n += n;
    return at;
}
static inline void wr_bytes(struct wr *w, const void *p, size_t n)
{
    uint8_t *at = wr_room(w, n);
    if (at != NULL && n > 0)
        memcpy(at, p, n);
}
static inline void wr_u8(struct wr *w, uint8_t v)
{
    uint8_t *at = wr_room(w, 1);
    if (at != NULL)
        *at = v;
}
static inline void wr_u16(struct wr *w, uint16_t v)
{
    uint8_t *at = wr_room(w, 2);
    if (at != NULL)
        be16_put(at, v);
}
static inline void wr_u32(struct wr *w, uint32_t v)
{
    uint8_t *at = wr_room(w, 4);
    if (at != NULL)
        be32_put(at, v);
}
static inline void wr_u64(struct wr *w, uint64_t v)
{
    uint8_t *at = wr_room(w, 8);
    if (at != NULL)
        be64_put(at, v);
}
/* u32 length, then the bytes */
static inline void wr_lv(struct wr *w, struct bytes b)
{
    wr_u32(w, (uint32_t)b.n);
    wr_bytes(w, b.p, b.n);
}
/* the characters only */
static inline void wr_str(struct wr *w, const char *s)
{
    wr_bytes(w, s, strlen(s));
}
/* Reserve room for a u32 length; returns its position for wr_lv_close(). */
size_t wr_lv_open(struct wr *w);
void wr_lv_close(struct wr *w, size_t at);
/* HSM_E_RANGE when something did not fit. */
HSM_MUST_USE static inline hsm_err wr_ok(const struct wr *w)
{
    return w->overflow ? HSM_E_RANGE : HSM_OK;
}
static inline struct bytes wr_view(const struct wr *w)
{
    return bytes_of(w->p, w->n);
}

#endif
