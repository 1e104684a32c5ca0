/* The rules of a managed HSM's properties, one by one. Pure but for the answer. */
#include "fabric/hsm_body.h"

#include <stdio.h>
#include "base/text.h"
#include "fabric/arm_internal.h"
#include "model/network_rules.h"

static bool bad(struct answer *a, const char *what)
{
    return arm_error(a, 400, "BadRequest", "%s", what);
}

static bool one_of(const char *text, const char *const *words)
{
    for (; *words != NULL; words++)
        if (bytes_ieq(bytes_str(text), bytes_str(*words)))
            return true;
    return false;
}

/* The word as the service spells it. */
static void spell(char *text, size_t cap, const char *const *words)
{
    for (; *words != NULL; words++)
        if (bytes_ieq(bytes_str(text), bytes_str(*words)))
            snprintf(text, cap, "%s", *words);
}

static bool read_sku(const struct json_doc *d, struct hsm_body *b, struct answer *a)
{
    static const char *const of_b[] = {"Standard_B1", "Custom_B32", "Custom_B6", NULL};
    static const char *const of_c[] = {"Custom_C42", "Custom_C10", NULL};
    uint32_t v = json_get_nn(d, 0, "sku");
    if (v == JSON_NONE)
        return true;
    (void)arm_string(d, v, "family", b->family, sizeof b->family);
    (void)arm_string(d, v, "name", b->sku, sizeof b->sku);
    const char *const *names = strcmp(b->family, "B") == 0   ? of_b
                               : strcmp(b->family, "C") == 0 ? of_c
                                                             : NULL;
    return (names != NULL && one_of(b->sku, names)) ||
           arm_error(a, 400, "SkuNotSupported",
                     "The SKU '%s' of family '%s' is not supported for managed HSMs.", b->sku,
                     b->family);
}

static bool read_admins(const struct json_doc *d, uint32_t p, struct hsm_body *b, struct answer *a)
{
    uint32_t list = json_get_nn(d, p, "initialAdminObjectIds");
    struct uuid u;
    struct bytes text;
    if (list == JSON_NONE)
        return true;
    if (json_type_of(d, list) != JSON_ARRAY)
        return bad(a, "The property 'initialAdminObjectIds' must be a list of object ids.");
    for (uint32_t v = json_first(d, list); v != JSON_NONE; v = json_next(d, list, v)) {
        if (b->admin_n == HSM_ADMINS_MAX)
            return bad(a, "The property 'initialAdminObjectIds' has more than 10 entries.");
        if (json_plain(d, v, &text) != HSM_OK || uuid_parse(text, &u) != HSM_OK)
            return bad(a, "The property 'initialAdminObjectIds' must be a list of object ids.");
        uuid_format(&u, b->admin[b->admin_n++]);
    }
    return true;
}

/* A number, or its digits in a string, as newer clients send it. */
static bool read_retention(const struct json_doc *d, uint32_t p, struct hsm_body *b,
                           struct answer *a)
{
    char text[16];
    long n = 0;
    uint32_t v = json_get_nn(d, p, "softDeleteRetentionInDays");
    if (v == JSON_NONE)
        return true;
    bool good = json_int(d, v, &b->retention) == HSM_OK;
    if (!good && arm_string(d, p, "softDeleteRetentionInDays", text, sizeof text)) {
        good = text_number(text, 1000, &n);
        b->retention = n;
    }
    return (good && b->retention >= 7 && b->retention <= 90) ||
           bad(a, "The property 'softDeleteRetentionInDays' must be a number from 7 to 90.");
}

static bool read_flags(const struct json_doc *d, uint32_t p, struct hsm_body *b, struct answer *a)
{
    bool on = false;
    uint32_t v = json_get_nn(d, p, "enablePurgeProtection");
    if (v != JSON_NONE) {
        if (json_bool(d, v, &on) != HSM_OK)
            return bad(a, "The property 'enablePurgeProtection' must be true or false.");
        b->protect = on;
    }
    v = json_get_nn(d, p, "enableSoftDelete");
    if (v != JSON_NONE && json_bool(d, v, &on) != HSM_OK)
        return bad(a, "The property 'enableSoftDelete' must be true.");
    return v == JSON_NONE || on ||
           bad(a, "The property 'enableSoftDelete' cannot be set to false: every managed HSM has "
                  "soft delete.");
}

