/* Stored resources: finding, staging, showing. */
#include <stdio.h>
#include "fabric/arm_internal.h"

/* Where the last type of an id begins: its namespace. NULL: it has none. */
static const char *last_type(const char *id)
{
    static const char word[] = "/providers/";
    const char *at = NULL;
    for (const char *p = strcasestr(id, word); p != NULL; p = strcasestr(p, word))
        at = p += sizeof word - 1;
    return at;
}

bool arm_not_found(struct answer *a, const char *id)
{
    struct bytes group = arm_last_segment(arm_id_group(bytes_str(id)));
    const struct arm_type *t = arm_type_of_id(bytes_str(id));
    char names[ARM_ID_MAX + 1];
    struct wr w = wr_of(names, sizeof names - 1);
    size_t k = 0;
    for (const char *p = last_type(id); p != NULL && *p != 0; k++) {
        const char *end = strchrnul(p, '/');
        if (k >= 2 && k % 2 == 0) {
            wr_str(&w, "/");
            wr_bytes(&w, p, (size_t)(end - p));
        }
        p = *end == 0 ? end : end + 1;
    }
    names[w.n] = 0;
    return arm_error(a, 404, "ResourceNotFound",
                     "The Resource '%s%s' under resource group '%.*s' was not found. For more "
                     "details please go to https://aka.ms/ARMResourceNotFoundFix",
                     t == NULL ? id : t->name, t == NULL ? "" : names,
                     group.p == NULL ? 6 : (int)group.n,
                     group.p == NULL ? "<null>" : (const char *)group.p);
}

bool arm_read_json(struct bytes key, struct bytes json, struct arm_resource *ret)
{
    ret->type = arm_type_of_id(key);
    return json_parse(json, ret->tok, ARM_TOKENS_MAX, &ret->json) == HSM_OK &&
           json_type_of(&ret->json, 0) == JSON_OBJECT;
}

bool arm_read(const struct document *d, struct arm_resource *ret)
{
    return d != NULL && arm_read_json(d->key, d->json, ret);
}

bool arm_find(struct fabric *f, struct bytes id, struct arm_resource *ret)
{
    char key[STATE_KEY_MAX + 1];
    return arm_key(id, key) && arm_read(state_get(f->state, STATE_RESOURCE, bytes_str(key)), ret);
}

struct each {
    struct fabric *fabric;
    const struct arm_type *type;
    arm_each_fn *fn;
    void *ctx;
};

static bool each_one(void *ctx, const struct document *d)
{
    struct each *e = ctx;
    struct arm_resource r;
    if ((e->type != NULL && arm_type_of_id(d->key) != e->type) || !arm_read(d, &r))
        return true;
    return e->fn(e->ctx, e->fabric, &r);
}

void arm_each(struct fabric *f, struct bytes below, const struct arm_type *type, arm_each_fn *fn,
              void *ctx)
{
    char key[STATE_KEY_MAX + 1];
    struct each e = {.fabric = f, .type = type, .fn = fn, .ctx = ctx};
    if (arm_key(below, key))
        state_each(f->state, STATE_RESOURCE, bytes_str(key), each_one, &e);
}

void arm_stage(struct fabric *f, const struct request *rq, const char *id, struct bytes json)
{
    char key[STATE_KEY_MAX + 1];
    (void)f;
    if (!arm_key(bytes_str(id), key))
        key[0] = 0; /* refused by the commit */
    changes_put(rq->changes, STATE_RESOURCE, bytes_str(key), json);
}

struct below {
    struct changes *changes;
    size_t n; /* of the prefix */
};

static bool delete_one(void *ctx, const struct document *d)
{
    struct below *b = ctx;
    changes_delete(b->changes, d->kind, d->key);
    return true;
}

void arm_stage_delete_below(struct fabric *f, const struct request *rq, const char *id)
{
    char key[STATE_KEY_MAX + 1], below[STATE_KEY_MAX + 1];
    struct below b = {.changes = rq->changes};
    struct wr w = wr_of(below, sizeof below - 1);
    wr_str(&w, id);
    wr_str(&w, "/");
    if (wr_ok(&w) != HSM_OK || !arm_key(wr_view(&w), key))
        return; /* too long to have anything below */
    state_each(f->state, STATE_RESOURCE, bytes_str(key), delete_one, &b);
    state_each(f->state, STATE_ARM_ROLE, bytes_str(key), delete_one, &b);
}

