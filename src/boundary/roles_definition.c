#include "boundary/roles_internal.h"

/* ---- answers ---- */

static void put_names(struct wr *w, action_set set)
{
    for (unsigned a = 0; a < ACTION__COUNT; a++) {
        if ((set & ACTION_BIT(a)) != 0)
            wr_lv(w, bytes_str(data_action_name((enum data_action)a)));
    }
}

static hsm_err put_builtin(struct wr *out, const struct builtin_role *b)
{
    uint8_t names[4096];
    struct wr n = wr_of(names, sizeof names);
    put_names(&n, b->actions);
    TRY(wr_ok(&n));
    struct wire_permission p = {.data_actions = wr_view(&n)};
    uint8_t permissions[4096 + 64];
    struct wr pw = wr_of(permissions, sizeof permissions);
    size_t at = wr_lv_open(&pw);
    wire_permission_put(&pw, &p);
    wr_lv_close(&pw, at);
    TRY(wr_ok(&pw));
    struct wire_role_definition d = {
        .guid = b->guid,
        .builtin = 1,
        .role_name = bytes_str(b->name),
        .permissions = wr_view(&pw),
    };
    wire_role_definition_put(out, &d);
    return HSM_OK;
}

static hsm_err put_definition(struct wr *out, const struct roles *r, const struct uuid *guid)
{
    const struct builtin_role *b = builtin_role_find(guid);
    if (b != NULL) {
        TRY(put_builtin(out, b));
        return wr_ok(out);
    }
    const struct role_custom *c = roles_custom_find(r, guid);
    if (c == NULL)
        return HSM_E_ROLE_DEFINITION_NOT_FOUND;
    wire_role_definition_put(out, &c->def);
    return wr_ok(out);
}

static hsm_err check_root_scope(struct request *rq, struct bytes text)
{
    struct scope s;
    TRY(roles_check_scope(rq, text, &s));
    if (s.kind != SCOPE_ROOT)
        return request_fail(rq, HSM_E_BAD_PARAMETER,
                            "Role definitions can be written only at scope '/'.");
    return HSM_OK;
}

hsm_err roles_handle_definition_list(struct request *rq)
{
    struct wire_scope q;
    struct scope s;
    TRY(wire_scope_decode(rq->body, &q));
    TRY(roles_check_scope(rq, q.scope, &s));
    const struct roles *r = boundary_roles(rq->b);
    size_t list = wr_lv_open(rq->out);
    const struct builtin_role *b;
    for (unsigned i = 0; (b = builtin_role_at(i)) != NULL; i++) {
        size_t item = wr_lv_open(rq->out);
        TRY(put_builtin(rq->out, b));
        wr_lv_close(rq->out, item);
    }
    for (size_t i = 0; i < r->custom_n; i++) {
        size_t item = wr_lv_open(rq->out);
        wire_role_definition_put(rq->out, &r->custom[i].def);
        wr_lv_close(rq->out, item);
    }
    wr_lv_close(rq->out, list);
    return wr_ok(rq->out);
}

hsm_err roles_handle_definition_get(struct request *rq)
{
    struct wire_role_ref q;
    struct scope s;
    struct uuid guid;
    TRY(wire_role_ref_decode(rq->body, &q));
    TRY(roles_check_scope(rq, q.scope, &s));
    if (uuid_parse(q.guid, &guid) != HSM_OK)
        return HSM_E_ROLE_DEFINITION_NOT_FOUND;
    return put_definition(rq->out, boundary_roles(rq->b), &guid);
}

/* ---- changes ---- */

static hsm_err fail_builtin(struct request *rq)
{
    return request_fail(rq, HSM_E_BAD_PARAMETER,
                        "Cannot re-use the name/GUID matching that of a built-in role. "
                        "Please use a unique role ID.");
}

/* The lists are stored as sent: strings of actions this version does not know are kept and grant
 * nothing. What could be mistaken for a grant is refused. */
