/* PUT, PATCH and DELETE of a resource: the same for all types, around the type's own hook. */
#include <stdio.h>
#include "fabric/arm_internal.h"

#define TAGS_MAX 50

/* ---- what is wrong with a request ---- */

static bool method_ready(const struct arm_type *t, enum arm_methods m, struct answer *a)
{
    return (t->methods & m) != 0 || arm_wrong_method(t->name, a);
}

static bool name_ready(const struct arm_path *p, struct answer *a)
{
    size_t n = strlen(p->name);
    if (n > 0 && strpbrk(p->name, "<>%&\\?#") == NULL && p->name[n - 1] != '.' &&
        p->name[n - 1] != ' ')
        return true;
    return arm_error(a, 400, "InvalidResourceName",
                     "The resource name '%s' is invalid: it must not be longer than %d characters, "
                     "contain any of <>%%&\\?# or end with a dot or a blank.",
                     p->name, ARM_NAME_MAX);
}

/* The id of what the resource is in, spelled as its creator did. */
static bool parent_ready(struct fabric *f, const struct arm_path *p, char *ret, size_t cap,
                         struct answer *a)
{
    struct arm_resource parent;
    struct json_tok tok[64];
    struct json_doc group;
    bool is_resource = p->child || strcasestr(p->parent, "/providers/") != NULL;
    if (is_resource) {
        if (arm_find(f, bytes_str(p->parent), &parent) &&
            arm_string(&parent.json, 0, "id", ret, cap))
            return true;
        return arm_error(
            a, 404, "ParentResourceNotFound",
            "Failed to perform 'write' on resource(s) of type '%s', because the parent "
            "resource '%s' could not be found.",
            p->type->name, p->parent);
    }
    const struct document *d =
        p->group.p == NULL ? NULL : arm_group_document(f, p->subscription, p->group);
    if (d == NULL || json_parse(d->json, tok, 64, &group) != HSM_OK ||
        !arm_string(&group, 0, "id", ret, cap))
        snprintf(ret, cap, "%s", p->parent);
    return true;
}

bool arm_tags_ready(const struct json_doc *body, struct answer *a)
{
    uint32_t tags = json_get_nn(body, 0, "tags");
    if (tags == JSON_NONE)
        return true;
    bool good = json_type_of(body, tags) == JSON_OBJECT && json_count(body, tags) <= TAGS_MAX;
    for (uint32_t v = good ? json_first(body, tags) : JSON_NONE; v != JSON_NONE;
         v = json_next(body, tags, v))
        good = good && (json_type_of(body, json_value(v)) == JSON_STRING ||
                        json_type_of(body, json_value(v)) == JSON_NULL);
    return good || arm_error(a, 400, "InvalidTagsFormat",
                             "The tags must be an object of at most %d strings.", TAGS_MAX);
}

/* "East US 2" and "eastus2" are the same place. */
void arm_normal_location(char *text)
{
    char *to = text;
    for (const char *p = text; *p != 0; p++)
        if (*p != ' ')
            *to++ = (char)(*p >= 'A' && *p <= 'Z' ? *p + 32 : *p);
    *to = 0;
}

static bool location_ready(const struct arm_put *p, const struct arm_path *path, char *ret,
                           size_t cap, struct answer *a)
{
    char old[64] = "";
    ret[0] = 0;
    if (!p->type->located)
        return true;
    bool given = arm_string(p->body, 0, "location", ret, cap);
    arm_normal_location(ret);
    if (p->old != NULL && arm_string(p->old, 0, "location", old, sizeof old)) {
        if (given && !bytes_ieq(bytes_str(ret), bytes_str(old)))
            return arm_error(a, 409, "InvalidResourceLocation",
                             "The resource '%s' already exists in location '%s' in resource group "
                             "'%.*s'. A resource with the same name cannot be created in location "
                             "'%s'. Please select a new resource name.",
                             path->name, old, (int)path->group.n,
                             path->group.p == NULL ? "" : (const char *)path->group.p, ret);
        snprintf(ret, cap, "%s", old);
        return true;
    }
    return (given && ret[0] != 0) ||
           arm_error(a, 400, "LocationRequired",
                     "The location property is required for this definition.");
}

/* ---- the new document ---- */

struct draft {
    char parent[ARM_ID_MAX + 1], id[ARM_ID_MAX + 1], name[ARM_NAME_MAX + 1], location[64];
    struct json_tok tok[ARM_TOKENS_MAX];
    struct json_doc body;
    struct arm_resource old, spare;
    bool exists;
    uint8_t top[16384], properties[65536], document[ARM_DOCUMENT_MAX];
};

