#include "partition/pool_request.h"

#include <stdio.h>
#include <string.h>

#include "partition/config_internal.h"

#define RETENTION_MIN 7
#define RETENTION_MAX 90

static bool word_valid(const char *s, const char *more)
{
    for (; *s != '\0'; s++) {
        bool plain =
            (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9');
        if (!plain && strchr(more, *s) == NULL)
            return false;
    }
    return true;
}

static hsm_err take_guid(const struct json_doc *d, uint32_t v, char dst[UUID_TEXT_LEN + 1])
{
    struct bytes raw;
    struct uuid id;
    if (v == JSON_NONE)
        return HSM_E_MALFORMED;
    TRY(json_plain(d, v, &raw));
    TRY(uuid_parse(raw, &id));
    uuid_format(&id, dst);
    return HSM_OK;
}

static hsm_err take_administrators(const struct json_doc *d, uint32_t list, struct pool_file *f)
{
    if (list == JSON_NONE || json_type_of(d, list) != JSON_ARRAY || json_count(d, list) == 0 ||
        json_count(d, list) > POOL_FILE_ADMINISTRATORS_MAX)
        return HSM_E_MALFORMED;
    for (uint32_t v = json_first(d, list); v != JSON_NONE; v = json_next(d, list, v))
        TRY(take_guid(d, v, f->administrator[f->administrator_n++]));
    return HSM_OK;
}

static hsm_err take_partitions(const struct json_doc *d, uint32_t list, struct pool_request *r)
{
    if (list == JSON_NONE || json_type_of(d, list) != JSON_ARRAY || json_count(d, list) == 0 ||
        json_count(d, list) > PARTITIONS_MAX)
        return HSM_E_MALFORMED;
    for (uint32_t v = json_first(d, list); v != JSON_NONE; v = json_next(d, list, v)) {
        char *rack = r->rack[r->partition_n++];
        if (json_type_of(d, v) != JSON_OBJECT)
            return HSM_E_MALFORMED;
        TRY(config_text(d, v, "rack", rack, sizeof r->rack[0], false));
        if (!word_valid(rack, "-_./"))
            return HSM_E_MALFORMED;
    }
    return HSM_OK;
}

/* The boundary is strict about them. */
static hsm_err take_issuers(const struct json_doc *d, uint32_t list, struct pool_file *f)
{
    if (list == JSON_NONE)
        return HSM_OK;
    if (json_type_of(d, list) != JSON_ARRAY)
        return HSM_E_MALFORMED;
    for (uint32_t v = json_first(d, list); v != JSON_NONE; v = json_next(d, list, v))
        if (json_type_of(d, v) != JSON_OBJECT)
            return HSM_E_MALFORMED;
    struct bytes raw = json_raw(d, list);
    f->issuers = json_count(d, list) > 0 ? bytes_of(raw.p + 1, raw.n - 2) : bytes_of(NULL, 0);
    return HSM_OK;
}

hsm_err pool_request_parse(const struct json_doc *d, uint32_t v, struct pool_request *ret,
                           char *text, size_t cap)
{
    struct pool_request r = {.file.retention_days = RETENTION_MAX};
    struct pool_file *f = &r.file;
    uint32_t days = json_get_nn(d, v, "retentionDays");
    const char *what = NULL;
    if (v == JSON_NONE || json_type_of(d, v) != JSON_OBJECT)
        what = "\"pool\" is not an object";
    else if (take_guid(d, json_get_nn(d, v, "tenant"), r.tenant) != HSM_OK)
        what = "\"tenant\" is not a GUID";
    else if (take_administrators(d, json_get_nn(d, v, "administrators"), f) != HSM_OK)
        what = "\"administrators\" are not 1 to 10 GUIDs";
    else if (days != JSON_NONE &&
             (json_int(d, days, &f->retention_days) != HSM_OK ||
              f->retention_days < RETENTION_MIN || f->retention_days > RETENTION_MAX))
        what = "\"retentionDays\" is not 7 to 90";
    else if (config_bool(d, v, "purgeProtection", false, &f->purge_protection) != HSM_OK)
        what = "\"purgeProtection\" is not true or false";
    else if (config_text(d, v, "region", r.region, sizeof r.region, true) != HSM_OK ||
             r.region[0] == '\0' || !word_valid(r.region, "-"))
        what = "\"region\" is not a word of letters, digits and hyphens";
    else if (take_partitions(d, json_get_nn(d, v, "partitions"), &r) != HSM_OK)
        what = "\"partitions\" are not 1 to 9 objects with a rack";
    else if (take_issuers(d, json_get_nn(d, v, "issuers"), f) != HSM_OK)
        what = "\"issuers\" is not a list of objects";
    if (what != NULL) {
        (void)snprintf(text, cap, "%s", what);
        return HSM_E_MALFORMED;
    }
    *ret = r;
    return HSM_OK;
}