static bool read_mode(const struct json_doc *d, uint32_t p, struct hsm_body *b, struct answer *a)
{
    static const char *const modes[] = {"default", "recover", NULL};
    char text[32];
    if (json_get_nn(d, p, "createMode") == JSON_NONE)
        return true;
    if (!arm_string(d, p, "createMode", text, sizeof text) || !one_of(text, modes))
        return bad(a, "The property 'createMode' must be 'default' or 'recover'.");
    b->recover = bytes_ieq(bytes_str(text), bytes_str("recover"));
    return true;
}

/* ---- networkAcls ---- */

/* ADDRESS or ADDRESS/BITS; shown as it is stored, with its bits: text has room for that. */
static bool take_range(char *text)
{
    struct network_cidr c;
    if (network_cidr_parse(bytes_str(text), &c) != HSM_OK)
        return false;
    network_cidr_format(&c, text);
    return true;
}

/* A list of {member: text}. */
static bool copy_list(const struct json_doc *d, uint32_t acls, const char *name, const char *member,
                      struct json_wr *j, struct answer *a)
{
    char text[ARM_ID_MAX + 1];
    uint32_t list = json_get_nn(d, acls, name);
    json_name(j, name);
    json_arr_open(j);
    if (list != JSON_NONE && json_type_of(d, list) != JSON_ARRAY)
        return arm_error(a, 400, "BadRequest", "The property 'networkAcls.%s' must be a list.",
                         name);
    for (uint32_t v = list == JSON_NONE ? JSON_NONE : json_first(d, list); v != JSON_NONE;
         v = json_next(d, list, v)) {
        if (!arm_string(d, v, member, text, sizeof text) ||
            (strcmp(name, "ipRules") == 0 && !take_range(text)))
            return arm_error(a, 400, "BadRequest", "The value '%s' in 'networkAcls.%s' is invalid.",
                             text, name);
        json_obj_open(j);
        put_str(j, member, text);
        json_obj_close(j);
    }
    json_arr_close(j);
    return true;
}

static bool read_acls(const struct json_doc *d, uint32_t p, struct hsm_body *b, struct answer *a)
{
    static const char *const bypasses[] = {"AzureServices", "None", NULL};
    static const char *const actions[] = {"Allow", "Deny", NULL};
    char bypass[32] = "AzureServices", action[16] = "Allow";
    uint32_t v = json_get_nn(d, p, "networkAcls");
    if (v == JSON_NONE)
        return true;
    if (json_type_of(d, v) != JSON_OBJECT)
        return bad(a, "The property 'networkAcls' must be an object.");
    if ((json_get_nn(d, v, "bypass") != JSON_NONE &&
         !arm_string(d, v, "bypass", bypass, sizeof bypass)) ||
        !one_of(bypass, bypasses))
        return bad(a, "The property 'networkAcls.bypass' must be 'AzureServices' or 'None'.");
    if ((json_get_nn(d, v, "defaultAction") != JSON_NONE &&
         !arm_string(d, v, "defaultAction", action, sizeof action)) ||
        !one_of(action, actions))
        return bad(a, "The property 'networkAcls.defaultAction' must be 'Allow' or 'Deny'.");
    spell(bypass, sizeof bypass, bypasses);
    spell(action, sizeof action, actions);
    struct wr w = wr_of(b->network, sizeof b->network - 1);
    struct json_wr j = json_wr_of(&w);
    json_obj_open(&j);
    put_str(&j, "bypass", bypass);
    put_str(&j, "defaultAction", action);
    if (!copy_list(d, v, "ipRules", "value", &j, a) ||
        !copy_list(d, v, "virtualNetworkRules", "id", &j, a))
        return false;
    if (json_get_nn(d, v, "serviceTags") != JSON_NONE &&
        !copy_list(d, v, "serviceTags", "tag", &j, a))
        return false;
    json_obj_close(&j);
    b->network[w.n] = 0;
    return wr_ok(&w) == HSM_OK || bad(a, "The property 'networkAcls' is too long.");
}

