#include "boundary/quote.h"

#define FORMAT 1u

/* TPM 2.0 part 2: constants, and what is fixed in the structures */
#define GENERATED    0xff544347u /* TPM_GENERATED_VALUE */
#define ATTEST_QUOTE 0x8018u     /* TPM_ST_ATTEST_QUOTE */
#define ALG_SHA256   0x000bu
#define ALG_ECDSA    0x0018u
#define ALG_ECC      0x0023u
#define ALG_NULL     0x0010u
#define NIST_P256    0x0003u
#define PCR_BYTES    3u
#define NUMBER_MAX   32u

void quote_encode(struct bytes attest, struct bytes signature, struct bytes public, struct wr *w)
{
    wr_u8(w, FORMAT);
    wr_lv(w, attest);
    wr_lv(w, signature);
    wr_lv(w, public);
}

static hsm_err want_u16(struct rd *r, uint16_t want)
{
    uint16_t got;
    TRY(rd_u16(r, &got));
    return got == want ? HSM_OK : HSM_E_MALFORMED;
}

static hsm_err want_u32(struct rd *r, uint32_t want)
{
    uint32_t got;
    TRY(rd_u32(r, &got));
    return got == want ? HSM_OK : HSM_E_MALFORMED;
}

/* A TPM2B of exactly n bytes. */
static hsm_err sized(struct rd *r, uint16_t n, struct bytes *ret)
{
    TRY(want_u16(r, n));
    return rd_bytes(r, n, ret);
}

/* A number of P-256 as a TPM2B: some TPMs leave zeros in front out. */
static hsm_err number(struct rd *r, struct bytes *ret)
{
    uint16_t n;
    TRY(rd_u16(r, &n));
    if (n == 0 || n > NUMBER_MAX)
        return HSM_E_MALFORMED;
    return rd_bytes(r, n, ret);
}

/* TPMS_CLOCK_INFO and the firmware's version: of no interest here. */
static hsm_err skip_clock(struct rd *r)
{
    struct bytes clock;
    uint8_t safe;
    TRY(rd_bytes(r, 8 + 4 + 4, &clock));
    TRY(rd_u8(r, &safe));
    if (safe > 1)
        return HSM_E_MALFORMED;
    return rd_bytes(r, 8, &clock);
}

/* TPMS_QUOTE_INFO: one bank, SHA-256. */
static hsm_err decode_pcrs(struct rd *r, struct quote *q)
{
    uint8_t size;
    struct bytes select;
    TRY(want_u32(r, 1));
    TRY(want_u16(r, ALG_SHA256));
    TRY(rd_u8(r, &size));
    if (size != PCR_BYTES)
        return HSM_E_MALFORMED;
    TRY(rd_bytes(r, PCR_BYTES, &select));
    q->pcrs = (uint32_t)select.p[0] | (uint32_t)select.p[1] << 8 | (uint32_t)select.p[2] << 16;
    return sized(r, QUOTE_DIGEST_LEN, &q->pcr_digest);
}

static hsm_err decode_attest(struct bytes in, struct quote *q)
{
    struct rd r = rd_of(in);
    TRY(want_u32(&r, GENERATED));
    TRY(want_u16(&r, ATTEST_QUOTE));
    TRY(want_u16(&r, 2 + QUOTE_DIGEST_LEN));
    TRY(want_u16(&r, ALG_SHA256));
    TRY(rd_bytes(&r, QUOTE_DIGEST_LEN, &q->signer));
    TRY(sized(&r, QUOTE_DIGEST_LEN, &q->qualifying));
    TRY(skip_clock(&r));
    TRY(decode_pcrs(&r, q));
    return rd_end(&r);
}

static hsm_err decode_signature(struct bytes in, struct quote *q)
{
    struct rd r = rd_of(in);
    TRY(want_u16(&r, ALG_ECDSA));
    TRY(want_u16(&r, ALG_SHA256));
    TRY(number(&r, &q->r));
    TRY(number(&r, &q->s));
    return rd_end(&r);
}

/* Of a restricted P-256 signing key of our template, and of no other. */
static hsm_err decode_public(struct bytes in, struct quote *q)
{
    struct rd r = rd_of(in);
    struct bytes policy;
    TRY(want_u16(&r, ALG_ECC));
    TRY(want_u16(&r, ALG_SHA256));
    TRY(want_u32(&r, QUOTE_AK_ATTRIBUTES));
    TRY(sized(&r, 0, &policy));
    TRY(want_u16(&r, ALG_NULL)); /* symmetric */
    TRY(want_u16(&r, ALG_ECDSA));
    TRY(want_u16(&r, ALG_SHA256));
    TRY(want_u16(&r, NIST_P256));
    TRY(want_u16(&r, ALG_NULL)); /* kdf */
    TRY(number(&r, &q->x));
    TRY(number(&r, &q->y));
    return rd_end(&r);
}

hsm_err quote_decode(struct bytes platform, struct quote *ret)
{
    struct rd r = rd_of(platform);
    struct quote q = {0};
    struct bytes signature;
    uint8_t format;
    TRY(rd_u8(&r, &format));
    if (format != FORMAT)
        return HSM_E_MALFORMED;
    TRY(rd_lv(&r, QUOTE_ATTEST_MAX, &q.attest));
    TRY(rd_lv(&r, QUOTE_SIGN_MAX, &signature));
    TRY(rd_lv(&r, QUOTE_PUBLIC_MAX, &q.public));
    TRY(rd_end(&r));
    TRY(decode_attest(q.attest, &q));
    TRY(decode_signature(signature, &q));
    TRY(decode_public(q.public, &q));
    *ret = q;
    return HSM_OK;
}
