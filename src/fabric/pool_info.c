#include "fabric/pool_info.h"

#include <dirent.h>
#include <stdio.h>
#include "base/file.h"
#include "fabric/answer.h"

#define POOL_PATH_MAX 4096
#define STATE_FILE    "pool-state"

static void read_state(const char *run, const char *name, struct pool_info *p)
{
    char path[POOL_PATH_MAX], word[32];
    size_t n = 0;
    if (path_join(path, sizeof path, run, name) != HSM_OK ||
        file_read(path, (uint8_t *)word, sizeof word, &n) != HSM_OK)
        return;
    while (n > 0 && word[n - 1] == '\n')
        n--;
    p->active = p->active || bytes_ieq(bytes_of(word, n), bytes_str("Active"));
    p->has_state =
        p->has_state || p->active || bytes_ieq(bytes_of(word, n), bytes_str("NotActivated"));
}

/* Every partition writes its own file. What one knows holds for all: an active pool stays so. */
static void read_states(const char *run, struct pool_info *p)
{
    DIR *d = opendir(run);
    const struct dirent *e;
    if (d == NULL)
        return;
    while ((e = readdir(d)) != NULL)
        if (strncmp(e->d_name, STATE_FILE, sizeof STATE_FILE - 1) == 0 &&
            strchr(e->d_name, '.') == NULL)
            read_state(run, e->d_name, p);
    (void)closedir(d);
}

void pool_info_read(const char *home, struct pool_info *ret)
{
    char path[POOL_PATH_MAX];
    struct pool_info p = {0};
    p.has_settings = path_join(path, sizeof path, home, "../pool.json") == HSM_OK &&
                     pool_settings_read(path, &p.settings) == HSM_OK;
    if (path_join(path, sizeof path, home, "../run") == HSM_OK)
        read_states(path, &p);
    *ret = p;
}

static void put_settings(struct json_wr *j, const struct pool_settings *p)
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
        put_settings(j, &p->settings);
    if (p->has_state)
        put_state(j, p->active);
}
