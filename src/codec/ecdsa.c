/* ECDSA signatures: r and s side by side, as JWS and the REST API have them, and the DER of X9.62
 * that libcrypto works with. Written out, because libcrypto's way there takes two numbers and a
 * structure from the heap for every signature. */
#include "codec/jws.h"

/* No signature of ours is longer: P-521 has 2 * 66 bytes and a little DER around them. */
#define DER_MAX   160
#define WIDTH_MAX 66

#define TAG_INTEGER  0x02
#define TAG_SEQUENCE 0x30

/* Tag, length in its only spelling, content. Lengths of two bytes do not occur. */
static hsm_err take_element(struct rd *r, uint8_t want, struct bytes *ret)
{
    uint8_t tag, n;
    TRY(rd_u8(r, &tag));
    TRY(rd_u8(r, &n));
    if (tag != want)
        return HSM_E_MALFORMED;
    if (n == 0x81) {
        TRY(rd_u8(r, &n));
        if (n < 0x80)
            return HSM_E_MALFORMED;
    } else if (n >= 0x80) {
        return HSM_E_MALFORMED;
    }
    return rd_bytes(r, n, ret);
}

/* A number of 1 .. 2^(8*width)-1, as short as it can be, into width bytes. */
static hsm_err take_number(struct rd *r, size_t width, uint8_t *raw)
{
    struct bytes b;
    TRY(take_element(r, TAG_INTEGER, &b));
    if (b.n == 0 || (b.p[0] & 0x80) != 0)
        return HSM_E_MALFORMED;
    if (b.p[0] == 0) {
        b = bytes_of(b.p + 1, b.n - 1);
        if (b.n == 0 || (b.p[0] & 0x80) == 0)
            return HSM_E_MALFORMED;
    }
    if (b.n > width)
        return HSM_E_MALFORMED;
    memset(raw, 0, width - b.n);
    memcpy(raw + width - b.n, b.p, b.n);
    return HSM_OK;
}

hsm_err ecdsa_der_to_raw(struct bytes der, size_t width, uint8_t *raw)
{
    uint8_t both[2 * WIDTH_MAX];
    struct rd r = rd_of(der);
    struct bytes content;
    if (der.n > DER_MAX || width == 0 || width > WIDTH_MAX)
        return HSM_E_MALFORMED;
    TRY(take_element(&r, TAG_SEQUENCE, &content));
    TRY(rd_end(&r));
    r = rd_of(content);
    TRY(take_number(&r, width, both));
    TRY(take_number(&r, width, both + width));
    TRY(rd_end(&r));
    memcpy(raw, both, 2 * width);
    return HSM_OK;
}

static struct bytes without_zeros(const uint8_t *p, size_t n)
{
    while (n > 0 && *p == 0) {
        p++;
        n--;
    }
    return bytes_of(p, n);
}

static void put_number(struct wr *w, struct bytes b)
{
    bool pad = (b.p[0] & 0x80) != 0;
    wr_u8(w, TAG_INTEGER);
    wr_u8(w, (uint8_t)(b.n + pad));
    if (pad)
        wr_u8(w, 0);
    wr_bytes(w, b.p, b.n);
}

hsm_err ecdsa_raw_to_der(struct bytes raw, size_t width, uint8_t *der, size_t cap, size_t *ret_len)
{
    uint8_t content[DER_MAX];
    if (width == 0 || width > WIDTH_MAX || raw.n != 2 * width)
        return HSM_E_MALFORMED;
    struct bytes r = without_zeros(raw.p, width);
    struct bytes s = without_zeros(raw.p + width, width);
    if (r.n == 0 || s.n == 0)
        return HSM_E_MALFORMED;
    struct wr c = wr_of(content, sizeof content);
    put_number(&c, r);
    put_number(&c, s);
    struct wr w = wr_of(der, cap);
    wr_u8(&w, TAG_SEQUENCE);
    if (c.n >= 0x80)
        wr_u8(&w, 0x81);
    wr_u8(&w, (uint8_t)c.n);
    wr_bytes(&w, content, c.n);
    TRY(wr_ok(&w));
    *ret_len = w.n;
    return HSM_OK;
}
