/* Lists of resources, page by page. */
#include <stdio.h>
#include "base/text.h"
#include "fabric/arm_internal.h"
#include "fabric/odata.h"

bool arm_lister_open(struct arm_lister *l, struct fabric *f, const struct request *rq,
                     struct answer *a)
{
    struct bytes top = url_param_get(&rq->url, "$top");
    char text[16];
    long n = ARM_PAGE_MAX;
    *l = (struct arm_lister){.fabric = f,
                             .rq = rq,
                             .answer = a,
                             .j = json_wr_of(&a->body),
                             .after = url_param_get(&rq->url, "$skiptoken")};
    if (top.p != NULL) {
        snprintf(text, sizeof text, "%.*s", (int)top.n, (const char *)top.p);
        if (top.n >= sizeof text || !text_number(text, INT32_MAX, &n) || n == 0)
            return arm_error(a, 400, "InvalidQueryParameterValue",
                             "The value '%s' of the query parameter '$top' is not a positive "
                             "number.",
                             text);
    }
    l->most = (size_t)n < ARM_PAGE_MAX ? (size_t)n : ARM_PAGE_MAX;
    json_obj_open(&l->j);
    json_name(&l->j, "value");
    json_arr_open(&l->j);
    return true;
}

static int compare(struct bytes a, struct bytes b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int c = n == 0 ? 0 : memcmp(a.p, b.p, n);
    return c != 0 ? c : a.n < b.n ? -1 : a.n > b.n;
}

bool arm_lister_takes(struct arm_lister *l, struct bytes key)
{
    if (l->after.n > 0 && compare(key, l->after) <= 0)
        return false;
    if (l->shown == l->most || l->answer->body.n > ARM_PAGE_BYTES) {
        l->full = true;
        return false;
    }
    l->shown++;
    memcpy(l->next, key.p, key.n); /* keys fit */
    l->next[key.n] = 0;
    return true;
}

static void put_escaped(struct json_wr *j, struct bytes text)
{
    static const char plain[] = "-._~/";
    for (size_t i = 0; i < text.n; i++) {
        char c = (char)text.p[i], hex[4];
        bool keep = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    (c != 0 && strchr(plain, c) != NULL);
        snprintf(hex, sizeof hex, keep ? "%c" : "%%%02X", (unsigned char)c);
        json_str_add_s(j, hex);
    }
}

/* The same request with the token for what follows. */
static void put_next(struct arm_lister *l)
{
    const struct url_target *url = &l->rq->url;
    const char *mark = "?";
    json_str_open(&l->j);
    json_str_add_s(&l->j, l->rq->face.arm);
    put_escaped(&l->j, url->path);
    for (size_t i = 0; i < url->param_n; i++) {
        if (bytes_eq_str(url->param[i].name, "$skiptoken"))
            continue;
        json_str_add_s(&l->j, mark);
        json_str_add(&l->j, url->param[i].name);
        json_str_add_s(&l->j, "=");
        put_escaped(&l->j, url->param[i].value);
        mark = "&";
    }
    json_str_add_s(&l->j, mark);
    json_str_add_s(&l->j, "$skiptoken=");
    put_escaped(&l->j, bytes_str(l->next));
    json_str_close(&l->j);
}

void arm_lister_close(struct arm_lister *l)
{
    json_arr_close(&l->j);
    json_name(&l->j, "nextLink");
    if (l->full)
        put_next(l);
    else
        json_put_null(&l->j);
    json_obj_close(&l->j);
}

/* ---- of one type ---- */

struct listing {
    struct arm_lister l;
    const struct arm_type *type;
    const struct odata_filter *filter; /* all resources */
};

static bool may_see(struct listing *s, struct bytes key, const struct arm_type *t)
{
    char action[ARM_ACTION_MAX];
    snprintf(action, sizeof action, "%s/read", t->name);
    return arm_may(s->l.fabric, s->l.rq, action, key);
}

static bool list_one(void *ctx, const struct document *d)
{
    struct listing *s = ctx;
    struct arm_resource r;
    if (arm_type_of_id(d->key) != s->type || !may_see(s, d->key, s->type) || !arm_read(d, &r))
        return true;
    if (arm_lister_takes(&s->l, d->key))
        arm_render(s->l.fabric, s->l.rq, &r, &s->l.j);
    return !s->l.full;
}

