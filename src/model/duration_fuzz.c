/* Durations: what is taken keeps within its bounds, and the calendar never goes the wrong way. The
 * first eight bytes are a time. */
#include <stdlib.h>
#include "model/duration.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct duration d;
    if (size < 8)
        return 0;
    uint64_t t = be64_get(data);
    if (duration_parse(bytes_of(data + 8, size - 8), &d) != HSM_OK)
        return 0;
    if (t > TIME_MAX_S)
        t %= TIME_MAX_S + 1;
    uint64_t after = duration_after(t, d);
    uint64_t before = duration_before(t, d);
    uint64_t days = (uint64_t)d.months * 31 + d.days;
    HSM_ASSERT(size - 8 <= DURATION_TEXT_MAX && after <= TIME_MAX_S);
    HSM_ASSERT(after >= t && after - t <= days * 86400);
    HSM_ASSERT(before <= t && t - before <= (days > t / 86400 ? t : days * 86400));
    if (after < TIME_MAX_S)
        HSM_ASSERT((after - t) % 86400 == 0);
    (void)duration_nominal_days(d);
    return 0;
}
