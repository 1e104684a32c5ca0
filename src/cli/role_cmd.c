/* keyhold role definition ..., role assignment ...: the grammar of `az keyvault role`. */
#include <errno.h>
#include <stdio.h>

#include "base/file.h"
#include "base/uuid.h"
#include "cli/pool.h"

#define DEFINITIONS "/providers/Microsoft.Authorization/roleDefinitions"
#define ASSIGNMENTS "/providers/Microsoft.Authorization/roleAssignments"
#define PATH_CAP    400

static void print_definition(const struct json_doc *d, uint32_t v)
{
    char name[64], role[256], type[32];
    (void)printf("%s  %-14s %s\n", pool_text(d, v, "name", name, sizeof name),
                 pool_text(d, v, "properties.type", type, sizeof type),
                 pool_text(d, v, "properties.roleName", role, sizeof role));
}

static void print_assignment(const struct json_doc *d, uint32_t v)
{
    char name[64], principal[64], scope[200], role[300];
    (void)pool_text(d, v, "properties.roleDefinitionId", role, sizeof role);
    const char *guid = strrchr(role, '/');
    (void)printf(
        "%s  principal=%s  role=%s  scope=%s\n", pool_text(d, v, "name", name, sizeof name),
        pool_text(d, v, "properties.principalId", principal, sizeof principal),
        guid != NULL ? guid + 1 : role, pool_text(d, v, "properties.scope", scope, sizeof scope));
}

/* SCOPE WHAT [/NAME] into path; a path that was cut short would be another one. "/" as the scope
 * becomes "", so that there is one slash before "providers". */
static bool make_path(struct arg *args, const char *what, const char *name, char path[PATH_CAP])
{
    const char *s = args_value(args, "--scope");
    int n = snprintf(path, PATH_CAP, "%s%s%s%s", s == NULL || strcmp(s, "/") == 0 ? "" : s, what,
                     name != NULL ? "/" : "", name != NULL ? name : "");
    if (n > 0 && n < PATH_CAP)
        return true;
    (void)cli_fail(CLI_USAGE, "the scope or the name is too long");
    return false;
}

#define SCOPE_ARG                                                                                  \
    {                                                                                              \
        .name = "--scope", .kind = ARG_VALUE, .help = "/ (default), /keys or /keys/NAME"           \
    }

static int list(struct cli *c, const char *usage, const char *what, pool_row_fn row)
{
    struct arg args[] = {POOL_ARGS, SCOPE_ARG, {.name = NULL}};
    char path[PATH_CAP];
    struct pool p;
    int ret;
    if (!pool_args(c, &p, args, usage, &ret))
        return ret;
    ret = make_path(args, what, NULL, path) ? pool_list(&p, path, row) : CLI_USAGE;
    pool_close(&p);
    return ret;
}

int cmd_role_definition_list(struct cli *c)
{
    return list(c, "role definition list [--scope S]", DEFINITIONS, print_definition);
}

int cmd_role_assignment_list(struct cli *c)
{
    return list(c, "role assignment list [--scope S]", ASSIGNMENTS, print_assignment);
}

static int remove_one(struct cli *c, const char *usage, const char *what, pool_row_fn row)
{
    struct arg args[] = {
        POOL_ARGS,
        SCOPE_ARG,
        {.name = "--name",
         .alias = "--ids",
         .kind = ARG_VALUE,
         .required = true,
         .help = "its GUID"},
        {.name = NULL},
    };
    char path[PATH_CAP];
    struct pool p;
    int ret;
    if (!pool_args(c, &p, args, usage, &ret))
        return ret;
    const char *name = args_value(args, "--name"), *slash = strrchr(name, '/');
    ret = CLI_USAGE;
    if (make_path(args, what, slash != NULL ? slash + 1 : name, path) &&
        pool_call(&p, "DELETE", path, NULL, &ret)) {
        pool_print(&p, row);
        ret = CLI_OK;
    }
    pool_close(&p);
    return ret;
}

int cmd_role_definition_delete(struct cli *c)
{
    return remove_one(c, "role definition delete --name GUID", DEFINITIONS, print_definition);
}

int cmd_role_assignment_delete(struct cli *c)
{
    return remove_one(c, "role assignment delete --name GUID [--scope S]", ASSIGNMENTS,
                      print_assignment);
}

/* ---- create ---- */

