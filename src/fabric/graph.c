/* The directory as Microsoft Graph shows it: reading. */
#include "fabric/graph_internal.h"
#include "fabric/odata.h"

#define GRAPH_IDS_MAX  1000
#define PAGE_DEFAULT   100
#define PAGE_MAX       999
#define NEXT_LINK_ROOM 8192
#define VALUE_MAX      1024

static const struct collection {
    const char *name;
    enum state_kind kind;
    unsigned types; /* bits of enum people_type */
} collections[] = {
    {"users", STATE_PRINCIPAL, 1u << PEOPLE_USER},
    {"servicePrincipals", STATE_PRINCIPAL, 1u << PEOPLE_SP | 1u << PEOPLE_MANAGED},
    {"applications", STATE_APPLICATION, 1u << PEOPLE_APPLICATION},
    {"groups", STATE_DIRECTORY_GROUP, 1u << PEOPLE_GROUP},
};
#define COLLECTIONS (sizeof collections / sizeof *collections)

void graph_bad_request(struct answer *a, const char *text)
{
    answer_error(a, 400, "Request_BadRequest", text);
}

void graph_denied(struct answer *a, const char *text)
{
    answer_error(a, 403, "Authorization_RequestDenied", text);
}

void graph_not_found(struct answer *a)
{
    answer_error(a, 404, "Request_ResourceNotFound",
                 "The resource does not exist or one of its queried reference-property objects "
                 "are not present.");
}

bool graph_may_write(const struct fabric *f, const struct request *rq, struct answer *a)
{
    if (people_may_write(f, rq->caller))
        return true;
    graph_denied(a, "Insufficient privileges to complete the operation.");
    return false;
}

void graph_put(struct json_wr *j, const struct people_object *o)
{
    static const char *const types[PEOPLE__TYPES] = {
        [PEOPLE_USER] = "#microsoft.graph.user",
        [PEOPLE_SP] = "#microsoft.graph.servicePrincipal",
        [PEOPLE_MANAGED] = "#microsoft.graph.servicePrincipal",
        [PEOPLE_APPLICATION] = "#microsoft.graph.application",
        [PEOPLE_GROUP] = "#microsoft.graph.group"};
    struct bytes raw = json_raw(&o->d, o->object);
    json_obj_open(j);
    put_str(j, "@odata.type", types[o->type]);
    json_put_raw(j, bytes_of(raw.p + 1, raw.n - 2)); /* its members */
    json_obj_close(j);
}

bool graph_by_id(const struct fabric *f, struct bytes oid, struct people_object *ret)
{
    return people_get(f, STATE_PRINCIPAL, oid, ret) ||
           people_get(f, STATE_DIRECTORY_GROUP, oid, ret) ||
           people_get(f, STATE_APPLICATION, oid, ret);
}

static const struct collection *collection_of(const struct request *rq)
{
    for (size_t i = 0; i < COLLECTIONS; i++) {
        if (bytes_ieq(rq->url.seg[1], bytes_str(collections[i].name)))
            return &collections[i];
    }
    return NULL;
}

bool graph_target(const struct fabric *f, const struct request *rq, struct people_object *ret,
                  struct answer *a)
{
    const struct collection *c = collection_of(rq);
    struct bytes id = rq->url.seg[2];
    char oid[UUID_TEXT_LEN + 1];
    struct uuid u;
    if (c != NULL && bytes_eq_str(bytes_str(c->name), "users") && uuid_parse(id, &u) != HSM_OK &&
        people_find(f, "upn", id, oid))
        id = bytes_str(oid);
    bool found = c == NULL ? graph_by_id(f, id, ret)
                           : people_get(f, c->kind, id, ret) && (c->types >> ret->type & 1) != 0;
    if (!found)
        graph_not_found(a);
    return found;
}

bool graph_body(const struct request *rq, struct json_doc *ret, struct answer *a)
{
    static struct json_tok tok[GRAPH_BODY_TOKENS];
    if (json_parse(rq->http->body, tok, GRAPH_BODY_TOKENS, ret) == HSM_OK &&
        json_type_of(ret, 0) == JSON_OBJECT)
        return true;
    graph_bad_request(a, "The body must be a JSON object.");
    return false;
}

void graph_new_id(char dst[UUID_TEXT_LEN + 1])
{
    struct uuid u;
    uuid_new_v4(&u);
    uuid_format(&u, dst);
}

/* ---- lists ---- */

static bool value_fits(const struct odata_clause *c, const struct json_doc *d, uint32_t v)
{
    char text[VALUE_MAX + 1];
    size_t n = 0;
    if (json_type_of(d, v) != JSON_STRING || json_string(d, v, text, VALUE_MAX, &n) != HSM_OK)
        return false;
    text[n] = 0;
    return odata_value_fits(c, text);
}

static bool clause_fits(const struct odata_clause *c, const struct people_object *o)
{
    char name[64];
    if (c->field.n >= sizeof name)
        return false;
    memcpy(name, c->field.p, c->field.n);
    name[c->field.n] = 0;
    uint32_t v = json_get_nn(&o->d, o->object, name);
    if (v == JSON_NONE)
        return false;
    if (json_type_of(&o->d, v) != JSON_ARRAY)
        return value_fits(c, &o->d, v);
    for (uint32_t at = json_first(&o->d, v); at != JSON_NONE; at = json_next(&o->d, v, at)) {
        if (value_fits(c, &o->d, at))
            return true;
    }
    return false;
}

