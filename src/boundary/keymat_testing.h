/* Shared by the tests of keymat*.c: keys and single operations in few words. */
#ifndef BOUNDARY_KEYMAT_TESTING_H
#define BOUNDARY_KEYMAT_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "boundary/keymat_impl.h"

#define TESTING_BUF (70000u + 1024u)

/* Result of one operation, with what it points into. */
struct done {
    hsm_err err;
    const char *why;
    struct wire_crypto_result res;
    uint8_t buf[TESTING_BUF];
};

static inline void testing_run(struct keymat *k, uint32_t op, const struct wire_crypto *in,
                               struct done *d)
{
    d->why = NULL;
    d->err = keymat_crypto(k, op, in, d->buf, in->value.n + 1024, &d->res, &d->why);
    assert_true((d->err == HSM_E_BAD_PARAMETER) == (d->why != NULL));
}

static inline struct keymat *testing_new(enum key_type kty, enum key_curve crv, uint32_t bits,
                                         struct keymat_public *pub)
{
    struct keymat_spec spec = {.kty = kty, .crv = crv, .bits = bits};
    struct secret_buf private_part = {0};
    struct keymat *k = NULL;
    assert_int_equal(keymat_generate(&spec, &private_part, pub), HSM_OK);
    assert_int_equal(keymat_open(bytes_of(private_part.p, private_part.n), &k), HSM_OK);
    secret_buf_done(&private_part);
    return k;
}

static inline struct keymat *testing_oct(const uint8_t *key, size_t n)
{
    uint8_t raw[128];
    struct wr w = wr_of(raw, sizeof raw);
    struct keymat *k = NULL;
    keymat_head_put(&w, KTY_OCT, CRV_NONE, (uint32_t)n * 8);
    wr_lv(&w, bytes_of(key, n));
    assert_int_equal(wr_ok(&w), HSM_OK);
    assert_int_equal(keymat_open(wr_view(&w), &k), HSM_OK);
    return k;
}

/* One key of each kind. */
struct testing_keys {
    struct keymat *rsa[3]; /* 2048, 3072, 4096 */
    struct keymat_public rsa_pub[3];
    struct keymat *ec[4];
    struct keymat_public ec_pub[4];
    struct keymat *oct[3];
};
static const uint32_t testing_rsa_bits[3] = {2048, 3072, 4096};
static const enum key_curve testing_curves[4] = {CRV_P256, CRV_P256K, CRV_P384, CRV_P521};
static const uint32_t testing_oct_bits[3] = {128, 192, 256};

/* The first rsa_n sizes of RSA only: they take their time. */
static inline void testing_keys_make(struct testing_keys *k, unsigned rsa_n)
{
    struct keymat_public none;
    for (unsigned i = 0; i < rsa_n; i++)
        k->rsa[i] = testing_new(KTY_RSA, CRV_NONE, testing_rsa_bits[i], &k->rsa_pub[i]);
    for (unsigned i = 0; i < 3; i++) {
        k->oct[i] = testing_new(KTY_OCT, CRV_NONE, testing_oct_bits[i], &none);
        assert_int_equal(none.n_len + none.e_len + none.x_len + none.y_len, 0);
    }
    for (unsigned i = 0; i < 4; i++)
        k->ec[i] = testing_new(KTY_EC, testing_curves[i], 0, &k->ec_pub[i]);
}

static inline void testing_keys_free(struct testing_keys *k)
{
    for (unsigned i = 0; i < 3; i++) {
        keymat_unref(k->rsa[i]);
        keymat_unref(k->oct[i]);
    }
    for (unsigned i = 0; i < 4; i++)
        keymat_unref(k->ec[i]);
}

static inline void testing_fill(uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(i * 7 + n);
}

/* Encrypt or wrap, then back; true when the plaintext came back. */
static inline void testing_round_trip(struct keymat *k, unsigned alg, bool wrap,
                                      struct wire_crypto *in)
{
    static struct done there, back;
    in->alg = (uint8_t)alg;
    testing_run(k, wrap ? KEY_OP_WRAP : KEY_OP_ENCRYPT, in, &there);
    assert_int_equal(there.err, HSM_OK);
    assert_int_equal(there.res.alg, alg);
    struct wire_crypto out = {.alg = (uint8_t)alg,
                              .value = there.res.value,
                              .iv = there.res.iv,
                              .aad = in->aad,
                              .tag = there.res.tag};
    out.has = there.res.has;
    testing_run(k, wrap ? KEY_OP_UNWRAP : KEY_OP_DECRYPT, &out, &back);
    assert_int_equal(back.err, HSM_OK);
    assert_int_equal(back.res.has, 0);
    assert_int_equal(back.res.value.n, in->value.n);
    assert_true(in->value.n == 0 || memcmp(back.res.value.p, in->value.p, in->value.n) == 0);
}

#endif
