/* Opening and closing of the control origin, and what drives its operations. */
#include <stdio.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/secret.h"
#include "fabric/arm_group.h"
#include "fabric/fabric.h"
#include "fabric/hsm.h"
#include "fabric/instances.h"
#include "fabric/meter.h"
#include "fabric/network.h"
#include "fabric/node_registry.h"
#include "fabric/nodes_part.h"
#include "fabric/people.h"

#define RUN_MAX_MS 60000

static hsm_err open_arm(struct fabric *f)
{
    TRY(arm_group_operations(f->operations));
    return hsm_operations(f->operations);
}

/* What the parts of the control plane do: register kinds of operations, looks and watchers when it
 * is opened; and, when the state is there, make what it must always hold. */
struct part {
    hsm_err (*open)(struct fabric *f);
    void (*ready)(struct fabric *f);
};
static const struct part parts[] = {
    {people_open, NULL},
    {open_arm, hsm_adopt},
    {meter_open, NULL},
    {network_open, network_ready},
};
#define PARTS (sizeof parts / sizeof *parts)

static void on_timer(uv_timer_t *t)
{
    struct fabric *f = t->data;
    uint64_t ms = operations_run(f->operations, clock_now_ms());
    /* The wall clock may be set. */
    (void)uv_timer_start(t, on_timer, ms < RUN_MAX_MS ? ms : RUN_MAX_MS, 0);
}

static void on_wake(void *ctx)
{
    struct fabric *f = ctx;
    if (f->has_timer)
        (void)uv_timer_start(&f->timer, on_timer, 0, 0);
}

/* Of several instances, the one that leads makes what must be there, and steps the operations. */
static void on_leads(void *ctx, bool leads)
{
    struct fabric *f = ctx;
    if (!leads) {
        operations_pause(f->operations);
        return;
    }
    for (size_t i = 0; i < PARTS; i++) {
        if (parts[i].ready != NULL)
            parts[i].ready(f);
    }
    operations_resume(f->operations);
}

static void tell_ready(struct fabric *f)
{
    if (f->config.instance != 0)
        instances_note(&f->config);
    if (f->config.ready != NULL)
        f->config.ready(f->config.ctx);
}

static void on_begun(void *ctx, hsm_err err)
{
    struct fabric *f = ctx;
    (void)err;
    changes_free(f->begun);
    f->begun = NULL;
    if (f->ended == NULL)
        tell_ready(f);
}

/* What the parts make at the beginning is on its way: ready when it is there. Commits have their
 * turn one after another, so that an empty one (which will conflict) ends after those. */
static void on_ready(void *ctx)
{
    struct fabric *f = ctx;
    f->begun = f->config.instance == 0 ? changes_new(f->state) : NULL;
    if (f->begun != NULL)
        state_commit(f->state, f->begun, on_begun, f);
    else
        tell_ready(f);
}

static void on_fatal(void *ctx, hsm_err err, const char *text)
{
    const struct fabric *f = ctx;
    f->config.fatal(f->config.ctx, err, text);
}

static hsm_err open_parts(struct fabric *f)
{
    for (size_t i = 0; i < PARTS; i++) {
        if (parts[i].open != NULL)
            TRY(parts[i].open(f));
    }
    return HSM_OK;
}

static hsm_err open_on_loop(struct fabric *f, uint64_t now_ms, char *text, size_t cap)
{
    const struct state_handlers h = {
        .ctx = f, .ready = on_ready, .leads = on_leads, .fatal = on_fatal};
    if (uv_timer_init(f->config.loop, &f->timer) != 0)
        return HSM_E_IO;
    f->timer.data = f;
    f->has_timer = true;
    TRY(instances_open(&f->config, &h, now_ms, &f->state, text, cap));
    return nodes_part_open(f, now_ms, text, cap);
}

static hsm_err open_all(struct fabric *f, uint64_t now_ms, char *text, size_t cap)
{
    hsm_err e = provider_load(f->config.home, now_ms, &f->provider);
    if (e != HSM_OK) {
        snprintf(text, cap, "directory or signing key in %s: %s", f->config.home, hsm_err_text(e));
        return e;
    }
    TRY(f->config.loop != NULL ? open_on_loop(f, now_ms, text, cap) : state_open_memory(&f->state));
    TRY(operations_new(f, &f->operations));
    operations_hooks(f->operations, on_wake, f, f->config.loop != NULL ? clock_now_ms : NULL);
    return open_parts(f);
}

hsm_err fabric_open(const struct fabric_config *config, uint64_t now_ms, struct fabric **ret,
                    char *text, size_t cap)
{
    struct fabric *f = calloc(1, sizeof *f);
    if (f == NULL) {
        snprintf(text, cap, "no memory");
        return HSM_E_NOMEM;
    }
    f->config = *config;
    text[0] = 0;
    hsm_err e = open_all(f, now_ms, text, cap);
    if (e != HSM_OK) {
        if (text[0] == 0)
            snprintf(text, cap, "the control plane cannot be opened: %s", hsm_err_text(e));
        if (config->loop == NULL)
            fabric_close(f); /* else the process ends */
        return e;
    }
    if (config->loop == NULL)
        on_leads(f, true);
    *ret = f;
    return HSM_OK;
}

static void on_timer_closed(uv_handle_t *h)
{
    struct fabric *f = h->data;
    f->ended(f->ended_ctx);
}

static void on_state_closed(void *ctx)
{
    struct fabric *f = ctx;
    f->state = NULL;
    f->has_timer = false;
    uv_close((uv_handle_t *)&f->timer, on_timer_closed);
}

static void on_nodes_closed(void *ctx)
{
    struct fabric *f = ctx;
    state_close(f->state, on_state_closed, f);
}

void fabric_end(struct fabric *f, void (*done)(void *ctx), void *ctx)
{
    f->ended = done;
    f->ended_ctx = ctx;
    operations_pause(f->operations);
    uv_timer_stop(&f->timer);
    nodes_part_end(f, on_nodes_closed, f);
}

void fabric_close(struct fabric *f)
{
    if (f == NULL)
        return;
    nodes_close(f->nodes, NULL, NULL);
    state_close(f->state, NULL, NULL);
    operations_free(f->operations);
    node_views_free(f->views);
    meter_free(f->meter);
    provider_done(&f->provider);
    secret_wipe(f, sizeof *f);
    free(f);
}
