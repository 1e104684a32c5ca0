#include "fabric/identity/token_request.h"

#include "base/uuid.h"
#include "codec/base64url.h"
#include "codec/url.h"

struct form {
    struct url_param param[TOKEN_REQUEST_PARAMS_MAX];
    size_t n;
};

static struct bytes form_get(const struct form *f, const char *name)
{
    for (size_t i = 0; i < f->n; i++) {
        if (bytes_eq_str(f->param[i].name, name))
            return f->param[i].value;
    }
    return (struct bytes){0};
}

/* An empty parameter counts as absent (RFC 6749 §3.2). */
static struct bytes form_take(const struct form *f, const char *name)
{
    struct bytes v = form_get(f, name);
    return v.n > 0 ? v : (struct bytes){0};
}

static bool is_form(struct bytes content_type)
{
    static const char want[] = "application/x-www-form-urlencoded";
    const size_t n = sizeof want - 1;
    if (content_type.n < n || !bytes_ieq(bytes_of(content_type.p, n), bytes_str(want)))
        return false;
    return content_type.n == n || content_type.p[n] == ';' || content_type.p[n] == ' ';
}

bool token_resource_is_valid(struct bytes r)
{
    struct uuid u;
    if (uuid_parse(r, &u) == HSM_OK)
        return true;
    if (r.n == 0 || r.n > TOKEN_RESOURCE_MAX)
        return false;
    for (size_t i = 0; i < r.n; i++) {
        if (r.p[i] <= ' ' || r.p[i] >= 0x7f || strchr("\"'<>\\^`{|}?#", r.p[i]) != NULL)
            return false;
    }
    static const char *const schemes[] = {"https://", "http://", "api://"};
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        size_t k = strlen(schemes[i]);
        if (r.n > k && memcmp(r.p, schemes[i], k) == 0)
            return true;
    }
    return false;
}

/* RESOURCE of RESOURCE/.default or, for users, RESOURCE/permission. */
static struct bytes resource_of_scope(struct bytes s, bool is_app)
{
    static const char suffix[] = "/.default";
    const size_t k = sizeof suffix - 1;
    if (s.n > k && memcmp(s.p + s.n - k, suffix, k) == 0)
        return bytes_of(s.p, s.n - k);
    if (is_app)
        return (struct bytes){0};
    for (size_t i = s.n; i > 1; i--) {
        if (s.p[i - 1] == '/')
            return bytes_of(s.p, i - 1);
    }
    return (struct bytes){0};
}

static bool is_openid_scope(struct bytes s)
{
    return bytes_eq_str(s, "openid") || bytes_eq_str(s, "profile") || bytes_eq_str(s, "email");
}

static enum token_fault parse_scope(struct token_request *q)
{
    struct bytes rest = q->scope;
    q->wants_refresh = rest.n == 0;
    while (rest.n > 0) {
        size_t n = 0;
        while (n < rest.n && rest.p[n] != ' ')
            n++;
        struct bytes one = bytes_of(rest.p, n);
        rest = bytes_of(rest.p + n, rest.n - n);
        while (rest.n > 0 && rest.p[0] == ' ')
            rest = bytes_of(rest.p + 1, rest.n - 1);
        if (n == 0)
            continue;
        if (is_openid_scope(one)) {
            q->wants_openid = true;
            continue;
        }
        if (bytes_eq_str(one, "offline_access")) {
            q->wants_refresh = true;
            continue;
        }
        struct bytes r = resource_of_scope(one, q->grant == GRANT_CLIENT_CREDENTIALS);
        if (!token_resource_is_valid(r) || (q->resource.p != NULL && !bytes_eq(q->resource, r)))
            return TOKEN_SCOPE;
        q->resource = r;
    }
    return TOKEN_OK;
}

static enum token_fault take_resource(struct token_request *q)
{
    /* The version 1 endpoint takes "resource"; its scope list then holds names only. */
    if (q->resource.p != NULL) {
        q->wants_refresh = true;
        q->wants_openid = q->scope.n > 0;
        return token_resource_is_valid(q->resource) ? TOKEN_OK : TOKEN_RESOURCE;
    }
    if (q->scope.p == NULL && q->grant == GRANT_CLIENT_CREDENTIALS)
        return TOKEN_NO_SCOPE;
    enum token_fault e = parse_scope(q);
    if (e != TOKEN_OK)
        return e;
    return q->resource.p == NULL && q->grant == GRANT_CLIENT_CREDENTIALS ? TOKEN_SCOPE : TOKEN_OK;
}

static enum token_fault parse_resource(const struct form *f, struct token_request *q)
{
    q->scope = form_take(f, "scope");
    q->resource = form_take(f, "resource");
    return take_resource(q);
}

enum token_fault token_request_scope(struct token_request *q, struct bytes scope,
                                     struct bytes resource)
{
    struct token_request r = *q;
    r.scope = scope;
    r.resource = resource;
    r.wants_openid = r.wants_refresh = false;
    enum token_fault e = take_resource(&r);
    if (e == TOKEN_OK)
        *q = r;
    return e;
}

/* "Basic base64(id:secret)", both percent-encoded (RFC 6749 §2.3.1). Decoding as a form field does
 * exactly that; a separator of forms inside it is refused by the field count. */
