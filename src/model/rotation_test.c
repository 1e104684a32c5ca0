#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "model/rotation.h"

#define DAY  (uint64_t)86400
#define T0   1700000000u /* 2023-11-14T22:13:20Z */
#define MUST "must be a duration in years, months, weeks and days, such as P2Y, P18M or P90D."

/* type after_create before_expiry; "" is absent */
struct text_action {
    unsigned type;
    const char *after, *before;
};

static hsm_err make(const char *expiry, const struct text_action *a, size_t n,
                    struct rotation_policy *ret, const char **why)
{
    struct rotation_wish w[4];
    for (size_t i = 0; i < n; i++)
        w[i] = (struct rotation_wish){.type = a[i].type,
                                      .after_create = bytes_str(a[i].after),
                                      .before_expiry = bytes_str(a[i].before)};
    return rotation_policy_make(bytes_str(expiry), w, n, ret, why);
}

static struct rotation with(const char *expiry, struct text_action a, struct text_action b)
{
    const struct text_action both[] = {a, b};
    struct rotation r = {.created = T0, .updated = T0};
    const char *why = "";
    if (make(expiry, both, (a.type != 0) + (b.type != 0), &r.policy, &why) != HSM_OK)
        fail_msg("%s", why);
    return r;
}
#define ROTATE(a, b) ((struct text_action){ROTATION_ROTATE, a, b})
#define NOTIFY(a, b) ((struct text_action){ROTATION_NOTIFY, a, b})
#define NOTHING      ((struct text_action){0, "", ""})

static void names(void **state)
{
    (void)state;
    assert_int_equal(rotation_type_from_name(bytes_str("rotate")), ROTATION_ROTATE);
    assert_int_equal(rotation_type_from_name(bytes_str("NOTIFY")), ROTATION_NOTIFY);
    assert_int_equal(rotation_type_from_name(bytes_str("Rotat")), ROTATION_NONE);
    assert_int_equal(rotation_type_from_name(bytes_str("")), ROTATION_NONE);
    assert_string_equal(rotation_type_name(ROTATION_ROTATE), "Rotate");
    assert_null(rotation_type_name(ROTATION_NONE));
    assert_null(rotation_type_name((enum rotation_type)7));
}

static void policies_taken(void **state)
{
    static const struct {
        const char *expiry;
        struct text_action a[2];
        size_t n;
    } good[] = {
        {"", {{0, "", ""}}, 0},
        {"P28D", {{0, "", ""}}, 0},
        {"P2Y", {{ROTATION_ROTATE, "P18M", ""}}, 1},
        {"", {{ROTATION_ROTATE, "P28D", ""}}, 1},
        {"", {{ROTATION_ROTATE, "P1M", ""}}, 1},
        {"P56D", {{ROTATION_ROTATE, "", "P28D"}}, 1},
        {"P29D", {{ROTATION_NOTIFY, "", "P1D"}}, 1},
        {"", {{ROTATION_ROTATE, "", "P90D"}}, 1},
        {"P2Y", {{ROTATION_ROTATE, "P18M", ""}, {ROTATION_NOTIFY, "", "P30D"}}, 2},
        {"P2Y", {{ROTATION_NOTIFY, "P4W", ""}, {ROTATION_ROTATE, "", "P1Y11M"}}, 2},
    };
    struct rotation_policy p;
    const char *why = "";
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        if (make(good[i].expiry, good[i].a, good[i].n, &p, &why) != HSM_OK)
            fail_msg("policy %zu: %s", i, why);
        assert_int_equal(p.action_n, good[i].n);
        assert_true(bytes_eq_str(rotation_text(&p.expiry), good[i].expiry));
        assert_int_equal(rotation_policy_is_blank(&p), i == 0);
        for (size_t k = 0; k < good[i].n; k++) {
            assert_int_equal(p.action[k].type, good[i].a[k].type);
            assert_true(bytes_eq_str(rotation_text(&p.action[k].after_create), good[i].a[k].after));
            assert_true(
                bytes_eq_str(rotation_text(&p.action[k].before_expiry), good[i].a[k].before));
        }
    }
}

