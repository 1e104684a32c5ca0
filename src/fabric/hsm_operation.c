/* Create, update, delete, recover and purge of a managed HSM, step by step with its node. A step
 * may happen twice: the node's operations say what is wanted. What each leaves in the state: create
 * Provisioning -> Succeeded; when it fails, Failed with the reason, and nothing at the node update
 * Updating -> Succeeded delete   Deleting -> the document of a soft-deleted one; Succeeded again
 * when the node is away recover  Provisioning -> Succeeded, or Failed: its data are there, delete
 * and recover again purge    nothing at all; not purging any more when the node is away */
#include <stdio.h>
#include "fabric/arm_internal.h"
#include "fabric/hsm.h"
#include "fabric/usage.h"

#define LOOK_MS        20
#define AWAY_MS        250
#define START_LIMIT_MS 120000ull
#define UNDO_LIMIT_MS  300000ull
#define REFUSED_MS     1000
#define LINE_MAX_BYTES 40000

/* What a step is about. */
struct subject {
    struct hsm_pool pool;
    char key[STATE_KEY_MAX + 1]; /* of the resource */
    struct arm_resource r;
    bool has_resource;
};

static bool is_step(const struct step *s, const char *name)
{
    return strcmp(s->op->step, name) == 0;
}

static bool late(const struct step *s, uint64_t limit_ms)
{
    return s->now_ms > s->op->created_ms + limit_ms;
}

/* false: it has no name any more; the operation is ended. */
static bool take_subject(struct fabric *f, struct step *s, struct subject *ret)
{
    struct bytes name = arm_last_segment(bytes_str(s->op->target));
    if (!hsm_pool_find(f, name, &ret->pool)) {
        step_failed(s, "InternalServerError", "The managed HSM is gone.");
        return false;
    }
    if (!arm_key(bytes_str(ret->pool.id), ret->key))
        ret->key[0] = 0;
    ret->has_resource = arm_find(f, bytes_str(ret->key), &ret->r);
    return true;
}

static void ask(struct fabric *f, struct step *s, const char *node, struct bytes line,
                step_answer_fn *then)
{
    if (f->nodes == NULL) {
        const struct node_answer none = {.err = HSM_E_UNAVAILABLE};
        then(f, s, &none);
        return;
    }
    step_ask(s, node, line, then);
}

static void ask_word(struct fabric *f, struct step *s, const struct subject *x, const char *op,
                     step_answer_fn *then)
{
    uint8_t text[256];
    struct wr w = wr_of(text, sizeof text);
    (void)hsm_node_line(&w, op, x->pool.name);
    ask(f, s, x->pool.node, wr_view(&w), then);
}

static bool is_away(const struct node_answer *a)
{
    return a->err == HSM_E_UNAVAILABLE || a->err == HSM_E_TIMEOUT || a->err == HSM_E_MALFORMED ||
           a->err == HSM_E_AGAIN;
}

/* The pool's entry in a node's status; JSON_NONE: the node does not have it. */
static uint32_t entry_of(const struct node_answer *a, const char *name)
{
    uint32_t list = json_get(&a->doc, 0, "pools");
    for (uint32_t v = list == JSON_NONE ? JSON_NONE : json_first(&a->doc, list); v != JSON_NONE;
         v = json_next(&a->doc, list, v))
        if (arm_string_is(&a->doc, v, "name", name))
            return v;
    return JSON_NONE;
}

/* ---- create and recover: begin to serve ---- */

/* Remember why, and take back what there is. */
static void begin_undo(struct step *s, const char *code, const char *why)
{
    uint8_t text[1200];
    struct wr w = wr_of(text, sizeof text);
    struct json_wr j = json_wr_of(&w);
    char cut[400];
    snprintf(cut, sizeof cut, "%s", why);
    json_obj_open(&j);
    put_str(&j, "code", code);
    put_str(&j, "text", cut);
    json_obj_close(&j);
    step_set_data(s, wr_view(&w));
    step_next(s, strcmp(s->op->kind, HSM_OP_CREATE) == 0 ? "undo" : "give up");
}

