/* Users, groups, applications and service principals that come, change and go. */
#include <stdio.h>
#include "base/clock.h"
#include "base/secret.h"
#include "fabric/graph_internal.h"

static uint8_t doc_buf[PEOPLE_DOC_MAX];

/* Stages the document; false: 400. */
static bool stage(const struct request *rq, const struct graph_draft *g, const char *id,
                  struct bytes *ret_doc, struct answer *a)
{
    struct wr w = wr_of(doc_buf, sizeof doc_buf);
    struct json_wr j = json_wr_of(&w);
    graph_draft_write(g, &j);
    if (wr_ok(&w) != HSM_OK) {
        graph_bad_request(a, "The object would become too large.");
        return false;
    }
    changes_put(rq->changes, people_kind(g->type), bytes_str(id), wr_view(&w));
    *ret_doc = wr_view(&w);
    return true;
}

/* 201 with the object as it is staged. */
static void answer_created(struct bytes doc, struct answer *a)
{
    static struct json_tok tok[PEOPLE_TOKENS_MAX];
    struct json_doc d;
    HSM_ASSERT(json_parse(doc, tok, PEOPLE_TOKENS_MAX, &d) == HSM_OK);
    struct json_wr j = json_wr_of(&a->body);
    graph_put_copy(&j, &d, json_get(&d, 0, "object"));
    a->status = 201;
}

static bool checked(enum people_type type, const struct json_doc *body, bool creates,
                    struct answer *a)
{
    const char *bad;
    char text[200];
    if (graph_body_check(type, body, creates, &bad) == HSM_OK)
        return true;
    snprintf(text, sizeof text, "Invalid value specified for property '%s' of resource '%s'.", bad,
             people_type_name[type]);
    graph_bad_request(a, text);
    return false;
}

static void put_head(struct json_wr *j, const char *id, uint64_t now_ms)
{
    char when[32];
    clock_format_ms(now_ms, when, sizeof when);
    put_str(j, "id", id);
    put_str(j, "createdDateTime", when);
}

/* ---- users ---- */

static bool good_upn(const struct fabric *f, struct bytes upn)
{
    const uint8_t *at = memchr(upn.p, '@', upn.n);
    if (at == NULL || at == upn.p)
        return false;
    for (size_t i = 0; i < upn.n; i++) {
        uint8_t c = upn.p[i];
        bool letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
        if (!letter && !(c >= '0' && c <= '9') && strchr("@.-_'!#^~", c) == NULL)
            return false;
    }
    return bytes_ieq(bytes_of(at + 1, upn.n - (size_t)(at + 1 - upn.p)),
                     bytes_str(f->provider.dir.domain));
}

/* Stages the name of a user. old: "" for a new one. */
static bool stage_upn(struct fabric *f, const struct request *rq, const struct json_doc *body,
                      const char *id, const char *old, struct answer *a)
{
    char upn[DIRECTORY_NAME_MAX + 1], owner[UUID_TEXT_LEN + 1];
    size_t n = 0;
    uint32_t v = json_get_nn(body, 0, "userPrincipalName");
    if (v == JSON_NONE)
        return true;
    if (json_string(body, v, upn, sizeof upn - 1, &n) != HSM_OK || !good_upn(f, bytes_of(upn, n))) {
        graph_bad_request(a, "The domain portion of the userPrincipalName property is invalid. You "
                             "must use one of the verified domain names in your organization.");
        return false;
    }
    upn[n] = 0;
    if (people_find(f, "upn", bytes_str(upn), owner) && strcmp(owner, id) != 0) {
        graph_bad_request(a, "Another object with the same value for property userPrincipalName "
                             "already exists.");
        return false;
    }
    if (old[0] != 0)
        people_unstage_name(rq->changes, "upn", bytes_str(old));
    people_stage_name(rq->changes, "upn", bytes_str(upn), id);
    return true;
}

/* {"password":HASH}, or p == NULL when the body has no password. */
static bool take_password(const struct json_doc *body, bool required, struct bytes *ret,
                          struct answer *a)
{
    static char secret[SECRET_HASH_MAX + 32];
    char text[260], hash[SECRET_HASH_MAX];
    size_t n = 0;
    uint32_t v = json_get_nn(body, json_get_nn(body, 0, "passwordProfile"), "password");
    *ret = bytes_of(NULL, 0);
    if (v == JSON_NONE && !required)
        return true;
    bool good = v != JSON_NONE && json_string(body, v, text, sizeof text, &n) == HSM_OK &&
                graph_password_good(bytes_of(text, n)) &&
                secret_hash_password(bytes_of(text, n), hash) == HSM_OK;
    secret_wipe(text, sizeof text);
    if (!good) {
        graph_bad_request(a, "The specified password does not comply with password complexity "
                             "requirements. Please provide a different password.");
        return false;
    }
    snprintf(secret, sizeof secret, "{\"password\":\"%s\"}", hash);
    *ret = bytes_str(secret);
    return true;
}

