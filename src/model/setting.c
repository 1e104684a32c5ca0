#include "model/setting.h"

static const char *const names[SETTING__COUNT] = {
    [SETTING_KEYS_THROUGH_ARM] = "AllowKeyManagementOperationsThroughARM",
};

enum setting setting_find(struct bytes name)
{
    for (unsigned i = 0; i < SETTING__COUNT; i++)
        if (bytes_ieq(name, bytes_str(names[i])))
            return (enum setting)i;
    return SETTING__COUNT;
}

const char *setting_name(enum setting s)
{
    return names[s];
}

const char *setting_type(enum setting s)
{
    (void)s;
    return "boolean";
}

const char *setting_text(bool value)
{
    return value ? "true" : "false";
}

hsm_err setting_value_parse(struct bytes text, bool *ret)
{
    bool on = bytes_ieq(text, bytes_str("true"));
    if (!on && !bytes_ieq(text, bytes_str("false")))
        return HSM_E_BAD_PARAMETER;
    *ret = on;
    return HSM_OK;
}
