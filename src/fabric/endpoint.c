/* Private endpoints: an address in a subnet that leads to one managed HSM. The connection that it
 * asks for is a resource of the HSM, and its state is looked up there. */
#include <stdio.h>
#include "fabric/arm_internal.h"
#include "fabric/network.h"

#define MESSAGE_MAX 140

bool endpoint_read(const struct json_doc *d, struct endpoint *ret)
{
    uint32_t p = arm_properties(d);
    uint32_t manual = json_get(d, p, "manual");
    memset(ret, 0, sizeof *ret);
    (void)arm_string(d, p, "address", ret->address, sizeof ret->address);
    (void)arm_string(d, p, "provisioningState", ret->state, sizeof ret->state);
    ret->manual = manual != JSON_NONE && json_type_of(d, manual) == JSON_TRUE;
    return arm_string(d, 0, "id", ret->id, sizeof ret->id) &&
           arm_string(d, 0, "name", ret->name, sizeof ret->name) &&
           arm_string(d, p, "subnet", ret->subnet, sizeof ret->subnet) &&
           arm_string(d, p, "service", ret->hsm, sizeof ret->hsm) &&
           arm_string(d, p, "connection", ret->connection, sizeof ret->connection) &&
           arm_string(d, p, "serviceConnection", ret->hsm_connection, sizeof ret->hsm_connection);
}

static bool find_connection(struct fabric *f, const char *hsm, const char *name,
                            struct arm_resource *ret)
{
    char id[2 * ARM_ID_MAX];
    snprintf(id, sizeof id, "%s/privateEndpointConnections/%s", hsm, name);
    return strlen(id) <= ARM_ID_MAX && arm_find(f, bytes_str(id), ret);
}

void endpoint_status(struct fabric *f, const struct endpoint *e, char *status, size_t status_n,
                     char *description, size_t description_n)
{
    struct arm_resource r;
    char owner[ARM_ID_MAX + 1];
    uint32_t p, state;
    description[0] = 0;
    snprintf(status, status_n, "Disconnected");
    if (!find_connection(f, e->hsm, e->hsm_connection, &r))
        return;
    p = arm_properties(&r.json);
    state = json_get(&r.json, p, "privateLinkServiceConnectionState");
    if (!arm_string(&r.json, json_get(&r.json, p, "privateEndpoint"), "id", owner, sizeof owner) ||
        !bytes_ieq(bytes_str(owner), bytes_str(e->id)) ||
        arm_string_is(&r.json, p, "provisioningState", "Deleting"))
        return;
    (void)arm_string(&r.json, state, "status", status, status_n);
    (void)arm_string(&r.json, state, "description", description, description_n);
}

bool endpoint_tag(struct fabric *f, const struct json_doc *d, const struct endpoint *e,
                  const char *name, char *dst, size_t cap)
{
    return arm_string(d, json_get_nn(d, 0, "tags"), name, dst, cap) ||
           network_subnet_tag(f, bytes_str(e->subnet), name, dst, cap);
}

/* ---- PUT ---- */

struct wanted {
    bool manual;
    char subnet[ARM_ID_MAX + 1], hsm[ARM_ID_MAX + 1], name[ARM_NAME_MAX + 1];
    char message[MESSAGE_MAX + 1];
};

static uint32_t only_entry(const struct json_doc *d, uint32_t list)
{
    return list != JSON_NONE && json_type_of(d, list) == JSON_ARRAY && json_count(d, list) == 1
               ? json_first(d, list)
               : JSON_NONE;
}

static bool groups_ready(const struct json_doc *d, uint32_t properties, const char *id,
                         struct answer *a)
{
    uint32_t list = json_get_nn(d, properties, "groupIds");
    struct bytes word = bytes_str("");
    uint32_t v = only_entry(d, list);
    if (v != JSON_NONE && json_plain(d, v, &word) == HSM_OK &&
        bytes_ieq(word, bytes_str("managedhsm")))
        return true;
    return arm_error(a, 400, "InvalidPrivateLinkServiceGroupIds",
                     "The private link resource '%s' has the group id 'managedhsm' only.", id);
}

