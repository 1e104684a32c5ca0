/* Counting and rendering: numbers in the right places, labels from our own tables only, the order
 * of the obstacles to readiness. */
#include "gateway/metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

static uint8_t text[METRICS_TEXT_MAX + 1];

struct kit {
    struct meter *meters;
    struct control_pool pool;
    struct wire_status status;
    struct metrics_facts facts;
};

static int setup(void **state)
{
    static struct kit k;
    k = (struct kit){
        .meters = meters_new(2),
        .pool = {.protection = "software", .secret_memory = "memfd_secret"},
        .status = {.pool_state = POOL_ACTIVE, .issuers = 1, .issuers_known = 1},
    };
    assert_non_null(k.meters);
    k.facts = (struct metrics_facts){
        .phase = METRICS_SERVING,
        .pool = &k.pool,
        .meters = k.meters,
        .loops = 2,
        .start_s = 1700000000,
        .status = &k.status,
        .store = {.leader = true},
        .audit_writable = true,
    };
    *state = &k;
    return 0;
}

static int teardown(void **state)
{
    struct kit *k = *state;
    free(k->meters);
    return 0;
}

static const char *render(const struct kit *k)
{
    struct wr w = wr_of(text, METRICS_TEXT_MAX);
    metrics_render(&k->facts, &w);
    assert_int_equal(wr_ok(&w), HSM_OK);
    text[w.n] = '\0';
    return (const char *)text;
}

static void expect(const char *all, const char *line)
{
    for (const char *at = all; (at = strstr(at, line)) != NULL; at++)
        if ((at == all || at[-1] == '\n') && at[strlen(line)] == '\n')
            return;
    fail_msg("no line %s", line);
}

static void meters_do_not_share_lines(void **state)
{
    const struct kit *k = *state;
    assert_int_equal((uintptr_t)k->meters % 64, 0);
    assert_int_equal(sizeof *k->meters % 64, 0);
}

static void counts(void **state)
{
    struct kit *k = *state;
    struct meter *a = &k->meters[0], *b = &k->meters[1];
    meter_answer(a, OP_SIGN, 200, HSM_OK, 50);
    meter_answer(a, OP_SIGN, 200, HSM_OK, 51);
    meter_answer(b, OP_SIGN, 200, HSM_OK, 1000000);
    meter_answer(b, OP_SIGN, 403, HSM_E_DENIED, 99000000);
    meter_answer(b, OP_SIGN, 503, HSM_E_DISK_FULL, 0);
    meter_answer(b, 9999, 500, 9999, 7);
    meter_refusal(a, HSM_E_HEADERS_TOO_LARGE);
    meter_in_flight(a, 5);
    meter_in_flight(a, 4);
    meter_in_flight(b, 1);
    const char *t = render(k);
    expect(t, "keyhold_requests_total{operation=\"KeySign\",status=\"2xx\"} 3");
    expect(t, "keyhold_requests_total{operation=\"KeySign\",status=\"4xx\"} 1");
    expect(t, "keyhold_requests_total{operation=\"KeySign\",status=\"5xx\"} 1");
    expect(t, "keyhold_requests_total{operation=\"KeyVerify\",status=\"2xx\"} 0");
    expect(t, "keyhold_requests_total{operation=\"Unknown\",status=\"4xx\"} 1");
    expect(t, "keyhold_requests_total{operation=\"Unknown\",status=\"5xx\"} 1");
#define SIGN "keyhold_request_duration_seconds"
    expect(t, SIGN "_bucket{operation=\"KeySign\",le=\"0.00005\"} 2");
    expect(t, SIGN "_bucket{operation=\"KeySign\",le=\"0.0001\"} 3");
    expect(t, SIGN "_bucket{operation=\"KeySign\",le=\"0.5\"} 3");
    expect(t, SIGN "_bucket{operation=\"KeySign\",le=\"1\"} 4");
    expect(t, SIGN "_bucket{operation=\"KeySign\",le=\"5\"} 4");
    expect(t, SIGN "_bucket{operation=\"KeySign\",le=\"+Inf\"} 5");
    expect(t, SIGN "_count{operation=\"KeySign\"} 5");
    expect(t, SIGN "_sum{operation=\"KeySign\"} 100.000101");
    expect(t, SIGN "_count{operation=\"Unknown\"} 1");
    assert_null(strstr(t, SIGN "_count{operation=\"KeyVerify\"}"));
    expect(t, "keyhold_refusals_total{reason=\"denied\",code=\"AccessDenied\"} 1");
    expect(t, "keyhold_refusals_total{reason=\"disk_full\",code=\"ServiceUnavailable\"} 1");
    expect(t, "keyhold_refusals_total{reason=\"internal\",code=\"InternalServerError\"} 1");
    expect(t, "keyhold_refusals_total{reason=\"headers_too_large\",code="
              "\"RequestHeadersTooLarge\"} 1");
    expect(t, "keyhold_refusals_total{reason=\"throttled\",code=\"Throttled\"} 0");
    expect(t, "keyhold_requests_in_flight{loop=\"1\"} 4");
    expect(t, "keyhold_requests_in_flight{loop=\"2\"} 1");
}

/* The largest text that can come: every operation was asked for, every number is long. */
static void fits(void **state)
{
    struct kit *k = *state;
    memset(k->meters, 0x11, 2 * sizeof *k->meters);
    memset(&k->status, 0xff, sizeof k->status);
    k->status.audit_hash = k->status.audit_key = bytes_of(NULL, 0);
    assert_true(strlen(render(k)) < METRICS_TEXT_MAX / 2);
}

