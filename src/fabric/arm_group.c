/* Resource groups: {"id","name","type","location","tags","properties":{"provisioningState"}}. */
#include <stdio.h>
#include "fabric/arm_group.h"
#include "fabric/arm_internal.h"

#define GROUP_TYPE   "Microsoft.Resources/resourceGroups"
#define GROUP_RIGHT  "Microsoft.Resources/subscriptions/resourceGroups/"
#define GROUP_TOKENS 512
#define GROUP_JSON   16384
#define GROUP_NAME   90
#define DELETE_LIMIT 600000ull
#define DELETE_LOOK  50
#define DELETE_KIND  "group.delete"

struct group {
    struct json_tok tok[GROUP_TOKENS];
    struct json_doc doc;
};

static bool read_group(const struct document *d, struct group *ret)
{
    return d != NULL && json_parse(d->json, ret->tok, GROUP_TOKENS, &ret->doc) == HSM_OK;
}

const struct document *arm_group_document(struct fabric *f, struct bytes subscription,
                                          struct bytes group)
{
    char key[STATE_KEY_MAX + 1];
    (void)subscription; /* there is one */
    return arm_key(group, key) ? state_get(f->state, STATE_GROUP, bytes_str(key)) : NULL;
}

static bool is_deleting(const struct json_doc *d)
{
    return arm_string_is(d, arm_properties(d), "provisioningState", "Deleting");
}

bool arm_group_ready(struct fabric *f, struct bytes subscription, struct bytes group, bool write,
                     struct answer *a)
{
    struct group g;
    if (group.p == NULL)
        return true;
    if (!read_group(arm_group_document(f, subscription, group), &g))
        return arm_error(a, 404, "ResourceGroupNotFound",
                         "Resource group '%.*s' could not be found.", (int)group.n,
                         (const char *)group.p);
    return !write || !is_deleting(&g.doc) ||
           arm_error(a, 409, "ResourceGroupBeingDeleted",
                     "The resource group '%.*s' is in deprovisioning state and cannot perform this "
                     "operation.",
                     (int)group.n, (const char *)group.p);
}

/* ---- writing ---- */

static void put_group(struct json_wr *j, const char *id, const char *name, const char *location,
                      const struct json_doc *tags, const char *state)
{
    json_obj_open(j);
    put_str(j, "id", id);
    put_str(j, "name", name);
    put_str(j, "type", GROUP_TYPE);
    put_str(j, "location", location);
    if (tags == NULL || json_get_nn(tags, 0, "tags") == JSON_NONE ||
        !arm_copy(j, tags, 0, "tags")) {
        json_name(j, "tags");
        json_put_raw(j, bytes_str("{}"));
    }
    json_name(j, "properties");
    json_obj_open(j);
    put_str(j, "provisioningState", state);
    json_obj_close(j);
    json_obj_close(j);
}

static bool stage(struct changes *c, const char *name, struct bytes json)
{
    char key[STATE_KEY_MAX + 1];
    if (!arm_key(bytes_str(name), key))
        return false;
    changes_put(c, STATE_GROUP, bytes_str(key), json);
    return true;
}

void arm_group_make(struct fabric *f, struct changes *c, const char *name, const char *location)
{
    char id[ARM_ID_MAX + 1];
    uint8_t text[1024];
    struct wr w = wr_of(text, sizeof text);
    struct json_wr j = json_wr_of(&w);
    snprintf(id, sizeof id, "/subscriptions/%s/resourceGroups/%s", f->provider.dir.subscription,
             name);
    put_group(&j, id, name, location, NULL, "Succeeded");
    (void)stage(c, name, wr_view(&w));
}

static bool good_name(struct bytes name)
{
    static const char others[] = "-_().";
    for (size_t i = 0; i < name.n; i++) {
        uint8_t c = name.p[i];
        bool fits = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c >= 0x80 || (c != 0 && strchr(others, c) != NULL);
        if (!fits)
            return false;
    }
    return name.n > 0 && name.n <= GROUP_NAME && name.p[name.n - 1] != '.';
}

static bool may(struct fabric *f, const struct request *rq, const char *what, struct answer *a)
{
    char action[ARM_ACTION_MAX];
    snprintf(action, sizeof action, GROUP_RIGHT "%s", what);
    return arm_may(f, rq, action, rq->url.path) || arm_forbid(rq, action, rq->url.path, a);
}

static bool location_of(const struct json_doc *body, const struct group *old, char *dst, size_t cap,
                        struct answer *a)
{
    char before[64] = "";
    bool given = arm_string(body, 0, "location", dst, cap) && dst[0] != 0;
    arm_normal_location(dst);
    if (old == NULL)
        return given || arm_error(a, 400, "LocationRequired",
                                  "The location property is required for this definition.");
    (void)arm_string(&old->doc, 0, "location", before, sizeof before);
    if (given && !bytes_ieq(bytes_str(before), bytes_str(dst)))
        return arm_error(a, 409, "InvalidResourceGroupLocation",
                         "Invalid resource group location '%s'. The Resource group already exists "
                         "in location '%s'.",
                         dst, before);
    snprintf(dst, cap, "%s", before);
    return true;
}

