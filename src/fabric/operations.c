/* The engine: which operations run, when each is due, and what follows a step. */
#include <stdio.h>
#include <stdlib.h>
#include "base/log.h"
#include "fabric/fabric.h"
#include "fabric/operation_internal.h"

#define RETRY_MS        1000
#define SWEEP_PERIOD_MS 600000ull
#define SWEEP_MAX       200

enum step_end {
    END_NONE,
    END_NEXT,
    END_AGAIN,
    END_OVER
};

/* An operation that runs. */
struct entry {
    struct step step; /* first: what step functions see */
    struct operation op;
    struct operations *all;
    struct entry *next;
    bool busy; /* waits for a node or for a commit */
    bool dead;
    uint64_t due_ms;
    enum step_end end;
    uint64_t delay_ms;
    step_answer_fn *then;
    char *data; /* NULL: as it was */
};

struct look {
    operations_look_fn *fn;
    uint64_t period_ms, due_ms;
    bool busy;
    struct changes *changes;
    struct operations *all;
};

struct kind {
    const char *name;
    operation_step_fn *fn;
};

struct operations {
    struct fabric *fabric;
    bool running;
    uint64_t now_ms;
    struct kind kind[OPERATION_KINDS_MAX];
    size_t kind_n;
    struct look look[OPERATION_LOOKS_MAX];
    size_t look_n;
    struct entry *entries;
    void (*wake)(void *ctx);
    void *wake_ctx;
    uint64_t (*clock)(void);
};

static uint64_t now_of(const struct operations *o)
{
    return o->clock != NULL ? o->clock() : o->now_ms;
}

static void wake(struct operations *o)
{
    if (o->wake != NULL)
        o->wake(o->wake_ctx);
}

static struct entry *entry_of(struct step *s)
{
    return (struct entry *)s;
}

static operation_step_fn *function_of(const struct operations *o, const char *kind)
{
    for (size_t i = 0; i < o->kind_n; i++) {
        if (strcmp(o->kind[i].name, kind) == 0)
            return o->kind[i].fn;
    }
    return NULL;
}

static void add_entry(struct operations *o, struct bytes id)
{
    for (const struct entry *e = o->entries; e != NULL; e = e->next) {
        if (bytes_eq_str(id, e->op.id) && !e->dead)
            return;
    }
    struct entry *e = calloc(1, sizeof *e);
    struct changes *c = changes_new(o->fabric->state);
    if (e == NULL || c == NULL || id.n > UUID_TEXT_LEN) {
        /* Taken up by the next operations_resume(). */
        log_error("an operation cannot be taken up now");
        changes_free(c);
        free(e);
        return;
    }
    memcpy(e->op.id, id.p, id.n);
    e->all = o;
    e->step = (struct step){.op = &e->op, .changes = c};
    e->next = o->entries;
    o->entries = e;
    wake(o);
}

static void on_change(void *ctx, enum state_kind kind, struct bytes key, const struct document *now)
{
    struct operations *o = ctx;
    struct operation op;
    if (kind == STATE_OPERATION && now != NULL && o->running &&
        operation_read(now, &op) == HSM_OK && op.state == OPERATION_RUNNING)
        add_entry(o, key);
}

static bool resume_one(void *ctx, const struct document *d)
{
    struct operation op;
    if (operation_read(d, &op) != HSM_OK)
        log_error("an operation's document is not understood");
    else if (op.state == OPERATION_RUNNING)
        add_entry(ctx, d->key);
    return true;
}

void operations_resume(struct operations *o)
{
    o->running = true;
    state_each(o->fabric->state, STATE_OPERATION, bytes_str(""), resume_one, o);
    wake(o);
}

void operations_pause(struct operations *o)
{
    o->running = false;
    for (struct entry *e = o->entries; e != NULL; e = e->next)
        e->dead = true;
}

/* Read the operation as it is stored now; false: it does not run any more. */
static bool refresh(struct entry *e)
{
    struct operations *o = e->all;
    struct operation op;
    if (e->dead || operation_find(o->fabric->state, bytes_str(e->op.id), &op) != HSM_OK ||
        op.state != OPERATION_RUNNING) {
        e->dead = true;
        return false;
    }
    e->op = op;
    e->end = END_NONE;
    e->delay_ms = 0;
    free(e->data);
    e->data = NULL;
    e->step.now_ms = now_of(o);
    changes_reset(e->step.changes, o->fabric->state);
    return true;
}

static void give_up(struct entry *e);

