#include "partition/config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "codec/json.h"

#define CONFIG_MAX 8192

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

static hsm_err text_member(const struct json_doc *d, const char *name, char *dst, size_t cap,
                           bool required)
{
    uint32_t v = json_get_nn(d, 0, name);
    size_t n = 0;
    if (v == JSON_NONE)
        return required ? HSM_E_MALFORMED : HSM_OK;
    TRY(json_string(d, v, dst, cap - 1, &n));
    dst[n] = '\0';
    return HSM_OK;
}

static hsm_err int_member(const struct json_doc *d, const char *name, int64_t max, int64_t *ret)
{
    uint32_t v = json_get_nn(d, 0, name);
    int64_t n = 0;
    if (v != JSON_NONE) {
        TRY(json_int(d, v, &n));
        if (n < 0 || n > max)
            return HSM_E_RANGE;
    }
    *ret = n;
    return HSM_OK;
}

static hsm_err metrics_member(const struct json_doc *d, int *ret)
{
    int64_t port = CONFIG_NO_METRICS;
    if (json_get_nn(d, 0, "metricsPort") != JSON_NONE)
        TRY(int_member(d, "metricsPort", 65535, &port));
    *ret = (int)port;
    return HSM_OK;
}

static hsm_err parse(struct bytes json, struct partition_config *ret)
{
    struct json_tok toks[64];
    struct json_doc d;
    struct partition_config c = {0};
    int64_t port, loops;
    TRY(json_parse(json, toks, 64, &d));
    TRY(text_member(&d, "name", c.name, sizeof c.name, true));
    TRY(text_member(&d, "tenant", c.tenant, sizeof c.tenant, true));
    TRY(text_member(&d, "region", c.region, sizeof c.region, false));
    TRY(text_member(&d, "cpus", c.cpus, sizeof c.cpus, false));
    TRY(int_member(&d, "port", 65535, &port));
    TRY(int_member(&d, "loops", 16, &loops));
    TRY(metrics_member(&d, &c.metrics_port));
    if (!pool_name_valid(c.name) || port == 0)
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

hsm_err partition_config_store(const char *path, const struct partition_config *c, char *text,
                               size_t cap)
{
    uint8_t buf[CONFIG_MAX];
    struct wr w = wr_of(buf, sizeof buf);
    struct json_wr j = json_wr_of(&w);
    json_obj_open(&j);
    json_name(&j, "name");
    json_put_str(&j, c->name);
    json_name(&j, "tenant");
    json_put_str(&j, c->tenant);
    json_name(&j, "port");
    json_put_int(&j, c->port);
    json_name(&j, "region");
    json_put_str(&j, c->region);
    json_name(&j, "loops");
    json_put_int(&j, c->loops);
    if (c->cpus[0] != '\0') {
        json_name(&j, "cpus");
        json_put_str(&j, c->cpus);
    }
    if (c->metrics_port != CONFIG_NO_METRICS) {
        json_name(&j, "metricsPort");
        json_put_int(&j, c->metrics_port);
    }
    json_obj_close(&j);
    wr_str(&w, "\n");
    TRY(wr_ok(&w));
    hsm_err err = file_replace(path, wr_view(&w), 0600);
    if (err != HSM_OK)
        (void)snprintf(text, cap, "cannot write %s: %s", path, strerror(errno));
    return err;
}
