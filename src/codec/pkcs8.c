#include "codec/pkcs8.h"

enum der_tag {
    DER_INTEGER = 0x02,
    DER_BIT_STRING = 0x03,
    DER_OCTET_STRING = 0x04,
    DER_NULL = 0x05,
    DER_OID = 0x06,
    DER_SEQUENCE = 0x30,
    DER_CONTEXT_0 = 0xa0,
    DER_CONTEXT_1 = 0xa1,
};

static hsm_err take_length(struct rd *r, size_t *ret)
{
    uint8_t first, b;
    uint16_t wide;
    TRY(rd_u8(r, &first));
    *ret = first;
    if (first < 0x80)
        return HSM_OK;
    if (first == 0x81) {
        TRY(rd_u8(r, &b));
        *ret = b;
        return b < 0x80 ? HSM_E_MALFORMED : HSM_OK;
    }
    if (first != 0x82)
        return HSM_E_MALFORMED;
    TRY(rd_u16(r, &wide));
    *ret = wide;
    return wide < 0x100 ? HSM_E_MALFORMED : HSM_OK;
}

/* Content of the next element, which must have that tag. */
static hsm_err take(struct rd *r, uint8_t tag, struct bytes *ret)
{
    uint8_t t;
    size_t n;
    TRY(rd_u8(r, &t));
    if (t != tag)
        return HSM_E_MALFORMED;
    TRY(take_length(r, &n));
    return rd_bytes(r, n, ret);
}

static bool next_is(const struct rd *r, uint8_t tag)
{
    return r->n > 0 && r->p[0] == tag;
}

static hsm_err take_sequence(struct rd *r, struct rd *ret)
{
    struct bytes b;
    TRY(take(r, DER_SEQUENCE, &b));
    *ret = rd_of(b);
    return HSM_OK;
}

/* Not negative, in its shortest form. */
static hsm_err take_integer(struct rd *r, struct bytes *ret)
{
    struct bytes b;
    TRY(take(r, DER_INTEGER, &b));
    if (b.n == 0 || (b.p[0] & 0x80) != 0)
        return HSM_E_MALFORMED;
    if (b.n > 1 && b.p[0] == 0 && (b.p[1] & 0x80) == 0)
        return HSM_E_MALFORMED;
    *ret = b.p[0] == 0 ? bytes_of(b.p + 1, b.n - 1) : b;
    return HSM_OK;
}

static hsm_err take_version(struct rd *r, uint8_t want)
{
    struct bytes v;
    TRY(take_integer(r, &v));
    return (want == 0 ? v.n == 0 : v.n == 1 && v.p[0] == want) ? HSM_OK : HSM_E_MALFORMED;
}

static hsm_err rsa_private_key(struct rd r, struct pkcs8_key *k)
{
    struct rd in;
    TRY(take_sequence(&r, &in));
    TRY(rd_end(&r));
    TRY(take_version(&in, 0));
    TRY(take_integer(&in, &k->num.n));
    TRY(take_integer(&in, &k->num.e));
    TRY(take_integer(&in, &k->num.d));
    TRY(take_integer(&in, &k->num.p));
    TRY(take_integer(&in, &k->num.q));
    TRY(take_integer(&in, &k->num.dp));
    TRY(take_integer(&in, &k->num.dq));
    TRY(take_integer(&in, &k->num.qi));
    return rd_end(&in);
}

static struct bytes without_zeros(struct bytes b)
{
    while (b.n > 0 && b.p[0] == 0)
        b = bytes_of(b.p + 1, b.n - 1);
    return b;
}

/* [0]: the curve again; it must be the one of the algorithm. */
static hsm_err same_curve(struct rd *in, struct bytes curve)
{
    struct bytes inner, oid;
    TRY(take(in, DER_CONTEXT_0, &inner));
    struct rd r = rd_of(inner);
    TRY(take(&r, DER_OID, &oid));
    TRY(rd_end(&r));
    return bytes_eq(oid, curve) ? HSM_OK : HSM_E_MALFORMED;
}

/* [1]: the public key, uncompressed (SEC 1, 2.3.3). */
static hsm_err public_point(struct rd *in, struct pkcs8_key *k)
{
    struct bytes inner, bits;
    TRY(take(in, DER_CONTEXT_1, &inner));
    struct rd r = rd_of(inner);
    TRY(take(&r, DER_BIT_STRING, &bits));
    TRY(rd_end(&r));
    if (bits.n < 4 || bits.n % 2 != 0 || bits.p[0] != 0 || bits.p[1] != 4)
        return HSM_E_MALFORMED;
    size_t width = (bits.n - 2) / 2;
    k->num.x = without_zeros(bytes_of(bits.p + 2, width));
    k->num.y = without_zeros(bytes_of(bits.p + 2 + width, width));
    return HSM_OK;
}

static hsm_err ec_private_key(struct rd r, struct pkcs8_key *k)
{
    struct rd in;
    struct bytes d;
    TRY(take_sequence(&r, &in));
    TRY(rd_end(&r));
    TRY(take_version(&in, 1));
    TRY(take(&in, DER_OCTET_STRING, &d));
    if (d.n == 0)
        return HSM_E_MALFORMED;
    k->num.d = without_zeros(d);
    if (next_is(&in, DER_CONTEXT_0))
        TRY(same_curve(&in, k->curve));
    if (next_is(&in, DER_CONTEXT_1))
        TRY(public_point(&in, k));
    return rd_end(&in);
}

static hsm_err algorithm(struct rd *in, struct pkcs8_key *k)
{
    static const uint8_t rsa_encryption[] = {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01};
    static const uint8_t ec_public_key[] = {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01};
    struct bytes oid, null;
    struct rd r;
    TRY(take_sequence(in, &r));
    TRY(take(&r, DER_OID, &oid));
    if (bytes_eq(oid, bytes_of(ec_public_key, sizeof ec_public_key))) {
        k->is_ec = true;
        TRY(take(&r, DER_OID, &k->curve));
    } else if (bytes_eq(oid, bytes_of(rsa_encryption, sizeof rsa_encryption))) {
        TRY(take(&r, DER_NULL, &null));
        if (null.n != 0)
            return HSM_E_MALFORMED;
    } else {
        return HSM_E_MALFORMED;
    }
    return rd_end(&r);
}

hsm_err pkcs8_parse(struct bytes der, struct pkcs8_key *ret)
{
    struct pkcs8_key k = {0};
    struct rd whole = rd_of(der);
    struct rd in;
    struct bytes inner, attributes;
    TRY(take_sequence(&whole, &in));
    TRY(rd_end(&whole));
    TRY(take_version(&in, 0));
    TRY(algorithm(&in, &k));
    TRY(take(&in, DER_OCTET_STRING, &inner));
    if (next_is(&in, DER_CONTEXT_0))
        TRY(take(&in, DER_CONTEXT_0, &attributes));
    TRY(rd_end(&in));
    TRY(k.is_ec ? ec_private_key(rd_of(inner), &k) : rsa_private_key(rd_of(inner), &k));
    *ret = k;
    return HSM_OK;
}