static void policies_refused(void **state)
{
    static const struct {
        const char *expiry;
        struct text_action a[3];
        size_t n;
        const char *why;
    } bad[] = {
        {"P27D", {{0}}, 0, "expiryTime must be at least 28 days."},
        {"P0D", {{0}}, 0, "expiryTime must be at least 28 days."},
        {"90", {{0}}, 0, "expiryTime " MUST},
        {"PT1000H", {{0}}, 0, "expiryTime " MUST},
        {"", {{ROTATION_ROTATE, "90 days", ""}}, 1, "timeAfterCreate " MUST},
        {"", {{ROTATION_ROTATE, "", "P1X"}}, 1, "timeBeforeExpiry " MUST},
        {"", {{ROTATION_ROTATE, "P27D", ""}}, 1, "timeAfterCreate must be at least 28 days."},
        {"", {{ROTATION_NOTIFY, "P3W6D", ""}}, 1, "timeAfterCreate must be at least 28 days."},
        {"", {{ROTATION_ROTATE, "", "P0D"}}, 1, "timeBeforeExpiry must be at least one day."},
        {"P56D",
         {{ROTATION_ROTATE, "", "P29D"}},
         1,
         "timeBeforeExpiry must be at least 28 days shorter than expiryTime."},
        {"P28D",
         {{ROTATION_NOTIFY, "", "P1D"}},
         1,
         "timeBeforeExpiry must be at least 28 days shorter than expiryTime."},
        {"P1Y",
         {{ROTATION_ROTATE, "", "P9999999Y9999999W"}},
         1,
         "timeBeforeExpiry must be at least 28 days shorter than expiryTime."},
        {"P2Y",
         {{ROTATION_ROTATE, "", ""}},
         1,
         "A trigger needs either timeAfterCreate or timeBeforeExpiry."},
        {"P2Y",
         {{ROTATION_ROTATE, "P90D", "P90D"}},
         1,
         "A trigger needs either timeAfterCreate or timeBeforeExpiry."},
        {"P2Y",
         {{ROTATION_ROTATE, "P90D", ""}, {ROTATION_ROTATE, "P80D", ""}},
         2,
         "A rotation policy can have at most one action of each type."},
        {"P2Y",
         {{ROTATION_ROTATE, "P90D", ""}, {ROTATION_NOTIFY, "P80D", ""}, {0, "", ""}},
         3,
         "A rotation policy can have at most one action of each type."},
        {"P2Y", {{0, "P90D", ""}}, 1, "The type of an action must be Rotate or Notify."},
        {"P2Y", {{9, "P90D", ""}}, 1, "The type of an action must be Rotate or Notify."},
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct rotation_policy p = {.action_n = 77};
        const char *why = "";
        assert_int_equal(make(bad[i].expiry, bad[i].a, bad[i].n, &p, &why), HSM_E_BAD_PARAMETER);
        assert_string_equal(why, bad[i].why);
        assert_int_equal(p.action_n, 77);
    }
}

static void expect_next(const struct rotation *r, const struct rotation_version *v,
                        enum rotation_type what, uint64_t at)
{
    struct rotation_step s = rotation_next(r, v);
    assert_int_equal(s.what, what);
    assert_int_equal(s.at, at);
}

static void what_is_due(void **state)
{
    struct rotation_version v = {.number = 4, .enabled = true, .created = T0};
    (void)state;
    struct rotation r = with("P2Y", ROTATE("P90D", ""), NOTHING);
    expect_next(&r, &v, ROTATION_ROTATE, T0 + 90 * DAY);
    v.enabled = false;
    expect_next(&r, &v, ROTATION_NONE, ROTATION_NEVER);
    v.enabled = true;
    /* Before an expiry that is not there: never. */
    r = with("P2Y", ROTATE("", "P30D"), NOTIFY("", "P60D"));
    expect_next(&r, &v, ROTATION_NONE, ROTATION_NEVER);
    v.has_exp = true;
    v.exp = T0 + 400 * DAY;
    expect_next(&r, &v, ROTATION_NOTIFY, T0 + 340 * DAY);
    r.notified = 5; /* of version 4 */
    expect_next(&r, &v, ROTATION_ROTATE, T0 + 370 * DAY);
    r.notified = 4; /* of the one before */
    expect_next(&r, &v, ROTATION_NOTIFY, T0 + 340 * DAY);
    /* An expiry at the beginning of time is long over. */
    v.exp = DAY;
    r.notified = 5;
    expect_next(&r, &v, ROTATION_ROTATE, 0);
    /* At the same time the notice is first, or it would be about another version. */
    r = with("P2Y", ROTATE("", "P30D"), NOTIFY("", "P30D"));
    v.exp = T0 + 400 * DAY;
    expect_next(&r, &v, ROTATION_NOTIFY, T0 + 370 * DAY);
    r = with("P2Y", NOTHING, NOTHING);
    expect_next(&r, &v, ROTATION_NONE, ROTATION_NEVER);
}

