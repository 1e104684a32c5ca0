#include "codec/jws.h"

#include <openssl/ecdsa.h>

/* No signature of ours is longer: P-521 has 2 * 66 bytes and a little DER around them. */
#define DER_MAX   160
#define WIDTH_MAX 66

static void sig_done(ECDSA_SIG **s)
{
    ECDSA_SIG_free(*s);
}

/* A number of the signature: 1 .. 2^(8*width)-1. */
static bool in_width(const BIGNUM *n, size_t width)
{
    return !BN_is_negative(n) && !BN_is_zero(n) && (size_t)BN_num_bytes(n) <= width;
}

hsm_err ecdsa_der_to_raw(struct bytes der, size_t width, uint8_t *raw)
{
    if (der.n == 0 || der.n > DER_MAX || width == 0 || width > WIDTH_MAX)
        return HSM_E_MALFORMED;
    const uint8_t *p = der.p;
    DEFER(sig_done) ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &p, (long)der.n);
    if (sig == NULL || p != der.p + der.n)
        return HSM_E_MALFORMED;
    const BIGNUM *r = ECDSA_SIG_get0_r(sig);
    const BIGNUM *s = ECDSA_SIG_get0_s(sig);
    if (!in_width(r, width) || !in_width(s, width))
        return HSM_E_MALFORMED;
    /* One signature, one spelling: what does not encode to the same bytes was not DER. */
    uint8_t again[DER_MAX];
    uint8_t *q = again;
    int n = i2d_ECDSA_SIG(sig, NULL);
    if (n <= 0 || (size_t)n != der.n || i2d_ECDSA_SIG(sig, &q) != n)
        return HSM_E_MALFORMED;
    if (memcmp(again, der.p, der.n) != 0)
        return HSM_E_MALFORMED;
    if (BN_bn2binpad(r, raw, (int)width) < 0 || BN_bn2binpad(s, raw + width, (int)width) < 0)
        return HSM_E_MALFORMED;
    return HSM_OK;
}

static ECDSA_SIG *sig_of(struct bytes raw, size_t width)
{
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(raw.p, (int)width, NULL);
    BIGNUM *s = BN_bin2bn(raw.p + width, (int)width, NULL);
    if (sig == NULL || r == NULL || s == NULL || !in_width(r, width) || !in_width(s, width) ||
        ECDSA_SIG_set0(sig, r, s) != 1) {
        BN_free(r);
        BN_free(s);
        ECDSA_SIG_free(sig);
        return NULL;
    }
    return sig;
}

hsm_err ecdsa_raw_to_der(struct bytes raw, size_t width, uint8_t *der, size_t cap, size_t *ret_len)
{
    if (width == 0 || width > WIDTH_MAX || raw.n != 2 * width)
        return HSM_E_MALFORMED;
    DEFER(sig_done) ECDSA_SIG *sig = sig_of(raw, width);
    if (sig == NULL)
        return HSM_E_MALFORMED;
    int n = i2d_ECDSA_SIG(sig, NULL);
    if (n <= 0)
        return HSM_E_MALFORMED;
    if ((size_t)n > cap)
        return HSM_E_RANGE;
    uint8_t *p = der;
    if (i2d_ECDSA_SIG(sig, &p) != n)
        return HSM_E_NOMEM;
    *ret_len = (size_t)n;
    return HSM_OK;
}
