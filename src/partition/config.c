#include "partition/config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"
#include "partition/config_internal.h"

#define CONFIG_MAX 8192
#define TOKENS_MAX 256

bool pool_name_valid(const char *name)
{
    size_t n = strlen(name);
    if (n < 3 || n > 24)
        return false;
    for (size_t i = 0; i < n; i++) {
        char c = name[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        bool digit = c >= '0' && c <= '9';
        bool hyphen = c == '-' && i > 0 && i + 1 < n && name[i - 1] != '-';
        if (!(letter || (digit && i > 0) || hyphen))
            return false;
    }
    return true;
}

hsm_err config_text(const struct json_doc *d, uint32_t obj, const char *name, char *dst, size_t cap,
                    bool required)
{
    uint32_t v = json_get_nn(d, obj, name);
    size_t n = 0;
    if (v == JSON_NONE)
        return required ? HSM_E_MALFORMED : HSM_OK;
    TRY(json_string(d, v, dst, cap - 1, &n));
    dst[n] = '\0';
    return HSM_OK;
}

hsm_err config_int(const struct json_doc *d, uint32_t obj, const char *name, int64_t max,
                   int64_t *ret)
{
    uint32_t v = json_get_nn(d, obj, name);
    int64_t n = 0;
    if (v != JSON_NONE) {
        TRY(json_int(d, v, &n));
        if (n < 0 || n > max)
            return HSM_E_RANGE;
    }
    *ret = n;
    return HSM_OK;
}

hsm_err config_bool(const struct json_doc *d, uint32_t obj, const char *name, bool absent,
                    bool *ret)
{
    uint32_t v = json_get_nn(d, obj, name);
    *ret = absent;
    return v == JSON_NONE ? HSM_OK : json_bool(d, v, ret);
}

bool config_address_valid(const char *text)
{
    char host[256];
    uint16_t port;
    return text_listen(text, host, sizeof host, &port) && host[0] != '\0' && port != 0;
}

static hsm_err metrics_member(const struct json_doc *d, int *ret)
{
    int64_t port = CONFIG_NO_METRICS;
    if (json_get_nn(d, 0, "metricsPort") != JSON_NONE)
        TRY(config_int(d, 0, "metricsPort", 65535, &port));
    *ret = (int)port;
    return HSM_OK;
}

/* One partition can listen on an address, several have the door before them. */
static hsm_err host_members(const struct json_doc *d, struct partition_config *c)
{
    bool fabric;
    unsigned local = 0;
    TRY(config_bool(d, 0, "fabric", true, &fabric));
    TRY(config_text(d, 0, "listen", c->listen, sizeof c->listen, !fabric));
    TRY(config_text(d, 0, "issuer", c->issuer, sizeof c->issuer, !fabric));
    TRY(config_text(d, 0, "nodes", c->nodes, sizeof c->nodes, false));
    if (c->nodes[0] != '\0' && (!fabric || !config_address_valid(c->nodes)))
        return HSM_E_MALFORMED;
    for (unsigned i = 0; i < c->partition_n; i++)
        local += !c->partition[i].remote;
    if ((c->listen[0] != '\0' && !config_address_valid(c->listen)) ||
        (c->issuer[0] != '\0' && !config_address_valid(c->issuer)) || (!fabric && local != 1))
        return HSM_E_MALFORMED;
    c->no_fabric = !fabric;
    return HSM_OK;
}

/* What keyhold-boundary understands; which TPM is its business. */
static bool evidence_valid(const char *text)
{
    return text[0] == '\0' || strcmp(text, "software") == 0 || strcmp(text, "tpm2") == 0 ||
           (strncmp(text, "tpm2:", 5) == 0 && text[5] != '\0');
}

static hsm_err parse(struct bytes json, struct partition_config *ret)
{
    struct json_tok toks[TOKENS_MAX];
    struct json_doc d;
    struct partition_config c = {0};
    int64_t port, loops;
    TRY(json_parse(json, toks, TOKENS_MAX, &d));
    TRY(config_text(&d, 0, "name", c.name, sizeof c.name, true));
    TRY(config_text(&d, 0, "tenant", c.tenant, sizeof c.tenant, true));
    TRY(config_text(&d, 0, "region", c.region, sizeof c.region, false));
    TRY(config_text(&d, 0, "cpus", c.cpus, sizeof c.cpus, false));
    TRY(config_text(&d, 0, "seal", c.seal, sizeof c.seal, false));
    TRY(config_text(&d, 0, "evidence", c.evidence, sizeof c.evidence, false));
    TRY(config_int(&d, 0, "port", 65535, &port));
    TRY(config_int(&d, 0, "loops", 16, &loops));
    TRY(metrics_member(&d, &c.metrics_port));
    TRY(config_partitions_parse(&d, &c));
    TRY(host_members(&d, &c));
    if (!pool_name_valid(c.name) || port == 0 || !evidence_valid(c.evidence))
        return HSM_E_MALFORMED;
    c.port = (uint16_t)port;
    c.loops = (unsigned)loops;
    if (c.region[0] == '\0')
        memcpy(c.region, "local", sizeof "local");
    *ret = c;
    return HSM_OK;
}

hsm_err partition_config_load(const char *path, struct partition_config *ret, char *text,
                              size_t cap)
{
    uint8_t buf[CONFIG_MAX];
    size_t n;
    hsm_err err = file_read(path, buf, sizeof buf, &n);
    if (err != HSM_OK) {
        (void)snprintf(text, cap, "cannot read %s: %s", path, strerror(errno));
        return err;
    }
    err = parse(bytes_of(buf, n), ret);
    if (err != HSM_OK)
        (void)snprintf(text, cap,
                       "%s is not a valid configuration; correct it, or move the home directory "
                       "away and run `keyhold up` again",
                       path);
    return err;
}

static void put_text(struct json_wr *j, const char *name, const char *text)
{
    if (text[0] == '\0')
        return;
    json_name(j, name);
    json_put_str(j, text);
}

static void put_all(struct json_wr *j, const struct partition_config *c)
{
    json_obj_open(j);
    put_text(j, "name", c->name);
    put_text(j, "tenant", c->tenant);
    json_name(j, "port");
    json_put_int(j, c->port);
    put_text(j, "region", c->region);
    json_name(j, "loops");
    json_put_int(j, c->loops);
    put_text(j, "cpus", c->cpus);
    if (c->metrics_port != CONFIG_NO_METRICS) {
        json_name(j, "metricsPort");
        json_put_int(j, c->metrics_port);
    }
    put_text(j, "seal", c->seal);
    put_text(j, "evidence", c->evidence);
    config_partitions_write(j, c);
    put_text(j, "listen", c->listen);
    put_text(j, "issuer", c->issuer);
    put_text(j, "nodes", c->nodes);
    if (c->no_fabric) {
        json_name(j, "fabric");
        json_put_bool(j, false);
    }
    json_obj_close(j);
}

hsm_err partition_config_store(const char *path, const struct partition_config *c, char *text,
                               size_t cap)
{
    uint8_t buf[CONFIG_MAX];
    struct wr w = wr_of(buf, sizeof buf);
    struct json_wr j = json_wr_of(&w);
    put_all(&j, c);
    wr_str(&w, "\n");
    TRY(wr_ok(&w));
    hsm_err err = file_replace(path, wr_view(&w), 0600);
    if (err != HSM_OK)
        (void)snprintf(text, cap, "cannot write %s: %s", path, strerror(errno));
    return err;
}
