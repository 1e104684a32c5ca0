#include "cli/pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/alg.h"
#include "partition/supervisor.h"

#define ORIGIN_API_VERSION "2026-01-01"

const struct cli_command cli_pool_commands[] = {
    {"activate", cmd_activate, "development: make custodian keys and download the security domain"},
    {"login approve", cmd_login_approve, "says who signs in on another device: CODE --user NAME"},
    {"login principal", cmd_login_principal,
     "object id of an external issuer's subject, for role assignments"},
    {"security-domain download", cmd_sd_download,
     "download it, encrypted to custodians; activates"},
    {"key create", cmd_key_create, "new key or new version"},
    {"key show", cmd_key_show, "public part and attributes"},
    {"key list", cmd_key_list, "all keys"},
    {"key list-versions", cmd_key_list_versions, "versions of one key"},
    {"key set-attributes", cmd_key_set_attributes, "enable, disable, expiry, operations, tags"},
    {"key delete", cmd_key_delete, "soft delete"},
    {"key list-deleted", cmd_key_list_deleted, "soft-deleted keys"},
    {"key show-deleted", cmd_key_show_deleted, "one soft-deleted key"},
    {"key recover", cmd_key_recover, "undo a soft delete"},
    {"key purge", cmd_key_purge, "destroy a soft-deleted key"},
    {"key encrypt", cmd_key_encrypt, "encrypt a value"},
    {"key decrypt", cmd_key_decrypt, "decrypt a value"},
    {"key wrap", cmd_key_wrap, "wrap a data key"},
    {"key unwrap", cmd_key_unwrap, "unwrap a data key"},
    {"key sign", cmd_key_sign, "sign a digest"},
    {"key verify", cmd_key_verify, "verify a signature"},
    {"role definition list", cmd_role_definition_list, "built-in and custom roles"},
    {"role definition create", cmd_role_definition_create, "custom role from JSON"},
    {"role definition delete", cmd_role_definition_delete, "remove a custom role"},
    {"role assignment list", cmd_role_assignment_list, "who may do what where"},
    {"role assignment create", cmd_role_assignment_create, "give a role at a scope"},
    {"role assignment delete", cmd_role_assignment_delete, "take it back"},
    {NULL, NULL, NULL},
};

static bool open_client(struct cli *c, bool at_origin, struct pool *ret)
{
    struct directory d;
    struct pool p = {.cli = c};
    char url[128], origin[64], ca[PATH_MAX], proxy[64];
    if (!cli_config(c, &p.config) || !cli_directory(c, &d))
        return false;
    (void)snprintf(url, sizeof url, "https://%s.managedhsm.localhost:%u", p.config.name,
                   p.config.port);
    (void)snprintf(origin, sizeof origin, "https://localhost:%u", p.config.port);
    (void)snprintf(proxy, sizeof proxy, "http://localhost:%u", p.config.port);
    cli_path(c, HOME_PKI "/ca.pem", ca);
    /* Another principal may be tried out, as with az. */
    const char *id = getenv("KEYHOLD_CLIENT_ID"), *secret = getenv("KEYHOLD_CLIENT_SECRET");
    bool other = id != NULL && secret != NULL && !at_origin;
    const struct client_config cfg = {
        .pool_url = at_origin ? origin : url,
        .origin = origin,
        .tenant = d.tenant,
        .client_id = other ? id : d.admin.client_id,
        .client_secret = other ? secret : d.admin.secret,
        .ca_file = ca,
        .proxy = proxy,
        .api_version = at_origin ? ORIGIN_API_VERSION : NULL,
    };
    hsm_err err = client_new(&cfg, &p.client);
    directory_done(&d);
    if (err != HSM_OK) {
        (void)cli_fail(CLI_FAILED, "%s", hsm_err_text(err));
        return false;
    }
    *ret = p;
    return true;
}

bool pool_open(struct cli *c, struct pool *ret)
{
    return open_client(c, false, ret);
}

bool pool_open_origin(struct cli *c, struct pool *ret)
{
    return open_client(c, true, ret);
}

void pool_close(struct pool *p)
{
    client_free(p->client);
    p->client = NULL;
}

/* Names and versions become part of a path: nothing else may get into it with them. Role commands,
 * which have a scope, take ids as well. */
static bool check_names(struct arg *table)
{
    static const char *const options[] = {"--name", "--version"};
    for (size_t i = 0; args_get(table, "--scope") == NULL && i < 2; i++) {
        const char *v = args_get(table, options[i]) != NULL ? args_value(table, options[i]) : NULL;
        if (v != NULL && !key_name_valid(bytes_str(v))) {
            (void)cli_fail(CLI_USAGE, "%s: 1 to 127 letters, digits and hyphens", options[i]);
            return false;
        }
    }
    return true;
}

