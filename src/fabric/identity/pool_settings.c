#include "fabric/identity/pool_settings.h"

#include "base/file.h"
#include "codec/json.h"

#define TEXT_MAX   65536
#define TOKENS_MAX 512

static hsm_err take_administrators(const struct json_doc *d, uint32_t list, struct pool_settings *p)
{
    if (json_type_of(d, list) != JSON_ARRAY)
        return HSM_E_MALFORMED;
    for (uint32_t at = json_first(d, list); at != JSON_NONE; at = json_next(d, list, at)) {
        struct bytes text;
        struct uuid id;
        TRY(json_plain(d, at, &text));
        TRY(uuid_parse(text, &id));
        if (p->administrator_n < POOL_ADMINISTRATORS_MAX)
            uuid_format(&id, p->administrator[p->administrator_n++]);
    }
    return HSM_OK;
}

hsm_err pool_settings_parse(struct bytes json, struct pool_settings *ret)
{
    struct json_tok tok[TOKENS_MAX];
    struct json_doc d;
    struct pool_settings p = {.retention_days = POOL_RETENTION_MAX};
    if (json_parse(json, tok, TOKENS_MAX, &d) != HSM_OK)
        return HSM_E_MALFORMED;
    uint32_t days = json_get_nn(&d, 0, "retentionDays");
    uint32_t purge = json_get_nn(&d, 0, "purgeProtection");
    uint32_t admins = json_get_nn(&d, 0, "administrators");
    if (days != JSON_NONE)
        TRY(json_int(&d, days, &p.retention_days));
    if (purge != JSON_NONE)
        TRY(json_bool(&d, purge, &p.purge_protection));
    if (admins != JSON_NONE)
        TRY(take_administrators(&d, admins, &p));
    *ret = p;
    return HSM_OK;
}

hsm_err pool_settings_read(const char *path, struct pool_settings *ret)
{
    static uint8_t text[TEXT_MAX];
    size_t n = 0;
    TRY(file_read(path, text, sizeof text, &n));
    return pool_settings_parse(bytes_of(text, n), ret);
}
