#include "boundary/rng.h"

#include <openssl/rand.h>
#include "boundary/boundary.h"

#define COUNT_MAX 128u

/* From the generator for public values: what clients see says nothing about the one that keys come
 * from. */
hsm_err rng_handle_bytes(struct request *rq)
{
    struct wire_rng m;
    uint8_t value[COUNT_MAX];
    TRY(wire_rng_decode(rq->body, &m));
    if (m.count < 1 || m.count > COUNT_MAX)
        return request_fail(rq, HSM_E_BAD_PARAMETER,
                            "GetRandomBytesRequest: count cannot be greater than %u or less than 1",
                            COUNT_MAX);
    if (RAND_bytes(value, (int)m.count) != 1)
        return HSM_E_INTERNAL;
    const struct wire_rng_result r = {.value = bytes_of(value, m.count)};
    wire_rng_result_put(rq->out, &r);
    secret_wipe(value, sizeof value);
    return HSM_OK;
}
