#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "model/plan.h"

#define DOLLARS(n) ((money)(n)*MONEY_UNIT)

static struct price_book book;
static struct plan p;
static const char *why;

static struct plan_wish wish(enum plan_relation relation, size_t regions)
{
    static const char *const names[] = {"southindia", "centralindia", "uksouth"};
    struct plan_wish w = {.relation = relation, .region_n = regions, .key_type = "RSA-2048"};
    for (size_t i = 0; i < regions && i < 3; i++)
        w.region[i] = names[i];
    price_book_default(&book);
    return w;
}

static void made(const struct plan_wish *w)
{
    if (plan_make(w, &book, &p, &why) != HSM_OK)
        fail_msg("%s", why);
}

static bool has_note(const char *topic, const char *part)
{
    for (size_t i = 0; i < p.note_n; i++)
        if (strcmp(p.note[i].topic, topic) == 0 && strstr(p.note[i].text, part) != NULL)
            return true;
    return false;
}

/* The four rows of the sizing table in document 000. */
static void the_four_relations(void **state)
{
    (void)state;
    struct plan_wish w = wish(PLAN_PRIMARY_DR, 2);
    w.redundancy_required = true;
    made(&w);
    assert_int_equal(p.resources, 2);
    assert_int_equal(p.fixed, DOLLARS(4608));
    assert_int_equal(p.minimum, DOLLARS(4608));
    assert_string_equal(p.pool[1].role, "standby");
    assert_string_equal(
        p.summary, "1 Managed HSM pool in southindia (primary) and 1 in centralindia (standby)");
    w = wish(PLAN_ACTIVE_ACTIVE, 2);
    made(&w);
    assert_int_equal(p.resources, 1); /* one resource, two regions: 000 says two pools */
    assert_int_equal(p.fixed, DOLLARS(4608));
    assert_true(p.pool[1].is_extension);
    assert_true(has_note("replication", "one security domain"));
    w = wish(PLAN_INDEPENDENT, 2);
    made(&w);
    assert_int_equal(p.resources, 2);
    assert_int_equal(p.fixed, DOLLARS(4608));
    w = wish(PLAN_SINGLE, 1);
    made(&w);
    assert_int_equal(p.resources, 1);
    assert_int_equal(p.fixed, DOLLARS(2304));
    assert_int_equal(p.total, DOLLARS(2304));
}

static void a_standby_nobody_demands_is_optional(void **state)
{
    (void)state;
    struct plan_wish w = wish(PLAN_PRIMARY_DR, 3);
    made(&w);
    assert_int_equal(p.fixed, DOLLARS(6912));
    assert_int_equal(p.minimum, DOLLARS(2304));
    assert_false(p.pool[0].optional);
    assert_true(p.pool[2].optional);
    assert_true(has_note("standby", "optional"));
}

static void keys_and_fees(void **state)
{
    (void)state;
    struct plan_wish w = wish(PLAN_INDEPENDENT, 2);
    w.sql[0] = 2;
    w.sql[1] = 1;
    w.ad = PLAN_AD_SELF_HOSTED;
    w.service[1] = true;
    w.operations = 1000000;
    made(&w);
    assert_int_equal(p.pool[0].keys, 4);
    assert_int_equal(p.pool[0].assignments, 4);
    assert_int_equal(p.pool[1].keys, 3);
    assert_int_equal(p.key_fees, DOLLARS(7));
    assert_int_equal(p.operation_fees, DOLLARS(3));
    assert_int_equal(p.total, DOLLARS(4608)); /* 002: fixed */
    book.fees_charged = true;
    made(&w);
    assert_int_equal(p.total, DOLLARS(4618)); /* 000: plus fees */
    w.key_type = "RSA-3072";
    made(&w);
    assert_int_equal(p.key_fees, DOLLARS(35));
    w.relation = PLAN_ACTIVE_ACTIVE;
    made(&w);
    assert_int_equal(p.pool[0].keys, 7);
    assert_int_equal(p.pool[1].keys, 7);
    assert_int_equal(p.pool[1].assignments, 3);
    w.relation = PLAN_PRIMARY_DR;
    made(&w);
    assert_int_equal(p.pool[0].keys, 4);
    assert_int_equal(p.pool[1].keys, 7);
}

