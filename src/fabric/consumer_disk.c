/* Microsoft.Compute: disk encryption sets, which hold the reference to a key, and disks that name
 * one. */
#include <stdio.h>
#include <strings.h>
#include "base/clock.h"
#include "base/uuid.h"
#include "fabric/consumer.h"

#define PREVIOUS_MAX 50

static bool invalid(struct answer *a, const char *parameter, const char *why)
{
    return arm_error(a, 400, "InvalidParameter", "The value of parameter %s is invalid: %s.",
                     parameter, why);
}

static bool fixed(struct answer *a, const char *name)
{
    return arm_error(a, 409, "PropertyChangeNotAllowed", "Changing property '%s' is not allowed.",
                     name);
}

static bool is_other_subscription(const struct fabric *f, const char *id)
{
    char own[128];
    int n = snprintf(own, sizeof own, "/subscriptions/%s/", f->provider.dir.subscription);
    return strncasecmp(id, own, (size_t)n) != 0;
}

/* ---- disk encryption sets ---- */

static bool source_fits(const struct fabric *f, const struct json_doc *d, uint32_t key,
                        struct answer *a)
{
    char id[ARM_ID_MAX + 1];
    uint32_t source = json_get_nn(d, key, "sourceVault");
    if (source == JSON_NONE)
        return true;
    if (!arm_string(d, source, "id", id, sizeof id) ||
        (strcasestr(id, "/providers/Microsoft.KeyVault/managedHSMs/") == NULL &&
         strcasestr(id, "/providers/Microsoft.KeyVault/vaults/") == NULL))
        return invalid(a, "activeKey.sourceVault.id",
                       "it must be the id of a vault or managed HSM");
    return !is_other_subscription(f, id) ||
           invalid(a, "activeKey.sourceVault.id",
                   "it must be left out when the key is in another subscription");
}

/* What happened to the key: *ret_changed, when another one was there. */
static bool put_key(const struct fabric *f, const struct arm_put *p, bool *ret_changed,
                    struct answer *a)
{
    char url[KEY_URL_MAX + 1], old_url[KEY_URL_MAX + 1];
    struct key_url u;
    struct consumer_value key = consumer_get(p, "activeKey", false);
    if (key.d == NULL)
        return invalid(a, "activeKey", "it is required");
    if (!arm_string(key.d, key.v, "keyUrl", url, sizeof url) ||
        key_url_parse(bytes_str(url), &u) != HSM_OK || u.version.n == 0)
        return invalid(a, "activeKey.keyUrl",
                       "it must be a key with its version, https://HSM/keys/NAME/VERSION");
    if (!source_fits(f, key.d, key.v, a))
        return false;
    consumer_copy(p->properties, "activeKey", key);
    uint32_t was =
        p->old != NULL ? json_get_nn(p->old, arm_properties(p->old), "activeKey") : JSON_NONE;
    *ret_changed = was != JSON_NONE && arm_string(p->old, was, "keyUrl", old_url, sizeof old_url) &&
                   strcasecmp(url, old_url) != 0;
    return true;
}

/* The keys that disks may still be wrapped with: the latest ones are kept. */
static void put_previous(const struct arm_put *p, bool changed)
{
    uint32_t props = p->old != NULL ? arm_properties(p->old) : JSON_NONE;
    uint32_t list = props != JSON_NONE ? json_get_nn(p->old, props, "previousKeys") : JSON_NONE;
    uint32_t skip = list != JSON_NONE && json_count(p->old, list) + changed > PREVIOUS_MAX;
    json_name(p->properties, "previousKeys");
    json_arr_open(p->properties);
    for (uint32_t v = list != JSON_NONE ? json_first(p->old, list) : JSON_NONE; v != JSON_NONE;
         v = json_next(p->old, list, v)) {
        if (skip > 0)
            skip--;
        else
            json_put_raw(p->properties, json_raw(p->old, v));
    }
    if (changed)
        json_put_raw(p->properties, json_raw(p->old, json_get_nn(p->old, props, "activeKey")));
    json_arr_close(p->properties);
}

static bool put_kind(const struct arm_put *p, struct answer *a)
{
    static const char *const words[] = {"EncryptionAtRestWithCustomerKey",
                                        "EncryptionAtRestWithPlatformAndCustomerKeys",
                                        "ConfidentialVmEncryptedWithCustomerKey", NULL};
    const char *kind = words[0], *old = NULL;
    uint32_t props = arm_properties(p->body);
    if (p->old != NULL)
        (void)consumer_word(p->old, arm_properties(p->old), "encryptionType", words, &old);
    if (old != NULL)
        kind = old;
    if (json_get_nn(p->body, props, "encryptionType") != JSON_NONE &&
        !consumer_word(p->body, props, "encryptionType", words, &kind))
        return invalid(a, "encryptionType", "it is none of the known ones");
    if (old != NULL && kind != old)
        return fixed(a, "encryptionType");
    put_str(p->properties, "encryptionType", kind);
    return true;
}

