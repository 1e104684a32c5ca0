#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include "model/alg.h"

/* ---- names ----------------------------------------------------------------------------------- */
static void key_type_names(void **state)
{
    static const struct {
        const char *name;
        enum key_type type;
    } rows[] = {
        {"RSA", KTY_RSA},       {"RSA-HSM", KTY_RSA}, {"EC", KTY_EC},     {"EC-HSM", KTY_EC},
        {"oct", KTY_OCT},       {"oct-HSM", KTY_OCT}, {"AES", KTY_OCT},   {"", KTY_NONE},
        {"rsa", KTY_NONE},      {"Oct", KTY_NONE},    {"RSA ", KTY_NONE}, {"OKP", KTY_NONE},
        {"RSA-HSMX", KTY_NONE},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(key_type_from_name(bytes_str(rows[i].name)), rows[i].type);
    assert_string_equal(key_type_name(KTY_RSA), "RSA-HSM");
    assert_string_equal(key_type_name(KTY_EC), "EC-HSM");
    assert_string_equal(key_type_name(KTY_OCT), "oct-HSM");
    assert_string_equal(key_type_name((enum key_type)77), "");
}

static void curve_names_and_widths(void **state)
{
    static const struct {
        const char *name;
        enum key_curve curve;
        unsigned width;
    } rows[] = {
        {"P-256", CRV_P256, 32},
        {"P-256K", CRV_P256K, 32},
        {"P-384", CRV_P384, 48},
        {"P-521", CRV_P521, 66},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(key_curve_from_name(bytes_str(rows[i].name)), rows[i].curve);
        assert_string_equal(key_curve_name(rows[i].curve), rows[i].name);
        assert_int_equal(key_curve_width(rows[i].curve), rows[i].width);
    }
    assert_int_equal(key_curve_from_name(bytes_str("SECP256K1")), CRV_P256K);
    assert_int_equal(key_curve_from_name(bytes_str("")), CRV_NONE);
    assert_int_equal(key_curve_from_name(bytes_str("p-256")), CRV_NONE);
    assert_int_equal(key_curve_width(CRV_NONE), 0);
    assert_int_equal(key_curve_width((enum key_curve)99), 0);
    assert_string_equal(key_curve_name((enum key_curve)99), "");
}

static void op_names(void **state)
{
    static const char *const names[] = {"encrypt",   "decrypt", "sign",   "verify",   "wrapKey",
                                        "unwrapKey", "import",  "export", "deriveKey"};
    (void)state;
    for (unsigned i = 0; i < 9; i++) {
        assert_string_equal(key_op_name(1u << i), names[i]);
        assert_int_equal(key_op_from_name(bytes_str(names[i])), 1u << i);
    }
    assert_int_equal(key_op_from_name(bytes_str("WrapKey")), 0);
    assert_int_equal(key_op_from_name(bytes_str("")), 0);
    assert_string_equal(key_op_name(3), "");
    assert_string_equal(key_op_name(1u << 9), "");
}

static void default_ops(void **state)
{
    (void)state;
    assert_int_equal(key_default_ops(KTY_RSA), KEY_OP_ENCRYPT | KEY_OP_DECRYPT | KEY_OP_SIGN |
                                                   KEY_OP_VERIFY | KEY_OP_WRAP | KEY_OP_UNWRAP);
    assert_int_equal(key_default_ops(KTY_EC), KEY_OP_SIGN | KEY_OP_VERIFY);
    assert_int_equal(key_default_ops(KTY_OCT), KEY_OP_ENCRYPT | KEY_OP_DECRYPT | KEY_OP_SIGN |
                                                   KEY_OP_VERIFY | KEY_OP_WRAP | KEY_OP_UNWRAP |
                                                   KEY_OP_DERIVE);
    assert_int_equal(key_default_ops(KTY_NONE), 0);
}

/* Only an oct key that is no AES key has less than all. */
static void possible_ops(void **state)
{
    const uint32_t hmac =
        KEY_OP_SIGN | KEY_OP_VERIFY | KEY_OP_DERIVE | KEY_OP_IMPORT | KEY_OP_EXPORT;
    (void)state;
    for (uint32_t bits = 8; bits <= 512; bits += 8) {
        bool aes = bits == 128 || bits == 192 || bits == 256;
        assert_int_equal(key_possible_ops(KTY_OCT, bits), aes ? KEY_OP__ALL : hmac);
    }
    assert_int_equal(key_possible_ops(KTY_RSA, 2048), KEY_OP__ALL);
    assert_int_equal(key_possible_ops(KTY_EC, 521), KEY_OP__ALL);
}

static void alg_names_round_trip(void **state)
{
    (void)state;
    for (unsigned a = 1; a < ALG__COUNT; a++) {
        assert_true(strlen(crypto_alg_name(a)) > 0);
        assert_int_equal(crypto_alg_from_name(bytes_str(crypto_alg_name(a))), a);
    }
    assert_int_equal(crypto_alg_from_name(bytes_str("RSA-OAEP-256")), ALG_RSA_OAEP_256);
    assert_int_equal(crypto_alg_from_name(bytes_str("CKM_AES_KEY_WRAP_PAD")),
                     ALG_CKM_AES_KEY_WRAP_PAD);
    assert_int_equal(crypto_alg_from_name(bytes_str("")), ALG_NONE);
    assert_int_equal(crypto_alg_from_name(bytes_str("rs256")), ALG_NONE);
    assert_int_equal(crypto_alg_from_name(bytes_str("EdDSA")), ALG_NONE);
    assert_string_equal(crypto_alg_name(ALG__COUNT), "");
    assert_string_equal(crypto_alg_name(255), "");
}

/* ---- which algorithm fits which key ---------------------------------------------------------- */
struct key_kind {
    enum key_type type;
    enum key_curve curve;
    uint32_t bits;
};
static const struct key_kind kinds[] = {
    {KTY_NONE, CRV_NONE, 0},   {KTY_RSA, CRV_NONE, 2048}, {KTY_RSA, CRV_NONE, 3072},
    {KTY_RSA, CRV_NONE, 4096}, {KTY_EC, CRV_P256, 256},   {KTY_EC, CRV_P256K, 256},
    {KTY_EC, CRV_P384, 384},   {KTY_EC, CRV_P521, 521},   {KTY_OCT, CRV_NONE, 128},
    {KTY_OCT, CRV_NONE, 192},  {KTY_OCT, CRV_NONE, 256},  {KTY_OCT, CRV_NONE, 512},
};

static bool starts(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

/* The same rules once more, read off the algorithm's name. */
static bool expected(const char *alg, uint32_t op, const struct key_kind *k)
{
    bool cipher = op == KEY_OP_ENCRYPT || op == KEY_OP_DECRYPT;
    bool wrap = op == KEY_OP_WRAP || op == KEY_OP_UNWRAP;
    bool sign = op == KEY_OP_SIGN || op == KEY_OP_VERIFY;
    if (starts(alg, "RSA"))
        return k->type == KTY_RSA && (cipher || wrap);
    if (starts(alg, "RS") || starts(alg, "PS"))
        return k->type == KTY_RSA && sign;
    if (starts(alg, "HS"))
        return k->type == KTY_OCT && sign;
    if (starts(alg, "CKM"))
        return k->type == KTY_OCT && wrap && k->bits <= 256; /* 512: for HMAC only */
    if (starts(alg, "ES")) {
        const char *curve = strcmp(alg, "ES256") == 0    ? "P-256"
                            : strcmp(alg, "ES256K") == 0 ? "P-256K"
                            : strcmp(alg, "ES384") == 0  ? "P-384"
                                                         : "P-521";
        return k->type == KTY_EC && sign && strcmp(key_curve_name(k->curve), curve) == 0;
    }
    char size[4];
    snprintf(size, sizeof size, "%u", (unsigned)k->bits);
    bool is_wrap = strstr(alg, "KW") != NULL;
    return k->type == KTY_OCT && starts(alg + 1, size) && (is_wrap ? wrap : cipher);
}

static void every_combination(void **state)
{
    unsigned allowed = 0;
    (void)state;
    for (unsigned a = 0; a <= ALG__COUNT; a++) {
        for (unsigned bit = 0; bit < 10; bit++) {
            for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
                const struct key_kind *k = &kinds[i];
                const char *why = NULL;
                bool known = a > ALG_NONE && a < ALG__COUNT;
                bool want = known && expected(crypto_alg_name(a), 1u << bit, k);
                hsm_err err = crypto_alg_fits(a, 1u << bit, k->type, k->curve, k->bits, &why);
                if (err != (want ? HSM_OK : HSM_E_BAD_PARAMETER))
                    fail_msg("%s op %u kind %zu: %s", crypto_alg_name(a), bit, i,
                             hsm_err_name(err));
                assert_true(want ? why == NULL : why != NULL && strlen(why) > 10);
                allowed += want;
            }
        }
    }
    /* RSA: 3 ciphers x 4 + 7 signatures x 2, three sizes; ES 4 x 2; AES 9 x 2 modes + 6 x 2 wraps;
     * CKM 2 x 2 x 3 sizes; HS 3 x 2 x 4 sizes. */
    assert_int_equal(allowed, 3 * (12 + 14) + 8 + 18 + 12 + 12 + 24);
}

static void several_operations_at_once_are_none(void **state)
{
    const char *why = NULL;
    (void)state;
    assert_int_equal(
        crypto_alg_fits(ALG_RS256, KEY_OP_SIGN | KEY_OP_VERIFY, KTY_RSA, CRV_NONE, 2048, &why),
        HSM_E_BAD_PARAMETER);
    assert_int_equal(crypto_alg_fits(ALG_RS256, 0, KTY_RSA, CRV_NONE, 2048, &why),
                     HSM_E_BAD_PARAMETER);
}

static void slow_operations(void **state)
{
    (void)state;
    assert_false(crypto_is_slow(KEY_OP_SIGN, KTY_RSA, 2048));
    assert_true(crypto_is_slow(KEY_OP_SIGN, KTY_RSA, 3072));
    assert_true(crypto_is_slow(KEY_OP_DECRYPT, KTY_RSA, 4096));
    assert_true(crypto_is_slow(KEY_OP_UNWRAP, KTY_RSA, 3072));
    assert_false(crypto_is_slow(KEY_OP_VERIFY, KTY_RSA, 4096));
    assert_false(crypto_is_slow(KEY_OP_WRAP, KTY_RSA, 4096));
    assert_false(crypto_is_slow(KEY_OP_SIGN, KTY_EC, 521));
}

static void recovery_names(void **state)
{
    (void)state;
    assert_string_equal(recovery_level_name(RECOVERY_90), "Recoverable");
    assert_string_equal(recovery_level_name(RECOVERY_90_PURGEABLE), "Recoverable+Purgeable");
    assert_string_equal(recovery_level_name(RECOVERY_CUSTOM), "CustomizedRecoverable");
    assert_string_equal(recovery_level_name(RECOVERY_CUSTOM_PURGEABLE),
                        "CustomizedRecoverable+Purgeable");
    assert_string_equal(recovery_level_name(4), "");
}

static void key_names(void **state)
{
    char longest[129];
    (void)state;
    memset(longest, 'a', sizeof longest);
    assert_true(key_name_valid(bytes_of(longest, 127)));
    assert_false(key_name_valid(bytes_of(longest, 128)));
    assert_false(key_name_valid(bytes_of(longest, 0)));
    for (unsigned c = 0; c < 256; c++) {
        uint8_t one = (uint8_t)c;
        bool want = c != 0 && strchr("0123456789-abcdefghijklmnopqrstuvwxyz"
                                     "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
                                     (int)c) != NULL;
        assert_int_equal(key_name_valid(bytes_of(&one, 1)), want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(key_type_names),    cmocka_unit_test(curve_names_and_widths),
        cmocka_unit_test(op_names),          cmocka_unit_test(default_ops),
        cmocka_unit_test(possible_ops),      cmocka_unit_test(alg_names_round_trip),
        cmocka_unit_test(every_combination), cmocka_unit_test(several_operations_at_once_are_none),
        cmocka_unit_test(slow_operations),   cmocka_unit_test(recovery_names),
        cmocka_unit_test(key_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