/* Whatever the expiry dates are set to, automatic rotations are 28 days apart; a failed one is
 * tried a day later. */
static void never_too_often(void **state)
{
    struct rotation_version v = {.enabled = true, .has_exp = true, .created = T0, .exp = T0 + DAY};
    struct rotation r = with("P1Y", ROTATE("", "P30D"), NOTHING);
    (void)state;
    expect_next(&r, &v, ROTATION_ROTATE, T0 - 29 * DAY);
    r.rotated = T0;
    expect_next(&r, &v, ROTATION_ROTATE, T0 + 28 * DAY);
    r.failed = T0 + 28 * DAY;
    expect_next(&r, &v, ROTATION_ROTATE, T0 + 29 * DAY);
    r.rotated = 0;
    r.failed = T0 - 40 * DAY;
    expect_next(&r, &v, ROTATION_ROTATE, T0 - 29 * DAY);
}

static void replaced(void **state)
{
    struct rotation before = with("P2Y", ROTATE("P90D", ""), NOTIFY("P80D", ""));
    struct rotation r;
    (void)state;
    before.rotated = 5;
    before.failed = 6;
    before.notified = 7;
    const struct rotation same = with("", NOTIFY("P80D", ""), NOTHING);
    rotation_replace(&same.policy, &before, T0 + 9, &r);
    assert_int_equal(r.created, T0);
    assert_int_equal(r.updated, T0 + 9);
    assert_int_equal(r.rotated, 5);
    assert_int_equal(r.failed, 0);
    assert_int_equal(r.notified, 7);
    static const struct text_action other[] = {{ROTATION_NOTIFY, "P81D", ""},
                                               {ROTATION_NOTIFY, "", "P80D"},
                                               {ROTATION_ROTATE, "P80D", ""}};
    for (unsigned i = 0; i < 3; i++) {
        const struct rotation o = with("P2Y", other[i], NOTHING);
        rotation_replace(&o.policy, &before, T0 + 9, &r);
        assert_int_equal(r.notified, 0);
    }
    rotation_replace(&same.policy, NULL, T0 + 9, &r);
    assert_int_equal(r.created, T0 + 9);
    assert_int_equal(r.rotated + r.notified, 0);
}

static void expiry(void **state)
{
    uint64_t exp = 7;
    (void)state;
    struct rotation r = with("", ROTATE("P90D", ""), NOTHING);
    assert_false(rotation_expiry(&r.policy, T0, &exp));
    assert_int_equal(exp, 7);
    r = with("P2Y", NOTHING, NOTHING);
    assert_true(rotation_expiry(&r.policy, T0, &exp));
    assert_int_equal(exp, T0 + 731 * DAY); /* 2024 has 366 days */
    assert_true(rotation_expiry(&r.policy, TIME_MAX_S - 5, &exp));
    assert_int_equal(exp, TIME_MAX_S);
}

/* A century by the policy's own decisions: every rotation on its date, no step twice. */
static void a_century(void **state)
{
    struct rotation r = with("P1Y", ROTATE("", "P1M"), NOTIFY("", "P2M"));
    struct rotation_version v = {.enabled = true, .created = T0};
    uint64_t last = 0;
    unsigned rotations = 0, notices = 0;
    (void)state;
    v.has_exp = rotation_expiry(&r.policy, T0, &v.exp);
    while (last < T0 + 36525ull * DAY) {
        struct rotation_step s = rotation_next(&r, &v);
        assert_true(s.at > last && s.at != ROTATION_NEVER);
        last = s.at;
        if (s.what == ROTATION_NOTIFY) {
            r.notified = v.number + 1;
            notices++;
            continue;
        }
        assert_true(r.rotated == 0 || s.at - r.rotated >= 28 * DAY);
        r.rotated = s.at;
        v = (struct rotation_version){.number = v.number + 1, .enabled = true, .created = s.at};
        v.has_exp = rotation_expiry(&r.policy, s.at, &v.exp);
        rotations++;
    }
    assert_in_range(rotations, 108, 110); /* every eleven months */
    assert_in_range(notices, rotations, rotations + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(policies_taken),
        cmocka_unit_test(policies_refused),
        cmocka_unit_test(what_is_due),
        cmocka_unit_test(never_too_often),
        cmocka_unit_test(replaced),
        cmocka_unit_test(expiry),
        cmocka_unit_test(a_century),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
