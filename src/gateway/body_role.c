#include "gateway/body.h"

#define ROLE_NAME_MAX      512
#define DESCRIPTION_MAX    2048
#define ROLE_TYPE_MAX      64
#define PRINCIPAL_TEXT_MAX 128
#define ROLE_ID_MAX        512
#define ACTION_TEXT_MAX    512
#define ACTIONS_BYTES_MAX  16384
#define PERMISSIONS_MAX    65536

/* An array of strings as a wire list. */
static hsm_err read_actions(struct body_ctx *c, uint32_t permission, const char *name,
                            struct bytes *ret)
{
    uint32_t arr;
    struct wr w;
    *ret = bytes_of(NULL, 0);
    TRY(body_container(c, permission, name, JSON_ARRAY, &arr));
    if (arr == JSON_NONE)
        return HSM_OK;
    TRY(body_writer(c, ACTIONS_BYTES_MAX, &w));
    for (uint32_t at = json_first(&c->doc, arr); at != JSON_NONE;
         at = json_next(&c->doc, arr, at)) {
        struct bytes text;
        if (json_plain(&c->doc, at, &text) != HSM_OK || text.n > ACTION_TEXT_MAX)
            return body_bad(c, "Property '%s' must be an array of action names.", name);
        wr_lv(&w, text);
    }
    if (wr_ok(&w) != HSM_OK)
        return body_bad(c, "Property '%s' has too many elements.", name);
    *ret = wr_view(&w);
    return HSM_OK;
}

static hsm_err read_permission(struct body_ctx *c, uint32_t obj, struct wr *list)
{
    struct wire_permission p = {0};
    if (json_type_of(&c->doc, obj) != JSON_OBJECT)
        return body_bad(c, "Property 'permissions' must be an array of objects.");
    size_t mark = c->scratch->n;
    TRY(read_actions(c, obj, "actions", &p.actions));
    TRY(read_actions(c, obj, "notActions", &p.not_actions));
    TRY(read_actions(c, obj, "dataActions", &p.data_actions));
    TRY(read_actions(c, obj, "notDataActions", &p.not_data_actions));
    size_t at = wr_lv_open(list);
    wire_permission_put(list, &p);
    wr_lv_close(list, at);
    c->scratch->n = mark; /* copied: the next permission may use the room */
    return HSM_OK;
}

static hsm_err read_permissions(struct body_ctx *c, uint32_t props, struct bytes *ret)
{
    uint32_t arr;
    struct wr w;
    *ret = bytes_of(NULL, 0);
    TRY(body_container(c, props, "permissions", JSON_ARRAY, &arr));
    if (arr == JSON_NONE)
        return HSM_OK;
    TRY(body_writer(c, PERMISSIONS_MAX, &w));
    for (uint32_t at = json_first(&c->doc, arr); at != JSON_NONE; at = json_next(&c->doc, arr, at))
        TRY(read_permission(c, at, &w));
    if (wr_ok(&w) != HSM_OK)
        return body_bad(c, "Property 'permissions' is too large.");
    *ret = wr_view(&w);
    return HSM_OK;
}

/* A role can be assigned at every scope below the one place it can be defined at. */
static hsm_err check_assignable(struct body_ctx *c, uint32_t props)
{
    uint32_t arr;
    TRY(body_container(c, props, "assignableScopes", JSON_ARRAY, &arr));
    if (arr == JSON_NONE)
        return HSM_OK;
    for (uint32_t at = json_first(&c->doc, arr); at != JSON_NONE;
         at = json_next(&c->doc, arr, at)) {
        struct bytes s;
        if (json_plain(&c->doc, at, &s) != HSM_OK || !(s.n == 0 || bytes_eq_str(s, "/")))
            return body_bad(c, "Property 'assignableScopes' may only contain '/'.");
    }
    return HSM_OK;
}

hsm_err body_role_definition(const struct route *r, struct body_ctx *c, struct wr *out)
{
    struct wire_role_definition_put m = {.scope = bytes_str(r->scope), .guid = r->guid};
    uint32_t props;
    TRY(body_container(c, 0, "properties", JSON_OBJECT, &props));
    TRY(body_text(c, props, "roleName", ROLE_NAME_MAX, &m.role_name));
    TRY(body_text(c, props, "description", DESCRIPTION_MAX, &m.description));
    TRY(body_text(c, props, "type", ROLE_TYPE_MAX, &m.role_type));
    TRY(check_assignable(c, props));
    TRY(read_permissions(c, props, &m.permissions));
    wire_role_definition_put_put(out, &m);
    return HSM_OK;
}

hsm_err body_role_assignment(const struct route *r, struct body_ctx *c, struct wr *out)
{
    struct wire_role_assignment_put m = {.scope = bytes_str(r->scope), .guid = r->guid};
    uint32_t props;
    TRY(body_container(c, 0, "properties", JSON_OBJECT, &props));
    TRY(body_text(c, props, "principalId", PRINCIPAL_TEXT_MAX, &m.principal));
    TRY(body_text(c, props, "roleDefinitionId", ROLE_ID_MAX, &m.role_id));
    if (m.principal.n == 0)
        return body_bad(c, "Property 'properties.principalId' is missing.");
    if (m.role_id.n == 0)
        return body_bad(c, "Property 'properties.roleDefinitionId' is missing.");
    wire_role_assignment_put_put(out, &m);
    return HSM_OK;
}
