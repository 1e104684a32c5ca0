/* keyhold key create, show, list, ...: the grammar of `az keyvault key`. */
#include <stdio.h>
#include <stdlib.h>

#include "cli/pool.h"

#define BODY_CAP 65536

static void print_key(const struct json_doc *d, uint32_t v)
{
    char kid[512], kty[32], crv[32], enabled[16];
    if (pool_text(d, v, "key.kid", kid, sizeof kid)[0] == '\0')
        (void)pool_text(d, v, "kid", kid, sizeof kid);
    (void)pool_text(d, v, "key.kty", kty, sizeof kty);
    (void)pool_text(d, v, "key.crv", crv, sizeof crv);
    (void)pool_text(d, v, "attributes.enabled", enabled, sizeof enabled);
    (void)printf("%s%s%s%s%s  enabled=%s  created=%lld\n", kid, kty[0] != '\0' ? "  " : "", kty,
                 crv[0] != '\0' ? " " : "", crv, enabled,
                 (long long)pool_int(d, v, "attributes.created"));
}

static void print_deleted(const struct json_doc *d, uint32_t v)
{
    char id[512];
    (void)printf("%s  deleted=%lld  purge=%lld\n", pool_text(d, v, "recoveryId", id, sizeof id),
                 (long long)pool_int(d, v, "deletedDate"),
                 (long long)pool_int(d, v, "scheduledPurgeDate"));
}

/* ---- bodies ---- */

static void put_list(struct json_wr *j, const char *name, const struct arg *a)
{
    json_name(j, name);
    json_arr_open(j);
    for (size_t i = 0; i < a->list_n; i++)
        json_put_str(j, a->list[i]);
    json_arr_close(j);
}

/* "a=b c=d" as an object; a lone '' clears. */
static void put_tags(struct json_wr *j, const struct arg *a)
{
    json_name(j, "tags");
    json_obj_open(j);
    for (size_t i = 0; i < a->list_n; i++) {
        const char *eq = strchr(a->list[i], '=');
        size_t n = eq != NULL ? (size_t)(eq - a->list[i]) : strlen(a->list[i]);
        if (n == 0)
            continue;
        json_name_bytes(j, bytes_of(a->list[i], n));
        json_put_str(j, eq != NULL ? eq + 1 : "");
    }
    json_obj_close(j);
}

/* Unix seconds, or "2026-01-31T12:00:00Z" / "2026-01-31". */
static bool parse_time(const char *text, int64_t *ret)
{
    int y, mo, d, h = 0, mi = 0, s = 0, used = 0;
    char *end;
    long long n = strtoll(text, &end, 10);
    if (*end == '\0') {
        *ret = n;
        return true;
    }
    if (sscanf(text, "%4d-%2d-%2d%n", &y, &mo, &d, &used) != 3)
        return false;
    if (text[used] == 'T' && sscanf(text + used, "T%2d:%2d:%2d", &h, &mi, &s) < 2)
        return false;
    if (y < 1970 || mo < 1 || mo > 12 || d < 1 || d > 31 || h > 23 || mi > 59 || s > 60)
        return false;
    /* days since the epoch, Gregorian */
    int64_t a = (14 - mo) / 12, yy = y + 4800 - a, mm = mo + 12 * a - 3;
    int64_t days =
        d + (153 * mm + 2) / 5 + 365 * yy + yy / 4 - yy / 100 + yy / 400 - 32045 - 2440588;
    *ret = days * 86400 + h * 3600 + mi * 60 + s;
    return true;
}

static bool put_attributes(struct json_wr *j, struct arg *args)
{
    static const char *const times[][2] = {{"--not-before", "nbf"}, {"--expires", "exp"}};
    const char *enabled = args_value(args, "--enabled");
    const char *disabled = args_value(args, "--disabled");
    json_name(j, "attributes");
    json_obj_open(j);
    if (enabled != NULL || disabled != NULL) {
        json_name(j, "enabled");
        json_put_bool(j, enabled != NULL ? strcmp(enabled, "true") == 0
                                         : strcmp(disabled, "false") == 0);
    }
    for (size_t i = 0; i < 2; i++) {
        const char *v = args_value(args, times[i][0]);
        int64_t t;
        if (v == NULL)
            continue;
        if (!parse_time(v, &t)) {
            (void)cli_fail(CLI_USAGE,
                           "%s: a UTC time such as 2027-01-31T12:00:00Z, or Unix seconds",
                           times[i][0]);
            return false;
        }
        json_name(j, times[i][1]);
        json_put_int(j, t);
    }
    json_obj_close(j);
    return true;
}