/* Names, without a look at what they name. */
static bool read_body(const struct arm_put *p, struct wanted *w, struct answer *a)
{
    uint32_t body = arm_properties(p->body);
    uint32_t automatic = json_get_nn(p->body, body, "privateLinkServiceConnections");
    uint32_t manual = json_get_nn(p->body, body, "manualPrivateLinkServiceConnections");
    size_t n = (automatic != JSON_NONE ? json_count(p->body, automatic) : 0) +
               (manual != JSON_NONE ? json_count(p->body, manual) : 0);
    uint32_t v = only_entry(p->body, automatic);
    w->manual = v == JSON_NONE;
    if (w->manual)
        v = only_entry(p->body, manual);
    if (v == JSON_NONE || n != 1)
        return arm_error(a, 400, "InvalidRequestFormat",
                         "A private endpoint needs one private link service connection.");
    uint32_t c = json_get_nn(p->body, v, "properties");
    if (!arm_string(p->body, json_get_nn(p->body, body, "subnet"), "id", w->subnet,
                    sizeof w->subnet) ||
        !arm_string(p->body, c, "privateLinkServiceId", w->hsm, sizeof w->hsm))
        return arm_error(a, 400, "InvalidRequestFormat",
                         "A private endpoint needs a 'subnet.id' and a 'privateLinkServiceId'.");
    if (!arm_string(p->body, v, "name", w->name, sizeof w->name) || w->name[0] == 0)
        snprintf(w->name, sizeof w->name, "%s", p->name);
    if (strpbrk(w->name, "/<>%&\\?#") != NULL)
        return arm_error(a, 400, "InvalidResourceName", "The name '%s' is invalid.", w->name);
    (void)arm_string(p->body, c, "requestMessage", w->message, sizeof w->message);
    return groups_ready(p->body, c, w->hsm, a);
}

static bool no_reference(const struct arm_put *p, const char *id, struct answer *a)
{
    return arm_error(a, 400, "InvalidResourceReference",
                     "Resource %s referenced by resource %s was not found. Please make sure that "
                     "the referenced resource exists, and that both resources are in the same "
                     "region.",
                     id, p->id);
}

static bool references_ready(struct fabric *f, const struct request *rq, const struct arm_put *p,
                             const struct wanted *w, struct answer *a)
{
    static const char approve[] = HSM_TYPE "/write",
                      join[] = NETWORK_NS "virtualNetworks/subnets/join/action";
    struct network_cidr c;
    if (!network_subnet_prefix(f, bytes_str(w->subnet), &c))
        return no_reference(p, w->subnet, a);
    if (!arm_may(f, rq, join, bytes_str(w->subnet)))
        return arm_forbid(rq, join, bytes_str(w->subnet), a);
    if (!arm_find(f, bytes_str(w->hsm), p->spare) || p->spare->type != &hsm_type)
        return no_reference(p, w->hsm, a);
    return w->manual || arm_may(f, rq, approve, bytes_str(w->hsm)) ||
           arm_forbid(rq, approve, bytes_str(w->hsm), a);
}

/* Two endpoints may call their connections alike; at the HSM they are told apart. */
static void pick_name(struct fabric *f, const struct wanted *w, const char *guid,
                      char ret[ARM_NAME_MAX + 1])
{
    struct arm_resource r;
    snprintf(ret, ARM_NAME_MAX + 1, "%s", w->name);
    if (find_connection(f, w->hsm, ret, &r))
        snprintf(ret, ARM_NAME_MAX + 1, "%.200s_%s", w->name, guid);
}

static bool same_as_before(const struct endpoint *old, const struct wanted *w)
{
    return bytes_ieq(bytes_str(old->hsm), bytes_str(w->hsm)) &&
           bytes_ieq(bytes_str(old->subnet), bytes_str(w->subnet)) &&
           strcmp(old->connection, w->name) == 0;
}

