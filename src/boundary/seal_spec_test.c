#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include "boundary/seal_internal.h"

static struct seal_spec good(const char *text)
{
    struct seal_spec s;
    char why[512] = "";
    if (seal_spec_parse(text, &s, why, sizeof why) != HSM_OK)
        fail_msg("%s: %s", text, why);
    return s;
}

static void accepted(void **state)
{
    (void)state;
    assert_int_equal(good("file").provider, SEAL_FILE);
    struct seal_spec s = good("tpm2");
    assert_int_equal(s.provider, SEAL_TPM2);
    assert_int_equal(s.pcrs, 1u << 7);
    assert_string_equal(s.tcti, "device:/dev/tpmrm0");
    s = good("tpm2:pcrs=0,2,4,7");
    assert_int_equal(s.pcrs, 1u << 0 | 1u << 2 | 1u << 4 | 1u << 7);
    assert_string_equal(s.tcti, "device:/dev/tpmrm0");
    s = good("tpm2:tcti=swtpm:host=127.0.0.1,port=2321;pcrs=23");
    assert_int_equal(s.pcrs, 1u << 23);
    assert_string_equal(s.tcti, "swtpm:host=127.0.0.1,port=2321");
    assert_string_equal(good("tpm2:tcti=tabrmd").tcti, "tabrmd");
    s = good("pkcs11:token=my token;module=/usr/lib/softhsm/libsofthsm2.so;pin-file=/a=b");
    assert_int_equal(s.provider, SEAL_PKCS11);
    assert_string_equal(s.module, "/usr/lib/softhsm/libsofthsm2.so");
    assert_string_equal(s.token, "my token");
    assert_string_equal(s.pin_file, "/a=b");
    good("pkcs11:module=/m;token=12345678901234567890123456789012;pin-file=/p");
}

static void refused(void **state)
{
    static const char *const bad[] = {
        "",
        "files",
        "FILE",
        "file:",
        "file:a=b",
        " file",
        "tpm",
        "tpm2:",
        "tpm2:pcrs",
        "tpm2:pcrs=",
        "tpm2:pcrs=24",
        "tpm2:pcrs=007",
        "tpm2:pcrs=-1",
        "tpm2:pcrs=7,7",
        "tpm2:pcrs=7,",
        "tpm2:pcrs=,7",
        "tpm2:pcrs=7,,8",
        "tpm2:pcrs=7+8",
        "tpm2:pcrs=4294967303",
        "tpm2:pcrs=7;pcrs=7",
        "tpm2:pcrs=7;",
        "tpm2;pcrs=7",
        "tpm2:tcti=",
        "tpm2:tcti=cmd:sh",
        "tpm2:tcti=/tmp/evil.so",
        "tpm2:tcti=devices:/dev/tpm0",
        "tpm2:tcti=device;tcti=device",
        "tpm2:tcti=device:/dev/tp\x01",
        "tpm2:module=/m",
        "pkcs11",
        "pkcs11:",
        "pkcs11:module=/m;token=t",
        "pkcs11:module=/m;pin-file=/p",
        "pkcs11:token=t;pin-file=/p",
        "pkcs11:module=m.so;token=t;pin-file=/p",
        "pkcs11:module=/m;token=t;pin-file=p",
        "pkcs11:module=/m;token=;pin-file=/p",
        "pkcs11:module=/m;token=123456789012345678901234567890123;pin-file=/p",
        "pkcs11:module=/m;token=t;pin-file=/p;pin=1234",
        "pkcs11:module=/m;module=/m;token=t;pin-file=/p",
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct seal_spec s;
        char why[512] = "";
        if (seal_spec_parse(bad[i], &s, why, sizeof why) != HSM_E_BAD_PARAMETER)
            fail_msg("\"%s\" was accepted", bad[i]);
        assert_non_null(strstr(why, "seal provider"));
    }
}

static void lengths(void **state)
{
    char text[3000];
    struct seal_spec s;
    char why[512];
    (void)state;
    for (int n = 1; n < 1200; n++) {
        int len = snprintf(text, sizeof text, "pkcs11:token=t;pin-file=/p;module=/%0*d", n, 0);
        assert_true(len > 0 && (size_t)len < sizeof text);
        hsm_err want = n + 1 < (int)SEAL_PATH_MAX ? HSM_OK : HSM_E_BAD_PARAMETER;
        assert_int_equal(seal_spec_parse(text, &s, why, sizeof why), want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepted),
        cmocka_unit_test(refused),
        cmocka_unit_test(lengths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