struct listing {
    struct json_wr *j;
    const struct collection *of;
    struct odata_filter filter;
    size_t n, max;
    struct bytes after; /* id of the last one of the page before; n == 0: the first page */
    bool skipping, more;
    char last[UUID_TEXT_LEN + 1];
};

static bool list_one(void *ctx, const struct people_object *o)
{
    struct listing *l = ctx;
    char id[UUID_TEXT_LEN + 1];
    people_text(o, "id", id, sizeof id);
    if (l->skipping) {
        l->skipping = !bytes_ieq(l->after, bytes_str(id));
        return true;
    }
    if ((l->of->types >> o->type & 1) == 0)
        return true;
    for (size_t i = 0; i < l->filter.n; i++) {
        if (!clause_fits(&l->filter.clause[i], o))
            return true;
    }
    size_t need = json_raw(&o->d, o->object).n + NEXT_LINK_ROOM;
    l->more = l->n == l->max || (l->n > 0 && l->j->w->cap - l->j->w->n < need);
    if (l->more)
        return false;
    graph_put(l->j, o);
    memcpy(l->last, id, sizeof id);
    l->n++;
    return true;
}

/* The same target with another $skiptoken, which is always the last parameter. */
static void put_next_link(struct json_wr *j, const struct request *rq, const char *token)
{
    static const char name[] = "skiptoken=";
    struct bytes t = rq->http->head->target;
    const uint8_t *old = memmem(t.p, t.n, name, sizeof name - 1);
    if (old != NULL) {
        t.n = (size_t)(old - t.p);
        while (t.n > 0 && t.p[t.n - 1] != '?' && t.p[t.n - 1] != '&')
            t.n--;
        t.n -= t.n > 0;
    }
    json_name(j, "@odata.nextLink");
    json_str_open(j);
    json_str_add_s(j, rq->face.graph);
    json_str_add(j, t);
    json_str_add_s(j, t.n > 0 && memchr(t.p, '?', t.n) != NULL ? "&" : "?");
    json_str_add_s(j, "$skiptoken=");
    json_str_add_s(j, token);
    json_str_close(j);
}

static size_t page_size(const struct request *rq)
{
    struct bytes top = url_param_get(&rq->url, "$top");
    size_t n = 0;
    for (size_t i = 0; i < top.n && i < 4; i++) {
        if (top.p[i] < '0' || top.p[i] > '9')
            return PAGE_DEFAULT;
        n = n * 10 + (size_t)(top.p[i] - '0');
    }
    return n == 0 ? PAGE_DEFAULT : n > PAGE_MAX ? PAGE_MAX : n;
}

void graph_list(struct fabric *f, const struct request *rq, struct answer *a)
{
    struct json_wr j = json_wr_of(&a->body);
    struct listing l = {.j = &j, .of = collection_of(rq), .max = page_size(rq)};
    struct bytes text = url_param_get(&rq->url, "$filter");
    if (text.n > 0 && odata_parse(text, &l.filter) != HSM_OK) {
        answer_error(a, 400, "Request_UnsupportedQuery", "The $filter is not supported.");
        return;
    }
    l.after = url_param_get(&rq->url, "$skiptoken");
    l.skipping = l.after.n > 0;
    json_obj_open(&j);
    json_name(&j, "value");
    json_arr_open(&j);
    people_each(f, l.of->kind, list_one, &l);
    json_arr_close(&j);
    if (l.more)
        put_next_link(&j, rq, l.last);
    json_obj_close(&j);
}

/* ---- one, some ---- */

void graph_one(struct fabric *f, const struct request *rq, struct answer *a)
{
    static struct people_object o;
    if (!graph_target(f, rq, &o, a))
        return;
    struct json_wr j = json_wr_of(&a->body);
    graph_put(&j, &o);
}

void graph_me(struct fabric *f, const struct request *rq, struct answer *a)
{
    static struct people_object o;
    /* Also for apps, which the service refuses: scripts then need not know how they signed in. */
    if (!people_get(f, STATE_PRINCIPAL, bytes_str(rq->caller->oid), &o)) {
        graph_not_found(a);
        return;
    }
    struct json_wr j = json_wr_of(&a->body);
    graph_put(&j, &o);
}

/* Unknown ids are left out, as the service does. */
void graph_by_ids(struct fabric *f, const struct request *rq, struct answer *a)
{
    static struct people_object o;
    struct json_doc body;
    if (!graph_body(rq, &body, a))
        return;
    uint32_t ids = json_get_nn(&body, 0, "ids");
    if (ids == JSON_NONE || json_type_of(&body, ids) != JSON_ARRAY ||
        json_count(&body, ids) > GRAPH_IDS_MAX) {
        graph_bad_request(a, "The body must be {\"ids\":[...]} with at most 1000 ids.");
        return;
    }
    struct json_wr j = json_wr_of(&a->body);
    json_obj_open(&j);
    json_name(&j, "value");
    json_arr_open(&j);
    for (uint32_t at = json_first(&body, ids); at != JSON_NONE; at = json_next(&body, ids, at)) {
        struct bytes id;
        if (json_plain(&body, at, &id) == HSM_OK && graph_by_id(f, id, &o))
            graph_put(&j, &o);
    }
    json_arr_close(&j);
    json_obj_close(&j);
}
