/* Rotation: policies, new versions on demand and when they are due, over simulated years. */
#include "boundary/keys_rotation_testing.h"

/* ---- policies ---- */

static void policies(void **state)
{
    struct bytes item;
    struct wire_lifetime_action a;
    (void)state;
    assert_int_equal(get("Pol"), HSM_E_KEY_NOT_FOUND);
    assert_int_equal(put("Pol", "P2Y", NOTHING, NOTHING), HSM_E_KEY_NOT_FOUND);
    assert_string_equal(rig.answer.detail, "Key not found: https://" RIG_HOST "/keys/Pol");
    create("Pol");
    assert_int_equal(get("pol"), HSM_OK);
    struct wire_rotation_policy p = answered_policy();
    assert_true(bytes_eq_str(p.name, "Pol"));
    assert_int_equal(p.created + p.updated + p.actions.n + p.expiry.n, 0);
    unsigned proposals = rig.proposals;
    assert_int_equal(put("Pol", "", NOTHING, NOTHING), HSM_OK);
    assert_int_equal(put("Pol", "P27D", NOTHING, NOTHING), HSM_E_BAD_PARAMETER);
    assert_string_equal(rig.answer.detail, "expiryTime must be at least 28 days.");
    assert_int_equal(put("Pol", "P2Y", ROTATE("P90D", ""), ROTATE("P91D", "")),
                     HSM_E_BAD_PARAMETER);
    assert_int_equal(rig.proposals, proposals);
    assert_null(key_of("Pol")->rotation);
    uint64_t before = now_s();
    assert_int_equal(put("POL", "P2Y", NOTIFY("", "P30D"), ROTATE("P18M", "")), HSM_OK);
    rig_clock_ahead_s = 100;
    assert_int_equal(get("pol"), HSM_OK);
    p = answered_policy();
    assert_true(bytes_eq_str(p.expiry, "P2Y"));
    assert_true(p.created >= before && p.created == p.updated);
    assert_true(wire_list_next(&p.actions, &item));
    assert_int_equal(wire_lifetime_action_decode(item, &a), HSM_OK);
    assert_int_equal(a.type, ROTATION_NOTIFY);
    assert_true(bytes_eq_str(a.before_expiry, "P30D"));
    assert_true(wire_list_next(&p.actions, &item));
    assert_int_equal(wire_lifetime_action_decode(item, &a), HSM_OK);
    assert_int_equal(a.type, ROTATION_ROTATE);
    assert_true(bytes_eq_str(a.after_create, "P18M") && a.before_expiry.n == 0);
    assert_false(wire_list_next(&p.actions, &item));
    uint64_t created = p.created;
    assert_int_equal(put("pol", "P1Y", NOTHING, NOTHING), HSM_OK);
    p = answered_policy();
    assert_int_equal(p.created, created);
    assert_true(p.updated >= created + 100);
    assert_int_equal(p.actions.n, 0);
    /* With the key it goes and comes back. */
    assert_int_equal(RIG_CALL(&rig, OP_KEY_DELETE, key_name, .name = bytes_str("pol")), HSM_OK);
    assert_int_equal(get("pol"), HSM_E_KEY_NOT_FOUND);
    assert_int_equal(put("pol", "P1Y", NOTHING, NOTHING), HSM_E_KEY_NOT_FOUND);
    assert_int_equal(rotate("pol"), HSM_E_KEY_NOT_FOUND);
    assert_int_equal(RIG_CALL(&rig, OP_KEY_RECOVER, key_name, .name = bytes_str("pol")), HSM_OK);
    create("pol"); /* another version */
    restart();
    assert_int_equal(get("pol"), HSM_OK);
    p = answered_policy();
    assert_true(bytes_eq_str(p.expiry, "P1Y") && p.created == created);
    assert_int_equal(put("pol", "", NOTHING, NOTHING), HSM_OK);
    assert_int_equal(answered_policy().updated, 0);
    assert_int_equal(get("pol"), HSM_OK);
    assert_int_equal(answered_policy().created, 0);
    assert_null(key_of("pol")->rotation);
}

/* ---- on demand ---- */

