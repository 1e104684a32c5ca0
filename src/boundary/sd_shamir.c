/* Shamir's scheme over GF(257), byte by byte. No branch and no index depends on a secret, a share's
 * y or a coefficient; x is public. */
#include <openssl/rand.h>
#include "base/ct.h"
#include "boundary/sd.h"

#define P          257u
#define SHARES_MAX 126u /* x has seven bits; 127 is left out as clients do */

/* z mod 257 for z <= 65535 + 257: 256 is -1, so the high byte is taken off the low one. */
static uint32_t reduce(uint32_t z)
{
    uint32_t t = (z & 0xff) - (z >> 8);
    uint32_t negative = 0u - (t >> 31);
    return t + (P & negative);
}

/* Uniform in 0..256. Only rejected random bits decide how often the loop runs. */
static hsm_err coefficient(uint32_t *ret)
{
    uint8_t raw[2];
    uint32_t v;
    do {
        if (RAND_priv_bytes(raw, sizeof raw) != 1)
            return HSM_E_INTERNAL;
        v = ((uint32_t)raw[0] << 8 | raw[1]) & 0x1ff;
    } while (v >= P);
    secret_wipe(raw, sizeof raw);
    *ret = v;
    return HSM_OK;
}

hsm_err sd_shamir_split(const uint8_t *secret, size_t n, unsigned count, unsigned required,
                        uint8_t *const shares[])
{
    if (required < 2 || required > count || count > SHARES_MAX)
        return HSM_E_BAD_PARAMETER;
    uint32_t a[SHARES_MAX];
    hsm_err err = HSM_OK;
    for (size_t i = 0; i < n && err == HSM_OK; i++) {
        a[0] = secret[i];
        for (unsigned k = 1; k < required && err == HSM_OK; k++)
            err = coefficient(&a[k]);
        for (unsigned s = 0; s < count && err == HSM_OK; s++) {
            uint32_t x = s + 1;
            uint32_t y = 0;
            for (unsigned k = required; k-- > 0;)
                y = reduce(y * x + a[k]);
            uint32_t word = x << 9 | y;
            shares[s][2 * i] = (uint8_t)word;
            shares[s][2 * i + 1] = (uint8_t)(word >> 8);
        }
    }
    secret_wipe(a, sizeof a);
    return err;
}

static uint32_t word_at(const uint8_t *share, size_t i)
{
    return share[2 * i] | (uint32_t)share[2 * i + 1] << 8;
}

/* z^255 = z^-1 in the field. */
static uint32_t inverse(uint32_t z)
{
    uint32_t r = 1;
    for (int i = 0; i < 255; i++)
        r = reduce(r * z);
    return r;
}

/* x of a share: the same in all of its words. */
static hsm_err share_x(const uint8_t *share, size_t n, uint32_t *ret)
{
    uint32_t x = word_at(share, 0) >> 9;
    if (x < 1 || x > SHARES_MAX)
        return HSM_E_CRYPTO;
    for (size_t i = 1; i < n; i++) {
        if (word_at(share, i) >> 9 != x)
            return HSM_E_CRYPTO;
    }
    *ret = x;
    return HSM_OK;
}

/* Lagrange coefficients at 0. */
static hsm_err basis(const uint32_t *x, unsigned required, uint32_t *ret_l)
{
    for (unsigned i = 0; i < required; i++) {
        uint32_t l = 1;
        for (unsigned j = 0; j < required; j++) {
            if (j == i)
                continue;
            if (x[j] == x[i])
                return HSM_E_CRYPTO;
            uint32_t difference = x[j] > x[i] ? x[j] - x[i] : P - (x[i] - x[j]);
            l = reduce(reduce(l * x[j]) * inverse(difference));
        }
        ret_l[i] = l;
    }
    return HSM_OK;
}

hsm_err sd_shamir_join(const uint8_t *const shares[], unsigned required, size_t n, uint8_t *secret)
{
    uint32_t x[SHARES_MAX];
    uint32_t l[SHARES_MAX];
    if (required < 2 || required > SHARES_MAX || n == 0)
        return HSM_E_CRYPTO;
    for (unsigned i = 0; i < required; i++)
        TRY(share_x(shares[i], n, &x[i]));
    TRY(basis(x, required, l));
    uint32_t wrong = 0;
    for (size_t b = 0; b < n; b++) {
        uint32_t s = 0;
        for (unsigned i = 0; i < required; i++) {
            uint32_t y = word_at(shares[i], b) & 0x1ff;
            wrong |= ct_mask_nz32((y & 0x100) & (0u - ((y & 0xff) != 0)));
            s = reduce(s + reduce(reduce(y) * l[i]));
        }
        wrong |= s >> 8; /* 256 is no byte */
        secret[b] = (uint8_t)s;
    }
    if (wrong != 0) {
        secret_wipe(secret, n);
        return HSM_E_CRYPTO;
    }
    return HSM_OK;
}