void graph_user_create(struct fabric *f, const struct request *rq, struct answer *a)
{
    char id[UUID_TEXT_LEN + 1], head[256];
    struct json_doc body;
    struct bytes doc, secret;
    if (!graph_may_write(f, rq, a) || !graph_body(rq, &body, a) ||
        !checked(PEOPLE_USER, &body, true, a))
        return;
    graph_new_id(id);
    struct wr w = wr_of(head, sizeof head);
    struct json_wr j = json_wr_of(&w);
    put_head(&j, id, rq->now_ms);
    if (!take_password(&body, true, &secret, a) || !stage_upn(f, rq, &body, id, "", a))
        return;
    const struct graph_draft g = {
        .type = PEOPLE_USER, .body = &body, .head = wr_view(&w), .secret = secret};
    if (stage(rq, &g, id, &doc, a))
        answer_created(doc, a);
}

/* ---- groups ---- */

void graph_group_create(struct fabric *f, const struct request *rq, struct answer *a)
{
    char id[UUID_TEXT_LEN + 1], head[256];
    struct json_doc body;
    struct bytes doc;
    if (!graph_may_write(f, rq, a) || !graph_body(rq, &body, a) ||
        !checked(PEOPLE_GROUP, &body, true, a))
        return;
    graph_new_id(id);
    struct wr w = wr_of(head, sizeof head);
    struct json_wr j = json_wr_of(&w);
    put_head(&j, id, rq->now_ms);
    const struct graph_draft g = {.type = PEOPLE_GROUP, .body = &body, .head = wr_view(&w)};
    if (stage(rq, &g, id, &doc, a))
        answer_created(doc, a);
}

/* ---- applications ---- */

void graph_app_create(struct fabric *f, const struct request *rq, struct answer *a)
{
    char id[UUID_TEXT_LEN + 1], app_id[UUID_TEXT_LEN + 1], head[400];
    struct json_doc body;
    struct bytes doc, keys, certificates;
    if (!graph_may_write(f, rq, a) || !graph_body(rq, &body, a) ||
        !checked(PEOPLE_APPLICATION, &body, true, a) ||
        !graph_take_keys(&body, NULL, &keys, &certificates, a))
        return;
    graph_new_id(id);
    graph_new_id(app_id);
    struct wr w = wr_of(head, sizeof head);
    struct json_wr j = json_wr_of(&w);
    put_head(&j, id, rq->now_ms);
    put_str(&j, "appId", app_id);
    put_str(&j, "publisherDomain", f->provider.dir.domain);
    const struct graph_draft g = {.type = PEOPLE_APPLICATION,
                                  .body = &body,
                                  .head = wr_view(&w),
                                  .keys = keys,
                                  .secret = graph_secret(NULL, bytes_of(NULL, 0), certificates)};
    if (!stage(rq, &g, id, &doc, a))
        return;
    people_stage_name(rq->changes, "app", bytes_str(app_id), id);
    answer_created(doc, a);
}

/* ---- service principals ---- */

static void put_sp_head(struct json_wr *j, const struct fabric *f, const struct people_object *app,
                        const char *id, uint64_t now_ms)
{
    char name[DIRECTORY_NAME_MAX + 1], app_id[UUID_TEXT_LEN + 1];
    people_text(app, "displayName", name, sizeof name);
    people_text(app, "appId", app_id, sizeof app_id);
    put_head(j, id, now_ms);
    put_str(j, "appId", app_id);
    put_str(j, "displayName", name);
    put_str(j, "appDisplayName", name);
    put_str(j, "appOwnerOrganizationId", f->provider.dir.tenant);
    put_str(j, "servicePrincipalType", "Application");
    put_str(j, "signInAudience", "AzureADMyOrg");
    json_name(j, "servicePrincipalNames");
    json_arr_open(j);
    uint32_t uris = json_get_nn(&app->d, app->object, "identifierUris");
    for (uint32_t at = uris == JSON_NONE ? JSON_NONE : json_first(&app->d, uris); at != JSON_NONE;
         at = json_next(&app->d, uris, at))
        graph_put_copy(j, &app->d, at);
    json_put_str(j, app_id);
    json_arr_close(j);
}

/* The application that the body names. */
static bool find_app(struct fabric *f, const struct json_doc *body, struct people_object *ret,
                     struct answer *a)
{
    char id[UUID_TEXT_LEN + 1];
    struct bytes app_id;
    uint32_t v = json_get_nn(body, 0, "appId");
    if (v == JSON_NONE || json_plain(body, v, &app_id) != HSM_OK ||
        !people_find(f, "app", app_id, id) ||
        !people_get(f, STATE_APPLICATION, bytes_str(id), ret)) {
        graph_bad_request(a, "The appId of the service principal does not reference a valid "
                             "application object.");
        return false;
    }
    if (people_find(f, "sp", app_id, id)) {
        answer_error(a, 409, "Request_MultipleObjectsWithSameKeyValue",
                     "The service principal cannot be created because the service principal name "
                     "is already in use.");
        return false;
    }
    return true;
}