static void on_demand(void **state)
{
    uint8_t tags[64];
    struct wr w = wr_of(tags, sizeof tags);
    const struct wire_tag tag = {.name = bytes_str("a"), .value = bytes_str("b")};
    size_t item = wr_lv_open(&w);
    (void)state;
    wire_tag_put(&w, &tag);
    wr_lv_close(&w, item);
    assert_int_equal(rotate("Ec"), HSM_E_KEY_NOT_FOUND);
    assert_int_equal(RIG_CALL(&rig, OP_KEY_CREATE, key_create, .name = bytes_str("Ec"),
                              .kty = KTY_EC, .crv = CRV_P384, .has_ops = 1, .key_ops = KEY_OP_SIGN,
                              .attr_set = ATTR_NBF | ATTR_EXP, .nbf = 5, .exp = 5000000000u,
                              .tags = wr_view(&w)),
                     HSM_OK);
    struct wire_key first = answered_key();
    struct uuid id = first.version;
    assert_int_equal(rotate("Ec"), HSM_E_BAD_PARAMETER);
    assert_string_equal(rig.answer.detail, NEEDS_POLICY);
    assert_int_equal(put("Ec", "", NOTIFY("P90D", ""), NOTHING), HSM_OK);
    assert_int_equal(rotate("ec"), HSM_OK);
    struct wire_key k = answered_key();
    assert_true(bytes_eq_str(k.name, "Ec"));
    assert_int_equal(k.kty, KTY_EC);
    assert_int_equal(k.crv, CRV_P384);
    assert_int_equal(k.key_ops, KEY_OP_SIGN);
    assert_true(bytes_eq(k.tags, wr_view(&w)));
    assert_int_equal(k.attr_set & (ATTR_NBF | ATTR_EXP), 0);
    assert_int_equal(k.attr_flags, ATTR_ENABLED);
    assert_int_equal(k.x.n, 48);
    assert_memory_not_equal(k.version.b, id.b, sizeof id.b);
    assert_int_equal(versions("ec"), 2);
    /* The old one is as it was. */
    const struct key_version *v = key_of("ec")->version[0];
    assert_memory_equal(v->id.b, id.b, sizeof id.b);
    assert_int_equal(v->exp, 5000000000u);
    /* A lifetime; disabled stays disabled. */
    assert_int_equal(put("Ec", "P2Y", NOTHING, NOTHING), HSM_OK);
    assert_int_equal(RIG_CALL(&rig, OP_KEY_UPDATE, key_update, .name = bytes_str("ec"),
                              .attr_set = ATTR_ENABLED),
                     HSM_OK);
    assert_int_equal(rotate("ec"), HSM_OK);
    k = answered_key();
    assert_int_equal(k.attr_flags, 0);
    assert_int_equal(k.attr_set & ATTR_EXP, ATTR_EXP);
    assert_in_range(k.exp, k.created + 730 * 86400, k.created + 731 * 86400);
    assert_int_equal(recorded("\"KeyRotate\"", "\"Success\"", " follows "), 2);
    assert_int_equal(recorded("\"KeyRotate\"", "\"Failure\"", NEEDS_POLICY), 1);
}

