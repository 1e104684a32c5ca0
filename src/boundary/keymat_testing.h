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

#endif
