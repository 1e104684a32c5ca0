#include "boundary/keys.h"

#include <stdio.h>
#include "boundary/sd.h"

/* Activation: the pool record in its new state. */
static hsm_err put_active(struct request *rq)
{
    struct worker *w = job_of(rq)->w;
    struct pool_info active = rq->b->state->pool;
    active.state = POOL_ACTIVE;
    struct wr body = wr_of(w->record_buf, WORKER_RECORD_MAX);
    pool_info_encode(&active, &body);
    TRY(wr_ok(&body));
    return txn_put(rq, REC_POOL, bytes_of(NULL, 0), wr_view(&body));
}

hsm_err sd_handle_download(struct request *rq)
{
    struct wire_sd_download m;
    const struct pool_info *pool = &rq->b->state->pool;
    char thumbprints[600] = "";
    const char *why = "";
    TRY(wire_sd_download_decode(rq->body, &m));
    size_t text = wr_lv_open(rq->out); /* WIRE_SD_FILE */
    hsm_err err = sd_download(&m, &rq->b->roots, pool->name, pool->created, rq->out, thumbprints,
                              sizeof thumbprints, &why);
    if (err != HSM_OK)
        return why[0] != '\0' ? request_fail(rq, err, "%s", why) : err;
    wr_lv_close(rq->out, text);
    (void)snprintf(rq->audit_note, sizeof rq->audit_note, "required %u; custodians %s",
                   m.required == 0 ? 2u : m.required, thumbprints);
    return pool->state == POOL_ACTIVE ? HSM_OK : put_active(rq);
}

/* Both pending paths report the same operation: it was done at once. */
hsm_err sd_handle_status(struct request *rq)
{
    if (rq->b->state->pool.state != POOL_ACTIVE)
        return HSM_E_NOT_FOUND;
    const struct wire_sd_status m = {.status = SD_SUCCESS};
    wire_sd_status_put(rq->out, &m);
    return HSM_OK;
}