static void like_the_one_before(void **state)
{
    static const struct {
        const char *name;
        unsigned kty, crv;
        uint32_t size, exponent;
    } cases[] = {
        {"r3", KTY_RSA, 0, 2048, 3},     {"r4", KTY_RSA, 0, 3072, 65537},
        {"o1", KTY_OCT, 0, 128, 0},      {"o2", KTY_OCT, 0, 192, 0},
        {"e1", KTY_EC, CRV_P256K, 0, 0}, {"e2", KTY_EC, CRV_P521, 0, 0},
    };
    (void)state;
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct version_fields a, b;
        assert_int_equal(RIG_CALL(&rig, OP_KEY_CREATE, key_create, .name = bytes_str(cases[i].name),
                                  .kty = (uint8_t)cases[i].kty, .crv = (uint8_t)cases[i].crv,
                                  .key_size = cases[i].size, .public_exponent = cases[i].exponent),
                         HSM_OK);
        assert_int_equal(put(cases[i].name, "P30D", NOTHING, NOTHING), HSM_OK);
        assert_int_equal(rotate(cases[i].name), HSM_OK);
        const struct key *k = key_of(cases[i].name);
        assert_int_equal(k->version_n, 2);
        key_version_fields(k->version[0], &a);
        key_version_fields(k->version[1], &b);
        assert_int_equal(a.kty, b.kty);
        assert_int_equal(a.crv, b.crv);
        assert_int_equal(a.bits, b.bits);
        assert_int_equal(a.ops, b.ops);
        assert_int_equal(b.seq, a.seq + 1);
        assert_true(bytes_eq(a.e, b.e));
        assert_int_equal(a.n.n, b.n.n);
        assert_false(a.n.n > 0 && bytes_eq(a.n, b.n));
        assert_false(a.x.n > 0 && bytes_eq(a.x, b.x));
    }
    /* Also of sizes that nobody can ask for. */
    static const char jwk[] = "{\"kty\":\"oct-HSM\",\"k\":"
                              "\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMD"
                              "EyMzQ1Njc4OTo7PD0-Pw\"}";
    assert_int_equal(RIG_CALL(&rig, OP_KEY_IMPORT, key_import, .name = bytes_str("mac"),
                              .key = bytes_of(jwk, sizeof jwk - 1)),
                     HSM_OK);
    assert_int_equal(put("mac", "P30D", NOTHING, NOTHING), HSM_OK);
    assert_int_equal(rotate("mac"), HSM_OK);
    assert_int_equal(key_of("mac")->version[0]->bits, 512);
    assert_int_equal(key_of("mac")->version[1]->bits, 512);
    assert_int_equal(key_of("mac")->version[1]->private_n, key_of("mac")->version[0]->private_n);
    /* The new version works. */
    uint8_t digest[32] = {1};
    assert_int_equal(RIG_CALL(&rig, OP_SIGN, crypto, .name = bytes_str("r3"), .alg = ALG_PS256,
                              .value = bytes_of(digest, 32)),
                     HSM_OK);
}

/* ---- when it is due ---- */

static void over_the_years(void **state)
{
    (void)state;
    create("years");
    assert_int_equal(put("years", "P1Y", ROTATE("", "P1M"), NOTIFY("", "P2M")), HSM_OK);
    at(30 * DAY);
    assert_int_equal(versions("years"), 1); /* it has no exp yet */
    rig_clock_ahead_s = 0;
    assert_int_equal(rotate("years"), HSM_OK);
    uint64_t exp = answered_key().exp;
    for (unsigned i = 1; i <= 5; i++) {
        uint64_t now = now_s() - (uint64_t)rig_clock_ahead_s;
        uint64_t due = duration_before(exp, (struct duration){.months = 1});
        uint64_t notice = duration_before(exp, (struct duration){.months = 2});
        at((int64_t)(notice - now) - 5);
        assert_int_equal(notified("years"), i - 1);
        at((int64_t)(notice - now) + 5);
        assert_int_equal(notified("years"), i);
        at((int64_t)(due - now) - 5);
        assert_int_equal(versions("years"), i + 1);
        at((int64_t)(due - now) + 5);
        assert_int_equal(versions("years"), i + 2);
        at((int64_t)(due - now) + 20 * DAY);
        assert_int_equal(versions("years"), i + 2);
        assert_int_equal(rotated("years"), i);
        assert_int_equal(notified("years"), i);
        const struct key_version *v = key_current(key_of("years"));
        assert_in_range(v->created, due, due + 10);
        assert_int_equal(v->exp, duration_after(v->created, (struct duration){.months = 12}));
        exp = v->exp;
    }
    /* Away for ten years: what is due now is done once. */
    at(rig_clock_ahead_s + 3653 * DAY);
    assert_int_equal(rotated("years"), 6);
    assert_int_equal(notified("years"), 6);
}

static void after_creation(void **state)
{
    (void)state;
    create("after");
    assert_int_equal(put("after", "", ROTATE("P28D", ""), NOTHING), HSM_OK);
    for (int64_t day = 0; day <= 28 * 4; day++)
        at(day * DAY + 60);
    assert_int_equal(versions("after"), 5);
    assert_int_equal(rotated("after"), 4);
    assert_int_equal(recorded("\"KeyRotateIfDue\"", "keyhold-boundary", " follows "),
                     recorded("\"KeyRotateIfDue\"", "\"Success\"", ""));
    /* One on demand begins a new time. */
    rig_clock_ahead_s = 0;
    create("demand");
    assert_int_equal(put("demand", "", ROTATE("P28D", ""), NOTHING), HSM_OK);
    assert_int_equal(rotate("demand"), HSM_OK);
    key_of("demand")->version[1]->created += 10 * (uint64_t)DAY;
    assert_int_equal(rotation_index_update(&rig.b->state->rotations, key_of("demand")), HSM_OK);
    at(29 * DAY);
    assert_int_equal(versions("demand"), 2);
    at(38 * DAY + 60);
    assert_int_equal(versions("demand"), 3);
}

