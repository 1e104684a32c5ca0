/* The directory as Microsoft Graph shows it: read-only. */
#include "fabric/fabric.h"
#include "fabric/odata.h"

#define GRAPH_IDS_MAX    1000
#define GRAPH_TOKENS_MAX (2 * GRAPH_IDS_MAX + 64)

enum object_kind {
    OBJECT_USER,
    OBJECT_APP,
    OBJECT_GROUP
};
#define OBJECTS (DIRECTORY_PRINCIPALS + 1)

struct object {
    enum object_kind kind;
    const char *id, *name, *upn, *app_id;
    bool managed;
};

static struct object object_of(const struct principal *p)
{
    return (struct object){.kind = p->kind == PRINCIPAL_USER ? OBJECT_USER : OBJECT_APP,
                           .id = p->oid,
                           .name = p->name,
                           .upn = p->upn,
                           .app_id = p->client_id,
                           .managed = p->kind == PRINCIPAL_MANAGED_IDENTITY};
}

static struct object object_at(const struct directory *d, size_t i)
{
    if (i < DIRECTORY_PRINCIPALS)
        return object_of(directory_at(d, i));
    return (struct object){
        .kind = OBJECT_GROUP, .id = d->group.oid, .name = d->group.name, .upn = "", .app_id = ""};
}

static void put_object(struct json_wr *j, const struct object *o)
{
    static const char *const types[] = {
        "#microsoft.graph.user", "#microsoft.graph.servicePrincipal", "#microsoft.graph.group"};
    json_obj_open(j);
    put_str(j, "@odata.type", types[o->kind]);
    put_str(j, "id", o->id);
    put_str(j, "displayName", o->name);
    switch (o->kind) {
    case OBJECT_USER:
        put_str(j, "userPrincipalName", o->upn);
        put_str(j, "mail", o->upn);
        break;
    case OBJECT_APP:
        put_str(j, "appId", o->app_id);
        put_str(j, "servicePrincipalType", o->managed ? "ManagedIdentity" : "Application");
        put_bool(j, "accountEnabled", true);
        json_name(j, "servicePrincipalNames");
        json_arr_open(j);
        json_put_str(j, o->app_id);
        json_arr_close(j);
        break;
    case OBJECT_GROUP:
        put_bool(j, "securityEnabled", true);
        break;
    }
    json_obj_close(j);
}

/* A property by its name in $filter; NULL: the object has none. */
static const char *property(const struct object *o, struct bytes name)
{
    if (bytes_ieq(name, bytes_str("id")))
        return o->id;
    if (bytes_ieq(name, bytes_str("displayName")))
        return o->name;
    if (o->kind == OBJECT_USER &&
        (bytes_ieq(name, bytes_str("userPrincipalName")) || bytes_ieq(name, bytes_str("mail"))))
        return o->upn;
    if (o->kind == OBJECT_APP && (bytes_ieq(name, bytes_str("appId")) ||
                                  bytes_ieq(name, bytes_str("servicePrincipalNames"))))
        return o->app_id;
    return NULL;
}

static bool filter_fits(const struct odata_filter *f, const struct object *o)
{
    for (size_t i = 0; i < f->n; i++) {
        const char *actual = property(o, f->clause[i].field);
        if (actual == NULL || !odata_value_fits(&f->clause[i], actual))
            return false;
    }
    return true;
}

static void list(struct fabric *f, const struct request *rq, enum object_kind kind,
                 struct answer *a)
{
    struct odata_filter filter = {0};
    struct bytes text = url_param_get(&rq->url, "$filter");
    if (text.n > 0 && odata_parse(text, &filter) != HSM_OK) {
        answer_error(a, 400, "Request_UnsupportedQuery", "The $filter is not supported.");
        return;
    }
    struct json_wr j = json_wr_of(&a->body);
    json_obj_open(&j);
    json_name(&j, "value");
    json_arr_open(&j);
    for (size_t i = 0; i < OBJECTS; i++) {
        struct object o = object_at(&f->provider.dir, i);
        if (o.kind == kind && filter_fits(&filter, &o))
            put_object(&j, &o);
    }
    json_arr_close(&j);
    json_obj_close(&j);
}

static bool find(const struct fabric *f, enum object_kind kind, struct bytes id, struct object *ret)
{
    for (size_t i = 0; i < OBJECTS; i++) {
        struct object o = object_at(&f->provider.dir, i);
        if (o.kind != kind)
            continue;
        if (bytes_ieq(id, bytes_str(o.id)) ||
            (kind == OBJECT_USER && bytes_ieq(id, bytes_str(o.upn)))) {
            *ret = o;
            return true;
        }
    }
    return false;
}

