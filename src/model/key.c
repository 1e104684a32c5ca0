#include "model/key.h"

#include <stddef.h>

/* What old data needs to stay readable is allowed outside the window as well. */
#define OPS_ANY_TIME (KEY_OP_DECRYPT | KEY_OP_UNWRAP | KEY_OP_VERIFY)

/* Differences of times, never sums: a time near the end of the range must not wrap around. */
static bool too_early(const struct key_window *k, uint64_t now_s)
{
    return k->has_nbf && k->nbf > now_s && k->nbf - now_s > KEY_CLOCK_LEEWAY_S;
}

static bool too_late(const struct key_window *k, uint64_t now_s)
{
    return k->has_exp && now_s >= k->exp && now_s - k->exp >= KEY_CLOCK_LEEWAY_S;
}

hsm_err key_may_use(const struct key_window *k, uint32_t op, uint64_t now_s, const char **why)
{
    const char *reason = NULL;
    if (!k->enabled)
        reason = "Operation is not allowed on a disabled key.";
    else if (op == 0 || (k->ops & op) != op)
        reason = "Operation is not permitted by the key_ops of this key.";
    else if ((op & ~(uint32_t)OPS_ANY_TIME) != 0 && too_early(k, now_s))
        reason = "Operation is not allowed on a key that is not yet valid.";
    else if ((op & ~(uint32_t)OPS_ANY_TIME) != 0 && too_late(k, now_s))
        reason = "Operation is not allowed on an expired key.";
    if (reason == NULL)
        return HSM_OK;
    *why = reason;
    return HSM_E_FORBIDDEN;
}

hsm_err key_ops_valid(uint32_t ops, enum key_type t, const char **why)
{
    const char *reason = NULL;
    if ((ops & ~(uint32_t)KEY_OP__ALL) != 0)
        reason = "key_ops contains an unknown operation.";
    else if ((ops & KEY_OP_IMPORT) != 0 && ops != KEY_OP_IMPORT)
        reason = "import must be the only operation of a key.";
    else if (ops == KEY_OP_IMPORT && t != KTY_RSA)
        reason = "import is for RSA-HSM keys only.";
    if (reason == NULL)
        return HSM_OK;
    *why = reason;
    return HSM_E_BAD_PARAMETER;
}

enum recovery_level key_recovery_level(unsigned retention_days, bool purge_protection)
{
    if (retention_days >= 90)
        return purge_protection ? RECOVERY_90 : RECOVERY_90_PURGEABLE;
    return purge_protection ? RECOVERY_CUSTOM : RECOVERY_CUSTOM_PURGEABLE;
}
