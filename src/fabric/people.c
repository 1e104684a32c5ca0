#include "fabric/people.h"

#include <stdio.h>

const char *const people_type_name[PEOPLE__TYPES] = {"user", "servicePrincipal", "managedIdentity",
                                                     "application", "group"};

enum state_kind people_kind(enum people_type t)
{
    static const enum state_kind kinds[PEOPLE__TYPES] = {
        [PEOPLE_USER] = STATE_PRINCIPAL,        [PEOPLE_SP] = STATE_PRINCIPAL,
        [PEOPLE_MANAGED] = STATE_PRINCIPAL,     [PEOPLE_APPLICATION] = STATE_APPLICATION,
        [PEOPLE_GROUP] = STATE_DIRECTORY_GROUP,
    };
    return kinds[t];
}

/* ---- objects ---- */

static bool parse(struct bytes json, struct people_object *ret)
{
    struct bytes type;
    if (json_parse(json, ret->tok, PEOPLE_TOKENS_MAX, &ret->d) != HSM_OK)
        return false;
    ret->object = json_get(&ret->d, 0, "object");
    ret->secret = json_get(&ret->d, 0, "secret");
    uint32_t v = json_get(&ret->d, 0, "type");
    if (ret->object == JSON_NONE || v == JSON_NONE || json_plain(&ret->d, v, &type) != HSM_OK)
        return false;
    for (ret->type = 0; ret->type < PEOPLE__TYPES; ret->type++) {
        if (bytes_eq_str(type, people_type_name[ret->type]))
            return true;
    }
    return false;
}

bool people_get(const struct fabric *f, enum state_kind kind, struct bytes oid,
                struct people_object *ret)
{
    char key[UUID_TEXT_LEN + 1];
    struct uuid u;
    struct wr w = wr_of(ret->text, sizeof ret->text);
    if (uuid_parse(oid, &u) != HSM_OK)
        return false;
    uuid_format(&u, key);
    ret->built_in = people_builtin(f, kind, bytes_str(key), &w);
    const struct document *d = state_get(f->state, kind, bytes_str(key));
    return (d != NULL || ret->built_in) && parse(d != NULL ? d->json : wr_view(&w), ret);
}

struct each {
    const struct fabric *f;
    people_each_fn fn;
    void *ctx;
    struct people_object o;
};

static bool each_document(void *ctx, const struct document *d)
{
    struct each *e = ctx;
    char id[UUID_TEXT_LEN + 1];
    for (size_t i = 0; people_builtin_id(e->f, d->kind, i, id); i++) {
        if (bytes_eq_str(d->key, id))
            return true; /* was shown before */
    }
    e->o.built_in = false;
    return !parse(d->json, &e->o) || e->fn(e->ctx, &e->o);
}

void people_each(const struct fabric *f, enum state_kind kind, people_each_fn fn, void *ctx)
{
    static struct each e;
    char id[UUID_TEXT_LEN + 1];
    e = (struct each){.f = f, .fn = fn, .ctx = ctx};
    for (size_t i = 0; people_builtin_id(f, kind, i, id); i++) {
        if (people_get(f, kind, bytes_str(id), &e.o) && !fn(ctx, &e.o))
            return;
    }
    state_each(f->state, kind, bytes_of(NULL, 0), each_document, &e);
}

void people_text(const struct people_object *o, const char *name, char *dst, size_t cap)
{
    uint32_t v = json_get_nn(&o->d, o->object, name);
    size_t n = 0;
    if (v != JSON_NONE && json_string(&o->d, v, dst, cap - 1, &n) != HSM_OK)
        n = 0;
    dst[n] = 0;
}

static void text_of(const struct people_object *o, uint32_t parent, const char *name, char *dst,
                    size_t cap)
{
    uint32_t v = json_get_nn(&o->d, parent, name);
    size_t n = 0;
    if (v != JSON_NONE && json_string(&o->d, v, dst, cap - 1, &n) != HSM_OK)
        n = 0;
    dst[n] = 0;
}

static bool flag_of(const struct people_object *o, uint32_t parent, const char *name, bool def)
{
    uint32_t v = json_get_nn(&o->d, parent, name);
    bool b = def;
    return v != JSON_NONE && json_bool(&o->d, v, &b) == HSM_OK ? b : def;
}

bool people_principal(const struct people_object *o, struct principal *ret)
{
    static const enum principal_kind kinds[] = {[PEOPLE_USER] = PRINCIPAL_USER,
                                                [PEOPLE_SP] = PRINCIPAL_APP,
                                                [PEOPLE_MANAGED] = PRINCIPAL_MANAGED_IDENTITY};
    if (o->type > PEOPLE_MANAGED)
        return false;
    *ret = (struct principal){.kind = kinds[o->type]};
    people_text(o, "id", ret->oid, sizeof ret->oid);
    people_text(o, "appId", ret->client_id, sizeof ret->client_id);
    people_text(o, "displayName", ret->name, sizeof ret->name);
    people_text(o, "userPrincipalName", ret->upn, sizeof ret->upn);
    text_of(o, o->secret, "password", ret->hash, sizeof ret->hash);
    text_of(o, 0, "resourceId", ret->resource_id, sizeof ret->resource_id);
    ret->system_assigned = flag_of(o, 0, "systemAssigned", false);
    ret->disabled = !flag_of(o, o->object, "accountEnabled", true);
    return ret->oid[0] != 0;
}

/* ---- names ---- */

