#include "codec/pkcs8.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#define VECTOR(name) KEYHOLD_SOURCE_DIR "/tests/vectors/byok/" name

static uint8_t der[4096];

static size_t load(const char *path)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    size_t n = fread(der, 1, sizeof der, f);
    assert_int_equal(fclose(f), 0);
    return n;
}

static void rsa_key(void **state)
{
    struct pkcs8_key k;
    (void)state;
    size_t n = load(VECTOR("rsa2048.plain"));
    assert_int_equal(pkcs8_parse(bytes_of(der, n), &k), HSM_OK);
    assert_false(k.is_ec);
    assert_int_equal(k.num.n.n, 256);
    assert_int_equal(k.num.p.n, 128);
    assert_int_equal(k.num.q.n, 128);
    assert_true(k.num.d.n <= 256 && k.num.dp.n <= 128 && k.num.dq.n <= 128 && k.num.qi.n <= 128);
    assert_true(bytes_eq(k.num.e, bytes_of("\x01\x00\x01", 3)));
}

static void ec_keys(void **state)
{
    static const struct {
        const char *path;
        size_t width, oid;
    } rows[] = {{VECTOR("ecp256.plain"), 32, 8}, {VECTOR("ecp521.plain"), 66, 5}};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct pkcs8_key k;
        size_t n = load(rows[i].path);
        assert_int_equal(pkcs8_parse(bytes_of(der, n), &k), HSM_OK);
        assert_true(k.is_ec && k.num.n.p == NULL);
        assert_int_equal(k.curve.n, rows[i].oid);
        assert_true(k.num.d.n > 0 && k.num.d.n <= rows[i].width);
        assert_true(k.num.x.n <= rows[i].width && k.num.y.n <= rows[i].width);
    }
}

/* Every shorter input, and one byte more. */
static void not_whole(void **state)
{
    static const char *const paths[] = {VECTOR("rsa2048.plain"), VECTOR("ecp256.plain")};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct pkcs8_key k;
        size_t n = load(paths[i]);
        for (size_t cut = 0; cut < n; cut++)
            assert_int_equal(pkcs8_parse(bytes_of(der, cut), &k), HSM_E_MALFORMED);
        der[n] = 0;
        assert_int_equal(pkcs8_parse(bytes_of(der, n + 1), &k), HSM_E_MALFORMED);
    }
}

static void refused(const char *bytes, size_t n)
{
    struct pkcs8_key k;
    memcpy(der, bytes, n);
    assert_int_equal(pkcs8_parse(bytes_of(der, n), &k), HSM_E_MALFORMED);
}
#define REFUSED(text) refused(text, sizeof(text) - 1)

#define EC_ALG                                                                                     \
    "\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"
#define INNER "\x04\x08\x30\x06\x02\x01\x01\x04\x01\x05"

static void forms(void **state)
{
    static const char good[] = "\x30\x22\x02\x01\x00" EC_ALG INNER;
    struct pkcs8_key k;
    (void)state;
    memcpy(der, good, sizeof good - 1);
    assert_int_equal(pkcs8_parse(bytes_of(der, sizeof good - 1), &k), HSM_OK);
    assert_true(k.is_ec && k.num.d.n == 1 && k.num.d.p[0] == 5 && k.num.x.p == NULL);
    /* attributes may follow */
    static const char more[] = "\x30\x26\x02\x01\x00" EC_ALG INNER "\xa0\x02\x05\x00";
    memcpy(der, more, sizeof more - 1);
    assert_int_equal(pkcs8_parse(bytes_of(der, sizeof more - 1), &k), HSM_OK);

    REFUSED("\x30\x22\x02\x01\x01" EC_ALG INNER);            /* version 1 */
    REFUSED("\x30\x81\x22\x02\x01\x00" EC_ALG INNER);        /* long form of a short length */
    REFUSED("\x30\x80\x02\x01\x00" EC_ALG INNER "\x00\x00"); /* indefinite */
    REFUSED("\x30\x23\x02\x02\x00\x00" EC_ALG INNER);        /* long zero */
    REFUSED("\x30\x22\x02\x01\x80" EC_ALG INNER);            /* negative */
    REFUSED("\x30\x24\x02\x01\x00" EC_ALG INNER "\x05\x00"); /* something else follows */
    REFUSED("\x30\x22\x02\x01\x00" EC_ALG "\x04\x08\x30\x06\x02\x01\x02\x04\x01\x05");
    REFUSED("\x30\x21\x02\x01\x00" EC_ALG "\x04\x07\x30\x05\x02\x01\x01\x04\x00"); /* no scalar */
    /* another curve inside than outside */
    REFUSED("\x30\x2d\x02\x01\x00" EC_ALG
            "\x04\x13\x30\x11\x02\x01\x01\x04\x01\x05\xa0\x09\x06\x07\x2a\x86\x48\xce\x3d\x03\x01");
    /* a compressed point */
    REFUSED("\x30\x29\x02\x01\x00" EC_ALG
            "\x04\x0f\x30\x0d\x02\x01\x01\x04\x01\x05\xa1\x05\x03\x03\x00\x02\x01");
    /* RSA without its NULL; another algorithm */
    REFUSED("\x30\x1a\x02\x01\x00\x30\x0b\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01" INNER);
    REFUSED("\x30\x14\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70" INNER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rsa_key),
        cmocka_unit_test(ec_keys),
        cmocka_unit_test(not_whole),
        cmocka_unit_test(forms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
