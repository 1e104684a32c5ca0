#include "boundary/auth.h"

#include <stdio.h>
#include <stdlib.h>
#include "base/uuid.h"
#include "codec/json.h"
#include "codec/oidc.h"
#include "codec/url.h"

#define CONFIG_TOKENS 256
#define ROOTS_MAX     (256u * 1024u)

static hsm_err bad(char *why, size_t cap, const char *text)
{
    snprintf(why, cap, "%s", text);
    return HSM_E_BAD_PARAMETER;
}

/* A string member without control characters into dst[cap], terminated. */
static hsm_err text_of(const struct json_doc *d, uint32_t v, char *dst, size_t cap)
{
    size_t n;
    if (v == JSON_NONE || json_string(d, v, dst, cap - 1, &n) != HSM_OK || n == 0)
        return HSM_E_BAD_PARAMETER;
    dst[n] = 0;
    for (size_t i = 0; i < n; i++) {
        if ((uint8_t)dst[i] <= 0x20 || (uint8_t)dst[i] >= 0x7f)
            return HSM_E_BAD_PARAMETER;
    }
    return HSM_OK;
}

/* A host name without port, lower-cased. */
static hsm_err host_of(const struct json_doc *d, uint32_t v, char host[256])
{
    char text[256];
    uint16_t port;
    TRY(text_of(d, v, text, sizeof text));
    if (host_parse(bytes_str(text), host, &port) != HSM_OK || port != 0)
        return HSM_E_BAD_PARAMETER;
    return HSM_OK;
}

static hsm_err roots_of(const struct json_doc *d, uint32_t v, char **ret)
{
    if (v == JSON_NONE)
        return HSM_E_BAD_PARAMETER;
    size_t cap = json_raw(d, v).n;
    if (cap > ROOTS_MAX)
        return HSM_E_BAD_PARAMETER;
    char *pem = malloc(cap + 1);
    size_t n;
    if (pem == NULL)
        return HSM_E_NOMEM;
    if (json_string(d, v, pem, cap, &n) != HSM_OK || n == 0) {
        free(pem);
        return HSM_E_BAD_PARAMETER;
    }
    pem[n] = 0;
    *ret = pem;
    return HSM_OK;
}

/* {"issuer","audience","roots"[,"tenant"]} */
static hsm_err parse_external(const struct json_doc *d, uint32_t v, struct auth_issuer *i,
                              char *why, size_t cap)
{
    struct bytes text;
    struct uuid tenant;
    i->is_external = true;
    if (oidc_issuer_parse(bytes_str(i->issuer), i->host, &i->port, i->path) != HSM_OK)
        return bad(why, cap, "auth.issuers: an external issuer must be an https URL");
    if (text_of(d, json_get(d, v, "audience"), i->audience, sizeof i->audience) != HSM_OK)
        return bad(why, cap, "auth.issuers: audience must be a text of 1 to 255 characters");
    uint32_t t = json_get(d, v, "tenant");
    if (t != JSON_NONE) {
        if (json_plain(d, t, &text) != HSM_OK || uuid_parse(text, &tenant) != HSM_OK)
            return bad(why, cap, "auth.issuers: tenant must be a GUID");
        uuid_format(&tenant, i->tenant);
    }
    if (json_count(d, v) != (t != JSON_NONE ? 4u : 3u))
        return bad(why, cap,
                   "auth.issuers: an external issuer has issuer, audience, roots and tenant only");
    return HSM_OK;
}

static hsm_err parse_address(const struct json_doc *d, uint32_t v, struct auth_issuer *i, char *why,
                             size_t cap)
{
    int64_t port;
    if (host_of(d, json_get(d, v, "host"), i->host) != HSM_OK)
        return bad(why, cap, "auth.issuers: host must be a host name");
    uint32_t p = json_get(d, v, "port");
    if (p == JSON_NONE || json_int(d, p, &port) != HSM_OK || port < 1 || port > 65535)
        return bad(why, cap, "auth.issuers: port must be a number from 1 to 65535");
    i->port = (uint16_t)port;
    if (text_of(d, json_get(d, v, "path"), i->path, sizeof i->path) != HSM_OK || i->path[0] != '/')
        return bad(why, cap, "auth.issuers: path must start with '/'");
    return HSM_OK;
}

