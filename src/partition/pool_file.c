#include "partition/pool_file.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "codec/json.h"

#define FILE_MAX 131072

static void put_auth(struct json_wr *j, const struct pool_file *p)
{
    char issuer[128], keys_path[128];
    (void)snprintf(issuer, sizeof issuer, "https://sts.windows.net/%s/", p->tenant);
    (void)snprintf(keys_path, sizeof keys_path, "/%s/discovery/v2.0/keys", p->tenant);
    json_name(j, "auth"), json_obj_open(j);
    json_name(j, "audienceHosts"), json_arr_open(j);
    json_put_str(j, "managedhsm.localhost"), json_put_str(j, "managedhsm.azure.net");
    json_arr_close(j);
    json_name(j, "issuers"), json_arr_open(j), json_obj_open(j);
    json_name(j, "issuer"), json_put_str(j, issuer);
    json_name(j, "host"), json_put_str(j, "localhost");
    json_name(j, "port"), json_put_int(j, p->port);
    json_name(j, "path"), json_put_str(j, keys_path);
    json_name(j, "roots"), json_put_bytes(j, p->roots);
    json_obj_close(j);
    if (p->issuers.n > 0)
        json_put_raw(j, p->issuers);
    json_arr_close(j), json_obj_close(j);
}

static void put_all(struct json_wr *j, const struct pool_file *p)
{
    json_obj_open(j);
    json_name(j, "name"), json_put_str(j, p->name);
    json_name(j, "tenant"), json_put_str(j, p->tenant);
    json_name(j, "administrators"), json_arr_open(j);
    for (size_t i = 0; i < p->administrator_n; i++)
        json_put_str(j, p->administrator[i]);
    json_arr_close(j);
    json_name(j, "retentionDays"), json_put_int(j, p->retention_days);
    json_name(j, "purgeProtection"), json_put_bool(j, p->purge_protection);
    put_auth(j, p);
    json_obj_close(j);
}

hsm_err pool_file_store(const char *path, const struct pool_file *p)
{
    uint8_t *buf = malloc(FILE_MAX);
    if (buf == NULL)
        return HSM_E_NOMEM;
    struct wr w = wr_of(buf, FILE_MAX);
    struct json_wr j = json_wr_of(&w);
    put_all(&j, p);
    hsm_err err = wr_ok(&w);
    if (err == HSM_OK)
        err = file_replace(path, wr_view(&w), 0600);
    free(buf);
    return err;
}