static bool put_options(const struct arm_put *p, struct answer *a)
{
    char guid[64];
    bool rotate = false;
    struct consumer_value v = consumer_get(p, "rotationToLatestKeyVersionEnabled", false);
    if (v.d != NULL && json_bool(v.d, v.v, &rotate) != HSM_OK)
        return invalid(a, "rotationToLatestKeyVersionEnabled", "it must be true or false");
    put_bool(p->properties, "rotationToLatestKeyVersionEnabled", rotate);
    v = consumer_get(p, "federatedClientId", false);
    if (v.d == NULL)
        return true;
    if (!arm_string(v.d, arm_properties(v.d), "federatedClientId", guid, sizeof guid) ||
        (strcasecmp(guid, "None") != 0 && !consumer_is_guid(guid)))
        return invalid(a, "federatedClientId", "it must be None or the id of an application");
    put_str(p->properties, "federatedClientId", guid);
    return true;
}

static bool put_set(struct fabric *f, const struct request *rq, struct arm_put *p, struct answer *a)
{
    bool changed = false;
    unsigned kinds = 0;
    if (!consumer_identity(f, rq, p, &kinds, a))
        return false;
    if (p->old == NULL && kinds == IDENTITY_NONE)
        return invalid(a, "identity", "a disk encryption set needs one");
    if (!put_key(f, p, &changed, a) || !put_kind(p, a) || !put_options(p, a))
        return false;
    put_previous(p, changed);
    if (changed || p->old == NULL) {
        char text[32];
        clock_format_ms(rq->now_ms, text, sizeof text);
        put_str(p->properties, "lastKeyRotationTimestamp", text);
    } else {
        arm_copy(p->properties, p->old, arm_properties(p->old), "lastKeyRotationTimestamp");
    }
    put_str(p->properties, "provisioningState", "Succeeded");
    return true;
}

/* Disks of a set, as a JSON list or as a count. */
struct users_of {
    const char *set;
    struct json_wr *j; /* NULL: only counted */
    size_t n;
};

static bool look_at_disk(void *ctx, struct fabric *f, const struct arm_resource *r)
{
    struct users_of *u = ctx;
    char id[ARM_ID_MAX + 1];
    (void)f;
    uint32_t e = json_get_nn(&r->json, arm_properties(&r->json), "encryption");
    if (e == JSON_NONE || !arm_string(&r->json, e, "diskEncryptionSetId", id, sizeof id) ||
        strcasecmp(id, u->set) != 0 || !arm_string(&r->json, 0, "id", id, sizeof id))
        return true;
    u->n++;
    if (u->j != NULL)
        json_put_str(u->j, id);
    return true;
}

static void each_disk(struct fabric *f, struct users_of *u)
{
    char below[128];
    (void)snprintf(below, sizeof below, "/subscriptions/%s/", f->provider.dir.subscription);
    arm_each(f, bytes_str(below), &disk_type, look_at_disk, u);
}

static bool associated(struct fabric *f, const struct request *rq, const struct arm_resource *r,
                       const struct json_doc *body, struct answer *a)
{
    char id[ARM_ID_MAX + 1];
    struct json_wr j = json_wr_of(&a->body);
    struct users_of u = {.set = id, .j = &j};
    (void)rq, (void)body;
    if (!arm_string(&r->json, 0, "id", id, sizeof id))
        return arm_error(a, 500, "InternalServerError", "The resource has no id.");
    json_obj_open(&j);
    json_name(&j, "value");
    json_arr_open(&j);
    each_disk(f, &u);
    json_arr_close(&j);
    json_obj_close(&j);
    return true;
}

static bool delete_set(struct fabric *f, const struct request *rq, struct arm_delete *d,
                       struct answer *a)
{
    char id[ARM_ID_MAX + 1];
    struct users_of u = {.set = id};
    if (arm_string(&d->resource->json, 0, "id", id, sizeof id))
        each_disk(f, &u);
    if (u.n > 0)
        return arm_error(a, 409, "OperationNotAllowed",
                         "The disk encryption set '%s' is used by %zu disks and cannot be deleted.",
                         id, u.n);
    return consumer_delete(f, rq, d, a);
}

static const struct arm_action set_actions[] = {
    {HTTP1_GET, "associatedResources", "read", associated}, {.name = NULL}};

const struct arm_type disk_encryption_set_type = {.name = "Microsoft.Compute/diskEncryptionSets",
                                                  .methods = ARM_ALL,
                                                  .style = ARM_ACCEPTED,
                                                  .operations = "DiskOperations",
                                                  .located = true,
                                                  .put = put_set,
                                                  .del = delete_set,
                                                  .actions = set_actions};

/* ---- disks ---- */

#define DISK_GB_MAX 65536