static void notices_are_given_once(void **state)
{
    (void)state;
    create("notice");
    assert_int_equal(put("notice", "", NOTIFY("P30D", ""), NOTHING), HSM_OK);
    at(31 * DAY);
    assert_int_equal(notified("notice"), 1);
    at(31 * DAY + 600);
    restart();
    at(40 * DAY);
    assert_int_equal(notified("notice"), 1);
    assert_int_equal(versions("notice"), 1);
    rig_clock_ahead_s = 0;
    assert_int_equal(put("notice", "P1Y", NOTIFY("P30D", ""), NOTHING), HSM_OK); /* the same */
    at(40 * DAY);
    assert_int_equal(notified("notice"), 1);
    rig_clock_ahead_s = 0;
    assert_int_equal(put("notice", "", NOTIFY("P35D", ""), NOTHING), HSM_OK);
    at(34 * DAY);
    assert_int_equal(notified("notice"), 1);
    at(36 * DAY);
    assert_int_equal(notified("notice"), 2);
    rig_clock_ahead_s = 0;
    create("notice"); /* another version */
    at(36 * DAY);
    assert_int_equal(notified("notice"), 3);
}

static void disabled_and_deleted_keys_wait(void **state)
{
    (void)state;
    create("off");
    assert_int_equal(put("off", "", ROTATE("P28D", ""), NOTHING), HSM_OK);
    assert_int_equal(RIG_CALL(&rig, OP_KEY_UPDATE, key_update, .name = bytes_str("off"),
                              .attr_set = ATTR_ENABLED),
                     HSM_OK);
    at(40 * DAY);
    assert_int_equal(versions("off"), 1);
    rig_clock_ahead_s = 0;
    assert_int_equal(RIG_CALL(&rig, OP_KEY_UPDATE, key_update, .name = bytes_str("off"),
                              .attr_set = ATTR_ENABLED, .attr_flags = ATTR_ENABLED),
                     HSM_OK);
    assert_int_equal(RIG_CALL(&rig, OP_KEY_DELETE, key_name, .name = bytes_str("off")), HSM_OK);
    /* Not in the order of due dates, nor in anybody's way: the end of the retention is later. */
    assert_int_equal(key_of("off")->rotation->place, 0);
    at(6 * DAY);
    assert_int_equal(versions("off"), 1);
    rig_clock_ahead_s = 0;
    assert_int_equal(RIG_CALL(&rig, OP_KEY_RECOVER, key_name, .name = bytes_str("off")), HSM_OK);
    at(29 * DAY);
    assert_int_equal(versions("off"), 2);
}

/* At the limit it is said once a day, across restarts. */
static void no_room_for_another_version(void **state)
{
    (void)state;
    const char *failure = "A key can have at most 100 versions.";
    for (unsigned i = 0; i < KEY_VERSIONS_MAX; i++)
        create("full");
    assert_int_equal(put("full", "", ROTATE("P28D", ""), NOTHING), HSM_OK);
    assert_int_equal(rotate("full"), HSM_E_BAD_PARAMETER);
    assert_string_equal(rig.answer.detail, failure);
    at(29 * DAY);
    for (unsigned i = 0; i < 5; i++)
        at(29 * DAY + 600 * (i + 1));
    assert_int_equal(recorded("\"KeyRotateIfDue\"", "\"Failure\"", failure), 1);
    restart();
    at(29 * DAY + 7200);
    assert_int_equal(recorded("\"KeyRotateIfDue\"", "\"Failure\"", failure), 1);
    at(30 * DAY + 7200);
    at(30 * DAY + 7300);
    assert_int_equal(recorded("\"KeyRotateIfDue\"", "\"Failure\"", failure), 2);
    assert_int_equal(versions("full"), KEY_VERSIONS_MAX);
    rig_clock_ahead_s = 0;
    assert_int_equal(put("full", "", NOTHING, NOTHING), HSM_OK);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup(f, at_start_of_time)
    const struct CMUnitTest tests[] = {
        T(policies),
        T(on_demand),
        T(like_the_one_before),
        T(over_the_years),
        T(after_creation),
        T(notices_are_given_once),
        T(disabled_and_deleted_keys_wait),
        T(no_room_for_another_version),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
