/* Members of documents and bodies, for hooks. */
#include <stdarg.h>
#include <stdio.h>
#include "base/clock.h"
#include "fabric/arm_internal.h"

bool arm_error(struct answer *a, unsigned status, const char *code, const char *format, ...)
{
    char text[4096];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    answer_error(a, status, code, text);
    return false;
}

bool arm_string(const struct json_doc *d, uint32_t obj, const char *name, char *dst, size_t cap)
{
    size_t n = 0;
    uint32_t v = json_get(d, obj, name);
    dst[0] = 0;
    if (v == JSON_NONE || json_type_of(d, v) != JSON_STRING ||
        json_string(d, v, dst, cap - 1, &n) != HSM_OK) {
        dst[0] = 0;
        return false;
    }
    dst[n] = 0;
    return true;
}

bool arm_string_is(const struct json_doc *d, uint32_t obj, const char *name, const char *want)
{
    char text[256];
    return arm_string(d, obj, name, text, sizeof text) &&
           bytes_ieq(bytes_str(text), bytes_str(want));
}

uint32_t arm_properties(const struct json_doc *d)
{
    uint32_t v = json_get_nn(d, 0, "properties");
    return v != JSON_NONE && json_type_of(d, v) == JSON_OBJECT ? v : JSON_NONE;
}

/* A value with its quotes when it is a string. */
static struct bytes whole(const struct json_doc *d, uint32_t v)
{
    struct bytes raw = json_raw(d, v);
    return json_type_of(d, v) == JSON_STRING ? bytes_of(raw.p - 1, raw.n + 2) : raw;
}

bool arm_copy(struct json_wr *j, const struct json_doc *d, uint32_t obj, const char *name)
{
    uint32_t v = json_get(d, obj, name);
    if (v == JSON_NONE)
        return false;
    json_name(j, name);
    json_put_raw(j, whole(d, v));
    return true;
}

static bool is_named(const char *const *names, struct bytes name)
{
    for (; *names != NULL; names++)
        if (bytes_eq_str(name, *names))
            return true;
    return false;
}

void arm_copy_except(struct json_wr *j, const struct json_doc *d, uint32_t obj,
                     const char *const *names)
{
    if (obj == JSON_NONE)
        return;
    for (uint32_t v = json_first(d, obj); v != JSON_NONE; v = json_next(d, obj, v)) {
        char text[256];
        size_t n = 0;
        if (json_string(d, v, text, sizeof text, &n) != HSM_OK ||
            is_named(names, bytes_of(text, n)))
            continue;
        json_name_bytes(j, bytes_of(text, n));
        json_put_raw(j, whole(d, json_value(v)));
    }
}

static bool has(const struct json_doc *d, uint32_t obj, const char *name)
{
    return obj != JSON_NONE && json_get_nn(d, obj, name) != JSON_NONE;
}

bool arm_keep(const struct arm_put *p, const char *name)
{
    if (has(p->body, arm_properties(p->body), name))
        return arm_copy(p->properties, p->body, arm_properties(p->body), name);
    return p->patch && p->old != NULL && has(p->old, arm_properties(p->old), name) &&
           arm_copy(p->properties, p->old, arm_properties(p->old), name);
}

bool arm_keep_top(const struct arm_put *p, const char *name)
{
    if (has(p->body, 0, name))
        return arm_copy(p->top, p->body, 0, name);
    return p->patch && p->old != NULL && has(p->old, 0, name) && arm_copy(p->top, p->old, 0, name);
}

void arm_put_time(struct json_wr *j, const char *name, uint64_t ms)
{
    char text[CLOCK_TEXT_LEN + 1];
    clock_format_ms(ms, text, sizeof text);
    put_str(j, name, text);
}

static const char *caller_name(const struct request *rq)
{
    const struct principal *p = rq->caller;
    if (p->kind == PRINCIPAL_USER)
        return p->upn;
    return p->client_id;
}

void arm_put_system_data(struct json_wr *j, const struct request *rq, const struct json_doc *old)
{
    static const char *const type[] = {[PRINCIPAL_USER] = "User",
                                       [PRINCIPAL_APP] = "Application",
                                       [PRINCIPAL_MANAGED_IDENTITY] = "ManagedIdentity"};
    uint32_t before = old == NULL ? JSON_NONE : json_get_nn(old, 0, "systemData");
    json_name(j, "systemData");
    json_obj_open(j);
    if (before != JSON_NONE) {
        arm_copy(j, old, before, "createdBy");
        arm_copy(j, old, before, "createdByType");
        arm_copy(j, old, before, "createdAt");
    } else {
        put_str(j, "createdBy", caller_name(rq));
        put_str(j, "createdByType", type[rq->caller->kind]);
        arm_put_time(j, "createdAt", rq->now_ms);
    }
    put_str(j, "lastModifiedBy", caller_name(rq));
    put_str(j, "lastModifiedByType", type[rq->caller->kind]);
    arm_put_time(j, "lastModifiedAt", rq->now_ms);
    json_obj_close(j);
}
