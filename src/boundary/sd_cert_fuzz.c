/* Certificates come from whoever may download the security domain. */
#include "boundary/sd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sd_cert c = {0};
    const char *why = NULL;
    hsm_err err = sd_cert_parse(bytes_of(data, size), &c, &why);
    HSM_ASSERT(err == HSM_OK || (err == HSM_E_BAD_PARAMETER && why != NULL && c.key == NULL));
    HSM_ASSERT(err != HSM_OK || (c.key != NULL && strlen(c.thumbprint) == 43));
    sd_cert_done(&c);
    return 0;
}