static void name_draft(struct draft *d, const struct arm_path *path)
{
    const char *t = path->type->name;
    if (d->exists && arm_string(&d->old.json, 0, "id", d->id, sizeof d->id) &&
        arm_string(&d->old.json, 0, "name", d->name, sizeof d->name))
        return;
    snprintf(d->name, sizeof d->name, "%s", path->name);
    int n =
        path->child
            ? snprintf(d->id, sizeof d->id, "%s/%s/%s", d->parent, strrchr(t, '/') + 1, path->name)
            : snprintf(d->id, sizeof d->id, "%s/providers/%s/%s", d->parent, t, path->name);
    if (n < 0 || (size_t)n >= sizeof d->id)
        d->id[0] = 0;
}

/* false: it does not fit into a document. */
static bool compose(struct draft *d, const struct request *rq, const struct arm_put *p,
                    struct bytes *ret)
{
    struct wr w = wr_of(d->document, sizeof d->document);
    struct json_wr j = json_wr_of(&w);
    bool has_tags = json_get_nn(p->body, 0, "tags") != JSON_NONE;
    json_obj_open(&j);
    put_str(&j, "id", d->id);
    put_str(&j, "name", d->name);
    put_str(&j, "type", p->type->shown != NULL ? p->type->shown : p->type->name);
    if (p->type->located) {
        put_str(&j, "location", d->location);
        if (has_tags || (p->patch && p->old != NULL)) {
            arm_copy(&j, has_tags ? p->body : p->old, 0, "tags");
        } else {
            json_name(&j, "tags");
            json_put_raw(&j, bytes_str("{}"));
        }
    }
    struct bytes top = wr_view(p->top->w);
    if (top.n > 1) {
        wr_u8(&w, ',');
        wr_bytes(&w, top.p + 1, top.n - 1);
    }
    j.need_comma = true;
    if (p->type->located)
        arm_put_system_data(&j, rq, p->old);
    json_name(&j, "properties");
    json_put_raw(&j, wr_view(p->properties->w));
    json_obj_close(&j);
    *ret = wr_view(&w);
    return wr_ok(&w) == HSM_OK && wr_ok(p->top->w) == HSM_OK && wr_ok(p->properties->w) == HSM_OK;
}

/* ---- answers ---- */

/* One URL of an operation. */
struct operation_url {
    const char *header, *word, *end;
};

static void operation_header(const struct request *rq, const struct arm_type *type, const char *id,
                             const char *location, const char *operation, struct operation_url u,
                             struct answer *a)
{
    char url[FACE_URL_MAX + ARM_ID_MAX + 300];
    struct bytes sub = arm_id_subscription(bytes_str(id));
    struct bytes version = url_param_get(&rq->url, "api-version");
    snprintf(url, sizeof url, "%s%.*s/providers/%.*s/locations/%s/%s/%s?api-version=%.*s%s",
             rq->face.arm, (int)sub.n, (const char *)sub.p,
             (int)(strchrnul(type->name, '/') - type->name), type->name,
             location[0] != 0 ? location : "global", u.word, operation, (int)version.n,
             (const char *)version.p, u.end);
    answer_header(a, u.header, url);
}

void arm_operation_headers(const struct request *rq, const struct arm_type *type, const char *id,
                           const char *location, const char *operation, struct answer *a)
{
    bool async = type->style == ARM_ASYNC || type->style == ARM_ACCEPTED;
    const char *word = type->operations;
    if (word == NULL)
        word = async ? "operationStatuses" : "operationResults";
    struct operation_url status = {"Azure-AsyncOperation", word, ""};
    struct operation_url result = {"Location", type->results != NULL ? type->results : word,
                                   async && type->results == NULL ? "&monitor=true" : ""};
    if (async)
        operation_header(rq, type, id, location, operation, status, a);
    if (type->style != ARM_ASYNC)
        operation_header(rq, type, id, location, operation, result, a);
    answer_header(a, "Retry-After", "1");
}

static void answer_resource(struct fabric *f, const struct request *rq, struct bytes id,
                            struct bytes json, unsigned status, struct answer *a)
{
    struct arm_resource r;
    if (!arm_read_json(id, json, &r)) {
        arm_error(a, 500, "InternalServerError", "The resource cannot be stored.");
        return;
    }
    struct json_wr j = json_wr_of(&a->body);
    a->status = status;
    arm_render(f, rq, &r, &j);
}

static void answer_upsert(const struct request *rq, const struct arm_type *type, struct answer *a)
{
    struct json_wr j = json_wr_of(&a->body);
    a->status = 202;
    json_obj_open(&j);
    put_str(&j, "operation", type->upsert);
    arm_put_time(&j, "startTime", rq->now_ms);
    json_obj_close(&j);
}

