#include "gateway/issuer_hosts.h"

#include <stdlib.h>
#include <unistd.h>
#include "base/file.h"
#include "codec/json.h"
#include "codec/oidc.h"

#define TOKENS_MAX 1024
#define FILE_MAX   131072

static hsm_err take(const struct json_doc *d, uint32_t v, struct issuer_hosts *h)
{
    char url[512], path[OIDC_PATH_MAX];
    size_t n = 0;
    uint32_t issuer = json_get(d, v, "issuer");
    if (json_get(d, v, "audience") == JSON_NONE)
        return HSM_OK; /* the installation's own */
    if (issuer == JSON_NONE || h->n == ISSUER_HOSTS_MAX ||
        json_string(d, issuer, url, sizeof url, &n) != HSM_OK)
        return HSM_E_MALFORMED;
    TRY(oidc_issuer_parse(bytes_of(url, n), h->at[h->n].host, &h->at[h->n].port, path));
    h->n++;
    return HSM_OK;
}

hsm_err issuer_hosts_parse(struct bytes json, struct issuer_hosts *ret)
{
    static struct json_tok tok[TOKENS_MAX];
    struct json_doc d;
    struct issuer_hosts h = {.n = 0};
    if (json_parse(json, tok, TOKENS_MAX, &d) != HSM_OK || json_type_of(&d, 0) != JSON_OBJECT)
        return HSM_E_MALFORMED;
    uint32_t list = json_get(&d, json_get(&d, 0, "auth"), "issuers");
    for (uint32_t v = list == JSON_NONE ? JSON_NONE : json_first(&d, list); v != JSON_NONE;
         v = json_next(&d, list, v))
        TRY(take(&d, v, &h));
    *ret = h;
    return HSM_OK;
}

hsm_err issuer_hosts_read(const char *path, struct issuer_hosts *ret)
{
    size_t n = 0;
    *ret = (struct issuer_hosts){.n = 0};
    if (access(path, F_OK) != 0)
        return HSM_OK;
    uint8_t *text = malloc(FILE_MAX);
    if (text == NULL)
        return HSM_E_NOMEM;
    hsm_err e = file_read(path, text, FILE_MAX, &n);
    if (e == HSM_OK)
        e = issuer_hosts_parse(bytes_of(text, n), ret);
    free(text);
    return e;
}

bool issuer_hosts_has(const struct issuer_hosts *h, const char *host, uint16_t port)
{
    for (size_t i = 0; i < h->n; i++) {
        if (h->at[i].port == port && strcmp(h->at[i].host, host) == 0)
            return true;
    }
    return false;
}
