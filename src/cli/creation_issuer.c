/* --issuer: whose tokens a new pool accepts besides those of the installation. */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/uuid.h"
#include "cli/creation.h"
#include "codec/oidc.h"

#define ISSUERS_MAX 3 /* the boundary has four, one is the installation's own */
#define TEXT_MAX    255
#define ROOTS_MAX   32768

struct words {
    char url[TEXT_MAX + 1], audience[TEXT_MAX + 1], roots[PATH_MAX], tenant[UUID_TEXT_LEN + 1];
};

static const char *take_part(const char *part, size_t n, struct words *w)
{
    static const char *const names[] = {"audience=", "roots=", "tenant="};
    char *const to[] = {w->audience, w->roots, w->tenant};
    const size_t caps[] = {sizeof w->audience, sizeof w->roots, sizeof w->tenant};
    for (size_t i = 0; i < 3; i++) {
        size_t k = strlen(names[i]);
        if (n <= k || strncmp(part, names[i], k) != 0)
            continue;
        if (n - k >= caps[i])
            return "--issuer: a part is too long";
        memcpy(to[i], part + k, n - k);
        to[i][n - k] = 0;
        return NULL;
    }
    return "--issuer: URL,audience=AUD,roots=PEMFILE[,tenant=GUID]";
}

static const char *take_words(const char *word, struct words *w)
{
    size_t n = strcspn(word, ",");
    char host[256], path[OIDC_PATH_MAX];
    uint16_t port;
    struct uuid tenant;
    if (n > TEXT_MAX || oidc_issuer_parse(bytes_of(word, n), host, &port, path) != HSM_OK)
        return "--issuer: begins with the issuer's https URL";
    memcpy(w->url, word, n);
    while (word[n] == ',') {
        word += n + 1;
        n = strcspn(word, ",");
        const char *wrong = take_part(word, n, w);
        if (wrong != NULL)
            return wrong;
    }
    if (w->audience[0] == 0 || w->roots[0] == 0)
        return "--issuer: audience=AUD and roots=PEMFILE are needed";
    if (w->tenant[0] != 0 && uuid_parse(bytes_str(w->tenant), &tenant) != HSM_OK)
        return "--issuer: tenant must be a GUID";
    return NULL;
}

const char *creation_issuers(const struct arg *words, struct bytes *ret)
{
    static uint8_t json[98304], roots[ROOTS_MAX];
    struct wr w = wr_of(json, sizeof json);
    struct json_wr j = json_wr_of(&w);
    *ret = bytes_of(NULL, 0);
    if (!words->given)
        return NULL;
    if (words->list_n == 0 || words->list_n > ISSUERS_MAX)
        return "--issuer: 1 to 3 issuers";
    for (size_t i = 0; i < words->list_n; i++) {
        struct words one = {.url = ""};
        size_t n = 0;
        const char *wrong = take_words(words->list[i], &one);
        if (wrong != NULL)
            return wrong;
        if (file_read(one.roots, roots, sizeof roots, &n) != HSM_OK)
            return "--issuer: the file of roots cannot be read";
        json_obj_open(&j);
        json_name(&j, "issuer"), json_put_str(&j, one.url);
        json_name(&j, "audience"), json_put_str(&j, one.audience);
        json_name(&j, "roots"), json_put_bytes(&j, bytes_of(roots, n));
        if (one.tenant[0] != 0)
            json_name(&j, "tenant"), json_put_str(&j, one.tenant);
        json_obj_close(&j);
    }
    if (wr_ok(&w) != HSM_OK)
        return "--issuer: the roots are too large";
    *ret = wr_view(&w);
    return NULL;
}
