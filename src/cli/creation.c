#include "cli/creation.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/text.h"
#include "fabric/identity/pki.h"
#include "partition/pool_file.h"
#include "partition/supervisor.h"

/* ---- options ---- */

static bool usage(const char *text, int *ret_status)
{
    *ret_status = cli_fail(CLI_USAGE, "%s", text);
    return false;
}

/* One word of the option: object ids with commas between them. */
static bool take_ids(const char *word, struct pool_settings *s)
{
    for (;;) {
        struct uuid id;
        size_t n = strcspn(word, ",");
        if (s->administrator_n == POOL_ADMINISTRATORS_MAX ||
            uuid_parse(bytes_of(word, n), &id) != HSM_OK)
            return false;
        uuid_format(&id, s->administrator[s->administrator_n++]);
        if (word[n] == '\0')
            return true;
        word += n + 1;
    }
}

bool creation_parse(struct arg *args, struct creation *ret, int *ret_status)
{
    struct creation w = {.want.retention_days = POOL_RETENTION_MAX};
    const char *days = args_value(args, "--retention-days");
    const char *purge = args_value(args, "--purge-protection");
    const struct arg *ids = args_get(args, "--administrators");
    long n = 0;
    w.has_retention = days != NULL;
    if (days != NULL && (!text_number(days, POOL_RETENTION_MAX, &n) || n < POOL_RETENTION_MIN))
        return usage("--retention-days: 7 to 90", ret_status);
    if (days != NULL)
        w.want.retention_days = n;
    w.has_purge = purge != NULL;
    w.want.purge_protection = purge != NULL && strcmp(purge, "true") == 0;
    w.has_administrators = ids->given;
    for (size_t i = 0; ids->given && i < ids->list_n; i++)
        if (!take_ids(ids->list[i], &w.want))
            return usage("--administrators: 1 to 10 object ids (GUIDs) with commas between them",
                         ret_status);
    const char *wrong = creation_issuers(args_get(args, "--issuer"), &w.issuers);
    if (wrong != NULL)
        return usage(wrong, ret_status);
    *ret = w;
    return true;
}

/* ---- a pool that exists ---- */

static bool is_among(const struct pool_settings *s, const char *id)
{
    for (size_t i = 0; i < s->administrator_n; i++)
        if (strcmp(s->administrator[i], id) == 0)
            return true;
    return false;
}

static bool same_administrators(const struct pool_settings *a, const struct pool_settings *b)
{
    for (size_t i = 0; i < a->administrator_n; i++)
        if (!is_among(b, a->administrator[i]))
            return false;
    for (size_t i = 0; i < b->administrator_n; i++)
        if (!is_among(a, b->administrator[i]))
            return false;
    return true;
}

/* pool.json is written by this program: the same issuers are the same text. */
static bool has_issuers(const char *path, struct bytes issuers)
{
    static uint8_t text[131072];
    size_t n = 0;
    return file_read(path, text, sizeof text, &n) == HSM_OK &&
           memmem(text, n, issuers.p, issuers.n) != NULL;
}

int creation_check(const struct cli *c, const struct creation *want)
{
    struct pool_settings is;
    char path[PATH_MAX];
    if (!want->has_retention && !want->has_purge && !want->has_administrators &&
        want->issuers.n == 0)
        return CLI_OK;
    cli_path(c, HOME_POOL_INIT, path);
    if (want->issuers.n > 0 && !has_issuers(path, want->issuers))
        return cli_fail(CLI_FAILED,
                        "the pool in %s was made with other issuers; they are fixed when a pool is "
                        "made",
                        c->home);
    if (pool_settings_read(path, &is) != HSM_OK)
        return cli_fail(CLI_FAILED, "%s cannot be read", path);
    if (want->has_retention && want->want.retention_days != is.retention_days)
        return cli_fail(CLI_FAILED,
                        "the pool in %s keeps deleted keys for %lld days; the retention is "
                        "fixed when a pool is made",
                        c->home, (long long)is.retention_days);
    if (want->has_purge && want->want.purge_protection != is.purge_protection)
        return cli_fail(CLI_FAILED,
                        "the pool in %s was made with%s purge protection; that is fixed when a "
                        "pool is made",
                        c->home, is.purge_protection ? "" : "out");
    if (want->has_administrators && !same_administrators(&want->want, &is))
        return cli_fail(CLI_FAILED,
                        "the pool in %s was made with other administrators; change them with "
                        "`keyhold role assignment create`",
                        c->home);
    return CLI_OK;
}

/* ---- the first run ---- */

bool creation_store(const struct cli *c, const struct partition_config *cfg,
                    const struct directory *d, const struct creation *want)
{
    static uint8_t roots[16384];
    const struct pool_settings *s = &want->want;
    struct pool_file f = {.name = cfg->name,
                          .tenant = d->tenant,
                          .retention_days = s->retention_days,
                          .purge_protection = s->purge_protection,
                          .port = cfg->port,
                          .issuers = want->issuers};
    char path[PATH_MAX];
    size_t roots_n;
    cli_path(c, HOME_PKI "/" PKI_CA_CERT, path);
    if (file_read(path, roots, sizeof roots, &roots_n) != HSM_OK)
        return false;
    f.roots = bytes_of(roots, roots_n);
    for (size_t i = 0; i < s->administrator_n; i++)
        memcpy(f.administrator[f.administrator_n++], s->administrator[i],
               sizeof f.administrator[0]);
    if (s->administrator_n == 0) {
        memcpy(f.administrator[f.administrator_n++], d->admin.oid, sizeof f.administrator[0]);
        memcpy(f.administrator[f.administrator_n++], d->user.oid, sizeof f.administrator[0]);
    }
    cli_path(c, HOME_POOL_INIT, path);
    return pool_file_store(path, &f) == HSM_OK;
}