void arm_stage_delete(struct fabric *f, const struct request *rq, const char *id)
{
    char key[STATE_KEY_MAX + 1];
    if (!arm_key(bytes_str(id), key))
        return;
    changes_delete(rq->changes, STATE_RESOURCE, bytes_str(key));
    arm_stage_delete_below(f, rq, id);
}

void arm_render(struct fabric *f, const struct request *rq, const struct arm_resource *r,
                struct json_wr *j)
{
    static const char *const own[] = {"properties", NULL};
    json_obj_open(j);
    arm_copy_except(j, &r->json, 0, own);
    json_name(j, "properties");
    if (r->type != NULL && r->type->render != NULL) {
        json_obj_open(j);
        r->type->render(f, rq, r, j);
        json_obj_close(j);
    } else {
        uint32_t v = arm_properties(&r->json);
        json_put_raw(j, v == JSON_NONE ? bytes_str("{}") : json_raw(&r->json, v));
    }
    json_obj_close(j);
}

bool arm_body(const struct request *rq, struct json_tok tok[ARM_TOKENS_MAX], struct json_doc *ret,
              struct answer *a)
{
    hsm_err e = rq->http->body.n == 0 ? HSM_E_MALFORMED
                                      : json_parse(rq->http->body, tok, ARM_TOKENS_MAX, ret);
    if (e == HSM_OK && json_type_of(ret, 0) == JSON_OBJECT)
        return true;
    return arm_error(a, 400, "InvalidRequestContent",
                     "The request content was invalid and could not be deserialized: '%s'.",
                     e == HSM_OK ? "The body is not an object." : hsm_err_text(e));
}

void arm_get(struct fabric *f, const struct request *rq, const struct arm_path *p, struct answer *a)
{
    struct arm_resource r;
    if (!arm_need(f, rq, p->type, "read", p->id, a) ||
        !arm_subscription_ready(f, p->subscription, false, a) ||
        !arm_group_ready(f, p->subscription, p->group, false, a))
        return;
    /* The URL that was given for watching a deletion. */
    bool watched = url_param_get(&rq->url, "kv-operation").n > 0;
    if (!arm_find(f, bytes_str(p->id), &r)) {
        if (watched)
            a->status = 204;
        else
            arm_not_found(a, p->id);
        return;
    }
    if (watched &&
        arm_string_is(&r.json, arm_properties(&r.json), "provisioningState", "Deleting")) {
        arm_watch_headers(rq, "Location", a);
        a->status = 202;
        return;
    }
    struct json_wr j = json_wr_of(&a->body);
    arm_render(f, rq, &r, &j);
}

void arm_watch_headers(const struct request *rq, const char *header, struct answer *a)
{
    char url[FACE_URL_MAX + URL_PATH_MAX + 200];
    struct bytes version = url_param_get(&rq->url, "api-version");
    snprintf(url, sizeof url, "%s%.*s?api-version=%.*s&kv-operation=%s", rq->face.arm,
             (int)rq->url.path.n, (const char *)rq->url.path.p, (int)version.n,
             (const char *)version.p, rq->id);
    answer_header(a, header, url);
    answer_header(a, "Retry-After", "1");
}

void arm_act(struct fabric *f, const struct request *rq, const struct arm_path *p, struct answer *a)
{
    static const char read[] = "read";
    struct arm_resource r;
    struct json_tok tok[ARM_TOKENS_MAX];
    struct json_doc body;
    if (!arm_need(f, rq, p->type, p->action->right, p->id, a) ||
        !arm_subscription_ready(f, p->subscription, strcmp(p->action->right, read) != 0, a) ||
        !arm_group_ready(f, p->subscription, p->group, false, a))
        return;
    if (!arm_find(f, bytes_str(p->id), &r)) {
        arm_not_found(a, p->id);
        return;
    }
    bool has_body = rq->http->body.n > 0;
    if (has_body && !arm_body(rq, tok, &body, a))
        return;
    (void)p->action->fn(f, rq, &r, has_body ? &body : NULL, a);
}
