/* .../managedHSMs/N/privateEndpointConnections: made with the endpoint, then approved, rejected or
 * removed here. */
#include <openssl/sha.h>
#include <stdio.h>
#include "fabric/arm_internal.h"
#include "fabric/hsm.h"

#define NOTHING_TO_DO "None" /* actionsRequired */

void hsm_endpoint_id(struct bytes endpoint_id, char dst[HSM_ENDPOINT_ID_MAX + 1])
{
    char key[STATE_KEY_MAX + 1] = "";
    uint8_t digest[SHA256_DIGEST_LENGTH];
    (void)arm_key(endpoint_id, key);
    if (strlen(key) <= HSM_ENDPOINT_ID_MAX) {
        snprintf(dst, HSM_ENDPOINT_ID_MAX + 1, "%.*s", HSM_ENDPOINT_ID_MAX, key);
        return;
    }
    SHA256((const uint8_t *)key, strlen(key), digest);
    hex_encode(dst, digest, sizeof digest);
}

static void put_link_state(struct json_wr *j, const char *status, const char *description)
{
    json_name(j, "privateLinkServiceConnectionState");
    json_obj_open(j);
    put_str(j, "status", status);
    put_str(j, "description", description);
    put_str(j, "actionsRequired", NOTHING_TO_DO);
    json_obj_close(j);
}

/* 32 hex digits */
static void put_etag(struct json_wr *j)
{
    struct uuid u;
    char text[2 * sizeof u.b + 1];
    uuid_new_v4(&u);
    hex_encode(text, u.b, sizeof u.b);
    put_str(j, "etag", text);
}

static bool put(struct fabric *f, const struct request *rq, struct arm_put *p, struct answer *a)
{
    char status[32], description[512];
    (void)f;
    if (p->old == NULL)
        return arm_not_found(a, p->id);
    if (hsm_is_busy(p->old))
        return hsm_conflict(a, p->name);
    uint32_t body = arm_properties(p->body), old = arm_properties(p->old);
    uint32_t state = json_get_nn(p->body, body, "privateLinkServiceConnectionState");
    (void)arm_string(p->body, state, "status", status, sizeof status);
    (void)arm_string(p->body, state, "description", description, sizeof description);
    bool approve = bytes_ieq(bytes_str(status), bytes_str("Approved"));
    if (!approve && !bytes_ieq(bytes_str(status), bytes_str("Rejected")))
        return arm_error(a, 400, "BadRequest",
                         "The status of a private endpoint connection can be set to 'Approved' or "
                         "'Rejected'.");
    arm_copy(p->top, p->old, 0, "location");
    put_etag(p->top);
    put_str(p->properties, "provisioningState", "Updating");
    arm_copy(p->properties, p->old, old, "privateEndpoint");
    put_link_state(p->properties, approve ? "Approved" : "Rejected", description);
    arm_watch_headers(rq, "Azure-AsyncOperation", a);
    p->operation = HSM_OP_CONNECTION;
    return true;
}

static bool del(struct fabric *f, const struct request *rq, struct arm_delete *d, struct answer *a)
{
    char key[STATE_KEY_MAX + 1];
    if (!arm_key(bytes_str(d->id), key))
        return false;
    if (arm_string_is(&d->resource->json, arm_properties(&d->resource->json), "provisioningState",
                      "Updating"))
        return hsm_conflict(a, "");
    hsm_stage_state(f, rq->changes, key, "Deleting", NULL);
    arm_watch_headers(rq, "Location", a);
    d->operation = HSM_OP_CONNECTION;
    return true;
}

const struct arm_type hsm_connection_type = {
    .name = HSM_TYPE "/privateEndpointConnections",
    .shown = "Microsoft.KeyVault/vaults/privateEndpointConnections",
    .place = ARM_IN_GROUP,
    .methods = ARM_GET | ARM_LIST | ARM_PUT | ARM_DELETE,
    .style = ARM_AT_ONCE,
    .hidden = true,
    .put = put,
    .del = del,
};

/* ---- for the endpoints ---- */

/* The connection's id, and the HSM. */
static bool find_hsm(struct fabric *f, struct bytes hsm_id, const char *name,
                     struct arm_resource *hsm, char id[ARM_ID_MAX + 1])
{
    char parent[ARM_ID_MAX + 1];
    if (!arm_find(f, hsm_id, hsm) || hsm->type != &hsm_type ||
        !arm_string(&hsm->json, 0, "id", parent, sizeof parent))
        return false;
    int n = snprintf(id, ARM_ID_MAX + 1, "%s/privateEndpointConnections/%s", parent, name);
    return n > 0 && n <= ARM_ID_MAX;
}

static void start(struct changes *c, const char *id, uint64_t now_ms)
{
    char key[STATE_KEY_MAX + 1], operation[UUID_TEXT_LEN + 1];
    if (arm_key(bytes_str(id), key))
        operation_start(c, HSM_OP_CONNECTION, bytes_str(key), bytes_str(OPERATION_DATA_EMPTY),
                        now_ms, operation);
}

bool hsm_connection_make(struct fabric *f, const struct request *rq, struct bytes hsm_id,
                         const char *name, const char *endpoint_id, const char *status,
                         const char *description)
{
    struct arm_resource hsm;
    char id[ARM_ID_MAX + 1];
    uint8_t text[8192];
    struct wr w = wr_of(text, sizeof text);
    struct json_wr j = json_wr_of(&w);
    if (!find_hsm(f, hsm_id, name, &hsm, id))
        return false;
    json_obj_open(&j);
    put_str(&j, "id", id);
    put_str(&j, "name", name);
    put_str(&j, "type", hsm_connection_type.shown);
    arm_copy(&j, &hsm.json, 0, "location");
    put_etag(&j);
    json_name(&j, "properties");
    json_obj_open(&j);
    put_str(&j, "provisioningState", "Updating");
    json_name(&j, "privateEndpoint");
    json_obj_open(&j);
    put_str(&j, "id", endpoint_id);
    json_obj_close(&j);
    put_link_state(&j, status, description);
    json_obj_close(&j);
    json_obj_close(&j);
    if (wr_ok(&w) != HSM_OK)
        return false;
    arm_stage(f, rq, id, wr_view(&w));
    start(rq->changes, id, rq->now_ms);
    return true;
}

void hsm_connection_end(struct fabric *f, const struct request *rq, struct bytes hsm_id,
                        const char *name)
{
    struct arm_resource hsm, r;
    char id[ARM_ID_MAX + 1], key[STATE_KEY_MAX + 1];
    if (!find_hsm(f, hsm_id, name, &hsm, id) || !arm_key(bytes_str(id), key) ||
        !arm_find(f, bytes_str(key), &r))
        return;
    hsm_stage_state(f, rq->changes, key, "Deleting", NULL);
    start(rq->changes, id, rq->now_ms);
}
