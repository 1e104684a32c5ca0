/* status and env. */
#include "cli/local.h"

#include <stdio.h>

#include "cli/pool.h"
#include "fabric/identity/pool_settings.h"
#include "partition/supervisor.h"

const struct cli_command cli_local_commands[] = {
    {"up", local_up, "start the pool (first run: create it); returns when it is ready"},
    {"down", local_down, "stop it"},
    {"status", local_status, "what runs, and what to do next"},
    {"env", local_env, "shell settings for az, Python, Node, curl: eval \"$(keyhold env)\""},
    {NULL, NULL, NULL},
};

static bool is_true(const struct json_doc *s, const char *name)
{
    bool value = false;
    uint32_t v = json_get_nn(s, 0, name);
    return v != JSON_NONE && json_bool(s, v, &value) == HSM_OK && value;
}

/* Those that the pool was made with; the present ones are role assignments. */
static void print_administrators(const struct cli *c)
{
    struct pool_settings s;
    char path[PATH_MAX];
    cli_pool_path(c, HOME_POOL_INIT, path);
    if (pool_settings_read(path, &s) != HSM_OK)
        return;
    for (size_t i = 0; i < s.administrator_n; i++)
        (void)printf("%s%s\n", i == 0 ? "first admins  " : "              ", s.administrator[i]);
}

/* Which of them answered; its socket says no more than its raft id. */
static unsigned number_of(const struct partition_config *cfg, const struct json_doc *s)
{
    int64_t id = pool_int(s, 0, "raft.id");
    return id > 0 ? (unsigned)(id - 1) : cfg->partition[0].number;
}

/* Of the levels that a seal provider may have. */
static const char *meaning_of(const char *protection)
{
    if (strcmp(protection, "tpm2") == 0)
        return "root secrets sealed by the machine's TPM; keys are used in this process";
    if (strcmp(protection, "pkcs11") == 0)
        return "root secrets sealed by a PKCS#11 token; keys are used in this process";
    return "software keys: no FIPS certificate, no tamper-proof case";
}

static void print_table(const struct cli *c, const struct partition_config *cfg,
                        const struct json_doc *s)
{
    unsigned number = number_of(cfg, s);
    char state[64], protection[64], memory[64];
    (void)pool_text(s, 0, "state", state, sizeof state);
    (void)printf("pool          %s (%s)\n", cfg->name, state);
    (void)printf("pool URL      https://%s.managedhsm.localhost:%u\n", cfg->name, cfg->port);
    (void)printf("origin        https://localhost:%u\n", cfg->port);
    (void)printf("home          %s\n", c->pool_home);
    (void)pool_text(s, 0, "protection", protection, sizeof protection);
    (void)printf("protection    %s (secret memory: %s) - %s\n", protection,
                 pool_text(s, 0, "secretMemory", memory, sizeof memory), meaning_of(protection));
    (void)printf("retention     %lld days, purge protection %s\n",
                 (long long)pool_int(s, 0, "retentionDays"),
                 is_true(s, "purgeProtection") ? "on" : "off");
    print_administrators(c);
    (void)printf("keys          %lld (%lld versions)\n", (long long)pool_int(s, 0, "keys"),
                 (long long)pool_int(s, 0, "versions"));
    (void)printf("audit         %lld entries, %s/" HOME_PARTITION "/audit/audit.jsonl\n",
                 (long long)pool_int(s, 0, "auditSeq"), c->pool_home, number);
    if (cfg->partition_n > 1)
        (void)printf("partitions    %u; see `keyhold pool status`\n", cfg->partition_n);
    int64_t metrics = pool_int(s, 0, "metricsPort");
    if (metrics > 0)
        (void)printf("monitoring    http://127.0.0.1:%lld/metrics, /healthz, /readyz\n",
                     (long long)metrics);
    if (strcmp(state, "NotActivated") == 0)
        (void)printf("\nnext: `keyhold activate` (development), or `az keyvault security-domain "
                     "download`\n");
    else
        (void)printf("\nnext: eval \"$(keyhold env)\"\n");
}

/* Or was it stopped, or destroyed? */
static bool is_wanted(const struct cli *c, const struct json_doc *d, const char *name)
{
    char text[32];
    uint32_t list = json_get_nn(d, 0, "pools");
    for (uint32_t v = list == JSON_NONE || cli_first_is_gone(c) ? JSON_NONE : json_first(d, list);
         v != JSON_NONE; v = json_next(d, list, v))
        if (strcmp(pool_text(d, v, "name", text, sizeof text), name) == 0)
            return strncmp(pool_text(d, v, "state", text, sizeof text), "stop", 4) != 0;
    return false;
}