static void not_found(struct answer *a)
{
    answer_error(a, 404, "Request_ResourceNotFound",
                 "The resource does not exist or one of its queried reference-property objects "
                 "are not present.");
}

static void one(struct fabric *f, const struct request *rq, enum object_kind kind, struct answer *a)
{
    struct object o;
    if (!find(f, kind, rq->url.seg[2], &o)) {
        not_found(a);
        return;
    }
    struct json_wr j = json_wr_of(&a->body);
    put_object(&j, &o);
}

void graph_me(struct fabric *f, const struct request *rq, struct answer *a)
{
    (void)f;
    /* Also for apps, which the service refuses: scripts then need not know how they signed in. */
    struct object o = object_of(rq->caller);
    struct json_wr j = json_wr_of(&a->body);
    put_object(&j, &o);
}

void graph_users(struct fabric *f, const struct request *rq, struct answer *a)
{
    list(f, rq, OBJECT_USER, a);
}

void graph_user(struct fabric *f, const struct request *rq, struct answer *a)
{
    one(f, rq, OBJECT_USER, a);
}

void graph_apps(struct fabric *f, const struct request *rq, struct answer *a)
{
    list(f, rq, OBJECT_APP, a);
}

void graph_app(struct fabric *f, const struct request *rq, struct answer *a)
{
    one(f, rq, OBJECT_APP, a);
}

void graph_groups(struct fabric *f, const struct request *rq, struct answer *a)
{
    list(f, rq, OBJECT_GROUP, a);
}

void graph_group(struct fabric *f, const struct request *rq, struct answer *a)
{
    one(f, rq, OBJECT_GROUP, a);
}

void graph_group_members(struct fabric *f, const struct request *rq, struct answer *a)
{
    const struct directory *d = &f->provider.dir;
    struct object group;
    if (!find(f, OBJECT_GROUP, rq->url.seg[2], &group)) {
        not_found(a);
        return;
    }
    struct json_wr j = json_wr_of(&a->body);
    json_obj_open(&j);
    json_name(&j, "value");
    json_arr_open(&j);
    for (size_t i = 0; i < DIRECTORY_PRINCIPALS; i++) {
        struct object o = object_of(directory_at(d, i));
        if (directory_is_member(&d->group, directory_at(d, i)))
            put_object(&j, &o);
    }
    json_arr_close(&j);
    json_obj_close(&j);
}

/* The wanted objects as a bit set; ids that are unknown are left out, as the service does. */
static hsm_err parse_ids(const struct directory *d, struct bytes body, unsigned *ret)
{
    static struct json_tok tok[GRAPH_TOKENS_MAX];
    struct json_doc doc;
    unsigned wanted = 0;
    TRY(json_parse(body, tok, GRAPH_TOKENS_MAX, &doc));
    uint32_t ids = json_get(&doc, 0, "ids");
    if (ids == JSON_NONE || json_type_of(&doc, ids) != JSON_ARRAY ||
        json_count(&doc, ids) > GRAPH_IDS_MAX)
        return HSM_E_MALFORMED;
    for (uint32_t at = json_first(&doc, ids); at != JSON_NONE; at = json_next(&doc, ids, at)) {
        struct bytes id;
        TRY(json_plain(&doc, at, &id));
        for (size_t i = 0; i < OBJECTS; i++) {
            if (bytes_ieq(id, bytes_str(object_at(d, i).id)))
                wanted |= 1u << i;
        }
    }
    *ret = wanted;
    return HSM_OK;
}

void graph_by_ids(struct fabric *f, const struct request *rq, struct answer *a)
{
    unsigned wanted = 0;
    if (parse_ids(&f->provider.dir, rq->http->body, &wanted) != HSM_OK) {
        answer_error(a, 400, "Request_BadRequest", "The body must be {\"ids\":[...]}.");
        return;
    }
    struct json_wr j = json_wr_of(&a->body);
    json_obj_open(&j);
    json_name(&j, "value");
    json_arr_open(&j);
    for (size_t i = 0; i < OBJECTS; i++) {
        struct object o = object_at(&f->provider.dir, i);
        if (wanted & 1u << i)
            put_object(&j, &o);
    }
    json_arr_close(&j);
    json_obj_close(&j);
}
