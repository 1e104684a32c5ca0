#include "gateway/meter.h"

#include <stdlib.h>

struct meter *meters_new(unsigned loops)
{
    struct meter *m = aligned_alloc(_Alignof(struct meter), loops * sizeof *m);
    if (m != NULL)
        memset(m, 0, loops * sizeof *m);
    return m;
}

static unsigned bucket_of(uint64_t us)
{
    static const uint32_t bounds[] = {
#define B(us, text) us,
        METER_BOUNDS(B)
#undef B
    };
    unsigned i = 0;
    while (i < METER_BUCKET_MORE && us > bounds[i])
        i++;
    return i;
}

static enum meter_class class_of(unsigned status)
{
    return status >= 500 ? METER_5XX : status >= 400 ? METER_4XX : METER_2XX;
}

static void count_error(struct meter *m, unsigned err)
{
    meter_add(&m->refused[err < HSM_E__COUNT ? err : HSM_E_INTERNAL], 1);
}

void meter_answer(struct meter *m, unsigned op, unsigned status, unsigned err, uint64_t us)
{
    struct meter_op *o = &m->op[op < WIRE_OP__END ? op : WIRE_TYPE_NONE];
    meter_add(&o->answers[class_of(status)], 1);
    meter_add(&o->bucket[bucket_of(us)], 1);
    meter_add(&o->sum_us, us);
    if (status >= 400)
        count_error(m, err);
}

void meter_refusal(struct meter *m, unsigned err)
{
    meter_add(&m->op[WIRE_TYPE_NONE].answers[class_of(hsm_err_http(err))], 1);
    count_error(m, err);
}
