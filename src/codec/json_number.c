#include "codec/json.h"

/* Exponents beyond this are out of range or vanish, whatever the digits: texts are shorter. */
#define EXPONENT_BOUND (INT64_C(1) << 40)

struct number {
    bool negative;
    struct bytes whole;    /* digits before the point */
    struct bytes fraction; /* digits behind it */
    int64_t exponent;
};

static struct bytes take_digits(struct bytes b, size_t at)
{
    size_t n = 0;
    while (at + n < b.n && b.p[at + n] >= '0' && b.p[at + n] <= '9')
        n++;
    return bytes_of(b.p + at, n);
}

static int64_t exponent_of(struct bytes b)
{
    bool negative = b.p[0] == '-';
    int64_t v = 0;
    for (size_t i = negative || b.p[0] == '+' ? 1 : 0; i < b.n; i++)
        if (v < EXPONENT_BOUND)
            v = v * 10 + (b.p[i] - '0');
    return negative ? -v : v;
}

/* The text has the grammar of a number already. */
static struct number number_of(struct bytes b)
{
    struct number r = {0};
    size_t at = 0;
    if (b.p[at] == '-') {
        r.negative = true;
        at++;
    }
    r.whole = take_digits(b, at);
    at += r.whole.n;
    if (at < b.n && b.p[at] == '.') {
        r.fraction = take_digits(b, at + 1);
        at += 1 + r.fraction.n;
    }
    if (at < b.n)
        r.exponent = exponent_of(bytes_of(b.p + at + 1, b.n - at - 1));
    return r;
}

static uint8_t digit_at(const struct number *r, size_t i)
{
    if (i < r->whole.n)
        return (uint8_t)(r->whole.p[i] - '0');
    i -= r->whole.n;
    return i < r->fraction.n ? (uint8_t)(r->fraction.p[i] - '0') : 0;
}

/* The first `point` digits as an integer, zeros appended. */
static hsm_err first_digits(const struct number *r, int64_t point, int64_t *ret)
{
    const uint64_t max = (uint64_t)INT64_MAX + (r->negative ? 1 : 0);
    size_t digits = r->whole.n + r->fraction.n;
    uint64_t v = 0;
    for (int64_t i = 0; i < point; i++) {
        if (v == 0 && (size_t)i >= digits)
            break;
        uint8_t d = digit_at(r, (size_t)i);
        if (v > (max - d) / 10)
            return HSM_E_MALFORMED;
        v = v * 10 + d;
    }
    *ret = r->negative ? (int64_t)(0 - v) : (int64_t)v;
    return HSM_OK;
}

static hsm_err number_token(const struct json_doc *d, uint32_t v, struct number *ret)
{
    if (v == JSON_NONE || d->tok[v].type != JSON_NUMBER)
        return HSM_E_MALFORMED;
    *ret = number_of(json_raw(d, v));
    return HSM_OK;
}

hsm_err json_int(const struct json_doc *d, uint32_t v, int64_t *ret)
{
    struct number r;
    TRY(number_token(d, v, &r));
    struct bytes raw = json_raw(d, v);
    /* Neither fraction nor exponent: the text is the sign and the digits. */
    if (raw.n != r.whole.n + (r.negative ? 1 : 0))
        return HSM_E_MALFORMED;
    return first_digits(&r, (int64_t)r.whole.n, ret);
}

hsm_err json_number_trunc(const struct json_doc *d, uint32_t v, int64_t *ret)
{
    struct number r;
    TRY(number_token(d, v, &r));
    return first_digits(&r, (int64_t)r.whole.n + r.exponent, ret);
}
