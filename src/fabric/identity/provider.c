#include "fabric/identity/provider.h"

#include <stdio.h>
#include <strings.h>
#include "base/secret.h"
#include "codec/json.h"

/* What a user gets who asked for no resource: Microsoft Graph. */
#define GRAPH_RESOURCE "00000003-0000-0000-c000-000000000000"

hsm_err provider_load(const char *dir, uint64_t now_ms, struct provider *ret)
{
    *ret = (struct provider){0};
    TRY(guess_limit_init(&ret->guesses));
    TRY(directory_load_or_create(dir, now_ms, &ret->dir));
    hsm_err e = signing_load_or_create(dir, &ret->key);
    if (e != HSM_OK)
        directory_done(&ret->dir);
    ret->people = directory_people(&ret->dir);
    return e;
}

void provider_done(struct provider *p)
{
    directory_done(&p->dir);
    signing_done(&p->key);
}

static void put(struct json_wr *j, const char *name, const char *value)
{
    json_name(j, name);
    json_put_str(j, value);
}

static void put_view(struct json_wr *j, const char *name, struct bytes value)
{
    json_name(j, name);
    json_put_bytes(j, value);
}

static void put_int(struct json_wr *j, const char *name, uint64_t value)
{
    json_name(j, name);
    json_put_int(j, (int64_t)value);
}

/* base64url of {"uid":oid,"utid":tenant}: how clients name the account. */
static void put_client_info(struct json_wr *j, const struct provider *p,
                            const struct principal *who)
{
    char text[160];
    struct wr w = wr_of(text, sizeof text);
    struct json_wr info = json_wr_of(&w);
    json_obj_open(&info);
    put(&info, "uid", who->oid);
    put(&info, "utid", p->dir.tenant);
    json_obj_close(&info);
    json_name(j, "client_info");
    json_put_b64u(j, wr_view(&w));
}

/* Public clients of the service that people sign in with: the az command line, Azure PowerShell,
 * Visual Studio Code. */
bool provider_is_public(struct bytes client_id)
{
    static const char *const known[] = {
        "04b07795-8ddb-461a-bbee-02f9e1bf7b46",
        "1950a258-227b-4e31-a9cf-717495945fc2",
        "aebc6443-996d-45c2-90f0-388ff96faa56",
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (bytes_ieq(client_id, bytes_str(known[i])))
            return true;
    }
    return false;
}

/* The assertion's audience must be a token endpoint here, whatever the tenant is called in it. */
static bool is_here(const char *audience, const char *origin)
{
    size_t n = strlen(origin);
    return n > 0 && strncasecmp(audience, origin, n) == 0 && audience[n] == '/';
}

static enum token_fault check_assertion(struct provider *p, const struct principal *app,
                                        const struct token_request *q,
                                        const struct token_context *c)
{
    static uint8_t buf[ASSERTION_TEXT_MAX];
    struct assertion a;
    if (assertion_parse(q->client_assertion, buf, sizeof buf, &a) != HSM_OK ||
        !bytes_ieq(bytes_str(a.issuer), q->client_id))
        return TOKEN_ASSERTION;
    if (!is_here(a.audience, c->origin))
        return TOKEN_ASSERTION_AUDIENCE;
    if (assertion_check_time(&a, c->now_s) != HSM_OK)
        return TOKEN_ASSERTION_TIME;
    return p->people.certificate(p->people.ctx, app, &a, c->now_s);
}

enum token_fault provider_client(struct provider *p, const struct token_request *q,
                                 const struct token_context *c, struct principal *ret_app,
                                 bool *ret_public)
{
    struct principal app;
    enum token_fault e;
    *ret_public = q->grant != GRANT_CLIENT_CREDENTIALS && provider_is_public(q->client_id);
    if (*ret_public)
        return TOKEN_OK;
    if (!p->people.by_client(p->people.ctx, q->client_id, &app) || app.kind != PRINCIPAL_APP)
        return TOKEN_APP;
    if (q->client_assertion.p != NULL)
        e = check_assertion(p, &app, q, c);
    else if (q->client_secret.p == NULL)
        e = TOKEN_SECRET_MISSING;
    else
        e = p->people.secret(p->people.ctx, &app, q->client_secret, c->now_s);
    if (e == TOKEN_OK && app.disabled)
        e = TOKEN_DISABLED;
    if (e == TOKEN_OK)
        *ret_app = app;
    secret_wipe(&app, sizeof app);
    return e;
}

/* The expensive hash is computed once, whatever is there: neither the time nor the answer tells an
 * unknown name from a wrong password. */
static bool password_fits(const struct principal *user, bool known, struct bytes password)
{
    bool plain = directory_secret_matches(known ? user->secret : "", password);
    if (known && user->hash[0] != 0)
        return secret_hash_fits(bytes_str(user->hash), password);
    secret_hash_waste(password);
    return plain;
}

enum token_fault provider_password(struct provider *p, struct bytes upn, struct bytes password,
                                   const struct token_context *c, struct principal *ret_who)
{
    struct principal user = {0};
    if (!guess_allowed(&p->guesses, upn, c->address, c->now_s))
        return TOKEN_LOCKED;
    bool known = p->people.by_upn(p->people.ctx, upn, &user);
    bool good = password_fits(&user, known, password) && known;
    guess_note(&p->guesses, upn, c->address, good, c->now_s);
    enum token_fault e = !good ? TOKEN_PASSWORD : user.disabled ? TOKEN_USER_DISABLED : TOKEN_OK;
    if (e == TOKEN_OK)
        *ret_who = user;
    secret_wipe(&user, sizeof user);
    return e;
}