static void write_properties(const struct arm_put *p, const struct wanted *w, const char *guid,
                             const char *hsm_connection, const char *address)
{
    struct json_wr *j = p->properties;
    put_str(j, "provisioningState", "Updating");
    put_str(j, "resourceGuid", guid);
    put_bool(j, "manual", w->manual);
    put_str(j, "connection", w->name);
    put_str(j, "serviceConnection", hsm_connection);
    put_str(j, "service", w->hsm);
    put_str(j, "requestMessage", w->message);
    put_str(j, "subnet", w->subnet);
    put_str(j, "address", address);
}

static bool endpoint_put(struct fabric *f, const struct request *rq, struct arm_put *p,
                         struct answer *a)
{
    struct wanted w = {0};
    struct endpoint old;
    struct uuid u;
    char guid[UUID_TEXT_LEN + 1], hsm_connection[ARM_NAME_MAX + 1];
    char address[NETWORK_CIDR_TEXT_MAX];
    if (!read_body(p, &w, a) || !references_ready(f, rq, p, &w, a))
        return false;
    bool is_new = p->old == NULL || !endpoint_read(p->old, &old);
    if (!is_new && !same_as_before(&old, &w))
        return arm_error(a, 400, "PrivateEndpointCannotBeChanged",
                         "Subnet and connection of the private endpoint '%s' cannot be changed.",
                         p->name);
    if (is_new) {
        uuid_new_v4(&u);
        uuid_format(&u, guid);
        pick_name(f, &w, guid, hsm_connection);
        if (!endpoint_address(f, p, w.subnet, address, a))
            return false;
        if (!hsm_connection_make(f, rq, bytes_str(w.hsm), hsm_connection, p->id,
                                 w.manual ? "Pending" : "Approved", w.message))
            return no_reference(p, w.hsm, a);
    } else {
        w.manual = old.manual;
        snprintf(hsm_connection, sizeof hsm_connection, "%s", old.hsm_connection);
        snprintf(address, sizeof address, "%s", old.address);
        (void)arm_string(p->old, arm_properties(p->old), "resourceGuid", guid, sizeof guid);
    }
    uuid_new_v4(&u);
    char etag[UUID_TEXT_LEN + 1], quoted[UUID_TEXT_LEN + 8];
    uuid_format(&u, etag);
    snprintf(quoted, sizeof quoted, "W/\"%s\"", etag);
    put_str(p->top, "etag", quoted);
    write_properties(p, &w, guid, hsm_connection, address);
    p->operation = NETWORK_OP_ENDPOINT;
    return true;
}

/* ---- the client's view ---- */

static void put_connection(struct fabric *f, const struct arm_resource *r, const struct endpoint *e,
                           struct json_wr *j)
{
    char id[2 * ARM_ID_MAX], status[32], description[512], message[MESSAGE_MAX + 1];
    snprintf(id, sizeof id, "%s/%srivateLinkServiceConnections/%s", e->id,
             e->manual ? "manualP" : "p", e->connection);
    endpoint_status(f, e, status, sizeof status, description, sizeof description);
    bool is_new = strcmp(e->state, "Updating") == 0;
    if (is_new && strcmp(status, "Disconnected") == 0) /* staged together with the endpoint */
        snprintf(status, sizeof status, e->manual ? "Pending" : "Approved");
    if (is_new && !e->manual)
        snprintf(description, sizeof description, "Auto Approved");
    json_obj_open(j);
    put_str(j, "name", e->connection);
    put_str(j, "id", id);
    arm_copy(j, &r->json, 0, "etag");
    put_str(j, "type",
            e->manual ? NETWORK_NS "privateEndpoints/manualPrivateLinkServiceConnections"
                      : NETWORK_NS "privateEndpoints/privateLinkServiceConnections");
    json_name(j, "properties");
    json_obj_open(j);
    put_str(j, "provisioningState", "Succeeded");
    put_str(j, "privateLinkServiceId", e->hsm);
    json_name(j, "groupIds");
    json_put_raw(j, bytes_str("[\"managedhsm\"]"));
    if (arm_string(&r->json, arm_properties(&r->json), "requestMessage", message, sizeof message) &&
        message[0] != 0)
        put_str(j, "requestMessage", message);
    json_name(j, "privateLinkServiceConnectionState");
    json_obj_open(j);
    put_str(j, "status", status);
    put_str(j, "description", description);
    put_str(j, "actionsRequired", "None");
    json_obj_close(j);
    json_obj_close(j);
    json_obj_close(j);
}

