/* The meter from requests to the bill, and the subscription's state. */
#include "fabric/arm_testing.h"
#include "fabric/meter.h"

#define GROUP   "/resourceGroups/rg1"
#define HSM     GROUP "/providers/Microsoft.KeyVault/managedHSMs/Metered"
#define GONE    "/providers/Microsoft.KeyVault/deletedManagedHSMs"
#define PURGE   "/providers/Microsoft.KeyVault/locations/westus3/deletedManagedHSMs/metered/purge"
#define BILL    "/providers/Keyhold.Control/bill"
#define STATE   "/providers/Keyhold.Control/subscription"
#define HOUR_MS 3600000ull
#define DAY_MS  (24 * HOUR_MS)
#define BODY                                                                                       \
    "{\"location\":\"westus3\",\"sku\":{\"family\":\"B\",\"name\":\"Standard_B1\"},"               \
    "\"properties\":{\"tenantId\":\"adfs\",\"initialAdminObjectIds\":["                            \
    "\"11111111-2222-3333-4444-555555555555\"],\"softDeleteRetentionInDays\":90}}"

static void make_hsm(struct rig *r)
{
    rig_ask(r, "PUT", GROUP, "{\"location\":\"westus3\"}", 201);
    rig_ask(r, "PUT", HSM, BODY, 202);
    rig_run(r, 1000);
    rig_result(r, 200);
}

/* The entry of a pool in the bill of that month; JSON_NONE: not in it. */
static uint32_t entry(struct rig *r, const char *month, const char *pool)
{
    char path[128];
    snprintf(path, sizeof path, BILL "%s%s", month[0] != 0 ? "?month=" : "", month);
    rig_ask(r, "GET", path, "", 200);
    uint32_t list = rig_at(r, 0, "pools");
    for (uint32_t v = json_first(&r->doc, list); v != JSON_NONE; v = json_next(&r->doc, list, v))
        if (arm_string_is(&r->doc, v, "pool", pool))
            return v;
    return JSON_NONE;
}

static int64_t hours(struct rig *r, uint32_t v)
{
    int64_t n = -1;
    assert_int_equal(json_int(&r->doc, rig_at(r, v, "hours"), &n), HSM_OK);
    return n;
}

static uint32_t there(struct rig *r, const char *month)
{
    uint32_t v = entry(r, month, "Metered");
    assert_int_not_equal(v, JSON_NONE);
    return v;
}

/* It is 2026-11-22. */
static void from_creation_to_purge(void **state)
{
    struct rig *r = *state;
    make_hsm(r);
    uint32_t v = there(r, "");
    rig_expect(r, v, "state", "active");
    rig_expect(r, v, "region", "westus3");
    assert_int_equal(hours(r, v), 24); /* a day at least */
    rig_expect(r, v, "cost", "76.80");
    assert_int_equal(entry(r, "2026-10", "Metered"), JSON_NONE);
    r->now_ms += 2 * DAY_MS;
    assert_int_equal(hours(r, there(r, "2026-11")), 49);
    rig_ask(r, "DELETE", HSM, "", 202);
    rig_run(r, 1000);
    v = there(r, "2026-11");
    rig_expect(r, v, "state", "deleted");
    r->now_ms += DAY_MS; /* soft-deleted: it goes on */
    assert_int_equal(hours(r, there(r, "2026-11")), 73);
    rig_ask(r, "POST", PURGE, "", 202);
    rig_run(r, 1000);
    r->now_ms += 30 * DAY_MS;
    v = there(r, "2026-11");
    rig_expect(r, v, "state", "purged");
    assert_int_equal(hours(r, v), 73);
    rig_at(r, v, "purged");
    assert_int_equal(entry(r, "2026-12", "Metered"), JSON_NONE);
    /* The same name once more is another pool. */
    rig_ask(r, "PUT", HSM, BODY, 202);
    rig_run(r, 1000);
    assert_int_equal(hours(r, there(r, "2026-12")), 24);
    assert_int_equal(hours(r, there(r, "2026-11")), 73);
}

static void recovered(void **state)
{
    struct rig *r = *state;
    make_hsm(r);
    rig_ask(r, "DELETE", HSM, "", 202);
    rig_run(r, 1000);
    r->now_ms += 2 * DAY_MS;
    rig_ask(r, "PUT", HSM,
            "{\"location\":\"westus3\",\"sku\":{\"family\":\"B\",\"name\":\"Standard_B1\"},"
            "\"properties\":{\"tenantId\":\"adfs\",\"createMode\":\"Recover\"}}",
            202);
    rig_run(r, 1000);
    uint32_t v = there(r, "2026-11");
    rig_expect(r, v, "state", "active");
    assert_int_equal(hours(r, v), 49);
}

static void books_and_months(void **state)
{
    struct rig *r = *state;
    make_hsm(r);
    rig_ask(r, "GET", BILL "?month=2026-13", "", 400);
    rig_expect_error(r, "InvalidMonth");
    rig_ask(r, "POST", BILL, "{\"name\":\"x\"}", 400);
    rig_expect_error(r, "InvalidPriceBook");
    rig_ask(r, "POST", BILL "?month=2026-11",
            "{\"name\":\"own\",\"currency\":\"EUR\",\"fees\":\"charged\",\"pool\":{\"hour\":\"1\","
            "\"minimumHours\":0,\"monthHours\":730}}",
            200);
    rig_expect(r, 0, "currency", "EUR");
    rig_expect(r, 0, "priceBook", "own");
    uint32_t v = json_first(&r->doc, rig_at(r, 0, "pools"));
    assert_int_not_equal(v, JSON_NONE);
    rig_ask(r, "GET", BILL, "", 200);
    assert_true(json_count(&r->doc, rig_at(r, 0, "notes")) >= 3);
    rig_expect(r, rig_at(r, 0, "total"), "fees", "beside");
    assert_true(json_count(&r->doc, rig_at(r, 0, "regions")) >= 1);
}