/* The set is in this subscription and in the disk's region. */
static bool set_fits(struct fabric *f, const struct arm_put *p, const char *id, struct answer *a)
{
    struct arm_resource r;
    char location[64];
    if (!arm_find(f, bytes_str(id), &r) || r.type != &disk_encryption_set_type)
        return arm_error(a, 404, "NotFound", "Disk encryption set '%s' was not found.", id);
    (void)arm_string(&r.json, 0, "location", location, sizeof location);
    return strcasecmp(location, p->location) == 0 ||
           invalid(a, "encryption.diskEncryptionSetId",
                   "the disk encryption set is in another region");
}

static bool put_encryption(struct fabric *f, const struct arm_put *p, struct answer *a)
{
    static const char *const words[] = {"EncryptionAtRestWithPlatformKey",
                                        "EncryptionAtRestWithCustomerKey",
                                        "EncryptionAtRestWithPlatformAndCustomerKeys", NULL};
    char id[ARM_ID_MAX + 1] = "";
    struct consumer_value v = consumer_get(p, "encryption", true);
    const char *type = words[0];
    if (v.d != NULL) {
        bool has_id = arm_string(v.d, v.v, "diskEncryptionSetId", id, sizeof id);
        if (has_id)
            type = words[1];
        if (json_get_nn(v.d, v.v, "type") != JSON_NONE &&
            !consumer_word(v.d, v.v, "type", words, &type))
            return invalid(a, "encryption.type", "it is none of the known ones");
        if (has_id != (type != words[0]))
            return invalid(a, "encryption",
                           "a customer's key needs diskEncryptionSetId, the platform's has none");
        if (has_id && !set_fits(f, p, id, a))
            return false;
    }
    json_name(p->properties, "encryption");
    json_obj_open(p->properties);
    put_str(p->properties, "type", type);
    if (id[0] != '\0')
        put_str(p->properties, "diskEncryptionSetId", id);
    json_obj_close(p->properties);
    return true;
}

static bool put_size(const struct arm_put *p, bool is_empty, struct answer *a)
{
    int64_t gb = 0, old = 0;
    struct consumer_value v = consumer_get(p, "diskSizeGB", true);
    if (v.d == NULL && !is_empty)
        return true;
    if (v.d == NULL || json_int(v.d, v.v, &gb) != HSM_OK || gb < 1 || gb > DISK_GB_MAX)
        return invalid(a, "diskSizeGB", "it must be from 1 to 65536");
    uint32_t was =
        p->old != NULL ? json_get_nn(p->old, arm_properties(p->old), "diskSizeGB") : JSON_NONE;
    if (was != JSON_NONE && json_int(p->old, was, &old) == HSM_OK && gb < old)
        return invalid(a, "diskSizeGB", "a disk does not become smaller");
    put_int(p->properties, "diskSizeGB", gb);
    put_int(p->properties, "diskSizeBytes", gb << 30);
    return true;
}

static void put_birth(const struct request *rq, const struct arm_put *p)
{
    struct uuid u;
    char id[UUID_TEXT_LEN + 1], text[32];
    if (p->old != NULL) {
        arm_copy(p->properties, p->old, arm_properties(p->old), "timeCreated");
        arm_copy(p->properties, p->old, arm_properties(p->old), "uniqueId");
        return;
    }
    uuid_new_v4(&u);
    uuid_format(&u, id);
    clock_format_ms(rq->now_ms, text, sizeof text);
    put_str(p->properties, "timeCreated", text);
    put_str(p->properties, "uniqueId", id);
}

static bool put_disk(struct fabric *f, const struct request *rq, struct arm_put *p,
                     struct answer *a)
{
    static const char *const own[] = {"encryption",        "diskSizeGB",   "diskSizeBytes",
                                      "provisioningState", "timeCreated",  "uniqueId",
                                      "diskState",         "creationData", NULL};
    char option[64];
    struct consumer_value data = consumer_get(p, "creationData", true);
    if (data.d == NULL || !arm_string(data.d, data.v, "createOption", option, sizeof option))
        return arm_error(a, 400, "InvalidParameter",
                         "Required parameter 'creationData.createOption' is missing (null).");
    struct consumer_value was = {NULL, JSON_NONE};
    if (p->old != NULL)
        was = (struct consumer_value){p->old,
                                      json_get_nn(p->old, arm_properties(p->old), "creationData")};
    if (p->old != NULL && !arm_string_is(was.d, was.v, "createOption", option))
        return fixed(a, "creationData.createOption");
    arm_keep_top(p, "sku");
    arm_keep_top(p, "zones");
    consumer_copy(p->properties, "creationData", p->old != NULL ? was : data);
    if (!put_size(p, strcasecmp(option, "Empty") == 0, a) || !put_encryption(f, p, a))
        return false;
    consumer_merge(p, own);
    put_birth(rq, p);
    put_str(p->properties, "diskState", "Unattached");
    put_str(p->properties, "provisioningState", "Succeeded");
    return true;
}

const struct arm_type disk_type = {.name = "Microsoft.Compute/disks",
                                   .methods = ARM_ALL,
                                   .style = ARM_ACCEPTED,
                                   .operations = "DiskOperations",
                                   .located = true,
                                   .put = put_disk};
