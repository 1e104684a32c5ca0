/* Operations stepped under a made-up time, with nodes that answer when the test says so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "fabric/fabric.h"

struct rig {
    struct fabric f; /* only state, nodes and operations */
    char trace[512];
    char id[UUID_TEXT_LEN + 1];
    node_answer_fn fn; /* a question that waits */
    void *fn_ctx;
    bool answer_later;
    unsigned wakes;
};
static struct rig *rig;

static void note(const char *text)
{
    size_t n = strlen(rig->trace);
    snprintf(rig->trace + n, sizeof rig->trace - n, "%s ", text);
}

static void on_done(void *ctx, hsm_err err)
{
    *(hsm_err *)ctx = err;
}

static hsm_err commit(struct changes *c)
{
    hsm_err err = HSM_E_INTERNAL;
    state_commit(rig->f.state, c, on_done, &err);
    changes_free(c);
    return err;
}

/* Something else changes the state. */
static void disturb(void)
{
    struct changes *c = changes_new(rig->f.state);
    changes_put(c, STATE_SETTING, bytes_str("other"), bytes_str("{}"));
    assert_int_equal(commit(c), HSM_OK);
}

static void fake_node(void *ctx, const char *node, struct bytes line, node_answer_fn fn,
                      void *fn_ctx)
{
    (void)ctx;
    assert_string_equal(node, NODE_LOCAL);
    note("asked");
    assert_true(bytes_eq_str(line, "{\"op\":\"status\"}"));
    if (rig->answer_later) {
        rig->fn = fn;
        rig->fn_ctx = fn_ctx;
        return;
    }
    nodes_answer_line(bytes_str("{\"ok\":true}"), fn, fn_ctx);
}

static void on_wake(void *ctx)
{
    (void)ctx;
    rig->wakes++;
}

static void after_status(struct fabric *f, struct step *s, const struct node_answer *a)
{
    (void)f;
    if (a->err != HSM_OK) {
        note(a->text);
        step_again(s, 500);
        return;
    }
    note("answered");
    changes_put(s->changes, STATE_POOL, bytes_str("p"), bytes_str("{}"));
    step_set_data(s, bytes_str("{\"k\":[1,2]}"));
    step_next(s, "last");
}

static void make(struct fabric *f, struct step *s)
{
    (void)f;
    note(s->op->step[0] == 0 ? "first" : s->op->step);
    if (s->op->step[0] == 0) {
        assert_string_equal(s->op->target, "/subscriptions/s");
        assert_true(bytes_eq_str(s->op->data, "{\"a\":\"b\"}"));
        step_next(s, "ask");
    } else if (strcmp(s->op->step, "ask") == 0) {
        step_ask(s, NODE_LOCAL, bytes_str("{\"op\":\"status\"}"), after_status);
    } else {
        assert_true(bytes_eq_str(s->op->data, "{\"k\":[1,2]}"));
        step_done(s);
    }
}

static void refuse(struct fabric *f, struct step *s)
{
    (void)f;
    step_failed(s, "QuotaExceeded", "No room: \"full\".");
}

static void contended(struct fabric *f, struct step *s)
{
    (void)f;
    note("try");
    changes_put(s->changes, STATE_POOL, bytes_str("q"), bytes_str("{}"));
    if (strstr(rig->trace, "try try") == NULL)
        disturb();
    step_done(s);
}

static void bloated(struct fabric *f, struct step *s)
{
    (void)f;
    static char big[STATE_JSON_MAX + 1];
    memset(big, 'x', STATE_JSON_MAX);
    note("bloat");
    step_set_data(s, bytes_str(big));
    step_next(s, "x");
}