/* A node that counts. */
struct counting {
    unsigned asked;
    const char *answer;
};

static void on_ask(void *ctx, const char *node, struct bytes line, node_answer_fn fn, void *fn_ctx)
{
    struct counting *c = ctx;
    (void)node;
    if (memmem(line.p, line.n, "\"usage\"", 7) == NULL) {
        nodes_answer_error(HSM_E_UNAVAILABLE, "away", fn, fn_ctx);
        return;
    }
    c->asked++;
    nodes_answer_line(bytes_str(c->answer), fn, fn_ctx);
}

static void samples_of_a_node(void **state)
{
    struct rig *r = *state;
    struct counting c = {
        .answer = "{\"ok\":true,\"keys\":{\"RSA-2048\":2,\"oct-256\":1},\"operations\":20000}"};
    make_hsm(r);
    nodes_close(r->f->nodes, NULL, NULL);
    assert_int_equal(nodes_open_fake(on_ask, &c, &r->f->nodes), HSM_OK);
    rig_run(r, METER_PERIOD_MS + 2 * METER_LOOK_MS);
    assert_true(c.asked >= 1);
    uint64_t end_ms = 1796083200000ull; /* 2026-12-01 */
    r->now_ms = end_ms + DAY_MS;
    uint32_t v = there(r, "2026-11");
    uint32_t keys = rig_at(r, v, "keys");
    assert_int_equal(json_count(&r->doc, keys), 2);
    rig_expect(r, json_first(&r->doc, keys), "type", "RSA-2048");
    rig_expect(r, v, "operationsCost", "0.06");
    uint32_t aes = json_next(&r->doc, keys, json_first(&r->doc, keys));
    assert_int_equal(json_type_of(&r->doc, rig_at(r, aes, "cost")), JSON_NULL);
    v = there(r, "2026-12"); /* one day of 31 with two keys */
    rig_expect(r, json_first(&r->doc, rig_at(r, v, "keys")), "keyMonths", "0.064516");
    /* Nonsense counts for nothing. */
    c.answer = "{\"ok\":true,\"keys\":{\"RSA 2048\":-2},\"operations\":1}";
    rig_run(r, 2 * METER_PERIOD_MS);
    rig_expect(r, there(r, "2026-11"), "operationsCost", "0.06");
}

static void a_disabled_subscription(void **state)
{
    struct rig *r = *state;
    char path[200];
    make_hsm(r);
    rig_ask(r, "GET", STATE, "", 200);
    rig_expect(r, 0, "state", "Enabled");
    rig_ask(r, "PUT", STATE, "{\"state\":\"Sleepy\"}", 400);
    rig_expect_error(r, "InvalidSubscriptionState");
    rig_ask(r, "PUT", STATE, "{\"state\":\"Warned\"}", 200);
    rig_ask(r, "PUT", "/resourceGroups/rg2", "{\"location\":\"westus3\"}", 201);
    rig_ask(r, "DELETE", HSM, "", 202);
    rig_run(r, 1000);
    rig_ask(r, "PUT", STATE, "{\"state\":\"Disabled\"}", 200);
    snprintf(path, sizeof path, "//subscriptions/%s", r->f->provider.dir.subscription);
    rig_ask(r, "GET", path, "", 200);
    rig_expect(r, 0, "state", "Disabled");
    rig_ask(r, "GET", GONE, "", 409);
    rig_expect_error(r, "ProviderError");
    rig_expect(r, rig_at(r, 0, "error"), "message",
               "Resource provider 'Microsoft.KeyVault' failed to return collection response for "
               "type 'deletedManagedHSMs'.");
    rig_ask(r, "POST", PURGE, "", 409);
    rig_expect_error(r, "ReadOnlyDisabledSubscription");
    rig_ask(r, "PUT", "/resourceGroups/rg3", "{\"location\":\"westus3\"}", 409);
    rig_expect_error(r, "ReadOnlyDisabledSubscription");
    rig_ask(r, "PUT", HSM, BODY, 409);
    rig_expect_error(r, "ReadOnlyDisabledSubscription");
    assert_int_not_equal(entry(r, "", "Metered"), JSON_NONE); /* the meter runs */
    rig_ask(r, "PUT", STATE, "{\"state\":\"Enabled\"}", 200);
    rig_ask(r, "GET", GONE, "", 200);
    assert_int_equal(rig_count(r), 1);
    rig_ask(r, "POST", PURGE, "", 202);
}

/* Only who has the right sees the bill or changes the state. */
static void rights(void **state)
{
    struct rig *r = *state;
    r->who = &r->f->provider.dir.guest;
    rig_ask(r, "GET", BILL, "", 403);
    rig_expect_error(r, "AuthorizationFailed");
    rig_ask(r, "PUT", STATE, "{\"state\":\"Disabled\"}", 403);
    rig_expect_error(r, "AuthorizationFailed");
}

int main(void)
{
#define EACH(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        EACH(from_creation_to_purge),  EACH(recovered),
        EACH(books_and_months),        EACH(samples_of_a_node),
        EACH(a_disabled_subscription), EACH(rights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