static void finish_put(struct fabric *f, const struct request *rq, const struct draft *d,
                       const struct arm_put *p, struct bytes json, struct answer *a)
{
    char operation[UUID_TEXT_LEN + 1], key[STATE_KEY_MAX + 1];
    unsigned status = d->exists || p->type->plain ? 200 : 201;
    arm_stage(f, rq, d->id, json);
    bool started = p->operation != NULL, accepted = p->type->style == ARM_ACCEPTED;
    if (!started && p->type->style != ARM_ASYNC && !accepted) {
        answer_resource(f, rq, bytes_str(d->id), json, p->type->style == ARM_AT_ONCE ? status : 200,
                        a);
        return;
    }
    if (!arm_key(bytes_str(d->id), key))
        return;
    operation_start(rq->changes, started ? p->operation : ARM_DONE_KIND, bytes_str(key),
                    p->operation_data.n > 0 ? p->operation_data : bytes_str(OPERATION_DATA_EMPTY),
                    rq->now_ms, operation);
    if (p->type->style != ARM_AT_ONCE)
        arm_operation_headers(rq, p->type, d->id, d->location, operation, a);
    if (p->type->style == ARM_LOCATION)
        a->status = 202;
    else if (accepted && p->type->upsert != NULL)
        answer_upsert(rq, p->type, a);
    else
        answer_resource(f, rq, bytes_str(d->id), json, accepted ? 202 : status, a);
}

static bool prepare(struct fabric *f, const struct request *rq, const struct arm_path *path,
                    struct draft *d, struct arm_put *p, struct answer *a)
{
    if (!arm_need(f, rq, path->type, "write", path->id, a) ||
        !method_ready(path->type, p->patch ? ARM_PATCH : ARM_PUT, a) ||
        !arm_subscription_ready(f, path->subscription, true, a) ||
        !arm_group_ready(f, path->subscription, path->group, true, a) ||
        !parent_ready(f, path, d->parent, sizeof d->parent, a) || !name_ready(path, a) ||
        !arm_body(rq, d->tok, &d->body, a) || !arm_tags_ready(&d->body, a))
        return false;
    d->exists = arm_find(f, bytes_str(path->id), &d->old);
    if (p->patch && !d->exists)
        return arm_not_found(a, path->id);
    name_draft(d, path);
    if (d->id[0] == 0)
        return arm_error(a, 400, "InvalidResourceName", "The resource's id is too long.");
    p->old = d->exists ? &d->old.json : NULL;
    return location_ready(p, path, d->location, sizeof d->location, a);
}

void arm_put_resource(struct fabric *f, const struct request *rq, const struct arm_path *path,
                      bool patch, struct answer *a)
{
    struct draft d;
    d.parent[0] = 0;
    struct wr top = wr_of(d.top, sizeof d.top);
    struct wr properties = wr_of(d.properties, sizeof d.properties);
    struct json_wr jt = json_wr_of(&top), jp = json_wr_of(&properties);
    struct arm_put p = {.type = path->type,
                        .id = d.id,
                        .name = d.name,
                        .parent = d.parent,
                        .body = &d.body,
                        .patch = patch,
                        .location = d.location,
                        .spare = &d.spare,
                        .top = &jt,
                        .properties = &jp};
    struct bytes json;
    if (!prepare(f, rq, path, &d, &p, a))
        return;
    json_obj_open(&jt);
    json_obj_open(&jp);
    if (!p.type->put(f, rq, &p, a))
        return;
    json_obj_close(&jp);
    if (p.unchanged && p.old != NULL) {
        answer_resource(f, rq, bytes_str(d.id), p.old->text, 200, a);
        return;
    }
    if (!compose(&d, rq, &p, &json)) {
        arm_error(a, 413, "RequestContentTooLarge", "The resource is larger than %d bytes.",
                  ARM_DOCUMENT_MAX);
        return;
    }
    finish_put(f, rq, &d, &p, json, a);
}

void arm_delete_resource(struct fabric *f, const struct request *rq, const struct arm_path *path,
                         struct answer *a)
{
    struct arm_resource r;
    char operation[UUID_TEXT_LEN + 1], key[STATE_KEY_MAX + 1], location[64];
    if (!arm_need(f, rq, path->type, "delete", path->id, a) ||
        !method_ready(path->type, ARM_DELETE, a) ||
        !arm_subscription_ready(f, path->subscription, true, a))
        return;
    if (!arm_find(f, bytes_str(path->id), &r)) {
        a->status = 204;
        return;
    }
    struct arm_delete d = {.type = path->type, .resource = &r, .id = path->id};
    if (path->type->del != NULL && !path->type->del(f, rq, &d, a))
        return;
    if (d.operation == NULL)
        arm_stage_delete(f, rq, path->id);
    if ((d.operation == NULL && path->type->style != ARM_ASYNC &&
         path->type->style != ARM_ACCEPTED) ||
        !arm_key(bytes_str(d.id), key))
        return;
    (void)arm_string(&r.json, 0, "location", location, sizeof location);
    operation_start(rq->changes, d.operation != NULL ? d.operation : ARM_DONE_KIND, bytes_str(key),
                    bytes_str(OPERATION_DATA_EMPTY), rq->now_ms, operation);
    if (path->type->style != ARM_AT_ONCE)
        arm_operation_headers(rq, path->type, path->id, location, operation, a);
    a->status = 202;
}
