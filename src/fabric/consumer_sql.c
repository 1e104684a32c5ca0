/* Microsoft.Sql: managed instances, servers and databases, as far as they hold references to keys.
 */
#include <stdio.h>
#include <strings.h>
#include "fabric/consumer_sql.h"

/* ---- managed instances and servers ---- */

/* keyId: the protector of a new instance, or another one. */
static bool put_key_id(struct fabric *f, const struct request *rq, struct arm_put *p,
                       unsigned identity, struct answer *a)
{
    char uri[KEY_URL_MAX + 1];
    struct sql_key k;
    uint32_t props = arm_properties(p->body);
    if (json_get_nn(p->body, props, "keyId") == JSON_NONE) {
        if (p->old != NULL)
            arm_copy(p->properties, p->old, arm_properties(p->old), "keyId");
        return true;
    }
    if (!arm_string(p->body, props, "keyId", uri, sizeof uri) || sql_key_of(uri, &k) != HSM_OK)
        return arm_error(a, 400, "InvalidKeyName",
                         "keyId must be a key with its version, https://HSM/keys/NAME/VERSION.");
    if (identity == IDENTITY_NONE)
        return arm_error(a, 400, "InvalidParameterValue",
                         "A customer-managed key needs an identity of the server.");
    put_str(p->properties, "keyId", uri);
    sql_stage_key(f, rq, p, &k);
    sql_stage_protector(f, rq, p, &k, false);
    return true;
}

static bool put_primary(const struct arm_put *p, struct answer *a)
{
    static const char name[] = "primaryUserAssignedIdentityId";
    char id[ARM_ID_MAX + 1];
    struct consumer_value v = consumer_get(p, name, true);
    if (v.d == NULL)
        return true;
    if (!arm_string(v.d, arm_properties(v.d), name, id, sizeof id) || !consumer_has_identity(p, id))
        return arm_error(a, 400, "InvalidPrimaryIdentityId",
                         "primaryUserAssignedIdentityId must be one of the server's user-assigned "
                         "identities.");
    put_str(p->properties, name, id);
    return true;
}

static bool put_instance(struct fabric *f, const struct request *rq, struct arm_put *p,
                         struct answer *a)
{
    /* The password is nobody's business here: it is not stored. */
    static const char *const own[] = {
        "administratorLoginPassword", "keyId", "primaryUserAssignedIdentityId",
        "provisioningState",          "state", NULL};
    unsigned identity = 0;
    if (!consumer_identity(f, rq, p, &identity, a))
        return false;
    arm_keep_top(p, "sku");
    if (p->old == NULL) {
        struct sql_key k;
        sql_key_of_service(&k);
        sql_stage_key(f, rq, p, &k);
        sql_stage_protector(f, rq, p, &k, false);
    }
    if (!put_key_id(f, rq, p, identity, a) || !put_primary(p, a))
        return false;
    consumer_merge(p, own);
    put_str(p->properties, "state", "Ready");
    put_str(p->properties, "provisioningState", "Succeeded");
    return true;
}

const struct arm_type sql_instance_type = {.name = "Microsoft.Sql/managedInstances",
                                           .methods = ARM_ALL,
                                           .style = ARM_ACCEPTED,
                                           .operations = "managedInstanceAzureAsyncOperation",
                                           .results = "managedInstanceOperationResults",
                                           .upsert = "UpsertManagedServer",
                                           .located = true,
                                           .put = put_instance,
                                           .del = consumer_delete};
const struct arm_type sql_server_type = {.name = "Microsoft.Sql/servers",
                                         .methods = ARM_ALL,
                                         .style = ARM_ACCEPTED,
                                         .operations = "serverAzureAsyncOperation",
                                         .results = "serverOperationResults",
                                         .upsert = "UpsertLogicalServer",
                                         .located = true,
                                         .put = put_instance,
                                         .del = consumer_delete};

/* ---- databases of a server, with a protector of their own ---- */

static void stage_database_protector(struct fabric *f, const struct request *rq, const char *id,
                                     const char *uri, const char *before)
{
    char child[ARM_ID_MAX + 64];
    uint8_t buf[4096];
    struct wr w = wr_of(buf, sizeof buf);
    struct json_wr j = json_wr_of(&w);
    (void)snprintf(child, sizeof child, "%s/encryptionProtector/" SQL_CURRENT, id);
    json_obj_open(&j);
    put_str(&j, "id", child);
    put_str(&j, "name", SQL_CURRENT);
    put_str(&j, "type", "Microsoft.Sql/servers/databases/encryptionProtector");
    json_name(&j, "properties");
    json_obj_open(&j);
    put_str(&j, "uri", uri);
    if (before[0] != '\0')
        put_str(&j, "previous", before);
    json_obj_close(&j);
    json_obj_close(&j);
    arm_stage(f, rq, child, wr_view(&w));
}

