/* What --seal-provider says. */
#include "boundary/seal_internal.h"

hsm_err seal_spec_parse(const char *text, struct seal_spec *ret, char *why, size_t cap)
{
    *ret = (struct seal_spec){.provider = SEAL_FILE};
    if (bytes_eq_str(bytes_str(text), "file"))
        return HSM_OK;
    return seal_say(HSM_E_BAD_PARAMETER, why, cap, "unknown seal provider");
}