/* "ID/" in lower case */
static bool prefix_of(const char *id, char dst[STATE_KEY_MAX + 1])
{
    size_t n = strlen(id);
    if (n >= STATE_KEY_MAX || !arm_key(bytes_str(id), dst))
        return false;
    dst[n] = '/';
    dst[n + 1] = 0;
    return true;
}

static bool may_list(struct fabric *f, const struct request *rq, const char *action,
                     const char *scope, struct answer *a)
{
    return arm_may_below(f, rq, bytes_str(scope)) || arm_forbid(rq, action, bytes_str(scope), a);
}

void arm_list(struct fabric *f, const struct request *rq, const struct arm_path *p,
              struct answer *a)
{
    struct listing s = {.type = p->type};
    struct arm_resource parent;
    char prefix[STATE_KEY_MAX + 1], action[ARM_ACTION_MAX];
    snprintf(action, sizeof action, "%s/read", p->type->name);
    if (!may_list(f, rq, action, p->id, a) ||
        !arm_subscription_ready(f, p->subscription, false, a) ||
        !arm_group_ready(f, p->subscription, p->group, false, a))
        return;
    if (strcasestr(p->id, "/providers/") != NULL && !arm_find(f, bytes_str(p->id), &parent)) {
        arm_not_found(a, p->id);
        return;
    }
    if (!prefix_of(p->id, prefix) || !arm_lister_open(&s.l, f, rq, a))
        return;
    state_each(f->state, STATE_RESOURCE, bytes_str(prefix), list_one, &s);
    arm_lister_close(&s.l);
}

/* ---- of all types ---- */

static bool fits(const struct listing *s, const struct document *d, const struct arm_type *t,
                 const struct arm_resource *r)
{
    for (size_t i = 0; i < s->filter->n; i++) {
        const struct odata_clause *c = &s->filter->clause[i];
        char text[ARM_ID_MAX + 1] = "";
        struct bytes group = arm_last_segment(arm_id_group(d->key));
        if (bytes_ieq(c->field, bytes_str("resourceType")))
            snprintf(text, sizeof text, "%s", t->name);
        else if (bytes_ieq(c->field, bytes_str("resourceGroup")))
            snprintf(text, sizeof text, "%.*s", (int)group.n, (const char *)group.p);
        else if (bytes_ieq(c->field, bytes_str("name")))
            (void)arm_string(&r->json, 0, "name", text, sizeof text);
        else if (bytes_ieq(c->field, bytes_str("location")))
            (void)arm_string(&r->json, 0, "location", text, sizeof text);
        if (!odata_value_fits(c, text))
            return false;
    }
    return true;
}

static bool list_any(void *ctx, const struct document *d)
{
    static const char *const left_out[] = {"properties", NULL};
    struct listing *s = ctx;
    struct arm_resource r;
    const struct arm_type *t = arm_type_of_id(d->key);
    if (t == NULL || t->hidden || !t->located || !may_see(s, d->key, t) || !arm_read(d, &r) ||
        !fits(s, d, t, &r))
        return true;
    if (arm_lister_takes(&s->l, d->key)) {
        json_obj_open(&s->l.j);
        arm_copy_except(&s->l.j, &r.json, 0, left_out);
        json_obj_close(&s->l.j);
    }
    return !s->l.full;
}

void arm_resources(struct fabric *f, const struct request *rq, struct answer *a)
{
    struct odata_filter filter = {0};
    struct listing s = {.filter = &filter};
    struct arm_path p;
    char prefix[STATE_KEY_MAX + 1];
    struct bytes text = url_param_get(&rq->url, "$filter");
    if (text.n > 0 && odata_parse(text, &filter) != HSM_OK) {
        answer_error(a, 400, "InvalidFilterInQueryString", "The $filter is not supported.");
        return;
    }
    if (arm_path_of(&rq->url, &p) != HSM_OK) {
        arm_not_found(a, "");
        return;
    }
    p.id[strlen(p.id) - strlen("/resources")] = 0;
    if (!may_list(f, rq, "Microsoft.Resources/subscriptions/resources/read", p.id, a) ||
        !arm_subscription_ready(f, p.subscription, false, a) ||
        !arm_group_ready(f, p.subscription, p.group, false, a) || !prefix_of(p.id, prefix) ||
        !arm_lister_open(&s.l, f, rq, a))
        return;
    state_each(f->state, STATE_RESOURCE, bytes_str(prefix), list_any, &s);
    arm_lister_close(&s.l);
}
