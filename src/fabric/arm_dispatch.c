/* Every path of Resource Manager that has no route of its own: to the framework. */
#include "fabric/arm_internal.h"
#include "fabric/arm_roles.h"

/* "2024-11-01", "2024-12-01-preview": any date is fine, because the shapes of one are a superset of
 * those of the others. */
static bool is_version(struct bytes v)
{
    static const char form[] = "0000-00-00";
    if (v.n < 10 || v.n > 32)
        return false;
    for (size_t i = 0; i < 10; i++) {
        bool digit = v.p[i] >= '0' && v.p[i] <= '9';
        if (form[i] == '0' ? !digit : v.p[i] != '-')
            return false;
    }
    for (size_t i = 10; i < v.n; i++) {
        bool letter = (v.p[i] | 32) >= 'a' && (v.p[i] | 32) <= 'z';
        if (i == 10 ? v.p[i] != '-' : !letter && !(v.p[i] >= '0' && v.p[i] <= '9'))
            return false;
    }
    return v.n != 11;
}

bool arm_version(const struct request *rq, struct answer *a)
{
    struct bytes v = url_param_get(&rq->url, "api-version");
    if (v.n == 0)
        return arm_error(a, 400, "MissingApiVersionParameter",
                         "The api-version query parameter (?api-version=) is required for all "
                         "requests.");
    return is_version(v) || arm_error(a, 400, "InvalidApiVersionParameter",
                                      "The api-version '%.*s' is invalid. It must be a date, for "
                                      "example '2024-11-01', perhaps with '-preview'.",
                                      (int)v.n, (const char *)v.p);
}

bool arm_wrong_method(const char *what, struct answer *a)
{
    return arm_error(a, 405, "MethodNotAllowed",
                     "The requested resource '%s' does not support that http method.", what);
}

static void unknown(const struct request *rq, const struct arm_path *p, struct answer *a)
{
    struct bytes version = url_param_get(&rq->url, "api-version");
    bool known = false;
    for (size_t i = 0; i < arm_types_n; i++) {
        const char *t = arm_types[i]->name;
        known = known || bytes_ieq(p->space, bytes_of(t, (size_t)(strchrnul(t, '/') - t)));
    }
    if (p->space.n == 0)
        arm_error(a, 501, "NotImplemented",
                  "This server version does not implement that operation of the control plane.");
    else if (!known)
        arm_error(a, 404, "InvalidResourceNamespace", "The resource namespace '%.*s' is invalid.",
                  (int)p->space.n, (const char *)p->space.p);
    else
        arm_error(a, 404, "InvalidResourceType",
                  "The resource type '%.*s' could not be found in the namespace '%.*s' for api "
                  "version '%.*s'. This server version does not implement every type.",
                  (int)p->type_word.n, (const char *)p->type_word.p, (int)p->space.n,
                  (const char *)p->space.p, (int)version.n, (const char *)version.p);
}

static void on_resource(struct fabric *f, const struct request *rq, const struct arm_path *p,
                        struct answer *a)
{
    switch (rq->http->head->method) {
    case HTTP1_GET:
        if ((p->type->methods & ARM_GET) != 0)
            arm_get(f, rq, p, a);
        else
            arm_wrong_method(p->type->name, a);
        return;
    case HTTP1_PUT:
    case HTTP1_PATCH:
        arm_put_resource(f, rq, p, rq->http->head->method == HTTP1_PATCH, a);
        return;
    case HTTP1_DELETE:
        arm_delete_resource(f, rq, p, a);
        return;
    case HTTP1_POST:
    case HTTP1_HEAD:
    case HTTP1_OPTIONS:
    case HTTP1_CONNECT:
    case HTTP1_OTHER:
        break;
    }
    arm_wrong_method(p->type->name, a);
}

void arm_dispatch(struct fabric *f, const struct request *rq, struct answer *a)
{
    struct arm_path p;
    if (arm_roles_answer(f, rq, a))
        return;
    if (arm_path_of(&rq->url, &p) != HSM_OK) {
        arm_error(a, 400, "InvalidResourceName", "The resource's id is too long.");
        return;
    }
    if (p.subscription.p != NULL && !arm_subscription_ready(f, p.subscription, false, a))
        return;
    switch (p.what) {
    case ARM_NOTHING:
        unknown(rq, &p, a);
        return;
    case ARM_RESOURCE:
        on_resource(f, rq, &p, a);
        return;
    case ARM_COLLECTION:
        if (rq->http->head->method == HTTP1_GET && (p.type->methods & ARM_LIST) != 0)
            arm_list(f, rq, &p, a);
        else
            arm_wrong_method(p.type->name, a);
        return;
    case ARM_ACTION:
        if (rq->http->head->method == p.action->method)
            arm_act(f, rq, &p, a);
        else
            arm_wrong_method(p.action->name, a);
        return;
    }
}