int local_status(struct cli *c)
{
    struct arg args[] = {{.name = NULL}};
    int ret;
    static struct cli_status s, nodes;
    struct partition_config cfg;
    if (!cli_args(c, args, "status [--home DIR] [-o json]", &ret))
        return ret;
    if (!cli_config(c, &cfg))
        return CLI_FAILED;
    if (cli_supervisor_pid(c) == 0)
        return cli_fail(CLI_NOT_FOUND, "the pool in %s does not run; start it with `keyhold up`",
                        c->home);
    bool has_node = cli_node_status(c, &nodes), answers = cli_gateway_status(c, &s);
    bool further = has_node && json_count(&nodes.doc, json_get(&nodes.doc, 0, "pools")) > 1;
    if (!answers && has_node && !c->json && !is_wanted(c, &nodes.doc, cfg.name)) {
        if (cli_print_pools(&nodes.doc) == 0)
            (void)printf("there is no pool\n");
        return CLI_OK;
    }
    if (!answers)
        return cli_fail(CLI_FAILED,
                        "the partition does not answer; it may be starting. Look at "
                        "%s/log/gateway.log and boundary.log",
                        c->pool_home);
    if (c->json) {
        (void)printf("%s", s.text);
        return CLI_OK;
    }
    print_table(c, &cfg, &s.doc);
    if (further && printf("\n") > 0)
        (void)cli_print_pools(&nodes.doc);
    return CLI_OK;
}

/* ---- env ---- */

static void put(const char *name, const char *value)
{
    (void)printf("export %s='", name);
    for (const char *p = value; *p != '\0'; p++) {
        if (*p == '\'')
            (void)printf("'\\''");
        else
            (void)putchar(*p);
    }
    (void)printf("'\n");
}

static void put_trust(const struct cli *c)
{
    static const char *const names[] = {"KEYHOLD_CA", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE",
                                        "NODE_EXTRA_CA_CERTS", "CURL_CA_BUNDLE"};
    char path[PATH_MAX];
    cli_path(c, HOME_PKI "/ca.pem", path);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        put(names[i], path);
}

static void put_identity(const struct directory *d)
{
    put("KEYHOLD_TENANT", d->tenant);
    put("KEYHOLD_SUBSCRIPTION", d->subscription);
    put("KEYHOLD_CLIENT_ID", d->admin.client_id);
    put("KEYHOLD_CLIENT_SECRET", d->admin.secret);
    put("KEYHOLD_ADMIN_OID", d->admin.oid);
    put("KEYHOLD_USER", d->user.upn);
    put("KEYHOLD_PASSWORD", d->user.secret);
    put("KEYHOLD_USER_OID", d->user.oid);
    put("KEYHOLD_GUEST_CLIENT_ID", d->guest.client_id);
    put("KEYHOLD_GUEST_CLIENT_SECRET", d->guest.secret);
    put("KEYHOLD_GUEST_OID", d->guest.oid);
    put("KEYHOLD_MANAGED_OID", d->managed.oid);
    put("KEYHOLD_IDENTITY_HEADER", d->identity_header);
    put("AZURE_TENANT_ID", d->tenant);
    put("AZURE_CLIENT_ID", d->admin.client_id);
    put("AZURE_CLIENT_SECRET", d->admin.secret);
}

int local_env(struct cli *c)
{
    struct arg args[] = {
        {.name = "--azure-names",
         .kind = ARG_FLAG,
         .help = "NAME.managedhsm.azure.net and the other names of the public cloud, through the "
                 "proxy"},
        {.name = NULL},
    };
    int ret;
    struct partition_config cfg;
    struct directory d;
    if (!cli_args(c, args, "env [--home DIR] [--azure-names]", &ret))
        return ret;
    if (!cli_config(c, &cfg) || !cli_directory(c, &d))
        return CLI_FAILED;
    bool azure = args_get(args, "--azure-names")->given;
    char origin[64], url[128], text[160];
    (void)snprintf(origin, sizeof origin, "https://localhost:%u", cfg.port);
    if (azure)
        (void)snprintf(url, sizeof url, "https://%s.managedhsm.azure.net", cfg.name);
    else
        (void)snprintf(url, sizeof url, "https://%s.managedhsm.localhost:%u", cfg.name, cfg.port);
    put("KEYHOLD_HOME", c->home);
    put("KEYHOLD_ORIGIN", origin);
    put("KEYHOLD_POOL", cfg.name);
    put("KEYHOLD_POOL_URL", url);
    (void)snprintf(text, sizeof text, "%s/msi/token", origin);
    put("KEYHOLD_IDENTITY_ENDPOINT", text);
    put_identity(&d);
    put("AZURE_AUTHORITY_HOST", azure ? "https://login.microsoftonline.com" : origin);
    put_trust(c);
    (void)snprintf(text, sizeof text, "http://localhost:%u", cfg.port);
    put("HTTPS_PROXY", text);
    if (azure)
        (void)printf("unset ARM_CLOUD_METADATA_URL\n");
    (void)snprintf(text, sizeof text, "%s/metadata/endpoints?api-version=2019-05-01", origin);
    if (!azure)
        put("ARM_CLOUD_METADATA_URL", text);
    directory_done(&d);
    return CLI_OK;
}
