/* Ids: a definition's has no leading slash, an assignment's has one, neither shows the scope. */
#include "gateway/render.h"

#define DEFINITION_PATH "Microsoft.KeyVault/providers/Microsoft.Authorization/roleDefinitions/"
#define ASSIGNMENT_PATH "/providers/Microsoft.Authorization/roleAssignments/"

static void put_guid_id(struct json_wr *j, const char *name, const char *path, const char *guid)
{
    json_name(j, name);
    json_str_open(j);
    json_str_add_s(j, path);
    json_str_add_s(j, guid);
    json_str_close(j);
}

static void put_actions(struct json_wr *j, const char *name, struct bytes list)
{
    struct bytes item;
    json_name(j, name);
    json_arr_open(j);
    while (wire_list_next(&list, &item))
        json_put_bytes(j, item);
    json_arr_close(j);
}

static hsm_err put_permissions(struct json_wr *j, struct bytes list)
{
    struct bytes item;
    json_name(j, "permissions");
    json_arr_open(j);
    while (wire_list_next(&list, &item)) {
        struct wire_permission p;
        TRY(wire_permission_decode(item, &p));
        json_obj_open(j);
        put_actions(j, "actions", p.actions);
        put_actions(j, "dataActions", p.data_actions);
        put_actions(j, "notActions", p.not_actions);
        put_actions(j, "notDataActions", p.not_data_actions);
        json_obj_close(j);
    }
    json_arr_close(j);
    return HSM_OK;
}

hsm_err render_role_definition(struct bytes result, struct json_wr *j)
{
    struct wire_role_definition m;
    char guid[UUID_TEXT_LEN + 1];
    TRY(wire_role_definition_decode(result, &m));
    uuid_format(&m.guid, guid);
    json_obj_open(j);
    put_guid_id(j, "id", DEFINITION_PATH, guid);
    json_name(j, "name");
    json_put_str(j, guid);
    json_name(j, "properties");
    json_obj_open(j);
    json_name(j, "assignableScopes");
    json_arr_open(j);
    json_put_str(j, "/");
    json_arr_close(j);
    json_name(j, "description");
    json_put_bytes(j, m.description);
    TRY(put_permissions(j, m.permissions));
    json_name(j, "roleName");
    json_put_bytes(j, m.role_name);
    json_name(j, "type");
    json_put_str(j, m.builtin ? "AKVBuiltInRole" : "CustomRole");
    json_obj_close(j);
    json_name(j, "type");
    json_put_str(j, "Microsoft.Authorization/roleDefinitions");
    json_obj_close(j);
    return HSM_OK;
}

hsm_err render_role_assignment(struct bytes result, struct json_wr *j)
{
    struct wire_role_assignment m;
    char guid[UUID_TEXT_LEN + 1], role[UUID_TEXT_LEN + 1];
    TRY(wire_role_assignment_decode(result, &m));
    uuid_format(&m.guid, guid);
    uuid_format(&m.role, role);
    json_obj_open(j);
    put_guid_id(j, "id", ASSIGNMENT_PATH, guid);
    json_name(j, "name");
    json_put_str(j, guid);
    json_name(j, "properties");
    json_obj_open(j);
    json_name(j, "principalId");
    json_put_bytes(j, m.principal);
    put_guid_id(j, "roleDefinitionId", DEFINITION_PATH, role);
    json_name(j, "scope");
    json_put_bytes(j, m.scope);
    json_obj_close(j);
    json_name(j, "type");
    json_put_str(j, "Microsoft.Authorization/roleAssignments");
    json_obj_close(j);
    return HSM_OK;
}

hsm_err render_role_list(const struct render_ctx *ctx, struct bytes result, struct json_wr *j)
{
    struct wire_list_result m;
    struct bytes item;
    TRY(wire_list_result_decode(result, &m));
    json_obj_open(j);
    json_name(j, "value");
    json_arr_open(j);
    while (wire_list_next(&m.items, &item)) {
        if (ctx->op == OP_ROLE_DEFINITION_LIST)
            TRY(render_role_definition(item, j));
        else
            TRY(render_role_assignment(item, j));
    }
    json_arr_close(j);
    json_obj_close(j);
    return HSM_OK;
}