static void put_list(struct fabric *f, const struct arm_resource *r, const struct endpoint *e,
                     bool manual, struct json_wr *j)
{
    json_name(j, manual ? "manualPrivateLinkServiceConnections" : "privateLinkServiceConnections");
    json_arr_open(j);
    if (manual == e->manual)
        put_connection(f, r, e, j);
    json_arr_close(j);
}

/* Name and address, when there is one to be reached. */
static void put_dns(const struct request *rq, const struct endpoint *e, struct json_wr *j)
{
    char fqdn[ARM_NAME_MAX + FACE_URL_MAX + 2];
    struct bytes name = arm_last_segment(bytes_str(e->hsm));
    json_name(j, "customDnsConfigs");
    json_arr_open(j);
    if (strcmp(e->state, "Succeeded") == 0) {
        snprintf(fqdn, sizeof fqdn, "%.*s.%.*s", (int)name.n, (const char *)name.p,
                 (int)strcspn(rq->face.hsm_suffix, ":"), rq->face.hsm_suffix);
        json_obj_open(j);
        put_str(j, "fqdn", fqdn);
        json_name(j, "ipAddresses");
        json_arr_open(j);
        json_put_str(j, e->address);
        json_arr_close(j);
        json_obj_close(j);
    }
    json_arr_close(j);
}

static void put_id_object(struct json_wr *j, const char *name, const char *id)
{
    if (name != NULL)
        json_name(j, name);
    json_obj_open(j);
    put_str(j, "id", id);
    json_obj_close(j);
}

static void endpoint_render(struct fabric *f, const struct request *rq,
                            const struct arm_resource *r, struct json_wr *j)
{
    struct endpoint e;
    char guid[UUID_TEXT_LEN + 1], nic[2 * ARM_ID_MAX];
    uint32_t p = arm_properties(&r->json);
    if (!endpoint_read(&r->json, &e))
        return;
    (void)arm_string(&r->json, p, "resourceGuid", guid, sizeof guid);
    arm_copy(j, &r->json, p, "provisioningState");
    arm_copy(j, &r->json, p, "resourceGuid");
    put_list(f, r, &e, false, j);
    put_list(f, r, &e, true, j);
    put_id_object(j, "subnet", e.subnet);
    struct bytes group = arm_id_group(bytes_str(e.id));
    snprintf(nic, sizeof nic, "%.*s/providers/" NETWORK_NS "networkInterfaces/%s.nic.%s",
             (int)group.n, (const char *)group.p, e.name, guid);
    json_name(j, "networkInterfaces");
    json_arr_open(j);
    put_id_object(j, NULL, nic);
    json_arr_close(j);
    put_dns(rq, &e, j);
    json_name(j, "ipConfigurations");
    json_put_raw(j, bytes_str("[]"));
}

static bool endpoint_delete(struct fabric *f, const struct request *rq, struct arm_delete *d,
                            struct answer *a)
{
    struct endpoint e;
    (void)a;
    if (!endpoint_read(&d->resource->json, &e))
        return true;
    network_endpoint_end_groups(f, rq, &e);
    hsm_connection_end(f, rq, bytes_str(e.hsm), e.hsm_connection);
    return true;
}

const struct arm_type network_endpoint_type = {
    .name = NETWORK_NS "privateEndpoints",
    .place = ARM_IN_GROUP,
    .methods = ARM_GET | ARM_LIST | ARM_PUT | ARM_DELETE,
    .style = ARM_ASYNC,
    .operations = "operations",
    .located = true,
    .put = endpoint_put,
    .del = endpoint_delete,
    .render = endpoint_render,
};
