/* Views, a bounded reader and a bounded writer over byte strings.
 * No allocation, no I/O. Big-endian integers. Thread-safe (no state). */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

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

/* Reader, used by value as the cursor of a parser: a function that takes struct rd by value and
 * fails cannot have moved its caller's cursor. Every getter returns HSM_E_MALFORMED when too few
 * bytes are left and then moves nothing. */
struct rd {
    const uint8_t *p;
    size_t n;
};
static inline struct rd rd_of(struct bytes b)
{
    return (struct rd){.p = b.p, .n = b.n};
}
HSM_MUST_USE hsm_err rd_u8(struct rd *r, uint8_t *ret);
HSM_MUST_USE hsm_err rd_u16(struct rd *r, uint16_t *ret);
HSM_MUST_USE hsm_err rd_u32(struct rd *r, uint32_t *ret);
HSM_MUST_USE hsm_err rd_u64(struct rd *r, uint64_t *ret);
HSM_MUST_USE hsm_err rd_bytes(struct rd *r, size_t n, struct bytes *ret);
HSM_MUST_USE hsm_err rd_copy(struct rd *r, void *dst, size_t n);
/* A u32 length followed by that many bytes; longer than max is HSM_E_MALFORMED. */
HSM_MUST_USE hsm_err rd_lv(struct rd *r, size_t max, struct bytes *ret);
/* HSM_E_MALFORMED when anything is left. */
HSM_MUST_USE hsm_err rd_end(const struct rd *r);

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
void wr_u8(struct wr *w, uint8_t v);
void wr_u16(struct wr *w, uint16_t v);
void wr_u32(struct wr *w, uint32_t v);
void wr_u64(struct wr *w, uint64_t v);
void wr_bytes(struct wr *w, const void *p, size_t n);
void wr_lv(struct wr *w, struct bytes b); /* u32 length, then the bytes */
void wr_str(struct wr *w, const char *s); /* the characters only */
/* Reserve room for a u32 length; returns its position for wr_lv_close(). */
size_t wr_lv_open(struct wr *w);
void wr_lv_close(struct wr *w, size_t at);
/* HSM_E_RANGE when something did not fit. */
HSM_MUST_USE hsm_err wr_ok(const struct wr *w);
static inline struct bytes wr_view(const struct wr *w)
{
    return bytes_of(w->p, w->n);
}

/* Plain big-endian stores and loads. */
static inline void be64_put(uint8_t *p, uint64_t v)
{
    for (int i = 7; i >= 0; i--, v >>= 8)
        p[i] = (uint8_t)v;
}
static inline uint64_t be64_get(const uint8_t *p)
{
    uint64_t v = 0;
    for (int i = 0; i < 8; i++)
        v = v << 8 | p[i];
    return v;
}

#endif