static bool put_database(struct fabric *f, const struct request *rq, struct arm_put *p,
                         struct answer *a)
{
    static const char *const own[] = {"encryptionProtector", "status", NULL};
    char uri[KEY_URL_MAX + 1], before[KEY_URL_MAX + 1] = "";
    struct sql_key k;
    unsigned identity = 0;
    struct consumer_value v = consumer_get(p, own[0], true);
    if (!consumer_identity(f, rq, p, &identity, a))
        return false;
    arm_keep_top(p, "sku");
    if (v.d != NULL) {
        if (!arm_string(v.d, arm_properties(v.d), own[0], uri, sizeof uri) ||
            sql_key_of(uri, &k) != HSM_OK)
            return arm_error(a, 400, "InvalidKeyName",
                             "encryptionProtector must be a key with its version.");
        if ((identity & IDENTITY_USER) == 0)
            return arm_error(a, 400, "InvalidParameterValue",
                             "A key of the database needs a user-assigned identity.");
        put_str(p->properties, own[0], uri);
        if (p->old != NULL)
            (void)arm_string(p->old, arm_properties(p->old), own[0], before, sizeof before);
        if (strcmp(uri, before) != 0)
            stage_database_protector(f, rq, p->id, uri, before);
    }
    consumer_merge(p, own);
    put_str(p->properties, "status", "Online");
    return true;
}

const struct arm_type sql_database_type = {.name = "Microsoft.Sql/servers/databases",
                                           .methods = ARM_ALL,
                                           .style = ARM_ACCEPTED,
                                           .operations = "databaseAzureAsyncOperation",
                                           .results = "databaseOperationResults",
                                           .upsert = "CreateLogicalDatabase",
                                           .located = true,
                                           .put = put_database,
                                           .del = consumer_delete};

static bool revalidate(struct fabric *f, const struct request *rq, const struct arm_resource *r,
                       const struct json_doc *body, struct answer *a)
{
    (void)f, (void)rq, (void)r, (void)body, (void)a;
    return true;
}

/* The database document with another protector; everything else stays. */
static bool change_database(struct fabric *f, const struct request *rq, const char *id,
                            const char *uri)
{
    static const char *const skip_top[] = {"properties", NULL};
    static const char *const skip[] = {"encryptionProtector", NULL};
    static uint8_t buf[65536];
    struct arm_resource r;
    struct wr w = wr_of(buf, sizeof buf);
    struct json_wr j = json_wr_of(&w);
    if (!arm_find(f, bytes_str(id), &r))
        return false;
    json_obj_open(&j);
    arm_copy_except(&j, &r.json, 0, skip_top);
    json_name(&j, "properties");
    json_obj_open(&j);
    put_str(&j, "encryptionProtector", uri);
    arm_copy_except(&j, &r.json, arm_properties(&r.json), skip);
    json_obj_close(&j);
    json_obj_close(&j);
    arm_stage(f, rq, id, wr_view(&w));
    return wr_ok(&w) == HSM_OK;
}

static bool revert(struct fabric *f, const struct request *rq, const struct arm_resource *r,
                   const struct json_doc *body, struct answer *a)
{
    static const char tail[] = "/encryptionProtector/" SQL_CURRENT;
    char id[ARM_ID_MAX + 1], uri[KEY_URL_MAX + 1], before[KEY_URL_MAX + 1];
    uint32_t props = arm_properties(&r->json);
    (void)body;
    if (!arm_string(&r->json, props, "previous", before, sizeof before) ||
        !arm_string(&r->json, props, "uri", uri, sizeof uri) ||
        !arm_string(&r->json, 0, "id", id, sizeof id))
        return arm_error(a, 400, "InvalidRevertRequest",
                         "There is no earlier encryption protector to go back to.");
    id[strlen(id) - (sizeof tail - 1)] = '\0';
    if (!change_database(f, rq, id, before))
        return arm_error(a, 409, "Conflict", "The database cannot be changed.");
    stage_database_protector(f, rq, id, before, uri);
    return true;
}

static const struct arm_action database_actions[] = {
    {HTTP1_POST, "revalidate", "revalidate/action", revalidate},
    {HTTP1_POST, "revert", "revert/action", revert},
    {.name = NULL}};

const struct arm_type sql_database_protector_type = {
    .name = "Microsoft.Sql/servers/databases/encryptionProtector",
    .methods = ARM_GET | ARM_LIST,
    .hidden = true,
    .actions = database_actions};
