/* What is taken for evidence is written back as the same bytes. */
#include "boundary/evidence.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct evidence e;
    static uint8_t again[EVIDENCE_MAX];
    if (evidence_decode(bytes_of(data, size), &e) != HSM_OK)
        return 0;
    HSM_ASSERT(strlen(e.pool) <= EVIDENCE_POOL_MAX && strlen(e.pool) > 0);
    HSM_ASSERT(strlen(e.protection) <= EVIDENCE_PROTECTION_MAX);
    HSM_ASSERT(e.platform_n <= sizeof e.platform);
    struct wr w = wr_of(again, sizeof again);
    evidence_encode(&e, &w);
    HSM_ASSERT(wr_ok(&w) == HSM_OK && bytes_eq(wr_view(&w), bytes_of(data, size)));
    return 0;
}
