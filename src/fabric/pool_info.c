#include "fabric/pool_info.h"

#include <stdio.h>
#include "base/file.h"
#include "fabric/answer.h"

#define POOL_JSON_MAX     65536
#define POOL_TOKENS_MAX   512
#define POOL_PATH_MAX     4096
#define RETENTION_DEFAULT 90

static hsm_err take_administrators(const struct json_doc *d, uint32_t list, struct pool_info *p)
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

hsm_err pool_settings_parse(struct bytes json, struct pool_info *ret)
{
    struct json_tok tok[POOL_TOKENS_MAX];
    struct json_doc d;
    struct pool_info p = {.has_settings = true, .retention_days = RETENTION_DEFAULT};
    if (json_parse(json, tok, POOL_TOKENS_MAX, &d) != HSM_OK)
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

void pool_info_read(const char *home, struct pool_info *ret)
{
    static uint8_t text[POOL_JSON_MAX];
    char path[POOL_PATH_MAX], word[32];
    size_t n = 0;
    struct pool_info p = {0};
    if (path_join(path, sizeof path, home, "../pool.json") == HSM_OK &&
        file_read(path, text, sizeof text, &n) == HSM_OK &&
        pool_settings_parse(bytes_of(text, n), &p) != HSM_OK)
        p = (struct pool_info){0};
    if (path_join(path, sizeof path, home, "../run/pool-state") == HSM_OK &&
        file_read(path, (uint8_t *)word, sizeof word, &n) == HSM_OK) {
        while (n > 0 && word[n - 1] == '\n')
            n--;
        p.active = bytes_ieq(bytes_of(word, n), bytes_str("Active"));
        p.has_state = p.active || bytes_ieq(bytes_of(word, n), bytes_str("NotActivated"));
    }
    *ret = p;
}

static void put_settings(struct json_wr *j, const struct pool_info *p)
{
    put_int(j, "softDeleteRetentionInDays", p->retention_days);
    put_bool(j, "enablePurgeProtection", p->purge_protection);
    json_name(j, "initialAdminObjectIds");
    json_arr_open(j);
    for (size_t i = 0; i < p->administrator_n; i++)
        json_put_str(j, p->administrator[i]);
    json_arr_close(j);
}

static void put_state(struct json_wr *j, bool active)
{
    json_name(j, "securityDomainProperties");
    json_obj_open(j);
    put_str(j, "activationStatus", active ? "Active" : "NotActivated");
    put_str(j, "activationStatusMessage",
            active ? "Your HSM has been activated and can be used for cryptographic operations."
                   : "Your HSM has been provisioned, but not activated. Download the security "
                     "domain to activate it.");
    json_obj_close(j);
}

void pool_info_put(struct json_wr *j, const struct pool_info *p)
{
    if (p->has_settings)
        put_settings(j, p);
    if (p->has_state)
        put_state(j, p->active);
}