/* Not done: again later, or never. */
static void not_yet(struct step *s, const struct node_answer *a)
{
    if (is_away(a) && !late(s, START_LIMIT_MS))
        step_again(s, AWAY_MS);
    else
        begin_undo(s, is_away(a) ? "503" : "InternalServerError",
                   a->text[0] != 0 ? a->text : "The node of the managed HSM does not answer.");
}

static void after_make(struct fabric *f, struct step *s, const struct node_answer *a)
{
    struct subject x;
    if (a->err != HSM_OK) {
        not_yet(s, a);
        return;
    }
    if (!take_subject(f, s, &x))
        return;
    hsm_stage_state(f, s->changes, x.key, "Provisioning", HSM_STARTING);
    step_next(s, "configure");
}

static void after_configure(struct fabric *f, struct step *s, const struct node_answer *a)
{
    (void)f;
    if (a->err == HSM_OK)
        step_next(s, "start");
    else
        not_yet(s, a);
}

static void after_start(struct fabric *f, struct step *s, const struct node_answer *a)
{
    (void)f;
    if (a->err == HSM_OK)
        step_next(s, "wait");
    else
        not_yet(s, a);
}

static void after_wait(struct fabric *f, struct step *s, const struct node_answer *a)
{
    struct subject x;
    int64_t ready = 0, partitions = -1;
    char text[400];
    if (a->err != HSM_OK) {
        not_yet(s, a);
        return;
    }
    if (!take_subject(f, s, &x))
        return;
    uint32_t v = entry_of(a, x.pool.name);
    (void)arm_string(&a->doc, v, "text", text, sizeof text);
    bool counted = json_int(&a->doc, json_get(&a->doc, v, "ready"), &ready) == HSM_OK &&
                   json_int(&a->doc, json_get(&a->doc, v, "partitions"), &partitions) == HSM_OK;
    if (v == JSON_NONE || arm_string_is(&a->doc, v, "state", "failed")) {
        begin_undo(s, "InternalServerError",
                   text[0] != 0 ? text : "The managed HSM could not be started.");
    } else if (arm_string_is(&a->doc, v, "state", "running") && counted && ready == partitions) {
        hsm_stage_state(f, s->changes, x.key, "Succeeded", HSM_READY);
        step_done(s);
    } else if (late(s, START_LIMIT_MS)) {
        begin_undo(s, "InternalServerError", "The managed HSM did not become ready in time.");
    } else {
        step_again(s, LOOK_MS);
    }
}

/* The end of an attempt that has failed. */
static void end_failed(struct fabric *f, struct step *s, bool gone)
{
    struct json_tok tok[16];
    struct json_doc d;
    struct subject x;
    char code[64], text[400], message[512];
    if (json_parse(s->op->data, tok, 16, &d) != HSM_OK ||
        !arm_string(&d, 0, "code", code, sizeof code) ||
        !arm_string(&d, 0, "text", text, sizeof text)) {
        snprintf(code, sizeof code, "InternalServerError");
        snprintf(text, sizeof text, "The operation has failed.");
    }
    if (!take_subject(f, s, &x))
        return;
    snprintf(message, sizeof message, "The operation has failed: %s", text);
    hsm_stage_state(f, s->changes, x.key, "Failed", message);
    if (gone) {
        hsm_pool_stage_free(s->changes, x.pool.name);
        usage_end(s->changes, x.pool.name, x.pool.location, s->now_ms);
    }
    step_failed(s, code, text);
}

static void after_undo_stop(struct fabric *f, struct step *s, const struct node_answer *a)
{
    (void)f;
    if (a->err == HSM_E_AGAIN || (is_away(a) && !late(s, UNDO_LIMIT_MS)))
        step_again(s, AWAY_MS);
    else
        step_next(s, "undo purge");
}