static bool finish(struct json_wr *j)
{
    json_obj_close(j);
    wr_u8(j->w, 0);
    if (wr_ok(j->w) == HSM_OK)
        return true;
    (void)cli_fail(CLI_USAGE, "the arguments are too long");
    return false;
}

#define KEY_ATTRIBUTE_ARGS                                                                         \
    {.name = "--ops", .kind = ARG_LIST, .help = "encrypt decrypt sign verify wrapKey unwrapKey"},  \
        {.name = "--enabled", .kind = ARG_BOOL, .help = "true or false"},                          \
        {.name = "--disabled", .kind = ARG_BOOL, .help = "create disabled"},                       \
        {.name = "--not-before", .kind = ARG_VALUE, .help = "UTC time"},                           \
        {.name = "--expires", .kind = ARG_VALUE, .help = "UTC time"},                              \
    {                                                                                              \
        .name = "--tags", .kind = ARG_LIST, .help = "a=b c=d"                                      \
    }

static bool create_body(struct arg *args, struct json_wr *j)
{
    const char *kty = args_value(args, "--kty"), *size = args_value(args, "--size");
    const char *curve = args_value(args, "--curve");
    json_obj_open(j);
    json_name(j, "kty");
    json_put_str(j, kty != NULL ? kty : "RSA-HSM");
    if (size != NULL) {
        json_name(j, "key_size");
        json_put_int(j, strtol(size, NULL, 10));
    }
    if (curve != NULL) {
        json_name(j, "crv");
        json_put_str(j, curve);
    }
    if (args_get(args, "--ops")->given)
        put_list(j, "key_ops", args_get(args, "--ops"));
    if (args_get(args, "--tags")->given)
        put_tags(j, args_get(args, "--tags"));
    return put_attributes(j, args) && finish(j);
}

int cmd_key_create(struct cli *c)
{
    struct arg args[] = {
        POOL_ARGS,
        {.name = "--name", .alias = "-n", .kind = ARG_VALUE, .required = true, .help = "key name"},
        {.name = "--kty", .kind = ARG_VALUE, .help = "RSA-HSM (default), EC-HSM, oct-HSM"},
        {.name = "--size", .kind = ARG_VALUE, .help = "bits"},
        {.name = "--curve", .kind = ARG_VALUE, .help = "P-256, P-256K, P-384, P-521"},
        {.name = "--protection", .kind = ARG_VALUE, .help = "accepted for az's sake; always hsm"},
        KEY_ATTRIBUTE_ARGS,
        {.name = NULL},
    };
    static char body[BODY_CAP], path[300];
    struct pool p;
    int ret;
    if (!pool_args(c, &p, args, "key create --name NAME [--kty T] [--size N] [--curve C]", &ret))
        return ret;
    struct wr w = wr_of(body, sizeof body);
    struct json_wr j = json_wr_of(&w);
    ret = CLI_USAGE;
    (void)snprintf(path, sizeof path, "/keys/%s/create", args_value(args, "--name"));
    if (create_body(args, &j) && pool_call(&p, "POST", path, body, &ret)) {
        pool_print(&p, print_key);
        ret = CLI_OK;
    }
    pool_close(&p);
    return ret;
}

