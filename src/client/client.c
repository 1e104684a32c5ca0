#include "client/client.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/secret.h"
#include "codec/json.h"

#define BODY_MAX  (4u << 20)
#define TOKEN_MAX 16384

struct client {
    CURL *curl;
    char pool_url[300], origin[300], tenant[64], client_id[64], client_secret[256];
    char ca_file[4096], proxy[300], api_version[32];
    char token[TOKEN_MAX];
    uint8_t *body;
    size_t body_n;
    char async_url[512];
    char error[1024];
};

static bool copy(char *dst, size_t cap, const char *src)
{
    int n = snprintf(dst, cap, "%s", src != NULL ? src : "");
    return n >= 0 && (size_t)n < cap;
}

hsm_err client_new(const struct client_config *cfg, struct client **ret)
{
    struct client *c = calloc(1, sizeof *c);
    if (c == NULL)
        return HSM_E_NOMEM;
    c->body = malloc(BODY_MAX + 1);
    c->curl = curl_easy_init();
    if (c->body == NULL || c->curl == NULL ||
        !copy(c->pool_url, sizeof c->pool_url, cfg->pool_url) ||
        !copy(c->origin, sizeof c->origin, cfg->origin) ||
        !copy(c->tenant, sizeof c->tenant, cfg->tenant) ||
        !copy(c->client_id, sizeof c->client_id, cfg->client_id) ||
        !copy(c->client_secret, sizeof c->client_secret, cfg->client_secret) ||
        !copy(c->ca_file, sizeof c->ca_file, cfg->ca_file) ||
        !copy(c->proxy, sizeof c->proxy, cfg->proxy) ||
        !copy(c->api_version, sizeof c->api_version,
              cfg->api_version != NULL ? cfg->api_version : CLIENT_API_VERSION)) {
        client_free(c);
        return HSM_E_NOMEM;
    }
    *ret = c;
    return HSM_OK;
}

void client_free(struct client *c)
{
    if (c == NULL)
        return;
    if (c->curl != NULL)
        curl_easy_cleanup(c->curl);
    if (c->body != NULL)
        secret_wipe(c->body, BODY_MAX);
    free(c->body);
    secret_wipe(c, sizeof *c);
    free(c);
}

const char *client_error(const struct client *c)
{
    return c->error;
}

static size_t on_body(char *p, size_t size, size_t n, void *ctx)
{
    struct client *c = ctx;
    size_t len = size * n;
    if (len > BODY_MAX - c->body_n)
        return 0;
    memcpy(c->body + c->body_n, p, len);
    c->body_n += len;
    return len;
}

static size_t on_header(char *p, size_t size, size_t n, void *ctx)
{
    static const char name[] = "azure-asyncoperation:";
    struct client *c = ctx;
    struct bytes line = bytes_of(p, size * n);
    if (line.n > sizeof name - 1 && bytes_ieq(bytes_of(line.p, sizeof name - 1), bytes_str(name))) {
        size_t from = sizeof name - 1, to = line.n;
        while (from < to && line.p[from] == ' ')
            from++;
        while (to > from && (line.p[to - 1] == '\r' || line.p[to - 1] == '\n'))
            to--;
        if (to - from < sizeof c->async_url) {
            memcpy(c->async_url, line.p + from, to - from);
            c->async_url[to - from] = '\0';
        }
    }
    return size * n;
}

/* What failed, for client_error(). */
static hsm_err fail(struct client *c, hsm_err err, const char *text)
{
    (void)snprintf(c->error, sizeof c->error, "%s", text);
    return err;
}

static hsm_err perform(struct client *c, const char *url, long *ret_status)
{
    CURL *h = c->curl;
    c->body_n = 0;
    c->async_url[0] = '\0';
    curl_easy_setopt(h, CURLOPT_URL, url);
    curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "https");
    curl_easy_setopt(h, CURLOPT_CAINFO, c->ca_file);
    curl_easy_setopt(h, CURLOPT_PROXY, c->proxy);
    curl_easy_setopt(h, CURLOPT_NOPROXY, "");
    curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(h, CURLOPT_WRITEDATA, c);
    curl_easy_setopt(h, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(h, CURLOPT_HEADERDATA, c);
    curl_easy_setopt(h, CURLOPT_TIMEOUT, 120L);
    curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
    CURLcode rc = curl_easy_perform(h);
    if (rc != CURLE_OK) {
        (void)snprintf(c->error, sizeof c->error, "%s: %s; is the pool running (`keyhold status`)?",
                       url, curl_easy_strerror(rc));
        return HSM_E_IO;
    }
    curl_easy_getinfo(h, CURLINFO_RESPONSE_CODE, ret_status);
    c->body[c->body_n] = '\0';
    return HSM_OK;
}