/* A pool that stops is busy until it has stopped. */
static void after_undo_purge(struct fabric *f, struct step *s, const struct node_answer *a)
{
    bool gone = a->err == HSM_OK || a->err == HSM_E_NOT_FOUND;
    if (a->err == HSM_E_AGAIN || (!gone && !late(s, UNDO_LIMIT_MS)))
        step_again(s, LOOK_MS);
    else
        end_failed(f, s, gone);
}

static void serve_step(struct fabric *f, struct step *s)
{
    struct subject x;
    uint8_t text[LINE_MAX_BYTES];
    struct wr w = wr_of(text, sizeof text);
    bool create = strcmp(s->op->kind, HSM_OP_CREATE) == 0;
    if (!take_subject(f, s, &x))
        return;
    if (!x.has_resource) {
        step_failed(s, "InternalServerError", "The managed HSM is gone.");
        return;
    }
    if (is_step(s, "") && create) {
        (void)hsm_node_make(f, &w, &x.pool, &x.r.json);
        ask(f, s, x.pool.node, wr_view(&w), after_make);
    } else if (is_step(s, "") || is_step(s, "configure")) {
        (void)hsm_node_configure(f, &w, &x.pool, &x.r.json);
        ask(f, s, x.pool.node, wr_view(&w), after_configure);
    } else if (is_step(s, "start")) {
        ask_word(f, s, &x, "start", after_start);
    } else if (is_step(s, "wait")) {
        ask_word(f, s, &x, "status", after_wait);
    } else if (is_step(s, "undo")) {
        ask_word(f, s, &x, "stop", after_undo_stop);
    } else if (is_step(s, "undo purge")) {
        ask_word(f, s, &x, "purge", after_undo_purge);
    } else {
        end_failed(f, s, false);
    }
}

/* ---- update ---- */

static void after_update(struct fabric *f, struct step *s, const struct node_answer *a)
{
    struct subject x;
    if (is_away(a) && !late(s, START_LIMIT_MS)) {
        step_again(s, AWAY_MS);
        return;
    }
    if (!take_subject(f, s, &x))
        return;
    /* What was asked for stands; the same request again tells the node again. */
    hsm_stage_state(f, s->changes, x.key, a->err == HSM_OK ? "Succeeded" : "Failed", NULL);
    if (a->err == HSM_OK)
        step_done(s);
    else
        step_failed(s, is_away(a) ? "503" : "InternalServerError",
                    a->text[0] != 0 ? a->text : "The node of the managed HSM does not answer.");
}

static void update_step(struct fabric *f, struct step *s)
{
    struct subject x;
    uint8_t text[LINE_MAX_BYTES];
    struct wr w = wr_of(text, sizeof text);
    if (!take_subject(f, s, &x))
        return;
    if (!x.has_resource) {
        step_failed(s, "InternalServerError", "The managed HSM is gone.");
        return;
    }
    (void)hsm_node_configure(f, &w, &x.pool, &x.r.json);
    ask(f, s, x.pool.node, wr_view(&w), after_update);
}

/* ---- delete and purge: stop serving ---- */

/* What was promised is done when the node is there again: giving up would leave a pool that the
 * node stops but that is shown as running. */
static void ask_again(struct step *s, const struct node_answer *a)
{
    step_again(s, is_away(a) ? AWAY_MS : REFUSED_MS);
}

static void after_stop(struct fabric *f, struct step *s, const struct node_answer *a)
{
    (void)f;
    if (a->err == HSM_OK || a->err == HSM_E_NOT_FOUND)
        step_next(s, "wait");
    else
        ask_again(s, a);
}

static void after_stopped(struct fabric *f, struct step *s, const struct node_answer *a)
{
    struct subject x;
    if (a->err != HSM_OK) {
        ask_again(s, a);
        return;
    }
    if (!take_subject(f, s, &x))
        return;
    uint32_t v = entry_of(a, x.pool.name);
    bool stopped = v == JSON_NONE || arm_string_is(&a->doc, v, "state", "stopped");
    if (!stopped) {
        step_again(s, LOOK_MS);
        return;
    }
    if (strcmp(s->op->kind, HSM_OP_PURGE) == 0) {
        step_next(s, "purge");
        return;
    }
    if (x.has_resource && !hsm_deleted_stage(f, s->changes, &x.pool, &x.r, s->now_ms)) {
        step_failed(s, "InternalServerError", "The managed HSM's document is too long.");
        return;
    }
    usage_deleted(s->changes, x.pool.name, x.pool.location, s->now_ms);
    step_done(s);
}