static void values_of_the_boundary(void **state)
{
    struct kit *k = *state;
    k->status = (struct wire_status){
        .pool_state = POOL_NOT_ACTIVATED,
        .keys = 11,
        .deleted = 12,
        .versions = 13,
        .applied = 14,
        .audit_seq = 15,
        .token_hits = 16,
        .token_misses = 17,
        .retention_days = 18,
        .purge_protection = 1,
        .issuers = 4,
        .issuers_known = 2,
        .lanes_queued = 21,
        .slow_queued = 22,
        .keys_awaited = 23,
        .commits_awaited = 24,
        .turns_awaited = 25,
        .makers_queued = 26,
        .prepared_2048 = 27,
        .prepared_3072 = 28,
        .prepared_4096 = 29,
        .lease_ms_left = 207,
        .released = 13,
        .lease_waits = 9,
    };
    k->facts.store = (struct store_info){
        .applied = 31, .flushed = 32, .log_last = 33, .records = 34, .leader = true};
    k->facts.backlog = 35;
    static const char *const lines[] = {
        "keyhold_build_info{version=\"" KEYHOLD_VERSION "\"} 1",
        "keyhold_protection_info{level=\"software\",secret_memory=\"memfd_secret\"} 1",
        "process_start_time_seconds 1700000000",
        "keyhold_ready 1",
        "keyhold_boundary_up 1",
        "keyhold_pool_state{state=\"New\"} 0",
        "keyhold_pool_state{state=\"NotActivated\"} 1",
        "keyhold_keys 11",
        "keyhold_boundary_released_index 13",
        "keyhold_lease_seconds 0.207",
        "keyhold_boundary_queue{queue=\"lease\"} 9",
        "keyhold_keys_deleted 12",
        "keyhold_key_versions 13",
        "keyhold_boundary_applied_index 14",
        "keyhold_audit_position 15",
        "keyhold_token_cache_hits_total 16",
        "keyhold_token_cache_misses_total 17",
        "keyhold_retention_days 18",
        "keyhold_purge_protection 1",
        "keyhold_token_issuers 4",
        "keyhold_token_issuers_known 2",
        "keyhold_boundary_queue{queue=\"lanes\"} 21",
        "keyhold_boundary_queue{queue=\"slow\"} 22",
        "keyhold_boundary_queue{queue=\"issuer_keys\"} 23",
        "keyhold_boundary_queue{queue=\"commit\"} 24",
        "keyhold_boundary_queue{queue=\"same_record\"} 25",
        "keyhold_boundary_queue{queue=\"makers\"} 26",
        "keyhold_prepared_keys{size=\"2048\"} 27",
        "keyhold_prepared_keys{size=\"3072\"} 28",
        "keyhold_prepared_keys{size=\"4096\"} 29",
        "keyhold_store_committed_index 31",
        "keyhold_store_flushed_index 32",
        "keyhold_store_log_index 33",
        "keyhold_store_records 34",
        "keyhold_store_leader 1",
        "keyhold_store_writable 1",
        "keyhold_audit_writable 1",
        "keyhold_control_backlog_bytes 35",
    };
    const char *t = render(k);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        expect(t, lines[i]);
    k->facts.status = NULL;
    t = render(k);
    expect(t, "keyhold_boundary_up 0");
    expect(t, "keyhold_ready 0");
    expect(t, "keyhold_store_records 34");
    assert_null(strstr(t, "keyhold_keys"));
    assert_null(strstr(t, "keyhold_token_"));
}

static void obstacles(void **state)
{
    struct kit *k = *state;
    struct metrics_facts *f = &k->facts;
    assert_null(metrics_obstacle(f));
    k->status.pool_state = POOL_NOT_ACTIVATED;
    assert_null(metrics_obstacle(f));
    /* From the last to the first: each hides those before it in this list. */
    k->status.issuers_known = 0;
    assert_string_equal(metrics_obstacle(f), "no token issuer's keys are known");
    f->audit_writable = false;
    assert_string_equal(metrics_obstacle(f), "the audit log cannot be written");
    f->store.obstacle = HSM_E_UNAVAILABLE;
    assert_string_equal(metrics_obstacle(f), "the store does not take writes");
    f->store.obstacle = HSM_E_DISK_FULL;
    assert_string_equal(metrics_obstacle(f), "the disk is full");
    f->store.leader = false;
    assert_string_equal(metrics_obstacle(f), "the store may not commit");
    k->status.pool_state = POOL_NEW;
    assert_string_equal(metrics_obstacle(f), "there is no pool yet");
    f->status = NULL;
    assert_string_equal(metrics_obstacle(f), "the boundary does not answer");
    f->phase = METRICS_STOPPING;
    assert_string_equal(metrics_obstacle(f), "stopping");
    f->phase = METRICS_STARTING;
    assert_string_equal(metrics_obstacle(f), "starting");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(meters_do_not_share_lines, setup, teardown),
        cmocka_unit_test_setup_teardown(counts, setup, teardown),
        cmocka_unit_test_setup_teardown(fits, setup, teardown),
        cmocka_unit_test_setup_teardown(values_of_the_boundary, setup, teardown),
        cmocka_unit_test_setup_teardown(obstacles, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
