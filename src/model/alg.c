#include "model/alg.h"

#include <stddef.h>

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

/* ---- key types and curves -------------------------------------------------------------------- */
static const struct {
    const char *name;
    enum key_type type;
} type_names[] = {
    {"RSA", KTY_RSA}, {"RSA-HSM", KTY_RSA}, {"EC", KTY_EC},   {"EC-HSM", KTY_EC},
    {"oct", KTY_OCT}, {"oct-HSM", KTY_OCT}, {"AES", KTY_OCT},
};

enum key_type key_type_from_name(struct bytes name)
{
    for (size_t i = 0; i < COUNT(type_names); i++) {
        if (bytes_eq_str(name, type_names[i].name))
            return type_names[i].type;
    }
    return KTY_NONE;
}

const char *key_type_name(enum key_type t)
{
    switch (t) {
    case KTY_RSA:
        return "RSA-HSM";
    case KTY_EC:
        return "EC-HSM";
    case KTY_OCT:
        return "oct-HSM";
    case KTY_NONE:
        break;
    }
    return "";
}

static const struct {
    const char *name;
    unsigned width;
} curves[] = {
    [CRV_NONE] = {"", 0},       [CRV_P256] = {"P-256", 32}, [CRV_P256K] = {"P-256K", 32},
    [CRV_P384] = {"P-384", 48}, [CRV_P521] = {"P-521", 66},
};

enum key_curve key_curve_from_name(struct bytes name)
{
    for (unsigned c = CRV_P256; c < COUNT(curves); c++) {
        if (bytes_eq_str(name, curves[c].name))
            return (enum key_curve)c;
    }
    return bytes_eq_str(name, "SECP256K1") ? CRV_P256K : CRV_NONE;
}

const char *key_curve_name(enum key_curve c)
{
    return (unsigned)c < COUNT(curves) ? curves[c].name : "";
}

unsigned key_curve_width(enum key_curve c)
{
    return (unsigned)c < COUNT(curves) ? curves[c].width : 0;
}

/* ---- operations ------------------------------------------------------------------------------ */
static const char *const op_names[] = {"encrypt",   "decrypt", "sign",   "verify",   "wrapKey",
                                       "unwrapKey", "import",  "export", "deriveKey"};
_Static_assert(KEY_OP__ALL == (1u << COUNT(op_names)) - 1, "one name per operation");

uint32_t key_op_from_name(struct bytes name)
{
    for (size_t i = 0; i < COUNT(op_names); i++) {
        if (bytes_eq_str(name, op_names[i]))
            return 1u << i;
    }
    return 0;
}

const char *key_op_name(uint32_t single_bit)
{
    for (size_t i = 0; i < COUNT(op_names); i++) {
        if (single_bit == 1u << i)
            return op_names[i];
    }
    return "";
}

#define OPS_CIPHER (KEY_OP_ENCRYPT | KEY_OP_DECRYPT)
#define OPS_WRAP   (KEY_OP_WRAP | KEY_OP_UNWRAP)
#define OPS_SIGN   (KEY_OP_SIGN | KEY_OP_VERIFY)

uint32_t key_default_ops(enum key_type t)
{
    switch (t) {
    case KTY_RSA:
        return OPS_CIPHER | OPS_WRAP | OPS_SIGN;
    case KTY_EC:
        return OPS_SIGN;
    case KTY_OCT:
        return OPS_CIPHER | OPS_WRAP | OPS_SIGN | KEY_OP_DERIVE;
    case KTY_NONE:
        break;
    }
    return 0;
}

/* Other sizes of oct keys are for HMAC alone. */
static bool is_aes(uint32_t bits)
{
    return bits == 128 || bits == 192 || bits == 256;
}

uint32_t key_possible_ops(enum key_type t, uint32_t bits)
{
    if (t == KTY_OCT && !is_aes(bits))
        return KEY_OP__ALL & ~(uint32_t)(OPS_CIPHER | OPS_WRAP);
    return KEY_OP__ALL;
}