bool pool_args(struct cli *c, struct pool *p, struct arg *table, const char *usage, int *ret)
{
    if (!cli_args(c, table, usage, ret))
        return false;
    *ret = CLI_USAGE;
    if (!check_names(table))
        return false;
    const char *name = args_value(table, "--hsm-name");
    if (name != NULL && strcmp(c->home, c->pool_home) == 0)
        (void)!cli_select_pool(c, name);
    if (!pool_open(c, p)) {
        *ret = CLI_FAILED;
        return false;
    }
    if (name != NULL && !bytes_ieq(bytes_str(name), bytes_str(p->config.name))) {
        *ret = cli_fail(CLI_FAILED, "the pool of %s is %s, not %s; name its home with --home",
                        c->pool_home, p->config.name, name);
        pool_close(p);
        return false;
    }
    return true;
}

/* ---- calls ---- */

static struct json_tok *tokens(void)
{
    static struct json_tok *t;
    if (t == NULL)
        t = calloc(POOL_TOKENS_MAX, sizeof *t);
    return t;
}

static bool judge(struct pool *p, hsm_err err, int *ret_status)
{
    char code[128], message[1024];
    struct json_tok *t = tokens();
    if (err != HSM_OK || t == NULL) {
        *ret_status = cli_fail(CLI_FAILED, "%s", client_error(p->client));
        return false;
    }
    p->doc = (struct json_doc){0};
    bool json =
        p->answer.body.n > 0 && json_parse(p->answer.body, t, POOL_TOKENS_MAX, &p->doc) == HSM_OK;
    if (p->answer.status >= 200 && p->answer.status < 300)
        return true;
    *ret_status = p->answer.status == 404 ? CLI_NOT_FOUND : CLI_FAILED;
    if (!json)
        (void)cli_fail(CLI_FAILED, "the pool answered with HTTP status %ld", p->answer.status);
    else
        (void)cli_fail(CLI_FAILED, "(%s) %s",
                       pool_text(&p->doc, 0, "error.code", code, sizeof code),
                       pool_text(&p->doc, 0, "error.message", message, sizeof message));
    return false;
}

bool pool_call(struct pool *p, const char *method, const char *path, const char *json,
               int *ret_status)
{
    return judge(p, client_call(p->client, method, path, json, &p->answer), ret_status);
}

bool pool_get_url(struct pool *p, const char *url, int *ret_status)
{
    return judge(p, client_get_url(p->client, url, &p->answer), ret_status);
}

/* ---- answers ---- */

static uint32_t descend(const struct json_doc *d, uint32_t v, const char *dotted)
{
    char part[64];
    while (v != JSON_NONE && *dotted != '\0') {
        size_t n = strcspn(dotted, ".");
        if (n >= sizeof part)
            return JSON_NONE;
        memcpy(part, dotted, n);
        part[n] = '\0';
        v = json_get_nn(d, v, part);
        dotted += n + (dotted[n] == '.');
    }
    return v;
}

const char *pool_text(const struct json_doc *d, uint32_t v, const char *dotted, char *dst,
                      size_t cap)
{
    size_t n = 0;
    uint32_t at = d->n > 0 ? descend(d, v, dotted) : JSON_NONE;
    dst[0] = '\0';
    if (at == JSON_NONE)
        return dst;
    if (json_type_of(d, at) == JSON_STRING) {
        if (json_string(d, at, dst, cap - 1, &n) != HSM_OK)
            n = 0;
    } else {
        struct bytes raw = json_raw(d, at);
        n = raw.n < cap - 1 ? raw.n : cap - 1;
        memcpy(dst, raw.p, n);
    }
    dst[n] = '\0';
    return dst;
}

int64_t pool_int(const struct json_doc *d, uint32_t v, const char *dotted)
{
    int64_t n = 0;
    uint32_t at = descend(d, v, dotted);
    if (at == JSON_NONE || json_int(d, at, &n) != HSM_OK)
        return 0;
    return n;
}

static void print_raw(const struct pool *p)
{
    (void)fwrite(p->answer.body.p, 1, p->answer.body.n, stdout);
    (void)fputc('\n', stdout);
}

void pool_print(const struct pool *p, pool_row_fn fn)
{
    if (p->cli->json) {
        print_raw(p);
        return;
    }
    if (p->doc.n > 0)
        fn(&p->doc, 0);
}

int pool_list(struct pool *p, const char *path, pool_row_fn fn)
{
    int status = CLI_OK;
    char next[2048] = "";
    bool first = true;
    do {
        bool ok = next[0] == '\0' ? pool_call(p, "GET", path, NULL, &status)
                                  : pool_get_url(p, next, &status);
        if (!ok)
            return status;
        if (p->cli->json && next[0] == '\0')
            (void)fputc('[', stdout);
        uint32_t list = json_get_nn(&p->doc, 0, "value");
        for (uint32_t v = json_first(&p->doc, list); list != JSON_NONE && v != JSON_NONE;
             v = json_next(&p->doc, list, v)) {
            struct bytes raw = json_raw(&p->doc, v);
            if (!p->cli->json) {
                fn(&p->doc, v);
                continue;
            }
            if (!first)
                (void)fputc(',', stdout);
            (void)fwrite(raw.p, 1, raw.n, stdout);
            first = false;
        }
        (void)pool_text(&p->doc, 0, "nextLink", next, sizeof next);
    } while (next[0] != '\0');
    if (p->cli->json)
        (void)puts("]");
    return CLI_OK;
}