static void open_engine(void)
{
    assert_int_equal(operations_new(&rig->f, &rig->f.operations), HSM_OK);
    assert_int_equal(operations_add(rig->f.operations, "make", make), HSM_OK);
    assert_int_equal(operations_add(rig->f.operations, "refuse", refuse), HSM_OK);
    assert_int_equal(operations_add(rig->f.operations, "contended", contended), HSM_OK);
    assert_int_equal(operations_add(rig->f.operations, "bloated", bloated), HSM_OK);
    operations_hooks(rig->f.operations, on_wake, NULL, NULL);
    operations_resume(rig->f.operations);
}

static int setup(void **state)
{
    rig = calloc(1, sizeof *rig);
    *state = rig;
    if (rig == NULL || state_open_memory(&rig->f.state) != HSM_OK ||
        nodes_open_fake(fake_node, NULL, &rig->f.nodes) != HSM_OK)
        return -1;
    open_engine();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    nodes_close(rig->f.nodes, NULL, NULL);
    state_close(rig->f.state, NULL, NULL);
    operations_free(rig->f.operations);
    free(rig);
    return 0;
}

static void start(const char *kind)
{
    struct changes *c = changes_new(rig->f.state);
    operation_start(c, kind, bytes_str("/subscriptions/s"), bytes_str("{\"a\":\"b\"}"), 1000,
                    rig->id);
    assert_int_equal(commit(c), HSM_OK);
}

static struct operation found(void)
{
    struct operation o;
    assert_int_equal(operation_find(rig->f.state, bytes_str(rig->id), &o), HSM_OK);
    return o;
}

static void steps_until_the_end(void **state)
{
    (void)state;
    unsigned before = rig->wakes;
    start("make");
    assert_true(rig->wakes > before);
    assert_int_equal(found().state, OPERATION_RUNNING);
    (void)operations_run(rig->f.operations, 2000);
    assert_string_equal(rig->trace, "first ask asked answered last ");
    struct operation o = found();
    assert_int_equal(o.state, OPERATION_SUCCEEDED);
    assert_int_equal(o.created_ms, 1000);
    assert_int_equal(o.ended_ms, 2000);
    assert_non_null(state_get(rig->f.state, STATE_POOL, bytes_str("p")));
    (void)operations_run(rig->f.operations, 3000);
    assert_string_equal(rig->trace, "first ask asked answered last ");
}

static void waits_for_a_node_and_asks_again(void **state)
{
    (void)state;
    rig->answer_later = true;
    start("make");
    (void)operations_run(rig->f.operations, 2000);
    assert_string_equal(rig->trace, "first ask asked ");
    (void)operations_run(rig->f.operations, 9000);
    assert_string_equal(rig->trace, "first ask asked ");
    nodes_answer_error(HSM_E_UNAVAILABLE, "gone", rig->fn, rig->fn_ctx);
    assert_int_equal(operations_run(rig->f.operations, 9400), 100);
    assert_string_equal(rig->trace, "first ask asked gone ");
    rig->answer_later = false;
    (void)operations_run(rig->f.operations, 9500);
    assert_string_equal(rig->trace, "first ask asked gone ask asked answered last ");
    assert_int_equal(found().state, OPERATION_SUCCEEDED);
}

static void goes_on_after_a_restart(void **state)
{
    (void)state;
    rig->answer_later = true;
    start("make");
    (void)operations_run(rig->f.operations, 2000);
    nodes_answer_error(HSM_E_UNAVAILABLE, "gone", rig->fn, rig->fn_ctx);
    struct operations *old = rig->f.operations;
    operations_pause(old);
    rig->trace[0] = 0;
    rig->answer_later = false;
    open_engine();
    (void)operations_run(rig->f.operations, 2000);
    assert_string_equal(rig->trace, "ask asked answered last ");
    assert_int_equal(found().state, OPERATION_SUCCEEDED);
    operations_free(old);
}