static bool read_access(const struct json_doc *d, uint32_t p, struct hsm_body *b, struct answer *a)
{
    static const char *const words[] = {"Enabled", "Disabled", "SecuredByPerimeter", NULL};
    if (json_get_nn(d, p, "publicNetworkAccess") == JSON_NONE)
        return true;
    if (!arm_string(d, p, "publicNetworkAccess", b->access, sizeof b->access) ||
        !one_of(b->access, words))
        return bad(a, "The property 'publicNetworkAccess' must be 'Enabled', 'Disabled' or "
                      "'SecuredByPerimeter'.");
    spell(b->access, sizeof b->access, words);
    return true;
}

/* ---- regions, identity ---- */

bool hsm_bad_region(struct answer *a, const char *name)
{
    char text[2048];
    struct wr w = wr_of(text, sizeof text - 1);
    for (size_t i = 0; i < hsm_regions_n; i++) {
        wr_str(&w, i == 0 ? "" : ", ");
        wr_str(&w, hsm_regions[i]);
    }
    text[w.n] = 0;
    return arm_error(a, 400, "400",
                     "Invalid region name: %s passed. The valid list of region names: %s", name,
                     text);
}

/* Names the first region that is not the HSM's own. */
static bool read_regions(const struct json_doc *d, uint32_t p, const char *location,
                         struct hsm_body *b, struct answer *a)
{
    uint32_t list = json_get_nn(d, p, "regions");
    if (list == JSON_NONE)
        return true;
    if (json_type_of(d, list) != JSON_ARRAY)
        return bad(a, "The property 'regions' must be a list.");
    for (uint32_t v = json_first(d, list); v != JSON_NONE; v = json_next(d, list, v)) {
        char name[64];
        if (!arm_string(d, v, "name", name, sizeof name))
            return bad(a, "Every entry of 'regions' needs a 'name'.");
        arm_normal_location(name);
        if (strcmp(name, location) != 0 && b->region[0] == 0)
            snprintf(b->region, sizeof b->region, "%s", name);
    }
    return true;
}

static bool read_identity(const struct json_doc *d, struct hsm_body *b, struct answer *a)
{
    static const char *const types[] = {"None", "SystemAssigned", "UserAssigned",
                                        "SystemAssigned,UserAssigned", NULL};
    char text[64];
    uint32_t v = json_get_nn(d, 0, "identity");
    size_t n = 0;
    if (v == JSON_NONE)
        return true;
    (void)arm_string(d, v, "type", text, sizeof text);
    for (const char *c = text; *c != 0 && n + 1 < sizeof b->identity; c++)
        if (*c != ' ')
            b->identity[n++] = *c;
    b->identity[n] = 0;
    if (!one_of(b->identity, types))
        return bad(a, "The property 'identity.type' must be 'None', 'SystemAssigned', "
                      "'UserAssigned' or 'SystemAssigned,UserAssigned'.");
    spell(b->identity, sizeof b->identity, types);
    return true;
}

bool hsm_body_read(const struct json_doc *body, const char *location, struct hsm_body *ret,
                   struct answer *a)
{
    uint32_t p = arm_properties(body);
    memset(ret, 0, sizeof *ret);
    ret->retention = ret->protect = -1;
    if (json_get_nn(body, 0, "properties") != JSON_NONE && p == JSON_NONE)
        return bad(a, "The property 'properties' must be an object.");
    return read_sku(body, ret, a) && read_identity(body, ret, a) && read_mode(body, p, ret, a) &&
           read_admins(body, p, ret, a) && read_retention(body, p, ret, a) &&
           read_flags(body, p, ret, a) && read_access(body, p, ret, a) &&
           read_acls(body, p, ret, a) && read_regions(body, p, location, ret, a);
}
