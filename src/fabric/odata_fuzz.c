#include <stddef.h>
#include <stdint.h>
#include "fabric/odata.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct odata_filter f;
    if (odata_parse(bytes_of(data, size), &f) != HSM_OK)
        return 0;
    HSM_ASSERT(f.n >= 1 && f.n <= ODATA_CLAUSES_MAX);
    for (size_t i = 0; i < f.n; i++) {
        HSM_ASSERT(f.clause[i].field.n > 0 && f.clause[i].field.p >= data);
        HSM_ASSERT(strnlen(f.clause[i].value, sizeof f.clause[i].value) <= ODATA_VALUE_MAX);
    }
    return 0;
}