static void on_committed(void *ctx, hsm_err err)
{
    struct entry *e = ctx;
    e->busy = false;
    if ((err == HSM_E_TOO_LARGE || err == HSM_E_RANGE) && !e->dead) {
        give_up(e);
        return;
    }
    if (err == HSM_OK && e->end == END_OVER)
        e->dead = true;
    else if (err == HSM_OK && e->end == END_AGAIN)
        e->due_ms = now_of(e->all) + e->delay_ms;
    else if (err == HSM_OK || err == HSM_E_CONFLICT)
        e->due_ms = 0;
    else
        e->due_ms = now_of(e->all) + RETRY_MS;
    wake(e->all);
}

/* What a step staged cannot be stored; the same again would be the same. */
static void give_up(struct entry *e)
{
    log_error("step '%s' of operation %s stages more than can be stored", e->op.step, e->op.id);
    changes_reset(e->step.changes, e->all->fabric->state);
    free(e->data);
    e->data = NULL;
    e->op.data = bytes_str(OPERATION_DATA_EMPTY);
    e->end = END_NONE;
    step_failed(&e->step, "InternalServerError", "The operation could not be recorded.");
}

static void end_step(struct entry *e, enum step_end end, bool has_changes)
{
    HSM_ASSERT(e->end == END_NONE && !e->busy);
    e->end = end;
    e->busy = true;
    if (e->data != NULL)
        e->op.data = bytes_str(e->data);
    if (has_changes || e->data != NULL)
        operation_put(e->step.changes, &e->op);
    if (changes_empty(e->step.changes))
        on_committed(e, HSM_OK);
    else
        state_commit(e->all->fabric->state, e->step.changes, on_committed, e);
}

void step_next(struct step *s, const char *step)
{
    struct entry *e = entry_of(s);
    (void)snprintf(e->op.step, sizeof e->op.step, "%s", step);
    end_step(e, END_NEXT, true);
}

void step_again(struct step *s, uint64_t delay_ms)
{
    struct entry *e = entry_of(s);
    e->delay_ms = delay_ms > 0 ? delay_ms : 1;
    end_step(e, END_AGAIN, false);
}

void step_done(struct step *s)
{
    struct entry *e = entry_of(s);
    e->op.state = OPERATION_SUCCEEDED;
    e->op.ended_ms = now_of(e->all);
    end_step(e, END_OVER, true);
}

void step_failed(struct step *s, const char *code, const char *text)
{
    struct entry *e = entry_of(s);
    e->op.state = OPERATION_FAILED;
    e->op.ended_ms = now_of(e->all);
    (void)snprintf(e->op.error_code, sizeof e->op.error_code, "%s", code);
    (void)snprintf(e->op.error_text, sizeof e->op.error_text, "%s", text);
    end_step(e, END_OVER, true);
}

void step_set_data(struct step *s, struct bytes json)
{
    struct entry *e = entry_of(s);
    free(e->data);
    e->data = strndup((const char *)json.p, json.n);
    HSM_ASSERT(e->data != NULL);
}

static void on_answer(void *ctx, const struct node_answer *a)
{
    struct entry *e = ctx;
    e->busy = false;
    if (refresh(e)) {
        e->then(e->all->fabric, &e->step, a);
        HSM_ASSERT(e->end != END_NONE || e->busy);
    }
    wake(e->all);
}

void step_ask(struct step *s, const char *node, struct bytes request, step_answer_fn *then)
{
    struct entry *e = entry_of(s);
    HSM_ASSERT(changes_empty(s->changes) && e->data == NULL);
    e->then = then;
    e->busy = true;
    nodes_ask(e->all->fabric->nodes, node, request, on_answer, e);
}

static void run_entry(struct entry *e)
{
    struct operations *o = e->all;
    if (!refresh(e))
        return;
    operation_step_fn *fn = function_of(o, e->op.kind);
    if (fn == NULL)
        step_failed(&e->step, "NotImplemented",
                    "This server version does not know that kind of operation.");
    else
        fn(o->fabric, &e->step);
    HSM_ASSERT(e->end != END_NONE || e->busy || e->dead);
}

static void free_entry(struct entry *e)
{
    changes_free(e->step.changes);
    free(e->data);
    free(e);
}

static void sweep_dead(struct operations *o)
{
    for (struct entry **at = &o->entries; *at != NULL;) {
        struct entry *e = *at;
        if (e->dead && !e->busy) {
            *at = e->next;
            free_entry(e);
        } else {
            at = &e->next;
        }
    }
}