static void put_head(struct json_wr *j)
{
    put(j, "token_type", "Bearer");
    put_int(j, "expires_in", TOKEN_LIFETIME_S);
    put_int(j, "ext_expires_in", TOKEN_LIFETIME_S);
}

static hsm_err put_person(struct json_wr *j, const struct provider *p,
                          const struct token_request *q, const struct principal *who,
                          const char *id_issuer, uint64_t now_s)
{
    char text[TOKEN_JWT_MAX];
    if (q->scope.n > 0)
        put_view(j, "scope", q->scope);
    if (q->wants_openid) {
        struct wr w = wr_of(text, sizeof text);
        TRY(provider_id_token(p, who, q->client_id, id_issuer, now_s, &w));
        put_view(j, "id_token", wr_view(&w));
    }
    if (q->wants_refresh) {
        struct wr w = wr_of(text, sizeof text);
        TRY(refresh_token_make(p, who, q->client_id, now_s, &w));
        put_view(j, "refresh_token", wr_view(&w));
    }
    put_client_info(j, p, who);
    secret_wipe(text, sizeof text);
    return HSM_OK;
}

static hsm_err write_answer(const struct provider *p, const struct token_request *q,
                            const struct principal *who, const char *id_issuer, uint64_t now_s,
                            struct wr *out)
{
    char text[TOKEN_JWT_MAX];
    struct wr w = wr_of(text, sizeof text);
    struct bytes resource = q->resource.p != NULL ? q->resource : bytes_str(GRAPH_RESOURCE);
    TRY(provider_access_token(p, who, resource, q->client_id, now_s, &w));
    struct json_wr j = json_wr_of(out);
    json_obj_open(&j);
    put_head(&j);
    if (who->kind == PRINCIPAL_USER)
        TRY(put_person(&j, p, q, who, id_issuer, now_s));
    put_view(&j, "access_token", wr_view(&w));
    json_obj_close(&j);
    secret_wipe(text, sizeof text);
    return wr_ok(out);
}

enum token_fault provider_answer(struct provider *p, const struct token_request *q,
                                 const struct principal *who, const struct token_context *c,
                                 struct wr *out)
{
    struct wr w = *out;
    if (write_answer(p, q, who, c->id_issuer, c->now_s, &w) != HSM_OK)
        return TOKEN_INTERNAL;
    *out = w;
    return TOKEN_OK;
}

enum token_fault provider_token(struct provider *p, const struct token_request *q,
                                const struct token_context *c, struct wr *out)
{
    struct principal who = {0};
    bool is_public = false;
    enum token_fault e = provider_client(p, q, c, &who, &is_public);
    if (e == TOKEN_OK && q->grant == GRANT_PASSWORD)
        e = provider_password(p, q->username, q->password, c, &who);
    if (e == TOKEN_OK && q->grant == GRANT_REFRESH_TOKEN)
        e = refresh_token_open(p, q->refresh_token, q->client_id, c->now_s, &who);
    if (e == TOKEN_OK && (q->grant == GRANT_DEVICE_CODE || q->grant == GRANT_CODE))
        e = TOKEN_GRANT;
    if (e == TOKEN_OK)
        e = provider_answer(p, q, &who, c, out);
    secret_wipe(&who, sizeof who);
    return e;
}

static hsm_err write_managed(const struct provider *p, const struct principal *who,
                             struct bytes resource, uint64_t now_s, struct wr *out)
{
    char text[TOKEN_JWT_MAX], expires[24];
    struct wr w = wr_of(text, sizeof text);
    TRY(provider_access_token(p, who, resource, bytes_str(who->client_id), now_s, &w));
    snprintf(expires, sizeof expires, "%llu", (unsigned long long)(now_s + TOKEN_LIFETIME_S));
    struct json_wr j = json_wr_of(out);
    json_obj_open(&j);
    put_view(&j, "access_token", wr_view(&w));
    put(&j, "expires_on", expires);
    put_view(&j, "resource", resource);
    put(&j, "token_type", "Bearer");
    put(&j, "client_id", who->client_id);
    json_obj_close(&j);
    secret_wipe(text, sizeof text);
    return wr_ok(out);
}

static bool select_managed(const struct provider *p, const struct managed_selector *s,
                           struct principal *ret)
{
    const struct people *w = &p->people;
    if ((s->client_id.p != NULL) + (s->object_id.p != NULL) + (s->resource_id.p != NULL) > 1)
        return false;
    if (s->resource_id.p != NULL)
        return w->by_resource(w->ctx, s->resource_id, ret);
    if (s->object_id.p != NULL)
        return w->by_oid(w->ctx, s->object_id, ret);
    if (s->client_id.p == NULL)
        return w->by_oid(w->ctx, bytes_str(p->dir.managed.oid), ret);
    /* Some clients call every id a client id. */
    return w->by_client(w->ctx, s->client_id, ret) || w->by_oid(w->ctx, s->client_id, ret);
}

enum token_fault provider_managed_token(struct provider *p, struct bytes header,
                                        struct bytes resource, const struct managed_selector *which,
                                        uint64_t now_s, struct wr *out)
{
    struct principal who = {0};
    if (!directory_secret_matches(p->dir.identity_header, header))
        return TOKEN_IDENTITY_HEADER;
    if (!token_resource_is_valid(resource))
        return TOKEN_RESOURCE;
    /* Whoever has the header is one program on this machine; it does not speak for a resource. */
    if (!select_managed(p, which, &who) || who.kind != PRINCIPAL_MANAGED_IDENTITY ||
        who.system_assigned || who.disabled)
        return TOKEN_IDENTITY;
    struct wr w = *out;
    if (write_managed(p, &who, resource, now_s, &w) != HSM_OK)
        return TOKEN_INTERNAL;
    *out = w;
    return TOKEN_OK;
}