int cmd_key_set_attributes(struct cli *c)
{
    struct arg args[] = {
        POOL_ARGS,
        {.name = "--name", .alias = "-n", .kind = ARG_VALUE, .required = true, .help = "key name"},
        {.name = "--version",
         .alias = "-v",
         .kind = ARG_VALUE,
         .help = "version (default current)"},
        KEY_ATTRIBUTE_ARGS,
        {.name = NULL},
    };
    static char body[BODY_CAP], path[300];
    struct pool p;
    int ret;
    if (!pool_args(c, &p, args, "key set-attributes --name NAME [--enabled false] ...", &ret))
        return ret;
    struct wr w = wr_of(body, sizeof body);
    struct json_wr j = json_wr_of(&w);
    const char *version = args_value(args, "--version");
    ret = CLI_USAGE;
    (void)snprintf(path, sizeof path, "/keys/%s/%s", args_value(args, "--name"),
                   version != NULL ? version : "");
    json_obj_open(&j);
    if (args_get(args, "--ops")->given)
        put_list(&j, "key_ops", args_get(args, "--ops"));
    if (args_get(args, "--tags")->given)
        put_tags(&j, args_get(args, "--tags"));
    if (put_attributes(&j, args) && finish(&j) && pool_call(&p, "PATCH", path, body, &ret)) {
        pool_print(&p, print_key);
        ret = CLI_OK;
    }
    pool_close(&p);
    return ret;
}

/* ---- calls without a body ---- */

static int simple(struct cli *c, const char *usage, const char *method, const char *fmt_before,
                  const char *fmt_after, pool_row_fn row)
{
    struct arg args[] = {
        POOL_ARGS,
        {.name = "--name", .alias = "-n", .kind = ARG_VALUE, .required = true, .help = "key name"},
        {.name = "--version",
         .alias = "-v",
         .kind = ARG_VALUE,
         .help = "version (default current)"},
        {.name = NULL},
    };
    char path[300];
    struct pool p;
    int ret;
    if (!pool_args(c, &p, args, usage, &ret))
        return ret;
    const char *version = args_value(args, "--version");
    (void)snprintf(path, sizeof path, "%s%s%s%s%s", fmt_before, args_value(args, "--name"),
                   fmt_after, version != NULL ? "/" : "", version != NULL ? version : "");
    if (pool_call(&p, method, path, NULL, &ret)) {
        pool_print(&p, row);
        ret = CLI_OK;
    }
    pool_close(&p);
    return ret;
}

int cmd_key_show(struct cli *c)
{
    return simple(c, "key show --name NAME [--version V]", "GET", "/keys/", "", print_key);
}

int cmd_key_delete(struct cli *c)
{
    return simple(c, "key delete --name NAME", "DELETE", "/keys/", "", print_deleted);
}

int cmd_key_show_deleted(struct cli *c)
{
    return simple(c, "key show-deleted --name NAME", "GET", "/deletedkeys/", "", print_deleted);
}

int cmd_key_recover(struct cli *c)
{
    return simple(c, "key recover --name NAME", "POST", "/deletedkeys/", "/recover", print_key);
}

int cmd_key_purge(struct cli *c)
{
    return simple(c, "key purge --name NAME", "DELETE", "/deletedkeys/", "", print_deleted);
}

static int list(struct cli *c, const char *usage, const char *path, pool_row_fn row)
{
    struct arg args[] = {POOL_ARGS, {.name = NULL}};
    struct pool p;
    int ret;
    if (!pool_args(c, &p, args, usage, &ret))
        return ret;
    ret = pool_list(&p, path, row);
    pool_close(&p);
    return ret;
}

int cmd_key_list(struct cli *c)
{
    return list(c, "key list", "/keys", print_key);
}

int cmd_key_list_deleted(struct cli *c)
{
    return list(c, "key list-deleted", "/deletedkeys", print_deleted);
}

int cmd_key_list_versions(struct cli *c)
{
    struct arg args[] = {
        POOL_ARGS,
        {.name = "--name", .alias = "-n", .kind = ARG_VALUE, .required = true, .help = "key name"},
        {.name = NULL},
    };
    char path[300];
    struct pool p;
    int ret;
    if (!pool_args(c, &p, args, "key list-versions --name NAME", &ret))
        return ret;
    (void)snprintf(path, sizeof path, "/keys/%s/versions", args_value(args, "--name"));
    ret = pool_list(&p, path, print_key);
    pool_close(&p);
    return ret;
}