/* ---- algorithms ------------------------------------------------------------------------------ */
/* bits: key size an AES algorithm is tied to, 0 for any. */
static const struct alg_info {
    const char *name;
    enum key_type type;
    enum key_curve curve;
    uint32_t bits;
    uint32_t ops;
} algs[ALG__COUNT] = {
    [ALG_NONE] = {"", KTY_NONE, CRV_NONE, 0, 0},
    [ALG_RSA1_5] = {"RSA1_5", KTY_RSA, CRV_NONE, 0, OPS_CIPHER | OPS_WRAP},
    [ALG_RSA_OAEP] = {"RSA-OAEP", KTY_RSA, CRV_NONE, 0, OPS_CIPHER | OPS_WRAP},
    [ALG_RSA_OAEP_256] = {"RSA-OAEP-256", KTY_RSA, CRV_NONE, 0, OPS_CIPHER | OPS_WRAP},
    [ALG_A128GCM] = {"A128GCM", KTY_OCT, CRV_NONE, 128, OPS_CIPHER},
    [ALG_A192GCM] = {"A192GCM", KTY_OCT, CRV_NONE, 192, OPS_CIPHER},
    [ALG_A256GCM] = {"A256GCM", KTY_OCT, CRV_NONE, 256, OPS_CIPHER},
    [ALG_A128CBC] = {"A128CBC", KTY_OCT, CRV_NONE, 128, OPS_CIPHER},
    [ALG_A192CBC] = {"A192CBC", KTY_OCT, CRV_NONE, 192, OPS_CIPHER},
    [ALG_A256CBC] = {"A256CBC", KTY_OCT, CRV_NONE, 256, OPS_CIPHER},
    [ALG_A128CBCPAD] = {"A128CBCPAD", KTY_OCT, CRV_NONE, 128, OPS_CIPHER},
    [ALG_A192CBCPAD] = {"A192CBCPAD", KTY_OCT, CRV_NONE, 192, OPS_CIPHER},
    [ALG_A256CBCPAD] = {"A256CBCPAD", KTY_OCT, CRV_NONE, 256, OPS_CIPHER},
    [ALG_A128KW] = {"A128KW", KTY_OCT, CRV_NONE, 128, OPS_WRAP},
    [ALG_A192KW] = {"A192KW", KTY_OCT, CRV_NONE, 192, OPS_WRAP},
    [ALG_A256KW] = {"A256KW", KTY_OCT, CRV_NONE, 256, OPS_WRAP},
    [ALG_A128KWPAD] = {"A128KWPAD", KTY_OCT, CRV_NONE, 128, OPS_WRAP},
    [ALG_A192KWPAD] = {"A192KWPAD", KTY_OCT, CRV_NONE, 192, OPS_WRAP},
    [ALG_A256KWPAD] = {"A256KWPAD", KTY_OCT, CRV_NONE, 256, OPS_WRAP},
    [ALG_CKM_AES_KEY_WRAP] = {"CKM_AES_KEY_WRAP", KTY_OCT, CRV_NONE, 0, OPS_WRAP},
    [ALG_CKM_AES_KEY_WRAP_PAD] = {"CKM_AES_KEY_WRAP_PAD", KTY_OCT, CRV_NONE, 0, OPS_WRAP},
    [ALG_RS256] = {"RS256", KTY_RSA, CRV_NONE, 0, OPS_SIGN},
    [ALG_RS384] = {"RS384", KTY_RSA, CRV_NONE, 0, OPS_SIGN},
    [ALG_RS512] = {"RS512", KTY_RSA, CRV_NONE, 0, OPS_SIGN},
    [ALG_PS256] = {"PS256", KTY_RSA, CRV_NONE, 0, OPS_SIGN},
    [ALG_PS384] = {"PS384", KTY_RSA, CRV_NONE, 0, OPS_SIGN},
    [ALG_PS512] = {"PS512", KTY_RSA, CRV_NONE, 0, OPS_SIGN},
    [ALG_RSNULL] = {"RSNULL", KTY_RSA, CRV_NONE, 0, OPS_SIGN},
    [ALG_ES256] = {"ES256", KTY_EC, CRV_P256, 0, OPS_SIGN},
    [ALG_ES256K] = {"ES256K", KTY_EC, CRV_P256K, 0, OPS_SIGN},
    [ALG_ES384] = {"ES384", KTY_EC, CRV_P384, 0, OPS_SIGN},
    [ALG_ES512] = {"ES512", KTY_EC, CRV_P521, 0, OPS_SIGN},
    [ALG_HS256] = {"HS256", KTY_OCT, CRV_NONE, 0, OPS_SIGN},
    [ALG_HS384] = {"HS384", KTY_OCT, CRV_NONE, 0, OPS_SIGN},
    [ALG_HS512] = {"HS512", KTY_OCT, CRV_NONE, 0, OPS_SIGN},
};