static struct bytes name_key(const char *space, struct bytes name, uint8_t buf[STATE_KEY_MAX])
{
    struct wr w = wr_of(buf, STATE_KEY_MAX);
    wr_str(&w, space);
    wr_str(&w, "/");
    for (size_t i = 0; i < name.n; i++)
        wr_u8(&w, name.p[i] >= 'A' && name.p[i] <= 'Z' ? (uint8_t)(name.p[i] | 0x20) : name.p[i]);
    return w.overflow ? bytes_of(NULL, 0) : wr_view(&w);
}

bool people_find_staged(const struct fabric *f, const struct changes *c, const char *space,
                        struct bytes name, char ret[UUID_TEXT_LEN + 1])
{
    uint8_t buf[STATE_KEY_MAX];
    struct json_tok tok[8];
    struct json_doc d;
    struct bytes id, key = name_key(space, name, buf);
    const struct document *doc = NULL;
    if (key.n > 0)
        doc = c != NULL ? changes_get(c, STATE_DIRECTORY_NAME, key)
                        : state_get(f->state, STATE_DIRECTORY_NAME, key);
    if (doc == NULL)
        return people_builtin_find(f, space, name, ret);
    if (json_parse(doc->json, tok, 8, &d) != HSM_OK ||
        json_plain(&d, json_get(&d, 0, "id"), &id) != HSM_OK || id.n != UUID_TEXT_LEN)
        return false;
    memcpy(ret, id.p, UUID_TEXT_LEN);
    ret[UUID_TEXT_LEN] = 0;
    return true;
}

bool people_find(const struct fabric *f, const char *space, struct bytes name,
                 char ret[UUID_TEXT_LEN + 1])
{
    return people_find_staged(f, NULL, space, name, ret);
}

void people_stage_name(struct changes *c, const char *space, struct bytes name, const char *oid)
{
    uint8_t buf[STATE_KEY_MAX], json[64];
    struct wr w = wr_of(json, sizeof json);
    struct json_wr j = json_wr_of(&w);
    json_obj_open(&j);
    put_str(&j, "id", oid);
    json_obj_close(&j);
    changes_put(c, STATE_DIRECTORY_NAME, name_key(space, name, buf), wr_view(&w));
}

void people_unstage_name(struct changes *c, const char *space, struct bytes name)
{
    uint8_t buf[STATE_KEY_MAX];
    changes_delete(c, STATE_DIRECTORY_NAME, name_key(space, name, buf));
}

/* ---- struct people ---- */

/* The built-in ones keep their passwords in directory.json. */
static void add_secret(const struct fabric *f, struct principal *p)
{
    const struct principal *known = directory_find_oid(&f->provider.dir, bytes_str(p->oid));
    if (known == NULL)
        return;
    if (p->hash[0] == 0)
        memcpy(p->secret, known->secret, sizeof p->secret);
}

static bool by_oid(void *ctx, struct bytes oid, struct principal *ret)
{
    static struct people_object o;
    struct fabric *f = ctx;
    if (!people_get(f, STATE_PRINCIPAL, oid, &o) || !people_principal(&o, ret))
        return false;
    add_secret(f, ret);
    return true;
}

static bool by_name(struct fabric *f, const char *space, struct bytes name, struct principal *ret)
{
    char oid[UUID_TEXT_LEN + 1];
    return name.n > 0 && people_find(f, space, name, oid) && by_oid(f, bytes_str(oid), ret);
}

static bool by_client(void *ctx, struct bytes client_id, struct principal *ret)
{
    return by_name(ctx, "sp", client_id, ret);
}

static bool by_upn(void *ctx, struct bytes upn, struct principal *ret)
{
    return by_name(ctx, "upn", upn, ret);
}

static bool by_resource(void *ctx, struct bytes resource_id, struct principal *ret)
{
    return by_name(ctx, "res", resource_id, ret);
}

static size_t groups(void *ctx, const struct principal *p, char (*dst)[UUID_TEXT_LEN + 1],
                     size_t max)
{
    return people_groups(ctx, bytes_str(p->oid), dst, max);
}

static bool in_list(const struct people_object *o, const char *part, struct bytes uri)
{
    char text[TOKEN_RESOURCE_MAX];
    uint32_t list = json_get_nn(&o->d, json_get_nn(&o->d, o->object, part), "redirectUris");
    for (uint32_t at = list == JSON_NONE ? JSON_NONE : json_first(&o->d, list); at != JSON_NONE;
         at = json_next(&o->d, list, at)) {
        size_t n = 0;
        if (json_string(&o->d, at, text, sizeof text, &n) == HSM_OK &&
            bytes_eq(uri, bytes_of(text, n)))
            return true;
    }
    return false;
}

static bool redirect(void *ctx, const struct principal *app, struct bytes uri)
{
    static struct people_object o;
    char id[UUID_TEXT_LEN + 1];
    if (!people_find(ctx, "app", bytes_str(app->client_id), id) ||
        !people_get(ctx, STATE_APPLICATION, bytes_str(id), &o))
        return false;
    return in_list(&o, "web", uri) || in_list(&o, "publicClient", uri) || in_list(&o, "spa", uri);
}

hsm_err people_open(struct fabric *f)
{
    (void)snprintf(f->provider.graph, sizeof f->provider.graph, "%s", f->config.origin);
    f->provider.people = (struct people){.ctx = f,
                                         .by_oid = by_oid,
                                         .by_client = by_client,
                                         .by_upn = by_upn,
                                         .by_resource = by_resource,
                                         .groups = groups,
                                         .secret = people_check_secret,
                                         .certificate = people_check_certificate,
                                         .redirect = redirect};
    return HSM_OK;
}

bool people_may_write(const struct fabric *f, const struct principal *who)
{
    const struct directory *d = &f->provider.dir;
    return strcmp(who->oid, d->user.oid) == 0 || strcmp(who->oid, d->admin.oid) == 0;
}