void graph_sp_create(struct fabric *f, const struct request *rq, struct answer *a)
{
    static struct people_object app;
    static uint8_t head[16384];
    char id[UUID_TEXT_LEN + 1], app_id[UUID_TEXT_LEN + 1];
    struct json_doc body;
    struct bytes doc, keys, certificates;
    if (!graph_may_write(f, rq, a) || !graph_body(rq, &body, a) ||
        !checked(PEOPLE_SP, &body, true, a) || !find_app(f, &body, &app, a) ||
        !graph_take_keys(&body, NULL, &keys, &certificates, a))
        return;
    graph_new_id(id);
    people_text(&app, "appId", app_id, sizeof app_id);
    struct wr w = wr_of(head, sizeof head);
    struct json_wr j = json_wr_of(&w);
    put_sp_head(&j, f, &app, id, rq->now_ms);
    if (wr_ok(&w) != HSM_OK) {
        graph_bad_request(a, "The application has too many names.");
        return;
    }
    const struct graph_draft g = {.type = PEOPLE_SP,
                                  .body = &body,
                                  .head = wr_view(&w),
                                  .keys = keys,
                                  .secret = graph_secret(NULL, bytes_of(NULL, 0), certificates)};
    if (!stage(rq, &g, id, &doc, a))
        return;
    people_stage_name(rq->changes, "sp", bytes_str(app_id), id);
    answer_created(doc, a);
}

/* ---- changes ---- */

static bool patch_user(struct fabric *f, const struct request *rq, const struct people_object *o,
                       const struct json_doc *body, struct bytes *ret_secret, struct answer *a)
{
    char id[UUID_TEXT_LEN + 1], upn[DIRECTORY_NAME_MAX + 1];
    people_text(o, "id", id, sizeof id);
    people_text(o, "userPrincipalName", upn, sizeof upn);
    if (o->built_in && (json_get(body, 0, "userPrincipalName") != JSON_NONE ||
                        json_get(body, 0, "accountEnabled") != JSON_NONE ||
                        json_get(body, 0, "passwordProfile") != JSON_NONE)) {
        graph_denied(a, "Name, password and state of the installation's first user are fixed.");
        return false;
    }
    return take_password(body, false, ret_secret, a) && stage_upn(f, rq, body, id, upn, a);
}

void graph_update(struct fabric *f, const struct request *rq, struct answer *a)
{
    static struct people_object o;
    char id[UUID_TEXT_LEN + 1];
    struct json_doc body;
    struct bytes doc, secret = {0}, keys = {0}, certificates = {0};
    if (!graph_may_write(f, rq, a) || !graph_target(f, rq, &o, a) || !graph_body(rq, &body, a) ||
        !checked(o.type, &body, false, a))
        return;
    people_text(&o, "id", id, sizeof id);
    if (o.type == PEOPLE_USER && !patch_user(f, rq, &o, &body, &secret, a))
        return;
    if (o.type == PEOPLE_SP || o.type == PEOPLE_APPLICATION) {
        if (!graph_take_keys(&body, &o, &keys, &certificates, a))
            return;
        if (certificates.p != NULL)
            secret = graph_secret(&o, bytes_of(NULL, 0), certificates);
    }
    if (o.built_in && json_get(&body, 0, "accountEnabled") != JSON_NONE) {
        graph_denied(a, "The principals that an installation begins with stay enabled.");
        return;
    }
    const struct graph_draft g = {
        .type = o.type, .old = &o, .body = &body, .keys = keys, .secret = secret};
    if (stage(rq, &g, id, &doc, a))
        a->status = 204;
}

/* ---- the end ---- */

static void unstage_sp_of(struct fabric *f, struct changes *c, const char *app_id)
{
    char id[UUID_TEXT_LEN + 1];
    if (!people_find(f, "sp", bytes_str(app_id), id))
        return;
    changes_delete(c, STATE_PRINCIPAL, bytes_str(id));
    people_unstage_name(c, "sp", bytes_str(app_id));
    people_unstage_all(f, c, bytes_str(id));
}

void graph_delete(struct fabric *f, const struct request *rq, struct answer *a)
{
    static struct people_object o;
    char id[UUID_TEXT_LEN + 1], name[DIRECTORY_NAME_MAX + 1];
    if (!graph_may_write(f, rq, a) || !graph_target(f, rq, &o, a))
        return;
    if (o.built_in) {
        graph_denied(a, "What an installation begins with cannot be deleted.");
        return;
    }
    if (o.type == PEOPLE_MANAGED) {
        graph_denied(a, "A managed identity goes with its resource.");
        return;
    }
    people_text(&o, "id", id, sizeof id);
    people_text(&o, o.type == PEOPLE_USER ? "userPrincipalName" : "appId", name, sizeof name);
    changes_delete(rq->changes, people_kind(o.type), bytes_str(id));
    people_unstage_all(f, rq->changes, bytes_str(id));
    if (o.type == PEOPLE_USER)
        people_unstage_name(rq->changes, "upn", bytes_str(name));
    if (o.type == PEOPLE_APPLICATION)
        people_unstage_name(rq->changes, "app", bytes_str(name));
    if (o.type == PEOPLE_SP || o.type == PEOPLE_APPLICATION)
        unstage_sp_of(f, rq->changes, name);
    a->status = 204;
}
