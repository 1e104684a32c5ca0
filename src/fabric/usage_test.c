#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include "fabric/usage.h"

#define HOUR  (uint64_t)3600
#define DAY   (24 * HOUR)
#define NOV   (uint64_t)1793491200 /* 2026-11-01T00:00:00Z */
#define DEC   (NOV + 30 * DAY)
#define MS(s) ((s)*1000)

static struct state *state;
static struct changes *changes;

static int setup(void **s)
{
    (void)s;
    if (state_open_memory(&state) != HSM_OK)
        return -1;
    changes = changes_new(state);
    return changes != NULL ? 0 : -1;
}

static int teardown(void **s)
{
    (void)s;
    changes_free(changes);
    state_close(state, NULL, NULL);
    return 0;
}

static void on_done(void *ctx, hsm_err err)
{
    *(hsm_err *)ctx = err;
}

static void commit(void)
{
    hsm_err err = HSM_E_INTERNAL;
    state_commit(state, changes, on_done, &err);
    assert_int_equal(err, HSM_OK);
    changes_reset(changes, state);
}

static struct usage_pool list[8];
static size_t list_n;

static bool remember(void *ctx, const struct usage_pool *p)
{
    (void)ctx;
    assert_true(list_n < 8);
    list[list_n++] = *p;
    return true;
}

static size_t pools(void)
{
    list_n = 0;
    usage_each(state, remember, NULL);
    return list_n;
}

static uint64_t amount(const struct key_amounts *a, const char *type)
{
    for (size_t i = 0; i < a->n; i++)
        if (strcmp(a->of[i].type, type) == 0)
            return a->of[i].amount;
    return 0;
}

static struct key_amounts keys(uint64_t rsa, uint64_t ec)
{
    struct key_amounts a = {.n = 0};
    assert_int_equal(key_amounts_add(&a, bytes_str("RSA-2048"), rsa), HSM_OK);
    assert_int_equal(key_amounts_add(&a, bytes_str("EC-P-256"), ec), HSM_OK);
    return a;
}

static struct usage of_month(const struct usage_pool *u, uint64_t t, uint64_t now)
{
    struct usage used;
    usage_of_month(state, u, month_of(t), now, &used);
    return used;
}

#define ID "/subscriptions/s/resourceGroups/g/providers/Microsoft.KeyVault/managedHSMs/One"

static void begin_at(uint64_t t)
{
    usage_begin(changes, "One", "southindia", ID, MS(t));
    commit();
}

static void from_provisioning_to_purge(void **s)
{
    (void)s;
    begin_at(NOV + DAY);
    begin_at(NOV + 2 * DAY); /* a step that is done twice */
    assert_int_equal(pools(), 1);
    assert_int_equal(list[0].provisioned_s, NOV + DAY);
    assert_string_equal(list[0].resource, ID);
    assert_int_equal(list[0].deleted_s, 0);
    usage_deleted(changes, "one", "southindia", MS(NOV + 3 * DAY));
    commit();
    usage_deleted(changes, "one", "southindia", MS(NOV + 4 * DAY));
    commit();
    assert_int_equal(pools(), 1);
    assert_int_equal(list[0].deleted_s, NOV + 3 * DAY);
    assert_int_equal(list[0].purged_s, 0);
    usage_recovered(changes, "One", "southindia");
    commit();
    (void)pools();
    assert_int_equal(list[0].deleted_s, 0);
    usage_end(changes, "One", "southindia", MS(NOV + 5 * DAY));
    usage_end(changes, "One", "southindia", MS(NOV + 6 * DAY));
    commit();
    usage_end(changes, "One", "southindia", MS(NOV + 7 * DAY));
    usage_deleted(changes, "One", "southindia", MS(NOV + 7 * DAY));
    usage_sample(changes, "One", "southindia", MS(NOV + 7 * DAY), &(struct key_amounts){.n = 0}, 1);
    assert_true(changes_empty(changes));
    assert_int_equal(pools(), 1);
    assert_int_equal(list[0].purged_s, NOV + 5 * DAY);
}

