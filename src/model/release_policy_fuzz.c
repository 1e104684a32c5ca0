/* What is a policy has one canonical form, which is its own and not longer than the text was. */
#include <string.h>
#include "model/release_policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct json_tok toks[RELEASE_POLICY_TOKENS];
    static uint8_t first[RELEASE_POLICY_MAX], second[RELEASE_POLICY_MAX];
    const char *why = NULL;
    struct wr a = wr_of(first, sizeof first), b = wr_of(second, sizeof second);
    hsm_err err = release_policy_canonical(bytes_of(data, size), toks, &a, &why);
    if (err != HSM_OK) {
        HSM_ASSERT(err == HSM_E_BAD_PARAMETER && why != NULL && strlen(why) > 20);
        return 0;
    }
    HSM_ASSERT(a.n <= size && why == NULL);
    HSM_ASSERT(release_policy_canonical(wr_view(&a), toks, &b, &why) == HSM_OK);
    HSM_ASSERT(bytes_eq(wr_view(&a), wr_view(&b)));
    return 0;
}