static void answers_to_the_questions(void **state)
{
    (void)state;
    struct plan_wish w = wish(PLAN_SINGLE, 1);
    w.ad = PLAN_AD_MANAGED;
    made(&w);
    assert_true(has_note("domain controllers", "no customer-managed keys"));
    assert_true(has_note("rotation", "No cadence"));
    assert_true(has_note("pilot", "validate"));
    assert_int_equal(p.keys, 0);
    w.ad = PLAN_AD_SELF_HOSTED;
    w.rotation_days = 90;
    w.pilot = true;
    for (size_t i = 0; plan_services[i].word != NULL; i++)
        w.service[i] = true;
    w.network = PLAN_NETWORK_SEPARATE;
    made(&w);
    assert_true(has_note("domain controllers", "disk encryption set"));
    assert_true(has_note("rotation", "every 90 days"));
    assert_true(has_note("pilot", "2304.00"));
    assert_true(has_note("network", "of its own"));
    assert_true(has_note("aks", "etcd"));
    assert_int_equal(p.keys, 9);
}

static void refused(const struct plan_wish *w, const char *part)
{
    p.pool_n = 77;
    assert_int_equal(plan_make(w, &book, &p, &why), HSM_E_BAD_PARAMETER);
    assert_non_null(strstr(why, part));
    assert_int_equal(p.pool_n, 77);
}

static void what_cannot_be(void **state)
{
    (void)state;
    struct plan_wish w = wish(PLAN_SINGLE, 2);
    refused(&w, "one region");
    w = wish(PLAN_PRIMARY_DR, 1);
    refused(&w, "at least two");
    w = wish(PLAN_ACTIVE_ACTIVE, 3);
    refused(&w, "exactly two");
    w = wish(PLAN_SINGLE, 1);
    w.redundancy_required = true;
    refused(&w, "second one");
    w = wish(PLAN_INDEPENDENT, 2);
    w.redundancy_required = true;
    refused(&w, "each other's keys");
    w = wish(PLAN_INDEPENDENT, 2);
    w.region[1] = w.region[0];
    refused(&w, "different names");
    w = wish(PLAN_SINGLE, 1);
    w.region[0] = "South India";
    refused(&w, "lower-case");
    w = wish(PLAN_SINGLE, 0);
    refused(&w, "one to eight");
    w = wish(PLAN_SINGLE, 1);
    w.sql[0] = PLAN_SQL_MAX + 1;
    refused(&w, "1000");
    w.sql[0] = 1;
    w.key_type = "RSA-4096";
    refused(&w, "SQL takes");
    w.key_type = "EC-P-256";
    refused(&w, "RSA keys");
    w = wish(PLAN_SINGLE, 1);
    w.rotation_days = 27;
    refused(&w, "28 days");
}

static void as_json(void **state)
{
    (void)state;
    static uint8_t buf[16384];
    static struct json_tok toks[512];
    struct json_doc d;
    struct bytes text;
    struct plan_wish w = wish(PLAN_ACTIVE_ACTIVE, 2);
    struct wr out = wr_of(buf, sizeof buf);
    struct json_wr j = json_wr_of(&out);
    made(&w);
    plan_write(&j, &p, &w, &book);
    assert_int_equal(json_parse(wr_view(&out), toks, 512, &d), HSM_OK);
    uint32_t cost = json_get(&d, 0, "monthlyCost");
    assert_int_equal(json_plain(&d, json_get(&d, cost, "total"), &text), HSM_OK);
    assert_true(bytes_eq_str(text, "4608.00"));
    assert_int_equal(json_count(&d, json_get(&d, 0, "pools")), 2);
    assert_int_equal(json_count(&d, json_get(&d, 0, "priceNotes")), book.note_n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_four_relations),
        cmocka_unit_test(a_standby_nobody_demands_is_optional),
        cmocka_unit_test(keys_and_fees),
        cmocka_unit_test(answers_to_the_questions),
        cmocka_unit_test(what_cannot_be),
        cmocka_unit_test(as_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