static void write_group(struct fabric *f, const struct request *rq, bool patch, struct answer *a)
{
    struct json_tok tok[ARM_TOKENS_MAX];
    struct json_doc body;
    struct group old;
    struct bytes name = rq->url.seg[3];
    char id[ARM_ID_MAX + 1], shown[GROUP_NAME + 1], location[64];
    if (!may(f, rq, "write", a) || !arm_subscription_ready(f, rq->url.seg[1], true, a))
        return;
    bool exists = read_group(arm_group_document(f, rq->url.seg[1], name), &old);
    if ((exists || patch) && !arm_group_ready(f, rq->url.seg[1], name, true, a))
        return;
    if (!good_name(name)) {
        arm_error(a, 400, "InvalidResourceGroup",
                  "The provided resource group name '%.*s' has these invalid characters or is "
                  "longer than %d: it may have letters, digits and -_(). and not end with a dot.",
                  (int)name.n, (const char *)name.p, GROUP_NAME);
        return;
    }
    if (!arm_body(rq, tok, &body, a) || !arm_tags_ready(&body, a) ||
        !location_of(&body, exists ? &old : NULL, location, sizeof location, a))
        return;
    if (!exists || !arm_string(&old.doc, 0, "name", shown, sizeof shown))
        snprintf(shown, sizeof shown, "%.*s", (int)name.n, (const char *)name.p);
    snprintf(id, sizeof id, "/subscriptions/%s/resourceGroups/%s", f->provider.dir.subscription,
             shown);
    bool has_tags = json_get_nn(&body, 0, "tags") != JSON_NONE;
    const struct json_doc *kept = patch && exists ? &old.doc : NULL;
    struct json_wr j = json_wr_of(&a->body);
    put_group(&j, id, shown, location, has_tags ? &body : kept, "Succeeded");
    if (a->body.n > GROUP_JSON)
        arm_error(a, 413, "RequestContentTooLarge", "The tags are too long.");
    else if (stage(rq->changes, shown, wr_view(&a->body)))
        a->status = exists ? 200 : 201;
}

void arm_group_put(struct fabric *f, const struct request *rq, struct answer *a)
{
    write_group(f, rq, false, a);
}

void arm_group_patch(struct fabric *f, const struct request *rq, struct answer *a)
{
    write_group(f, rq, true, a);
}

/* ---- reading ---- */

void arm_group(struct fabric *f, const struct request *rq, struct answer *a)
{
    if (!arm_may_below(f, rq, rq->url.path) && !may(f, rq, "read", a))
        return;
    if (!arm_subscription_ready(f, rq->url.seg[1], false, a) ||
        !arm_group_ready(f, rq->url.seg[1], rq->url.seg[3], false, a))
        return;
    const struct document *d = arm_group_document(f, rq->url.seg[1], rq->url.seg[3]);
    wr_bytes(&a->body, d->json.p, d->json.n);
}

void arm_group_head(struct fabric *f, const struct request *rq, struct answer *a)
{
    arm_group(f, rq, a);
    if (a->status == 200) {
        a->status = 204;
        a->body.n = 0;
    }
}

static bool list_one(void *ctx, const struct document *d)
{
    struct arm_lister *l = ctx;
    struct group g;
    char id[ARM_ID_MAX + 1];
    if (!read_group(d, &g) || !arm_string(&g.doc, 0, "id", id, sizeof id) ||
        !arm_may_below(l->fabric, l->rq, bytes_str(id)))
        return true;
    if (arm_lister_takes(l, d->key))
        json_put_raw(&l->j, d->json);
    return !l->full;
}

void arm_groups(struct fabric *f, const struct request *rq, struct answer *a)
{
    struct arm_lister l;
    if (!arm_subscription_ready(f, rq->url.seg[1], false, a))
        return;
    struct bytes scope = bytes_of(rq->url.path.p, rq->url.path.n - strlen("/resourcegroups"));
    if (!arm_may_below(f, rq, scope)) {
        arm_forbid(rq, GROUP_RIGHT "read", scope, a);
        return;
    }
    if (!arm_lister_open(&l, f, rq, a))
        return;
    state_each(f->state, STATE_GROUP, bytes_str(""), list_one, &l);
    arm_lister_close(&l);
}

/* ---- the end of a group: that of everything in it ---- */

struct cascade {
    const struct request *rq;
    struct answer *answer;
    const char *within;
    bool good;
};

static bool delete_child(void *ctx, struct fabric *f, const struct arm_resource *r)
{
    struct cascade *c = ctx;
    char id[ARM_ID_MAX + 1], key[STATE_KEY_MAX + 1], operation[UUID_TEXT_LEN + 1];
    struct arm_delete d = {.type = r->type, .resource = r, .id = id, .within = c->within};
    if (!arm_string(&r->json, 0, "id", id, sizeof id) || !arm_key(bytes_str(id), key))
        return true;
    if (r->type != NULL && r->type->del != NULL && !r->type->del(f, c->rq, &d, c->answer)) {
        c->good = false;
        return false;
    }
    if (d.operation != NULL)
        operation_start(c->rq->changes, d.operation, bytes_str(key),
                        bytes_str(OPERATION_DATA_EMPTY), c->rq->now_ms, operation);
    else
        changes_delete(c->rq->changes, STATE_RESOURCE, bytes_str(key));
    return true;
}