/* The same name again is another pool, also in the same second. */
static void a_name_that_comes_back(void **s)
{
    (void)s;
    for (unsigned i = 0; i < 3; i++) {
        begin_at(NOV);
        usage_end(changes, "One", "southindia", MS(NOV));
        commit();
    }
    begin_at(NOV);
    assert_int_equal(pools(), 4);
    assert_int_equal(list[0].purged_s, 0);
    for (unsigned i = 1; i < 4; i++) {
        assert_int_equal(list[i].provisioned_s, NOV + i - 1);
        assert_true(list[i].purged_s >= list[i].provisioned_s);
    }
}

static void regions_count_apart(void **s)
{
    (void)s;
    begin_at(NOV);
    usage_begin(changes, "One", "centralindia", ID, MS(NOV + HOUR));
    commit();
    usage_end(changes, "One", "centralindia", MS(NOV + 2 * HOUR));
    commit();
    assert_int_equal(pools(), 2);
    assert_string_equal(list[0].region, "centralindia");
    assert_int_equal(list[0].purged_s, NOV + 2 * HOUR);
    assert_string_equal(list[1].region, "southindia");
    assert_int_equal(list[1].purged_s, 0);
}

static void samples(void **s)
{
    (void)s;
    struct key_amounts k = keys(2, 1), fewer = keys(1, 0);
    begin_at(DEC - 10 * HOUR);
    usage_sample(changes, "One", "southindia", MS(DEC - 8 * HOUR), &k, 100);
    commit();
    usage_sample(changes, "One", "southindia", MS(DEC - 8 * HOUR), &fewer, 100); /* once more */
    assert_true(changes_empty(changes));
    usage_sample(changes, "One", "southindia", MS(DEC + 2 * HOUR), &fewer, 250);
    commit();
    usage_sample(changes, "One", "southindia", MS(DEC + 3 * HOUR), &fewer,
                 20); /* it started again */
    commit();
    usage_sample(changes, "One", "southindia", MS(DEC + 4 * HOUR), &fewer, 30);
    commit();
    (void)pools();
    struct usage nov = of_month(&list[0], NOV, DEC + 5 * HOUR);
    struct usage dec = of_month(&list[0], DEC, DEC + 5 * HOUR);
    assert_int_equal(amount(&nov.key_seconds, "RSA-2048"), 16 * HOUR);
    assert_int_equal(amount(&nov.key_seconds, "EC-P-256"), 8 * HOUR);
    assert_int_equal(nov.operations, 100);
    assert_int_equal(amount(&dec.key_seconds, "RSA-2048"), (4 + 1 + 2) * HOUR);
    assert_int_equal(amount(&dec.key_seconds, "EC-P-256"), 2 * HOUR);
    assert_int_equal(dec.operations, 150 + 10);
    /* Keys of a pool that is soft-deleted are still there, until the purge. */
    usage_deleted(changes, "One", "southindia", MS(DEC + 4 * HOUR));
    usage_end(changes, "One", "southindia", MS(DEC + 6 * HOUR));
    commit();
    (void)pools();
    dec = of_month(&list[0], DEC, DEC + 9 * HOUR);
    assert_int_equal(amount(&dec.key_seconds, "RSA-2048"), (4 + 1 + 3) * HOUR);
    struct usage jan = of_month(&list[0], DEC + 31 * DAY, DEC + 62 * DAY);
    assert_int_equal(jan.key_seconds.n, 0);
    assert_int_equal(jan.operations, 0);
}

static void a_clock_that_is_set(void **s)
{
    (void)s;
    struct key_amounts k = keys(1, 0);
    begin_at(NOV);
    usage_sample(changes, "One", "southindia", MS(NOV + HOUR), &k, 5);
    usage_sample(changes, "One", "southindia", MS(NOV - DAY), &k, 6); /* back: nothing */
    commit();
    (void)pools();
    assert_int_equal(list[0].sampled_s, NOV + HOUR);
    assert_int_equal(list[0].counter, 5);
    usage_sample(changes, "One", "southindia", MS(BILLING_TIME_MAX), &k, 6); /* far ahead */
    commit();
    (void)pools();
    assert_int_equal(list[0].sampled_s, BILLING_TIME_MAX);
}

int main(void)
{
#define EACH(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        EACH(from_provisioning_to_purge), EACH(a_name_that_comes_back),
        EACH(regions_count_apart),        EACH(samples),
        EACH(a_clock_that_is_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
