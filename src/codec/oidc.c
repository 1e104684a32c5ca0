#include "codec/oidc.h"

#include <stdio.h>
#include "codec/json.h"
#include "codec/url.h"

#define TOKENS_MAX 1024
#define WELL_KNOWN "/.well-known/openid-configuration"

/* A URL without blanks, quotes, user info and fragment, cut into authority and the rest. */
static hsm_err cut(struct bytes url, char host[256], uint16_t *ret_port, struct bytes *ret_rest)
{
    static const char scheme[] = "https://";
    const size_t n = sizeof scheme - 1;
    if (url.n <= n || !bytes_ieq(bytes_of(url.p, n), bytes_str(scheme)))
        return HSM_E_MALFORMED;
    for (size_t i = 0; i < url.n; i++) {
        if (url.p[i] <= 0x20 || url.p[i] >= 0x7f || strchr("\"'<>\\^`{|}#", url.p[i]) != NULL)
            return HSM_E_MALFORMED;
    }
    struct bytes rest = bytes_of(url.p + n, url.n - n);
    size_t k = 0;
    while (k < rest.n && rest.p[k] != '/' && rest.p[k] != '?')
        k++;
    TRY(host_parse(bytes_of(rest.p, k), host, ret_port));
    if (*ret_port == 0)
        *ret_port = 443;
    *ret_rest = bytes_of(rest.p + k, rest.n - k);
    return HSM_OK;
}

hsm_err oidc_issuer_parse(struct bytes url, char host[256], uint16_t *ret_port,
                          char path[OIDC_PATH_MAX])
{
    struct bytes rest;
    TRY(cut(url, host, ret_port, &rest));
    if (rest.n > 0 && memchr(rest.p, '?', rest.n) != NULL)
        return HSM_E_MALFORMED;
    while (rest.n > 0 && rest.p[rest.n - 1] == '/')
        rest.n--;
    int n = snprintf(path, OIDC_PATH_MAX, "%.*s" WELL_KNOWN, (int)rest.n,
                     rest.n > 0 ? (const char *)rest.p : "");
    return n > 0 && n < OIDC_PATH_MAX ? HSM_OK : HSM_E_MALFORMED;
}

hsm_err oidc_metadata_parse(struct bytes json, const char *issuer, char path[OIDC_PATH_MAX])
{
    struct json_tok tok[TOKENS_MAX];
    struct json_doc d;
    char text[1024], own_host[256], host[256], own_path[OIDC_PATH_MAX];
    uint16_t own_port, port;
    struct bytes rest;
    size_t n = 0;
    if (json_parse(json, tok, TOKENS_MAX, &d) != HSM_OK || json_type_of(&d, 0) != JSON_OBJECT)
        return HSM_E_MALFORMED;
    uint32_t v = json_get_nn(&d, 0, "issuer"), keys = json_get_nn(&d, 0, "jwks_uri");
    if (v == JSON_NONE || keys == JSON_NONE ||
        json_string(&d, v, text, sizeof text, &n) != HSM_OK ||
        !bytes_eq(bytes_of(text, n), bytes_str(issuer)))
        return HSM_E_MALFORMED;
    TRY(oidc_issuer_parse(bytes_str(issuer), own_host, &own_port, own_path));
    if (json_string(&d, keys, text, sizeof text, &n) != HSM_OK)
        return HSM_E_MALFORMED;
    TRY(cut(bytes_of(text, n), host, &port, &rest));
    if (strcmp(host, own_host) != 0 || port != own_port)
        return HSM_E_MISDIRECTED;
    if (rest.n == 0 || rest.p[0] != '/' || rest.n >= OIDC_PATH_MAX)
        return HSM_E_MALFORMED;
    memcpy(path, rest.p, rest.n);
    path[rest.n] = 0;
    return HSM_OK;
}