void arm_group_delete(struct fabric *f, const struct request *rq, struct answer *a)
{
    struct group g;
    struct cascade c = {.rq = rq, .answer = a, .good = true};
    char id[ARM_ID_MAX + 2], key[STATE_KEY_MAX + 1], name[GROUP_NAME + 1], location[64];
    char operation[UUID_TEXT_LEN + 1], url[FACE_URL_MAX + 200];
    uint8_t text[GROUP_JSON];
    struct wr w = wr_of(text, sizeof text);
    struct json_wr j = json_wr_of(&w);
    if (!may(f, rq, "delete", a) || !arm_subscription_ready(f, rq->url.seg[1], true, a) ||
        !arm_group_ready(f, rq->url.seg[1], rq->url.seg[3], true, a))
        return;
    if (!read_group(arm_group_document(f, rq->url.seg[1], rq->url.seg[3]), &g) ||
        !arm_string(&g.doc, 0, "id", id, sizeof id - 1) ||
        !arm_string(&g.doc, 0, "name", name, sizeof name) || !arm_key(bytes_str(id), key))
        return;
    (void)arm_string(&g.doc, 0, "location", location, sizeof location);
    put_group(&j, id, name, location, &g.doc, "Deleting");
    (void)stage(rq->changes, name, wr_view(&w));
    id[strlen(id) + 1] = 0;
    id[strlen(id)] = '/';
    c.within = id;
    const struct wr headers = a->headers;
    arm_each(f, bytes_str(id), NULL, delete_child, &c);
    if (!c.good)
        return;
    a->headers = headers; /* without those of its children's own answers */
    a->body.n = 0;
    operation_start(rq->changes, DELETE_KIND, bytes_str(key), bytes_str(OPERATION_DATA_EMPTY),
                    rq->now_ms, operation);
    struct bytes version = url_param_get(&rq->url, "api-version");
    snprintf(url, sizeof url, "%s/subscriptions/%s/operationresults/%s?api-version=%.*s",
             rq->face.arm, f->provider.dir.subscription, operation, (int)version.n,
             (const char *)version.p);
    answer_header(a, "Location", url);
    answer_header(a, "Retry-After", "1");
    a->status = 202;
}

struct remains {
    size_t n;
    bool stuck; /* something's own deletion has failed */
};

static bool count_one(void *ctx, struct fabric *f, const struct arm_resource *r)
{
    struct remains *m = ctx;
    (void)f;
    m->n++;
    m->stuck = m->stuck || (r->type != NULL && !arm_string_is(&r->json, arm_properties(&r->json),
                                                              "provisioningState", "Deleting"));
    return true;
}

static bool delete_role(void *ctx, const struct document *d)
{
    changes_delete(ctx, STATE_ARM_ROLE, d->key);
    return true;
}

/* Waits until what is in it is gone. */
static void delete_step(struct fabric *f, struct step *s)
{
    struct remains m = {0};
    char below[STATE_KEY_MAX + 2];
    snprintf(below, sizeof below, "%s/", s->op->target);
    struct bytes name = arm_last_segment(bytes_str(s->op->target));
    arm_each(f, bytes_str(below), NULL, count_one, &m);
    if (m.n == 0) {
        state_each(f->state, STATE_ARM_ROLE, bytes_str(below), delete_role, s->changes);
        changes_delete(s->changes, STATE_GROUP, name);
        step_done(s);
    } else if (m.stuck || s->now_ms > s->op->created_ms + DELETE_LIMIT) {
        struct group g;
        char shown[GROUP_NAME + 1], location[64], id[ARM_ID_MAX + 1];
        uint8_t text[GROUP_JSON];
        struct wr w = wr_of(text, sizeof text);
        struct json_wr j = json_wr_of(&w);
        if (read_group(state_get(f->state, STATE_GROUP, name), &g) &&
            arm_string(&g.doc, 0, "name", shown, sizeof shown) &&
            arm_string(&g.doc, 0, "id", id, sizeof id)) {
            (void)arm_string(&g.doc, 0, "location", location, sizeof location);
            put_group(&j, id, shown, location, &g.doc, "Succeeded");
            (void)stage(s->changes, shown, wr_view(&w));
        }
        step_failed(s, "ResourceGroupDeletionBlocked",
                    "Deletion of the resource group failed, because resources in it could not be "
                    "deleted.");
    } else {
        step_again(s, DELETE_LOOK);
    }
}

static void done_step(struct fabric *f, struct step *s)
{
    (void)f;
    step_done(s);
}

hsm_err arm_group_operations(struct operations *o)
{
    TRY(operations_add(o, ARM_DONE_KIND, done_step));
    return operations_add(o, DELETE_KIND, delete_step);
}
