/* Settings of the pool: the service knows exactly one, a boolean. Pure table. */
#ifndef MODEL_SETTING_H
#define MODEL_SETTING_H

#include <stdbool.h>
#include "base/bytes.h"

enum setting {
    SETTING_KEYS_THROUGH_ARM, /* keys may be created and read through the resource manager */
    SETTING__COUNT
};

/* SETTING__COUNT when there is none of that name (compared without case). */
enum setting setting_find(struct bytes name);
const char *setting_name(enum setting s);
const char *setting_type(enum setting s); /* "boolean" */
const char *setting_text(bool value);     /* "true", "false" */
/* "true" or "false" in any case. HSM_E_BAD_PARAMETER for anything else. */
HSM_MUST_USE hsm_err setting_value_parse(struct bytes text, bool *ret);

#endif