static enum token_fault parse_basic(struct bytes authorization, uint8_t *buf, size_t cap,
                                    struct token_request *q)
{
    static const char scheme[] = "Basic ";
    const size_t k = sizeof scheme - 1;
    if (authorization.n <= k || !bytes_ieq(bytes_of(authorization.p, k), bytes_str(scheme)))
        return TOKEN_BODY;
    struct bytes text = bytes_of(authorization.p + k, authorization.n - k);
    uint8_t raw[1024], form_text[1024 + 8];
    size_t n = 0;
    if (b64_decoded_max(text.n) > sizeof raw || b64_decode(raw, text, &n) != HSM_OK)
        return TOKEN_BODY;
    const uint8_t *colon = memchr(raw, ':', n);
    if (colon == NULL)
        return TOKEN_BODY;
    struct wr w = wr_of(form_text, sizeof form_text);
    wr_str(&w, "i=");
    wr_bytes(&w, raw, (size_t)(colon - raw));
    wr_str(&w, "&s=");
    wr_bytes(&w, colon + 1, n - (size_t)(colon - raw) - 1);
    struct url_param param[3];
    size_t param_n = 0;
    if (wr_ok(&w) != HSM_OK || form_parse(wr_view(&w), buf, cap, param, 3, &param_n) != HSM_OK ||
        param_n != 2 || !bytes_eq_str(param[0].name, "i") || !bytes_eq_str(param[1].name, "s"))
        return TOKEN_BODY;
    if ((q->client_id.p != NULL && !bytes_eq(q->client_id, param[0].value)) ||
        q->client_secret.p != NULL)
        return TOKEN_TWO_CLIENTS;
    q->client_id = param[0].value;
    q->client_secret = param[1].value;
    return TOKEN_OK;
}

#define DEVICE_CODE_GRANT "urn:ietf:params:oauth:grant-type:device_code"
#define JWT_BEARER        "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

static enum token_fault parse_grant(struct bytes grant, enum token_grant *ret)
{
    static const char *const names[] = {[GRANT_CLIENT_CREDENTIALS] = "client_credentials",
                                        [GRANT_PASSWORD] = "password",
                                        [GRANT_REFRESH_TOKEN] = "refresh_token",
                                        [GRANT_DEVICE_CODE] = DEVICE_CODE_GRANT,
                                        [GRANT_CODE] = "authorization_code"};
    if (grant.n == 0)
        return TOKEN_NO_GRANT;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (bytes_eq_str(grant, names[i])) {
            *ret = (enum token_grant)i;
            return TOKEN_OK;
        }
    }
    /* as version 1 of the endpoint calls it */
    *ret = GRANT_DEVICE_CODE;
    return bytes_eq_str(grant, "device_code") ? TOKEN_OK : TOKEN_GRANT;
}

static enum token_fault parse_proof(const struct form *f, struct token_request *q)
{
    switch (q->grant) {
    case GRANT_CLIENT_CREDENTIALS:
        return TOKEN_OK;
    case GRANT_PASSWORD:
        q->username = form_take(f, "username");
        q->password = form_take(f, "password");
        return q->username.p == NULL || q->password.p == NULL ? TOKEN_NO_USER : TOKEN_OK;
    case GRANT_REFRESH_TOKEN:
        q->refresh_token = form_take(f, "refresh_token");
        return q->refresh_token.p == NULL ? TOKEN_NO_REFRESH : TOKEN_OK;
    case GRANT_DEVICE_CODE:
        q->device_code = form_take(f, "device_code");
        if (q->device_code.p == NULL) /* version 1 */
            q->device_code = form_take(f, "code");
        return q->device_code.p == NULL ? TOKEN_NO_DEVICE_CODE : TOKEN_OK;
    case GRANT_CODE:
        q->code = form_take(f, "code");
        q->redirect_uri = form_take(f, "redirect_uri");
        q->code_verifier = form_take(f, "code_verifier");
        return q->code.p == NULL || q->redirect_uri.p == NULL ? TOKEN_NO_CODE : TOKEN_OK;
    }
    return TOKEN_GRANT;
}

static enum token_fault parse_credentials(const struct form *f, struct token_request *q)
{
    struct bytes type = form_take(f, "client_assertion_type");
    q->client_assertion = form_take(f, "client_assertion");
    if ((q->client_assertion.p != NULL) != (type.p != NULL) ||
        (type.p != NULL && !bytes_eq_str(type, JWT_BEARER)))
        return TOKEN_ASSERTION;
    if (q->client_assertion.p != NULL && q->client_secret.p != NULL)
        return TOKEN_TWO_CLIENTS;
    return q->client_id.n == 0 ? TOKEN_NO_CLIENT : parse_proof(f, q);
}

enum token_fault token_request_parse(struct bytes content_type, struct bytes authorization,
                                     struct bytes body, uint8_t *buf, size_t cap,
                                     struct token_request *ret)
{
    struct form f;
    struct token_request q = {0};
    if (!is_form(content_type) || cap < TOKEN_REQUEST_BUF(body.n, authorization.n) ||
        form_parse(body, buf, body.n, f.param, TOKEN_REQUEST_PARAMS_MAX, &f.n) != HSM_OK)
        return TOKEN_BODY;
    enum token_fault e = parse_grant(form_take(&f, "grant_type"), &q.grant);
    if (e != TOKEN_OK)
        return e;
    q.client_id = form_take(&f, "client_id");
    q.client_secret = form_take(&f, "client_secret");
    if (authorization.n > 0)
        e = parse_basic(authorization, buf + body.n, cap - body.n, &q);
    if (e == TOKEN_OK)
        e = parse_credentials(&f, &q);
    if (e == TOKEN_OK)
        e = parse_resource(&f, &q);
    if (e == TOKEN_OK)
        *ret = q;
    return e;
}
