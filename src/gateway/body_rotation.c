#include "gateway/body.h"
#include "model/rotation.h"

#define TYPE_TEXT_MAX 16

static hsm_err read_action(struct body_ctx *c, uint32_t at, struct wire_lifetime_action *ret)
{
    struct wire_lifetime_action a = {0};
    uint32_t trigger, action;
    struct bytes type;
    if (json_type_of(&c->doc, at) != JSON_OBJECT)
        return body_bad(c, "Property 'lifetimeActions' must be an array of objects.");
    TRY(body_container(c, at, "trigger", JSON_OBJECT, &trigger));
    TRY(body_container(c, at, "action", JSON_OBJECT, &action));
    TRY(body_text(c, trigger, "timeAfterCreate", DURATION_TEXT_MAX, &a.after_create));
    TRY(body_text(c, trigger, "timeBeforeExpiry", DURATION_TEXT_MAX, &a.before_expiry));
    TRY(body_text(c, action, "type", TYPE_TEXT_MAX, &type));
    a.type = (uint8_t)rotation_type_from_name(type); /* the boundary refuses what is none */
    *ret = a;
    return HSM_OK;
}

static hsm_err read_actions(struct body_ctx *c, struct bytes *ret)
{
    struct wr w;
    uint32_t arr;
    TRY(body_container(c, 0, "lifetimeActions", JSON_ARRAY, &arr));
    /* One more than there can be says as much as a hundred. */
    TRY(body_writer(c, (ROTATION_ACTIONS_MAX + 1) * 128, &w));
    unsigned n = 0;
    for (uint32_t at = arr == JSON_NONE ? JSON_NONE : json_first(&c->doc, arr);
         at != JSON_NONE && n <= ROTATION_ACTIONS_MAX; at = json_next(&c->doc, arr, at), n++) {
        struct wire_lifetime_action a;
        TRY(read_action(c, at, &a));
        size_t item = wr_lv_open(&w);
        wire_lifetime_action_put(&w, &a);
        wr_lv_close(&w, item);
    }
    TRY(wr_ok(&w));
    *ret = wr_view(&w);
    return HSM_OK;
}

hsm_err body_rotation_put(const struct route *r, struct body_ctx *c, struct wr *out)
{
    struct wire_rotation_put m = {.name = r->name};
    uint32_t attributes;
    TRY(read_actions(c, &m.actions));
    TRY(body_container(c, 0, "attributes", JSON_OBJECT, &attributes));
    TRY(body_text(c, attributes, "expiryTime", DURATION_TEXT_MAX, &m.expiry));
    wire_rotation_put_put(out, &m);
    return HSM_OK;
}