static void after_purge(struct fabric *f, struct step *s, const struct node_answer *a)
{
    struct subject x;
    if (a->err != HSM_OK && a->err != HSM_E_NOT_FOUND) {
        ask_again(s, a);
        return;
    }
    if (!take_subject(f, s, &x))
        return;
    hsm_deleted_stage_end(f, s->changes, &x.pool);
    hsm_pool_stage_free(s->changes, x.pool.name);
    usage_end(s->changes, x.pool.name, x.pool.location, s->now_ms);
    step_done(s);
}

static void stop_step(struct fabric *f, struct step *s)
{
    struct subject x;
    if (!take_subject(f, s, &x))
        return;
    if (is_step(s, ""))
        ask_word(f, s, &x, "stop", after_stop);
    else if (is_step(s, "wait"))
        ask_word(f, s, &x, "status", after_stopped);
    else
        ask_word(f, s, &x, "purge", after_purge);
}

/* ---- private endpoint connections ---- */

/* The HSM that a connection's id begins with. */
static bool hsm_of(struct fabric *f, const char *target, struct subject *x)
{
    const char *end = strcasestr(target, "/privateendpointconnections/");
    if (end == NULL)
        return false;
    struct bytes id = bytes_of(target, (size_t)(end - target));
    x->has_resource = arm_find(f, id, &x->r);
    return x->has_resource && hsm_pool_find(f, arm_last_segment(id), &x->pool);
}

static void after_connection(struct fabric *f, struct step *s, const struct node_answer *a)
{
    struct arm_resource r;
    if (is_away(a) && !late(s, START_LIMIT_MS)) {
        step_again(s, AWAY_MS);
        return;
    }
    bool there = arm_find(f, bytes_str(s->op->target), &r);
    bool ends =
        there && arm_string_is(&r.json, arm_properties(&r.json), "provisioningState", "Deleting");
    if (ends)
        changes_delete(s->changes, STATE_RESOURCE, bytes_str(s->op->target));
    else if (there)
        hsm_stage_state(f, s->changes, s->op->target, a->err == HSM_OK ? "Succeeded" : "Failed",
                        NULL);
    if (a->err == HSM_OK || ends)
        step_done(s);
    else
        step_failed(s, "InternalServerError",
                    a->text[0] != 0 ? a->text : "The node of the managed HSM does not answer.");
}

static void connection_step(struct fabric *f, struct step *s)
{
    struct subject x;
    uint8_t text[LINE_MAX_BYTES];
    struct wr w = wr_of(text, sizeof text);
    if (!hsm_of(f, s->op->target, &x)) {
        changes_delete(s->changes, STATE_RESOURCE, bytes_str(s->op->target));
        step_done(s);
        return;
    }
    (void)hsm_node_configure(f, &w, &x.pool, &x.r.json);
    ask(f, s, x.pool.node, wr_view(&w), after_connection);
}

#define LOOK_PERIOD_MS 5000

hsm_err hsm_operations(struct operations *o)
{
    TRY(operations_add(o, HSM_OP_CREATE, serve_step));
    TRY(operations_add(o, HSM_OP_RECOVER, serve_step));
    TRY(operations_add(o, HSM_OP_UPDATE, update_step));
    TRY(operations_add(o, HSM_OP_DELETE, stop_step));
    TRY(operations_add(o, HSM_OP_PURGE, stop_step));
    TRY(operations_add(o, HSM_OP_CONNECTION, connection_step));
    TRY(operations_add_look(o, LOOK_PERIOD_MS, hsm_adopt_look));
    return operations_add_look(o, LOOK_PERIOD_MS, hsm_deleted_look);
}
