/* What pool.json says about prepared keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include "boundary/pool.h"

static hsm_err parse(const char *prepared, unsigned ret[3], char *why, size_t cap)
{
    char json[1024];
    struct pool_init init;
    snprintf(json, sizeof json,
             "{\"name\":\"dev\",\"tenant\":\"72f988bf-86f1-41af-91ab-2d7cd011db47\","
             "\"administrators\":[\"aaaaaaaa-1111-4222-8333-bbbbbbbbbbbb\"],\"auth\":{}%s%s}",
             prepared[0] == '\0' ? "" : ",\"preparedKeys\":", prepared);
    TRY(pool_init_parse(bytes_str(json), &init, why, cap));
    memcpy(ret, init.prepared, sizeof init.prepared);
    pool_init_done(&init);
    return HSM_OK;
}

static void prepared_keys(void **state)
{
    static const struct {
        const char *text;
        unsigned n[3];
    } good[] = {
        {"", {32, 16, 16}},
        {"{}", {32, 16, 16}},
        {"{\"2048\":0,\"3072\":0,\"4096\":0}", {0, 0, 0}},
        {"{\"4096\":64}", {32, 16, 64}},
    };
    static const char *const bad[] = {
        "4",
        "[4]",
        "null",
        "{\"2048\":65}",
        "{\"2048\":-1}",
        "{\"2048\":\"4\"}",
        "{\"2048\":1.5}",
        "{\"1024\":1}",
        "{\"2048\":1,\"x\":1}",
    };
    unsigned n[3];
    char why[256] = "";
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(parse(good[i].text, n, why, sizeof why), HSM_OK);
        assert_memory_equal(n, good[i].n, sizeof n);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        why[0] = '\0';
        assert_int_equal(parse(bad[i], n, why, sizeof why), HSM_E_BAD_PARAMETER);
        assert_non_null(strstr(why, "preparedKeys"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(prepared_keys)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