static hsm_err take_token(struct client *c)
{
    struct json_tok toks[64];
    struct json_doc d;
    size_t n;
    TRY(json_parse(bytes_of(c->body, c->body_n), toks, 64, &d));
    TRY(json_string(&d, json_get_nn(&d, 0, "access_token"), c->token, sizeof c->token - 1, &n));
    c->token[n] = '\0';
    return HSM_OK;
}

/* Audience: the pool's host without its first label, as in the service's challenge. */
static hsm_err login(struct client *c)
{
    char url[512], form[2048];
    /* The control origin is an audience of its own. */
    bool is_origin = strcmp(c->pool_url, c->origin) == 0;
    const char *dot = strchr(c->pool_url, is_origin ? '/' : '.');
    long status;
    if (dot == NULL) {
        (void)snprintf(c->error, sizeof c->error, "%s is not a pool's URL", c->pool_url);
        return HSM_E_BAD_PARAMETER;
    }
    char *secret = curl_easy_escape(c->curl, c->client_secret, 0);
    int n = snprintf(form, sizeof form,
                     "grant_type=client_credentials&client_id=%s&client_secret=%s"
                     "&scope=https%%3A%%2F%%2F%s%%2F.default",
                     c->client_id, secret != NULL ? secret : "", dot + (is_origin ? 2 : 1));
    curl_free(secret);
    if (n < 0 || (size_t)n >= sizeof form ||
        snprintf(url, sizeof url, "%s/%s/oauth2/v2.0/token", c->origin, c->tenant) >=
            (int)sizeof url)
        return fail(c, HSM_E_RANGE, "client id, secret or origin is too long");
    curl_easy_reset(c->curl);
    curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, form);
    hsm_err err = perform(c, url, &status);
    secret_wipe(form, sizeof form);
    if (err != HSM_OK)
        return err;
    if (status == 200) /* the body holds a token: not for the error text */
        return take_token(c) == HSM_OK
                   ? HSM_OK
                   : fail(c, HSM_E_MALFORMED,
                          "the identity provider's answer holds no usable token");
    (void)snprintf(c->error, sizeof c->error,
                   "login was refused (HTTP %ld): %.600s; check the client id and secret of "
                   "`keyhold env`",
                   status, (const char *)c->body);
    return HSM_E_TOKEN_MISSING;
}

static hsm_err call_url(struct client *c, const char *method, const char *url, const char *json,
                        struct client_answer *ret)
{
    if (c->token[0] == '\0')
        TRY(login(c));
    char auth[TOKEN_MAX + 32];
    struct client_answer a = {0};
    (void)snprintf(auth, sizeof auth, "Authorization: Bearer %s", c->token);
    struct curl_slist *headers = curl_slist_append(NULL, auth);
    secret_wipe(auth, sizeof auth);
    headers = curl_slist_append(headers, "Content-Type: application/json");
    headers = curl_slist_append(headers, "User-Agent: keyhold/" KEYHOLD_VERSION);
    curl_easy_reset(c->curl);
    curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(c->curl, CURLOPT_CUSTOMREQUEST, method);
    if (json != NULL || strcmp(method, "POST") == 0)
        curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, json != NULL ? json : "");
    hsm_err err = perform(c, url, &a.status);
    curl_slist_free_all(headers);
    if (err != HSM_OK)
        return err;
    a.body = bytes_of(c->body, c->body_n);
    memcpy(a.async_url, c->async_url, sizeof a.async_url);
    *ret = a;
    return HSM_OK;
}

hsm_err client_call(struct client *c, const char *method, const char *path, const char *json,
                    struct client_answer *ret)
{
    char url[2048];
    int n = snprintf(url, sizeof url, "%s%s%sapi-version=%s", c->pool_url, path,
                     strchr(path, '?') != NULL ? "&" : "?", c->api_version);
    if (n < 0 || (size_t)n >= sizeof url)
        return fail(c, HSM_E_RANGE, "the names are too long for one request");
    return call_url(c, method, url, json, ret);
}

hsm_err client_get_url(struct client *c, const char *url, struct client_answer *ret)
{
    size_t n = strlen(c->pool_url);
    if (strlen(url) <= n || url[n] != '/' || !bytes_ieq(bytes_of(url, n), bytes_str(c->pool_url)))
        return fail(c, HSM_E_MISDIRECTED, "the answer names another host; the token stays here");
    return call_url(c, "GET", url, NULL, ret);
}