static void failures_are_kept_for_the_client(void **state)
{
    (void)state;
    start("refuse");
    (void)operations_run(rig->f.operations, 2000);
    struct operation o = found();
    assert_int_equal(o.state, OPERATION_FAILED);
    assert_string_equal(o.error_code, "QuotaExceeded");
    assert_string_equal(o.error_text, "No room: \"full\".");
    start("unheard-of");
    (void)operations_run(rig->f.operations, 2000);
    assert_string_equal(found().error_code, "NotImplemented");
    start("bloated");
    (void)operations_run(rig->f.operations, 2000);
    assert_string_equal(found().error_code, "InternalServerError");
    assert_string_equal(rig->trace, "bloat ");
}

static void conflicts_repeat_the_step(void **state)
{
    (void)state;
    start("contended");
    (void)operations_run(rig->f.operations, 2000);
    assert_string_equal(rig->trace, "try try ");
    assert_int_equal(found().state, OPERATION_SUCCEEDED);
    assert_non_null(state_get(rig->f.state, STATE_POOL, bytes_str("q")));
}

static void paused_engines_step_nothing(void **state)
{
    (void)state;
    rig->answer_later = true;
    start("make");
    (void)operations_run(rig->f.operations, 2000);
    operations_pause(rig->f.operations);
    /* The answer comes too late: whoever leads now asks for itself. */
    nodes_answer_line(bytes_str("{\"ok\":true}"), rig->fn, rig->fn_ctx);
    (void)operations_run(rig->f.operations, 3000);
    assert_string_equal(rig->trace, "first ask asked ");
    assert_string_equal(found().step, "ask");
    rig->answer_later = false;
    operations_resume(rig->f.operations);
    (void)operations_run(rig->f.operations, 4000);
    assert_int_equal(found().state, OPERATION_SUCCEEDED);
}

static void ended_ones_go_after_a_day(void **state)
{
    (void)state;
    struct operation o;
    start("refuse");
    (void)operations_run(rig->f.operations, 2000);
    char first[UUID_TEXT_LEN + 1];
    memcpy(first, rig->id, sizeof first);
    (void)operations_run(rig->f.operations, 1999 + OPERATION_KEEP_MS);
    assert_int_equal(found().state, OPERATION_FAILED);
    rig->answer_later = true;
    start("make");
    (void)operations_run(rig->f.operations, 2000 + OPERATION_KEEP_MS + 600000);
    assert_int_equal(operation_find(rig->f.state, bytes_str(first), &o), HSM_E_NOT_FOUND);
    (void)operations_run(rig->f.operations, 2000 + 9 * OPERATION_KEEP_MS);
    assert_int_equal(found().state, OPERATION_RUNNING);
    assert_int_equal(operation_find(rig->f.state, bytes_str("no-guid"), &o), HSM_E_NOT_FOUND);
    nodes_answer_error(HSM_E_UNAVAILABLE, "gone", rig->fn, rig->fn_ctx);
}

static void look(struct fabric *f, struct changes *c, uint64_t now_ms)
{
    (void)f;
    note("look");
    if (now_ms == 7000) {
        operation_start(c, "refuse", bytes_str("/t"), bytes_str(OPERATION_DATA_EMPTY), now_ms,
                        rig->id);
        if (strstr(rig->trace, "look look look") == NULL)
            disturb();
    }
}

static void looks_come_round(void **state)
{
    (void)state;
    assert_int_equal(operations_add_look(rig->f.operations, 1000, look), HSM_OK);
    (void)operations_run(rig->f.operations, 5000);
    assert_int_equal(operations_run(rig->f.operations, 5500), 500);
    assert_string_equal(rig->trace, "look ");
    assert_int_equal(operations_run(rig->f.operations, 7000), 0);
    (void)operations_run(rig->f.operations, 7000);
    assert_string_equal(rig->trace, "look look look ");
    assert_int_equal(found().state, OPERATION_FAILED);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(steps_until_the_end),       TEST(waits_for_a_node_and_asks_again),
        TEST(goes_on_after_a_restart),   TEST(failures_are_kept_for_the_client),
        TEST(conflicts_repeat_the_step), TEST(paused_engines_step_nothing),
        TEST(ended_ones_go_after_a_day), TEST(looks_come_round),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