static struct entry *due_entry(struct operations *o)
{
    for (struct entry *e = o->entries; e != NULL; e = e->next) {
        if (!e->busy && !e->dead && e->due_ms <= o->now_ms)
            return e;
    }
    return NULL;
}

static void on_looked(void *ctx, hsm_err err)
{
    struct look *l = ctx;
    l->busy = false;
    if (err == HSM_E_CONFLICT)
        l->due_ms = 0;
    else if (err != HSM_OK)
        l->due_ms = now_of(l->all) + RETRY_MS;
    wake(l->all);
}

static void run_look(struct look *l)
{
    struct operations *o = l->all;
    l->due_ms = o->now_ms + l->period_ms;
    changes_reset(l->changes, o->fabric->state);
    l->fn(o->fabric, l->changes, o->now_ms);
    if (changes_empty(l->changes))
        return;
    l->busy = true;
    state_commit(o->fabric->state, l->changes, on_looked, l);
}

uint64_t operations_run(struct operations *o, uint64_t now_ms)
{
    struct entry *e;
    uint64_t next = UINT64_MAX;
    o->now_ms = now_ms;
    if (o->running) {
        for (size_t i = 0; i < o->look_n; i++) {
            if (!o->look[i].busy && o->look[i].due_ms <= now_ms)
                run_look(&o->look[i]);
            if (!o->look[i].busy && o->look[i].due_ms < next)
                next = o->look[i].due_ms;
        }
        while ((e = due_entry(o)) != NULL)
            run_entry(e);
    }
    sweep_dead(o);
    for (e = o->entries; e != NULL; e = e->next) {
        if (!e->busy && e->due_ms < next)
            next = e->due_ms;
    }
    return next == UINT64_MAX ? next : next > now_ms ? next - now_ms : 0;
}

/* Ended operations that nobody needs any more. */
struct sweep {
    struct changes *c;
    uint64_t now_ms;
    size_t n;
};

static bool sweep_one(void *ctx, const struct document *d)
{
    struct sweep *s = ctx;
    struct operation op;
    if (operation_read(d, &op) == HSM_OK && op.state != OPERATION_RUNNING &&
        op.ended_ms + OPERATION_KEEP_MS <= s->now_ms) {
        changes_delete(s->c, STATE_OPERATION, d->key);
        s->n++;
    }
    return s->n < SWEEP_MAX;
}

static void sweep_ended(struct fabric *f, struct changes *c, uint64_t now_ms)
{
    struct sweep s = {.c = c, .now_ms = now_ms};
    state_each(f->state, STATE_OPERATION, bytes_str(""), sweep_one, &s);
}

hsm_err operations_add(struct operations *o, const char *kind, operation_step_fn *fn)
{
    if (o->kind_n == OPERATION_KINDS_MAX || strlen(kind) > OPERATION_KIND_MAX)
        return HSM_E_RANGE;
    o->kind[o->kind_n++] = (struct kind){.name = kind, .fn = fn};
    return HSM_OK;
}

hsm_err operations_add_look(struct operations *o, uint64_t period_ms, operations_look_fn *fn)
{
    if (o->look_n == OPERATION_LOOKS_MAX)
        return HSM_E_RANGE;
    struct changes *c = changes_new(o->fabric->state);
    if (c == NULL)
        return HSM_E_NOMEM;
    o->look[o->look_n++] = (struct look){.fn = fn, .period_ms = period_ms, .changes = c, .all = o};
    return HSM_OK;
}

hsm_err operations_new(struct fabric *f, struct operations **ret)
{
    struct operations *o = calloc(1, sizeof *o);
    if (o == NULL)
        return HSM_E_NOMEM;
    o->fabric = f;
    hsm_err e = state_watch(f->state, on_change, o);
    if (e == HSM_OK)
        e = operations_add_look(o, SWEEP_PERIOD_MS, sweep_ended);
    if (e != HSM_OK) {
        operations_free(o);
        return e;
    }
    *ret = o;
    return HSM_OK;
}

void operations_free(struct operations *o)
{
    if (o == NULL)
        return;
    while (o->entries != NULL) {
        struct entry *e = o->entries;
        o->entries = e->next;
        free_entry(e);
    }
    for (size_t i = 0; i < o->look_n; i++)
        changes_free(o->look[i].changes);
    free(o);
}

void operations_hooks(struct operations *o, void (*wake_fn)(void *ctx), void *ctx,
                      uint64_t (*clock)(void))
{
    o->wake = wake_fn;
    o->wake_ctx = ctx;
    o->clock = clock;
}
