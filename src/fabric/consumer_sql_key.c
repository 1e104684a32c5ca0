/* Microsoft.Sql: keys of instances and servers, and the encryption protector, which is one of them.
 */
#include <openssl/evp.h>
#include <stdio.h>
#include <strings.h>
#include "base/clock.h"
#include "base/uuid.h"
#include "fabric/consumer_sql.h"

#define NAMES_MAX 94 /* pool and key together */

/* ---- keys and their names ---- */

/* 40 hex digits that stand for the reference; the key itself is not looked at. */
static void thumbprint(struct bytes uri, char dst[41])
{
    uint8_t md[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    HSM_ASSERT(EVP_Digest(uri.p, uri.n, md, &n, EVP_sha1(), NULL) == 1 && n == 20);
    hex_encode(dst, md, 20);
}

hsm_err sql_key_of(const char *uri, struct sql_key *ret)
{
    struct key_url u;
    struct sql_key k;
    TRY(key_url_parse(bytes_str(uri), &u));
    if (u.version.n == 0 || u.pool.n + u.name.n > NAMES_MAX)
        return HSM_E_INVALID_KEY_ID;
    (void)snprintf(k.name, sizeof k.name, "%.*s_%.*s_%.*s", (int)u.pool.n, (const char *)u.pool.p,
                   (int)u.name.n, (const char *)u.name.p, (int)u.version.n,
                   (const char *)u.version.p);
    (void)snprintf(k.uri, sizeof k.uri, "%s", uri);
    thumbprint(bytes_str(uri), k.thumbprint);
    *ret = k;
    return HSM_OK;
}

void sql_key_of_service(struct sql_key *ret)
{
    *ret = (struct sql_key){.name = SQL_SERVICE_KEY};
}

static const char *type_of(const struct sql_key *k)
{
    return k->uri[0] != '\0' ? "AzureKeyVault" : SQL_SERVICE_KEY;
}

static const char *kind_of(const struct sql_key *k)
{
    return k->uri[0] != '\0' ? "azurekeyvault" : "servicemanaged";
}

static void put_reference(struct json_wr *j, const struct sql_key *k)
{
    put_str(j, "serverKeyType", type_of(k));
    if (k->uri[0] == '\0')
        return;
    put_str(j, "uri", k->uri);
    put_str(j, "thumbprint", k->thumbprint);
}

void sql_put_key(struct json_wr *j, const struct sql_key *k, uint64_t created_ms)
{
    char text[32];
    put_reference(j, k);
    if (k->uri[0] != '\0') {
        clock_format_ms(created_ms, text, sizeof text);
        put_str(j, "creationDate", text);
    }
    put_bool(j, "autoRotationEnabled", false);
}

void sql_put_protector(struct json_wr *j, const struct sql_key *k, bool rotate)
{
    put_str(j, "serverKeyName", k->name);
    put_reference(j, k);
    put_bool(j, "autoRotationEnabled", rotate);
}

/* ---- staging with the parent ---- */

static void stage_child(struct fabric *f, const struct request *rq, const struct arm_put *p,
                        const char *kind, const char *type, const char *name, struct bytes props)
{
    char id[ARM_ID_MAX * 2];
    uint8_t buf[8192];
    struct wr w = wr_of(buf, sizeof buf);
    struct json_wr j = json_wr_of(&w);
    (void)snprintf(id, sizeof id, "%s/%s/%s", p->id, type, name);
    json_obj_open(&j);
    put_str(&j, "id", id);
    put_str(&j, "name", name);
    json_name(&j, "type");
    json_str_open(&j);
    json_str_add_s(&j, p->type->name);
    json_str_add_s(&j, "/");
    json_str_add_s(&j, type);
    json_str_close(&j);
    put_str(&j, "kind", kind);
    json_name(&j, "properties");
    json_put_raw(&j, props);
    json_obj_close(&j);
    arm_stage(f, rq, id, wr_view(&w));
}

void sql_stage_key(struct fabric *f, const struct request *rq, const struct arm_put *p,
                   const struct sql_key *k)
{
    uint8_t buf[2048];
    struct wr w = wr_of(buf, sizeof buf);
    struct json_wr j = json_wr_of(&w);
    json_obj_open(&j);
    sql_put_key(&j, k, rq->now_ms);
    json_obj_close(&j);
    stage_child(f, rq, p, kind_of(k), "keys", k->name, wr_view(&w));
}

void sql_stage_protector(struct fabric *f, const struct request *rq, const struct arm_put *p,
                         const struct sql_key *k, bool rotate)
{
    uint8_t buf[2048];
    struct wr w = wr_of(buf, sizeof buf);
    struct json_wr j = json_wr_of(&w);
    json_obj_open(&j);
    sql_put_protector(&j, k, rotate);
    json_obj_close(&j);
    stage_child(f, rq, p, kind_of(k), "encryptionProtector", SQL_CURRENT, wr_view(&w));
}

/* ---- keys ---- */

static bool put_key(struct fabric *f, const struct request *rq, struct arm_put *p, struct answer *a)
{
    static const char *const types[] = {"AzureKeyVault", SQL_SERVICE_KEY, NULL};
    char uri[KEY_URL_MAX + 1];
    const char *type = NULL;
    struct sql_key k;
    uint32_t props = arm_properties(p->body);
    (void)f;
    if (props == JSON_NONE)
        return arm_error(
            a, 400, "InvalidKeyUpsertRequest",
            "The create server key request does not exist or has no properties object.");
    if (!consumer_word(p->body, props, "serverKeyType", types, &type))
        return arm_error(a, 400, "InvalidKeyType", "The create server key type is not supported.");
    if (type == types[1] || strcasecmp(p->name, SQL_SERVICE_KEY) == 0)
        return arm_error(a, 400, "InvalidUpsertKeyType",
                         "Service-managed TDE keys are managed by the service. Service-managed TDE "
                         "keys don't support Create or Update by the user.");
    if (!arm_string(p->body, props, "uri", uri, sizeof uri) || sql_key_of(uri, &k) != HSM_OK)
        return arm_error(
            a, 400, "InvalidKeyUri",
            "The key's uri must be https://HSM/keys/NAME/VERSION; the names of HSM and "
            "key have %d characters together at most.",
            NAMES_MAX);
    if (strcasecmp(p->name, k.name) != 0)
        return arm_error(a, 400, "InvalidKeyName",
                         "An invalid value was given for the server key name: for that uri it is "
                         "'%s'.",
                         k.name);
    put_str(p->top, "kind", kind_of(&k));
    sql_put_key(p->properties, &k, rq->now_ms);
    return true;
}

/* The protector beside a key: its id from the key's. */
static bool protector_of(struct fabric *f, const char *key_id, struct arm_resource *ret)
{
    char id[ARM_ID_MAX + 64];
    int n = snprintf(id, sizeof id, "%s", key_id);
    for (int slash = 0; n > 0 && slash < 2;)
        if (id[--n] == '/')
            slash++;
    (void)snprintf(id + n, sizeof id - (size_t)n, "/encryptionProtector/" SQL_CURRENT);
    return arm_find(f, bytes_str(id), ret);
}

static bool delete_key(struct fabric *f, const struct request *rq, struct arm_delete *d,
                       struct answer *a)
{
    char name[ARM_NAME_MAX + 1];
    struct arm_resource protector;
    (void)rq;
    if (!arm_string(&d->resource->json, 0, "name", name, sizeof name))
        return true;
    if (strcasecmp(name, SQL_SERVICE_KEY) == 0)
        return arm_error(a, 400, "InvalidUpsertKeyType",
                         "Service-managed TDE keys are managed by the service.");
    if (protector_of(f, d->id, &protector) &&
        arm_string_is(&protector.json, arm_properties(&protector.json), "serverKeyName", name))
        return arm_error(a, 409, "ServerKeyInUse",
                         "The key '%s' is the encryption protector and cannot be deleted.", name);
    return true;
}

#define KEY_METHODS (ARM_GET | ARM_LIST | ARM_PUT | ARM_DELETE)

const struct arm_type sql_instance_key_type = {.name = "Microsoft.Sql/managedInstances/keys",
                                               .methods = KEY_METHODS,
                                               .style = ARM_ACCEPTED,
                                               .operations =
                                                   "managedInstanceKeyAzureAsyncOperation",
                                               .results = "managedInstanceKeyOperationResults",
                                               .upsert = "UpsertManagedServerKey",
                                               .hidden = true,
                                               .put = put_key,
                                               .del = delete_key};
const struct arm_type sql_server_key_type = {.name = "Microsoft.Sql/servers/keys",
                                             .methods = KEY_METHODS,
                                             .style = ARM_ACCEPTED,
                                             .operations = "serverKeyAzureAsyncOperation",
                                             .results = "serverKeyOperationResults",
                                             .upsert = "UpsertServerKey",
                                             .hidden = true,
                                             .put = put_key,
                                             .del = delete_key};

/* ---- the encryption protector ---- */

static bool find_key(struct fabric *f, const struct arm_put *p, struct sql_key *ret,
                     struct answer *a)
{
    char name[ARM_NAME_MAX + 1], id[ARM_ID_MAX * 2];
    struct arm_resource r;
    if (!arm_string(p->body, arm_properties(p->body), "serverKeyName", name, sizeof name))
        return arm_error(a, 400, "InvalidKeyName", "serverKeyName is required.");
    (void)snprintf(id, sizeof id, "%s/keys/%s", p->parent, name);
    if (strcasecmp(name, SQL_SERVICE_KEY) == 0 || !arm_find(f, bytes_str(id), &r) ||
        !arm_string(&r.json, arm_properties(&r.json), "uri", id, sizeof id) ||
        sql_key_of(id, ret) != HSM_OK)
        return arm_error(a, 400, "ServerKeyNotFound",
                         "The key '%s' is none of the server's: add it first.", name);
    return true;
}

static bool put_protector(struct fabric *f, const struct request *rq, struct arm_put *p,
                          struct answer *a)
{
    static const char *const types[] = {"AzureKeyVault", SQL_SERVICE_KEY, NULL};
    const char *type = NULL;
    bool rotate = false;
    struct sql_key k;
    uint32_t props = arm_properties(p->body);
    (void)rq;
    if (strcasecmp(p->name, SQL_CURRENT) != 0)
        return arm_error(a, 400, "InvalidEncryptionProtectorName",
                         "The encryption protector is named 'current'.");
    if (!consumer_word(p->body, props, "serverKeyType", types, &type))
        return arm_error(a, 400, "InvalidKeyType",
                         "serverKeyType must be AzureKeyVault or ServiceManaged.");
    struct consumer_value v = consumer_get(p, "autoRotationEnabled", false);
    if (v.d != NULL && json_bool(v.d, v.v, &rotate) != HSM_OK)
        return arm_error(a, 400, "InvalidParameterValue",
                         "autoRotationEnabled must be true or false.");
    sql_key_of_service(&k);
    if (type == types[0] && !find_key(f, p, &k, a))
        return false;
    put_str(p->top, "kind", kind_of(&k));
    sql_put_protector(p->properties, &k, rotate && type == types[0]);
    return true;
}

/* Whether the server still reaches its key is for the service to find out; what can be said here
 * is that the protector is one of the server's keys. */
static bool revalidate(struct fabric *f, const struct request *rq, const struct arm_resource *r,
                       const struct json_doc *body, struct answer *a)
{
    char name[ARM_NAME_MAX + 1], id[ARM_ID_MAX * 2];
    static const char tail[] = "/encryptionProtector/" SQL_CURRENT;
    struct arm_resource key;
    (void)rq, (void)body;
    if (!arm_string(&r->json, 0, "id", id, ARM_ID_MAX + 1) ||
        !arm_string(&r->json, arm_properties(&r->json), "serverKeyName", name, sizeof name))
        return arm_error(a, 500, "InternalServerError", "The protector cannot be read.");
    size_t n = strlen(id) - (sizeof tail - 1);
    (void)snprintf(id + n, sizeof id - n, "/keys/%s", name);
    return arm_find(f, bytes_str(id), &key) ||
           arm_error(a, 400, "ServerKeyNotFound", "The key '%s' is none of the server's.", name);
}

static const struct arm_action protector_actions[] = {
    {HTTP1_POST, "revalidate", "revalidate/action", revalidate}, {.name = NULL}};

#define PROTECTOR_METHODS (ARM_GET | ARM_LIST | ARM_PUT)

const struct arm_type sql_instance_protector_type = {
    .name = "Microsoft.Sql/managedInstances/encryptionProtector",
    .methods = PROTECTOR_METHODS,
    .style = ARM_ACCEPTED,
    .operations = "managedInstanceEncryptionProtectorAzureAsyncOperation",
    .results = "managedInstanceEncryptionProtectorOperationResults",
    .upsert = "UpsertManagedServerEncryptionProtector",
    .hidden = true,
    .put = put_protector,
    .actions = protector_actions};
const struct arm_type sql_server_protector_type = {
    .name = "Microsoft.Sql/servers/encryptionProtector",
    .methods = PROTECTOR_METHODS,
    .style = ARM_ACCEPTED,
    .operations = "encryptionProtectorAzureAsyncOperation",
    .results = "encryptionProtectorOperationResults",
    .upsert = "UpsertEncryptionProtector",
    .hidden = true,
    .put = put_protector,
    .actions = protector_actions};
