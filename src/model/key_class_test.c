#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "model/alg.h"
#include "model/key_class.h"

static void test_classes(void **state)
{
    static const struct {
        unsigned kty, crv;
        uint32_t bits;
        const char *name;
    } rows[] = {
        {KTY_RSA, CRV_NONE, 2048, "RSA-2048"}, {KTY_RSA, CRV_NONE, 3072, "RSA-3072"},
        {KTY_RSA, CRV_NONE, 4096, "RSA-4096"}, {KTY_EC, CRV_P256, 256, "EC-P-256"},
        {KTY_EC, CRV_P256K, 256, "EC-P-256K"}, {KTY_EC, CRV_P384, 384, "EC-P-384"},
        {KTY_EC, CRV_P521, 521, "EC-P-521"},   {KTY_EC, CRV_P521, 0, "EC-P-521"},
        {KTY_OCT, CRV_NONE, 128, "oct-128"},   {KTY_OCT, CRV_NONE, 192, "oct-192"},
        {KTY_OCT, CRV_NONE, 256, "oct-256"},   {KTY_RSA, CRV_NONE, 1024, NULL},
        {KTY_EC, CRV_NONE, 256, NULL},         {KTY_NONE, CRV_NONE, 256, NULL},
        {KTY_OCT, CRV_NONE, 512, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        enum key_class c = key_class_of(rows[i].kty, rows[i].crv, rows[i].bits);
        if (rows[i].name == NULL)
            assert_int_equal(c, KEY_CLASS__COUNT);
        else
            assert_string_equal(key_class_name(c), rows[i].name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_classes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