static hsm_err parse_issuer(const struct json_doc *d, uint32_t v, struct auth_issuer *i, char *why,
                            size_t cap)
{
    if (json_type_of(d, v) != JSON_OBJECT)
        return bad(why, cap, "auth.issuers: an issuer must be an object");
    if (text_of(d, json_get(d, v, "issuer"), i->issuer, sizeof i->issuer) != HSM_OK)
        return bad(why, cap, "auth.issuers: issuer must be a text of 1 to 255 characters");
    TRY(json_get(d, v, "audience") != JSON_NONE ? parse_external(d, v, i, why, cap)
                                                : parse_address(d, v, i, why, cap));
    hsm_err err = roots_of(d, json_get(d, v, "roots"), &i->roots_pem);
    if (err == HSM_E_BAD_PARAMETER)
        return bad(why, cap, "auth.issuers: roots must be a text with PEM certificates");
    return err;
}

static hsm_err parse_issuers(const struct json_doc *d, struct auth_config *c, char *why, size_t cap)
{
    uint32_t list = json_get(d, 0, "issuers");
    if (list == JSON_NONE || json_type_of(d, list) != JSON_ARRAY || json_count(d, list) == 0 ||
        json_count(d, list) > AUTH_ISSUERS_MAX)
        return bad(why, cap, "auth.issuers must be an array of 1 to 4 issuers");
    for (uint32_t v = json_first(d, list); v != JSON_NONE; v = json_next(d, list, v)) {
        struct auth_issuer *i = &c->issuer[c->issuer_n];
        c->issuer_n++; /* before: what it holds is freed also after a failure */
        TRY(parse_issuer(d, v, i, why, cap));
        for (unsigned k = 0; k + 1 < c->issuer_n; k++) {
            if (strcmp(c->issuer[k].issuer, i->issuer) == 0)
                return bad(why, cap, "auth.issuers: the same issuer twice");
        }
    }
    return HSM_OK;
}

static hsm_err parse_audiences(const struct json_doc *d, struct auth_config *c, char *why,
                               size_t cap)
{
    uint32_t list = json_get(d, 0, "audienceHosts");
    if (list == JSON_NONE || json_type_of(d, list) != JSON_ARRAY || json_count(d, list) == 0 ||
        json_count(d, list) > AUTH_AUDIENCES_MAX)
        return bad(why, cap, "auth.audienceHosts must be an array of 1 to 8 host names");
    for (uint32_t v = json_first(d, list); v != JSON_NONE; v = json_next(d, list, v)) {
        if (host_of(d, v, c->audience_host[c->audience_n]) != HSM_OK)
            return bad(why, cap, "auth.audienceHosts: a host name without port is expected");
        c->audience_n++;
    }
    return HSM_OK;
}

/* The tenant may also be given by the caller, from where the pool's other settings are. */
static hsm_err parse_tenant(const struct json_doc *d, struct auth_config *c, char *why, size_t cap)
{
    uint32_t v = json_get(d, 0, "tenant");
    struct bytes text;
    struct uuid tenant;
    if (v == JSON_NONE)
        return HSM_OK;
    if (json_plain(d, v, &text) != HSM_OK || uuid_parse(text, &tenant) != HSM_OK)
        return bad(why, cap, "auth.tenant must be a GUID");
    uuid_format(&tenant, c->tenant);
    return HSM_OK;
}

hsm_err auth_config_parse(struct bytes json, struct auth_config *ret, char *why, size_t cap)
{
    struct json_tok toks[CONFIG_TOKENS];
    struct json_doc d;
    struct auth_config c = {0};
    if (json_parse(json, toks, CONFIG_TOKENS, &d) != HSM_OK || json_type_of(&d, 0) != JSON_OBJECT)
        return bad(why, cap, "auth must be a JSON object");
    hsm_err err = parse_tenant(&d, &c, why, cap);
    if (err == HSM_OK)
        err = parse_audiences(&d, &c, why, cap);
    if (err == HSM_OK)
        err = parse_issuers(&d, &c, why, cap);
    if (err != HSM_OK) {
        auth_config_done(&c);
        return err;
    }
    *ret = c;
    return HSM_OK;
}

void auth_config_done(struct auth_config *c)
{
    for (unsigned i = 0; i < c->issuer_n; i++)
        free(c->issuer[i].roots_pem);
    *c = (struct auth_config){0};
}
