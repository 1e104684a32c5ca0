/* The documents of operations. */
#include "fabric/operation.h"

#include <stdio.h>
#include "fabric/answer.h"
#include "fabric/operation_internal.h"

#define TOKENS_MAX 8192

static const char *const state_names[] = {
    [OPERATION_RUNNING] = "running",
    [OPERATION_SUCCEEDED] = "succeeded",
    [OPERATION_FAILED] = "failed",
};

static hsm_err text_of(const struct json_doc *d, uint32_t obj, const char *name, char *dst,
                       size_t size)
{
    size_t n = 0;
    uint32_t at = json_get(d, obj, name);
    if (at == JSON_NONE || json_string(d, at, dst, size - 1, &n) != HSM_OK)
        return HSM_E_CORRUPT;
    dst[n] = 0;
    return HSM_OK;
}

static hsm_err time_of(const struct json_doc *d, const char *name, uint64_t *ret)
{
    int64_t v = 0;
    uint32_t at = json_get(d, 0, name);
    if (at == JSON_NONE || json_int(d, at, &v) != HSM_OK || v < 0)
        return HSM_E_CORRUPT;
    *ret = (uint64_t)v;
    return HSM_OK;
}

static hsm_err state_of(const struct json_doc *d, enum operation_state *ret)
{
    char name[16];
    TRY(text_of(d, 0, "state", name, sizeof name));
    for (size_t i = 0; i < sizeof state_names / sizeof *state_names; i++) {
        if (strcmp(name, state_names[i]) == 0) {
            *ret = (enum operation_state)i;
            return HSM_OK;
        }
    }
    return HSM_E_CORRUPT;
}

hsm_err operation_read(const struct document *doc, struct operation *ret)
{
    static struct json_tok tok[TOKENS_MAX];
    struct json_doc d;
    struct operation o = {0};
    if (json_parse(doc->json, tok, TOKENS_MAX, &d) != HSM_OK)
        return HSM_E_CORRUPT;
    TRY(text_of(&d, 0, "id", o.id, sizeof o.id));
    TRY(text_of(&d, 0, "kind", o.kind, sizeof o.kind));
    TRY(text_of(&d, 0, "target", o.target, sizeof o.target));
    TRY(text_of(&d, 0, "step", o.step, sizeof o.step));
    TRY(state_of(&d, &o.state));
    TRY(time_of(&d, "created", &o.created_ms));
    uint32_t error = json_get(&d, 0, "error"), data = json_get(&d, 0, "data");
    if (error != JSON_NONE) {
        TRY(text_of(&d, error, "code", o.error_code, sizeof o.error_code));
        TRY(text_of(&d, error, "message", o.error_text, sizeof o.error_text));
    }
    if (o.state != OPERATION_RUNNING)
        TRY(time_of(&d, "ended", &o.ended_ms));
    if (data == JSON_NONE)
        return HSM_E_CORRUPT;
    o.data = json_raw(&d, data);
    *ret = o;
    return HSM_OK;
}

hsm_err operation_find(const struct state *s, struct bytes id, struct operation *ret)
{
    char key[UUID_TEXT_LEN + 1];
    struct uuid u;
    if (uuid_parse(id, &u) != HSM_OK)
        return HSM_E_NOT_FOUND;
    uuid_format(&u, key);
    const struct document *d = state_get(s, STATE_OPERATION, bytes_str(key));
    return d == NULL ? HSM_E_NOT_FOUND : operation_read(d, ret);
}

void operation_put(struct changes *c, const struct operation *o)
{
    static uint8_t buf[STATE_JSON_MAX];
    struct wr w = wr_of(buf, sizeof buf);
    struct json_wr j = json_wr_of(&w);
    json_obj_open(&j);
    put_str(&j, "id", o->id);
    put_str(&j, "kind", o->kind);
    put_str(&j, "target", o->target);
    put_str(&j, "step", o->step);
    put_str(&j, "state", state_names[o->state]);
    if (o->state == OPERATION_FAILED) {
        json_name(&j, "error");
        json_obj_open(&j);
        put_str(&j, "code", o->error_code);
        put_str(&j, "message", o->error_text);
        json_obj_close(&j);
    }
    put_int(&j, "created", (int64_t)o->created_ms);
    if (o->state != OPERATION_RUNNING)
        put_int(&j, "ended", (int64_t)o->ended_ms);
    json_name(&j, "data");
    json_put_raw(&j, o->data);
    json_obj_close(&j);
    /* An overflow shows as a document that is too large. */
    changes_put(c, STATE_OPERATION, bytes_str(o->id),
                wr_ok(&w) == HSM_OK ? wr_view(&w) : bytes_of(buf, STATE_JSON_MAX + 1));
}

void operation_start(struct changes *c, const char *kind, struct bytes target, struct bytes data,
                     uint64_t now_ms, char ret_id[UUID_TEXT_LEN + 1])
{
    struct operation o = {.created_ms = now_ms, .data = data};
    struct uuid u;
    uuid_new_v4(&u);
    uuid_format(&u, o.id);
    (void)snprintf(o.kind, sizeof o.kind, "%s", kind);
    if (target.n <= STATE_KEY_MAX)
        memcpy(o.target, target.p, target.n);
    operation_put(c, &o);
    memcpy(ret_id, o.id, sizeof o.id);
}
