#include "boundary/settings.h"

#include "boundary/boundary.h"

#define BODY_FORMAT 1u

void setting_body_encode(bool value, struct wr *w)
{
    wr_u8(w, BODY_FORMAT);
    wr_lv(w, bytes_str(setting_text(value)));
}

hsm_err setting_body_decode(struct bytes body, bool *ret)
{
    struct rd r = rd_of(body);
    uint8_t format;
    struct bytes text;
    TRY(rd_u8(&r, &format));
    TRY(rd_lv(&r, 64, &text));
    TRY(rd_end(&r));
    return format == BODY_FORMAT ? setting_value_parse(text, ret) : HSM_E_MALFORMED;
}

static void put(struct request *rq, enum setting s, bool value)
{
    const struct wire_setting m = {
        .name = bytes_str(setting_name(s)),
        .type = bytes_str(setting_type(s)),
        .value = bytes_str(setting_text(value)),
    };
    wire_setting_put(rq->out, &m);
}

hsm_err settings_handle_list(struct request *rq)
{
    size_t list = wr_lv_open(rq->out);
    for (unsigned i = 0; i < SETTING__COUNT; i++) {
        size_t item = wr_lv_open(rq->out);
        put(rq, (enum setting)i, rq->b->state->setting[i]);
        wr_lv_close(rq->out, item);
    }
    wr_lv_close(rq->out, list);
    return HSM_OK;
}

static hsm_err find(struct request *rq, struct bytes name, enum setting *ret)
{
    *ret = setting_find(name);
    if (*ret == SETTING__COUNT)
        return request_fail(rq, HSM_E_NOT_FOUND, "Requested setting not found");
    return HSM_OK;
}

hsm_err settings_handle_get(struct request *rq)
{
    struct wire_setting_ref m;
    enum setting s;
    TRY(wire_setting_ref_decode(rq->body, &m));
    TRY(find(rq, m.name, &s));
    put(rq, s, rq->b->state->setting[s]);
    return HSM_OK;
}

hsm_err settings_handle_update(struct request *rq)
{
    struct wire_setting_update m;
    enum setting s;
    bool value;
    TRY(wire_setting_update_decode(rq->body, &m));
    TRY(find(rq, m.name, &s));
    if (setting_value_parse(m.value, &value) != HSM_OK)
        return request_fail(rq, HSM_E_BAD_PARAMETER, "Setting '%s' must be 'true' or 'false'.",
                            setting_name(s));
    uint8_t buf[64];
    struct wr body = wr_of(buf, sizeof buf);
    setting_body_encode(value, &body);
    TRY(wr_ok(&body));
    TRY(txn_put(rq, REC_SETTING, bytes_str(setting_name(s)), wr_view(&body)));
    put(rq, s, value);
    return HSM_OK;
}