/* {"roleName","description","actions",...} as az takes it, or {"properties":{...}}. */
static bool definition_body(const char *text, struct wr *w)
{
    static uint8_t file[65536];
    static struct json_tok toks[4096];
    struct json_doc d;
    struct bytes json = bytes_str(text);
    size_t n;
    if (text[0] == '@') {
        if (file_read(text + 1, file, sizeof file, &n) != HSM_OK) {
            (void)cli_fail(CLI_FAILED, "cannot read %s: %s", text + 1, strerror(errno));
            return false;
        }
        json = bytes_of(file, n);
    }
    if (json_parse(json, toks, 4096, &d) != HSM_OK || json_type_of(&d, 0) != JSON_OBJECT) {
        (void)cli_fail(CLI_USAGE, "--role-definition: JSON text or @FILE");
        return false;
    }
    struct json_wr j = json_wr_of(w);
    if (json_get_nn(&d, 0, "properties") != JSON_NONE) {
        json_put_raw(&j, json);
    } else {
        static const char *const lists[] = {"actions", "dataActions", "notActions",
                                            "notDataActions"};
        static const char *const texts[] = {"description", "roleName"};
        json_obj_open(&j);
        json_name(&j, "properties"), json_obj_open(&j);
        for (size_t i = 0; i < 2; i++)
            if (json_get_nn(&d, 0, texts[i]) != JSON_NONE) {
                char value[1024];
                json_name(&j, texts[i]);
                json_put_str(&j, pool_text(&d, 0, texts[i], value, sizeof value));
            }
        json_name(&j, "permissions"), json_arr_open(&j), json_obj_open(&j);
        for (size_t i = 0; i < 4; i++) {
            uint32_t v = json_get_nn(&d, 0, lists[i]);
            json_name(&j, lists[i]);
            json_put_raw(&j, v != JSON_NONE ? json_raw(&d, v) : bytes_str("[]"));
        }
        json_obj_close(&j), json_arr_close(&j), json_obj_close(&j), json_obj_close(&j);
    }
    wr_u8(w, 0);
    return wr_ok(w) == HSM_OK;
}

/* --name, or a new one in dst. */
static const char *guid_of(struct arg *args, char dst[UUID_TEXT_LEN + 1])
{
    struct uuid u;
    const char *given = args_value(args, "--name");
    uuid_new_v4(&u);
    uuid_format(&u, dst);
    return given != NULL ? given : dst;
}

int cmd_role_definition_create(struct cli *c)
{
    struct arg args[] = {
        POOL_ARGS,
        {.name = "--role-definition",
         .kind = ARG_VALUE,
         .required = true,
         .help = "JSON text or @FILE: roleName, description, dataActions, notDataActions"},
        {.name = "--name", .kind = ARG_VALUE, .help = "GUID (default: a new one)"},
        {.name = NULL},
    };
    static char body[80000];
    char path[PATH_CAP], guid[UUID_TEXT_LEN + 1];
    struct pool p;
    int ret;
    if (!pool_args(c, &p, args, "role definition create --role-definition JSON|@FILE", &ret))
        return ret;
    struct wr w = wr_of(body, sizeof body);
    ret = CLI_USAGE;
    if (make_path(args, DEFINITIONS, guid_of(args, guid), path) &&
        definition_body(args_value(args, "--role-definition"), &w) &&
        pool_call(&p, "PUT", path, body, &ret)) {
        pool_print(&p, print_definition);
        ret = CLI_OK;
    }
    pool_close(&p);
    return ret;
}

/* A role's name (or GUID) to its definition id. */
static bool resolve_role(struct pool *p, struct arg *args, char *id, size_t cap, int *ret)
{
    const char *role = args_value(args, "--role");
    char path[PATH_CAP], name[256], guid[64];
    if (!make_path(args, DEFINITIONS, NULL, path) || !pool_call(p, "GET", path, NULL, ret))
        return false;
    uint32_t all = json_get_nn(&p->doc, 0, "value");
    for (uint32_t v = json_first(&p->doc, all); all != JSON_NONE && v != JSON_NONE;
         v = json_next(&p->doc, all, v)) {
        (void)pool_text(&p->doc, v, "properties.roleName", name, sizeof name);
        (void)pool_text(&p->doc, v, "name", guid, sizeof guid);
        if (strcmp(name, role) != 0 && strcmp(guid, role) != 0)
            continue;
        (void)pool_text(&p->doc, v, "id", id, cap);
        return true;
    }
    *ret = cli_fail(CLI_FAILED, "no role is named '%s'; `keyhold role definition list` shows them",
                    role);
    return false;
}

int cmd_role_assignment_create(struct cli *c)
{
    struct arg args[] = {
        POOL_ARGS,
        SCOPE_ARG,
        {.name = "--role", .kind = ARG_VALUE, .required = true, .help = "role name or GUID"},
        {.name = "--assignee",
         .alias = "--assignee-object-id",
         .kind = ARG_VALUE,
         .required = true,
         .help = "object id of a user, group or service principal"},
        {.name = "--name", .kind = ARG_VALUE, .help = "GUID (default: a new one)"},
        {.name = NULL},
    };
    static char body[2048];
    char path[PATH_CAP], guid[UUID_TEXT_LEN + 1], id[300];
    struct pool p;
    int ret;
    if (!pool_args(c, &p, args, "role assignment create --role R --assignee OID [--scope S]", &ret))
        return ret;
    if (resolve_role(&p, args, id, sizeof id, &ret)) {
        struct wr w = wr_of(body, sizeof body);
        struct json_wr j = json_wr_of(&w);
        json_obj_open(&j), json_name(&j, "properties"), json_obj_open(&j);
        json_name(&j, "principalId"), json_put_str(&j, args_value(args, "--assignee"));
        json_name(&j, "roleDefinitionId"), json_put_str(&j, id);
        json_obj_close(&j), json_obj_close(&j);
        wr_u8(&w, 0);
        ret = CLI_USAGE;
        if (wr_ok(&w) != HSM_OK)
            (void)cli_fail(ret, "--assignee is too long");
        else if (make_path(args, ASSIGNMENTS, guid_of(args, guid), path) &&
                 pool_call(&p, "PUT", path, body, &ret)) {
            pool_print(&p, print_assignment);
            ret = CLI_OK;
        }
    }
    pool_close(&p);
    return ret;
}
