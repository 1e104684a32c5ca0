#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "model/key.h"

#define NOW 1000000u

static bool is_for_old_data(uint32_t op)
{
    return op == KEY_OP_DECRYPT || op == KEY_OP_UNWRAP || op == KEY_OP_VERIFY;
}

/* Every operation x enabled x permitted x place of the time in the window. */
static void may_use_table(void **state)
{
    static const struct {
        struct key_window window;
        bool inside;
    } times[] = {
        {{.has_nbf = false, .has_exp = false, .nbf = NOW * 2, .exp = 1}, true},
        {{.has_nbf = true, .nbf = NOW}, true},
        {{.has_nbf = true, .nbf = NOW + KEY_CLOCK_LEEWAY_S}, true},
        {{.has_nbf = true, .nbf = NOW + KEY_CLOCK_LEEWAY_S + 1}, false},
        {{.has_nbf = true, .nbf = UINT64_MAX}, false},
        {{.has_nbf = true, .nbf = 0}, true},
        {{.has_exp = true, .exp = NOW + 1}, true},
        {{.has_exp = true, .exp = NOW - KEY_CLOCK_LEEWAY_S + 1}, true},
        {{.has_exp = true, .exp = NOW - KEY_CLOCK_LEEWAY_S}, false},
        {{.has_exp = true, .exp = 0}, false},
        {{.has_exp = true, .exp = UINT64_MAX}, true},
        {{.has_nbf = true, .has_exp = true, .nbf = NOW - 10, .exp = NOW + 10}, true},
        {{.has_nbf = true, .has_exp = true, .nbf = NOW + 9999, .exp = NOW - 9999}, false},
    };
    (void)state;
    for (unsigned bit = 0; bit < 9; bit++) {
        uint32_t op = 1u << bit;
        for (unsigned i = 0; i < sizeof times / sizeof times[0]; i++) {
            for (unsigned variant = 0; variant < 4; variant++) {
                struct key_window w = times[i].window;
                const char *why = NULL;
                w.enabled = (variant & 1) != 0;
                w.ops = (variant & 2) != 0 ? op : KEY_OP__ALL & ~op;
                bool want = variant == 3 && (times[i].inside || is_for_old_data(op));
                hsm_err err = key_may_use(&w, op, NOW, &why);
                if (err != (want ? HSM_OK : HSM_E_FORBIDDEN))
                    fail_msg("op %u time %u variant %u: %s", bit, i, variant, hsm_err_name(err));
                assert_int_equal(want, why == NULL);
            }
        }
    }
}

static void reasons_name_the_first_cause(void **state)
{
    const char *why = NULL;
    struct key_window w = {.enabled = false, .has_exp = true, .exp = 1, .ops = 0};
    (void)state;
    assert_int_equal(key_may_use(&w, KEY_OP_SIGN, NOW, &why), HSM_E_FORBIDDEN);
    assert_non_null(strstr(why, "disabled"));
    w.enabled = true;
    assert_int_equal(key_may_use(&w, KEY_OP_SIGN, NOW, &why), HSM_E_FORBIDDEN);
    assert_non_null(strstr(why, "key_ops"));
    w.ops = KEY_OP_SIGN;
    assert_int_equal(key_may_use(&w, KEY_OP_SIGN, NOW, &why), HSM_E_FORBIDDEN);
    assert_non_null(strstr(why, "expired"));
    w = (struct key_window){.enabled = true, .has_nbf = true, .nbf = 2 * NOW, .ops = KEY_OP_SIGN};
    assert_int_equal(key_may_use(&w, KEY_OP_SIGN, NOW, &why), HSM_E_FORBIDDEN);
    assert_non_null(strstr(why, "not yet valid"));
    assert_int_equal(key_may_use(&w, 0, NOW, &why), HSM_E_FORBIDDEN);
}

static void ops_of_a_key(void **state)
{
    const char *why = NULL;
    (void)state;
    for (uint32_t ops = 0; ops <= KEY_OP__ALL; ops++) {
        bool imports = (ops & KEY_OP_IMPORT) != 0;
        for (unsigned t = KTY_RSA; t <= KTY_OCT; t++) {
            bool want = !imports || (ops == KEY_OP_IMPORT && t == KTY_RSA);
            assert_int_equal(key_ops_valid(ops, (enum key_type)t, &why),
                             want ? HSM_OK : HSM_E_BAD_PARAMETER);
        }
    }
    assert_int_equal(key_ops_valid(1u << 9, KTY_RSA, &why), HSM_E_BAD_PARAMETER);
    assert_int_equal(key_ops_valid(UINT32_MAX, KTY_RSA, &why), HSM_E_BAD_PARAMETER);
}

static void recovery_level(void **state)
{
    (void)state;
    assert_int_equal(key_recovery_level(90, true), RECOVERY_90);
    assert_int_equal(key_recovery_level(90, false), RECOVERY_90_PURGEABLE);
    assert_int_equal(key_recovery_level(89, true), RECOVERY_CUSTOM);
    assert_int_equal(key_recovery_level(7, false), RECOVERY_CUSTOM_PURGEABLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(may_use_table),
        cmocka_unit_test(reasons_name_the_first_cause),
        cmocka_unit_test(ops_of_a_key),
        cmocka_unit_test(recovery_level),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