enum crypto_alg crypto_alg_from_name(struct bytes name)
{
    for (unsigned a = ALG_NONE + 1; a < ALG__COUNT; a++) {
        if (bytes_eq_str(name, algs[a].name))
            return (enum crypto_alg)a;
    }
    return ALG_NONE;
}

const char *crypto_alg_name(unsigned alg)
{
    return alg < ALG__COUNT ? algs[alg].name : "";
}

hsm_err crypto_alg_fits(unsigned alg, uint32_t op, enum key_type t, enum key_curve c, uint32_t bits,
                        const char **why)
{
    const char *reason = NULL;
    const struct alg_info *a = &algs[alg < ALG__COUNT ? alg : (unsigned)ALG_NONE];
    if (a->ops == 0)
        reason = "The algorithm is unknown.";
    else if ((a->ops & op) != op || op == 0 || (op & (op - 1)) != 0)
        reason = "The algorithm does not support this operation.";
    else if (a->type != t)
        reason = "The algorithm does not fit the type of the key.";
    else if (t == KTY_EC && a->curve != c)
        reason = "The algorithm does not fit the curve of the key.";
    else if (a->bits != 0 ? a->bits != bits : t == KTY_OCT && (op & OPS_SIGN) == 0 && !is_aes(bits))
        reason = "The algorithm does not fit the size of the key.";
    if (reason == NULL)
        return HSM_OK;
    *why = reason;
    return HSM_E_BAD_PARAMETER;
}

bool crypto_is_slow(uint32_t op, enum key_type t, uint32_t bits)
{
    return t == KTY_RSA && bits >= 3072 &&
           (op & (KEY_OP_DECRYPT | KEY_OP_UNWRAP | KEY_OP_SIGN)) != 0;
}

/* ---- the rest -------------------------------------------------------------------------------- */
const char *recovery_level_name(unsigned level)
{
    static const char *const names[] = {
        [RECOVERY_90] = "Recoverable",
        [RECOVERY_90_PURGEABLE] = "Recoverable+Purgeable",
        [RECOVERY_CUSTOM] = "CustomizedRecoverable",
        [RECOVERY_CUSTOM_PURGEABLE] = "CustomizedRecoverable+Purgeable",
    };
    return level < COUNT(names) ? names[level] : "";
}

bool key_name_valid(struct bytes name)
{
    /* digits, letters and '-', one bit per ASCII character */
    static const uint64_t allowed[2] = {0x03ff200000000000u, 0x07fffffe07fffffeu};
    if (name.n < 1 || name.n > 127)
        return false;
    uint64_t bad = 0;
    for (size_t i = 0; i < name.n; i++) {
        uint8_t c = name.p[i];
        bad |= (c >> 7) | (~allowed[c >> 6 & 1] >> (c & 63) & 1);
    }
    return bad == 0;
}
