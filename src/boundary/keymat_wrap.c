/* AES key wrap (RFC 3394) and key wrap with padding (RFC 5649) over single AES blocks. libcrypto's
 * own wrap ciphers run AES from look-up tables, which is slower and has a timing that depends on
 * the key; its ECB mode uses the instructions of the processor where it has them. */
#include "base/ct.h"
#include "boundary/keymat_impl.h"

#define HALF  8u
#define BLOCK 16u
#define STEPS 6u

static const uint8_t kw_icv[HALF] = {0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6};
static const uint8_t kwp_icv[HALF] = {0xa6, 0x59, 0x59, 0xa6};

/* One block, the first half of which is the RFCs' register A. */
struct block {
    uint8_t b[BLOCK];
};

static void block_done(struct block *b)
{
    secret_wipe(b->b, sizeof b->b);
}

static bool block_pass(EVP_CIPHER_CTX *aes, struct block *b)
{
    return EVP_Cipher(aes, b->b, b->b, BLOCK) > 0;
}

static void count_in(struct block *b, uint64_t t)
{
    be64_put(b->b, be64_get(b->b) ^ t);
}

/* W of RFC 3394 2.2.1: n halves at r; A is in the block before and after. */
static bool wrap_halves(EVP_CIPHER_CTX *aes, struct block *b, uint8_t *r, size_t n)
{
    uint64_t t = 0;
    for (unsigned j = 0; j < STEPS; j++) {
        for (size_t i = 0; i < n; i++) {
            memcpy(b->b + HALF, r + i * HALF, HALF);
            if (!block_pass(aes, b))
                return false;
            count_in(b, ++t);
            memcpy(r + i * HALF, b->b + HALF, HALF);
        }
    }
    return true;
}

/* Its inverse, 2.2.2. */
static bool unwrap_halves(EVP_CIPHER_CTX *aes, struct block *b, uint8_t *r, size_t n)
{
    uint64_t t = (uint64_t)n * STEPS;
    for (unsigned j = 0; j < STEPS; j++) {
        for (size_t i = n; i-- > 0;) {
            count_in(b, t--);
            memcpy(b->b + HALF, r + i * HALF, HALF);
            if (!block_pass(aes, b))
                return false;
            memcpy(r + i * HALF, b->b + HALF, HALF);
        }
    }
    return true;
}

/* RFC 5649: a single half is one plain block. */
static bool pass(EVP_CIPHER_CTX *aes, bool wrap, struct block *b, uint8_t *r, size_t n)
{
    if (n > 1)
        return wrap ? wrap_halves(aes, b, r, n) : unwrap_halves(aes, b, r, n);
    memcpy(b->b + HALF, r, HALF);
    if (!block_pass(aes, b))
        return false;
    memcpy(r, b->b + HALF, HALF);
    return true;
}

hsm_err keywrap_wrap(EVP_CIPHER_CTX *aes, bool padded, struct bytes key, struct wr *out)
{
    DEFER(block_done) struct block b;
    size_t n = (key.n + HALF - 1) / HALF;
    uint8_t *a = out->p + out->n;
    if (out->cap - out->n < (n + 1) * HALF)
        return HSM_E_TOO_LARGE;
    memcpy(b.b, padded ? kwp_icv : kw_icv, HALF);
    if (padded)
        count_in(&b, key.n);
    memcpy(a + HALF, key.p, key.n);
    memset(a + HALF + key.n, 0, n * HALF - key.n);
    if (!pass(aes, true, &b, a + HALF, n)) {
        secret_wipe(a + HALF, n * HALF);
        return keymat_failed(HSM_E_INTERNAL);
    }
    memcpy(a, b.b, HALF);
    out->n += (n + 1) * HALF;
    return HSM_OK;
}

/* All ones when the register and, behind a length, the zeros are wrong. No branch: which of the
 * checks failed must not show. *ret_pad: how many zeros there are, below 8 when nothing is wrong.
 */
static uint32_t padding_wrong(const struct block *b, const uint8_t *r, size_t n, uint32_t *ret_pad)
{
    uint64_t a = be64_get(b->b);
    uint32_t pad = (uint32_t)(n * HALF) - (uint32_t)a;
    uint32_t wrong = (uint32_t)(a >> 32) ^ (uint32_t)(be64_get(kwp_icv) >> 32);
    wrong |= pad >> 3;
    const uint8_t *last = r + (n - 1) * HALF;
    for (uint32_t i = 0; i < HALF; i++) {
        /* Bytes from 8 - pad on: 7 - i - pad is negative there. */
        uint32_t is_pad = 0u - ((HALF - 1 - i - (pad & 7)) >> 31);
        wrong |= is_pad & last[i];
    }
    *ret_pad = pad;
    return ct_mask_nz32(wrong);
}

hsm_err keywrap_unwrap(EVP_CIPHER_CTX *aes, bool padded, struct bytes wrapped, struct wr *out)
{
    DEFER(block_done) struct block b;
    size_t n = wrapped.n / HALF - 1;
    uint8_t *r = out->p + out->n;
    uint32_t pad = 0;
    if (out->cap - out->n < n * HALF)
        return HSM_E_TOO_LARGE;
    memcpy(b.b, wrapped.p, HALF);
    memcpy(r, wrapped.p + HALF, n * HALF);
    bool done = pass(aes, false, &b, r, n);
    bool good = padded ? padding_wrong(&b, r, n, &pad) == 0 : ct_eq(b.b, kw_icv, HALF);
    if (!done || !good) {
        secret_wipe(r, n * HALF);
        return keymat_failed(HSM_E_CRYPTO);
    }
    out->n += n * HALF - pad;
    return HSM_OK;
}