static hsm_err check_actions(struct request *rq, struct bytes list)
{
    struct bytes prefix = bytes_str(DATA_ACTION_PREFIX);
    struct bytes name;
    while (wire_list_next(&list, &name)) {
        if (name.n <= prefix.n || name.n > 256 || !bytes_ieq(bytes_of(name.p, prefix.n), prefix))
            return request_fail(rq, HSM_E_BAD_PARAMETER,
                                "Every action of a role must start with '" DATA_ACTION_PREFIX "'.");
        for (size_t i = 0; i < name.n; i++) {
            if (name.p[i] == '*')
                return request_fail(rq, HSM_E_BAD_PARAMETER,
                                    "Wildcards are not supported in the actions of a role.");
            if (name.p[i] <= 0x20 || name.p[i] >= 0x7f)
                return request_fail(rq, HSM_E_BAD_PARAMETER,
                                    "An action of the role has a character that is not allowed.");
        }
    }
    return HSM_OK;
}

static hsm_err check_permissions(struct request *rq, struct bytes permissions)
{
    if (permissions.n > ROLES_PERMISSIONS_MAX)
        return request_fail(rq, HSM_E_BAD_PARAMETER, "The role has too many permissions.");
    struct bytes item;
    while (wire_list_next(&permissions, &item)) {
        struct wire_permission p;
        TRY(wire_permission_decode(item, &p));
        TRY(check_actions(rq, p.actions));
        TRY(check_actions(rq, p.not_actions));
        TRY(check_actions(rq, p.data_actions));
        TRY(check_actions(rq, p.not_data_actions));
    }
    return HSM_OK;
}

static hsm_err check_names(struct request *rq, const struct wire_role_definition_put *q,
                           struct uuid *ret_guid)
{
    struct uuid guid;
    if (uuid_parse(q->guid, &guid) != HSM_OK)
        return request_fail(rq, HSM_E_BAD_PARAMETER, "Role definition name must be a GUID");
    if (builtin_role_find(&guid) != NULL)
        return fail_builtin(rq);
    const struct builtin_role *b;
    for (unsigned i = 0; (b = builtin_role_at(i)) != NULL; i++) {
        if (bytes_ieq(q->role_name, bytes_str(b->name)))
            return fail_builtin(rq);
    }
    if (q->role_type.n != 0 && !bytes_ieq(q->role_type, bytes_str("CustomRole")))
        return request_fail(rq, HSM_E_BAD_PARAMETER, "The role type must be 'CustomRole'.");
    *ret_guid = guid;
    return HSM_OK;
}

hsm_err roles_handle_definition_put(struct request *rq)
{
    struct wire_role_definition_put q;
    struct uuid guid;
    TRY(wire_role_definition_put_decode(rq->body, &q));
    TRY(check_root_scope(rq, q.scope));
    TRY(check_names(rq, &q, &guid));
    TRY(check_permissions(rq, q.permissions));
    const struct roles *r = boundary_roles(rq->b);
    if (roles_custom_find(r, &guid) == NULL && r->custom_n >= ROLES_CUSTOM_MAX)
        return request_fail(rq, HSM_E_BAD_PARAMETER,
                            "The limit of %u custom role definitions is reached.",
                            ROLES_CUSTOM_MAX);
    char text[UUID_TEXT_LEN + 1];
    uuid_format(&guid, text);
    struct wire_role_definition d = {
        .guid = guid,
        .role_name = q.role_name.n != 0 ? q.role_name : bytes_str(text),
        .description = q.description,
        .permissions = q.permissions,
    };
    uint8_t buf[ROLES_PERMISSIONS_MAX + 4096];
    struct wr plain = wr_of(buf, sizeof buf);
    wire_role_definition_put(&plain, &d);
    TRY(wr_ok(&plain));
    TRY(txn_put(rq, REC_ROLE_DEFINITION, bytes_str(text), wr_view(&plain)));
    TRY(roles_touch_guard(rq));
    wr_bytes(rq->out, plain.p, plain.n);
    return wr_ok(rq->out);
}

hsm_err roles_handle_definition_delete(struct request *rq)
{
    struct wire_role_ref q;
    struct uuid guid;
    TRY(wire_role_ref_decode(rq->body, &q));
    TRY(check_root_scope(rq, q.scope));
    if (uuid_parse(q.guid, &guid) != HSM_OK)
        return HSM_E_ROLE_DEFINITION_NOT_FOUND;
    if (builtin_role_find(&guid) != NULL)
        return fail_builtin(rq);
    TRY(put_definition(rq->out, boundary_roles(rq->b), &guid));
    char text[UUID_TEXT_LEN + 1];
    uuid_format(&guid, text);
    TRY(txn_remove(rq, REC_ROLE_DEFINITION, bytes_str(text)));
    return roles_touch_guard(rq);
}
