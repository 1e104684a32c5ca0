/* Rotation: policies, new versions on demand and when they are due, over simulated years. */
#include "boundary/boundary_testing.h"

#define DAY          (int64_t)86400
#define NEEDS_POLICY "A key can be rotated only while it has a rotation policy."

static struct rig rig;

static int start(void **state)
{
    (void)state;
    rig_init(&rig);
    rig_start(&rig, true);
    rig_serve(&rig);
    assert_int_equal(rig_activate(&rig), HSM_OK);
    rig_make_crypto_user(&rig);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    assert_int_equal(rig.ended, 0);
    rig_done(&rig);
    return 0;
}

static struct wire_key answered_key(void)
{
    struct wire_key k;
    struct bytes body = bytes_of(rig.answer.body, rig.answer.body_n);
    assert_int_equal(wire_key_decode(body, &k), HSM_OK);
    return k;
}

static struct wire_rotation_policy answered_policy(void)
{
    struct wire_rotation_policy p;
    struct bytes body = bytes_of(rig.answer.body, rig.answer.body_n);
    assert_int_equal(wire_rotation_policy_decode(body, &p), HSM_OK);
    return p;
}

struct action {
    unsigned type;
    const char *after, *before;
};

static hsm_err put(const char *name, const char *expiry, struct action a, struct action b)
{
    const struct action both[] = {a, b};
    uint8_t list[512];
    struct wr w = wr_of(list, sizeof list);
    for (unsigned i = 0; i < 2 && both[i].after != NULL; i++) {
        const struct wire_lifetime_action m = {.type = (uint8_t)both[i].type,
                                               .after_create = bytes_str(both[i].after),
                                               .before_expiry = bytes_str(both[i].before)};
        size_t item = wr_lv_open(&w);
        wire_lifetime_action_put(&w, &m);
        wr_lv_close(&w, item);
    }
    return RIG_CALL(&rig, OP_ROTATION_PUT, rotation_put, .name = bytes_str(name),
                    .expiry = bytes_str(expiry), .actions = wr_view(&w));
}
#define ROTATE(a, b) ((struct action){ROTATION_ROTATE, a, b})
#define NOTIFY(a, b) ((struct action){ROTATION_NOTIFY, a, b})
#define NOTHING      ((struct action){0})

static hsm_err get(const char *name)
{
    return RIG_CALL(&rig, OP_ROTATION_GET, key_name, .name = bytes_str(name));
}

static hsm_err rotate(const char *name)
{
    return RIG_CALL(&rig, OP_KEY_ROTATE, key_name, .name = bytes_str(name));
}

static void create(const char *name)
{
    assert_int_equal(
        RIG_CALL(&rig, OP_KEY_CREATE, key_create, .name = bytes_str(name), .kty = KTY_OCT), HSM_OK);
}

/* Nothing of one test is due in the next one. */
static int at_start_of_time(void **state)
{
    (void)state;
    rig_clock_ahead_s = 0;
    rig.b->next_rotation_us = 0;
    while (rig.b->state->rotations.n > 0) {
        char name[KEY_NAME_MAX + 1];
        struct bytes d = key_display(rotation_index_first(&rig.b->state->rotations));
        (void)snprintf(name, sizeof name, "%.*s", (int)d.n, (const char *)d.p);
        assert_int_equal(put(name, "", NOTHING, NOTHING), HSM_OK);
    }
    return 0;
}

static struct key *key_of(const char *name)
{
    struct key *k = state_key(rig.b->state, bytes_str(name));
    assert_non_null(k);
    return k;
}

static unsigned versions(const char *name)
{
    return key_of(name)->version_n;
}

/* Everything that is due at that time, one after the other. */
static void at(int64_t ahead_s)
{
    unsigned was;
    rig_clock_ahead_s = ahead_s;
    do {
        was = rig.proposals;
        rig_settle(&rig);
        assert_int_equal(rig.ended, 0);
    } while (rig.proposals != was);
}

static uint64_t now_s(void)
{
    return clock_now_ms() / 1000;
}

/* Lines of the audit file that have all of these texts in them. */
static unsigned recorded(const char *a, const char *b, const char *c)
{
    unsigned n = 0;
    for (char *line = rig.audit, *end; line != NULL && *line != 0; line = end + 1) {
        end = strchr(line, '\n');
        assert_non_null(end);
        *end = 0;
        n += strstr(line, a) != NULL && strstr(line, b) != NULL && strstr(line, c) != NULL;
        *end = '\n';
    }
    return n;
}

static unsigned rotated(const char *name)
{
    char uri[64];
    (void)snprintf(uri, sizeof uri, "\"/keys/%s/rotate\"", name);
    return recorded("\"KeyRotateIfDue\"", uri, "\"Success\"");
}

static unsigned notified(const char *name)
{
    char uri[64];
    (void)snprintf(uri, sizeof uri, "\"/keys/%s/rotate\"", name);
    return recorded("\"KeyRotationNotify\"", uri, "\"Success\"");
}

static void restart(void)
{
    rig_stop(&rig);
    rig_start(&rig, false);
    rig_serve(&rig);
    assert_int_equal(rig.loaded_err, HSM_OK);
}

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

/* ---- what goes wrong ---- */

/* Everything stops between the proposal and its commit: neither lost nor done twice. */
static void stopped_in_between(void **state)
{
    (void)state;
    create("crash");
    assert_int_equal(put("crash", "", ROTATE("P28D", ""), NOTIFY("P28D", "")), HSM_OK);
    at(10 * DAY);
    for (unsigned what = 0; what < 2; what++) { /* the notice, then the rotation */
        rig.on_txn = TXN_KEEP;
        at(29 * DAY);
        assert_true(rig.b->rotation_pending);
        uint8_t *late = rig.kept;
        size_t late_n = rig.kept_n;
        rig.kept = NULL;
        rig.on_txn = TXN_COMMIT;
        restart();
        at(29 * DAY + 60);
        assert_int_equal(notified("crash"), 1);
        assert_int_equal(versions("crash"), 2);
        rig_commit(&rig, bytes_of(late, late_n)); /* out of the log, after all */
        at(29 * DAY + 120);
        free(late);
        assert_int_equal(notified("crash"), 1);
        assert_int_equal(rotated("crash"), 1);
        assert_int_equal(versions("crash"), 2);
        if (what == 1)
            break;
        /* Again, with the notice given already. */
        rig_clock_ahead_s = 0;
        assert_int_equal(RIG_CALL(&rig, OP_KEY_DELETE, key_name, .name = bytes_str("crash")),
                         HSM_OK);
        assert_int_equal(RIG_CALL(&rig, OP_KEY_PURGE, key_name, .name = bytes_str("crash")),
                         HSM_OK);
        rig.audit_n = 0;
        rig.audit[0] = 0;
        restart();
        create("crash");
        assert_int_equal(put("crash", "", ROTATE("P29D", ""), NOTIFY("P28D", "")), HSM_OK);
        at(28 * DAY + 60);
        assert_int_equal(notified("crash"), 1);
    }
}

/* Somebody else's new version is committed first. */
static void lost_race(void **state)
{
    static uint8_t buf[65536];
    struct key_fields f;
    struct bytes payload;
    struct wire_propose p;
    struct txn t;
    uint8_t body[512];
    struct wr w = wr_of(body, sizeof body);
    (void)state;
    create("race");
    assert_int_equal(put("race", "", ROTATE("P28D", ""), NOTHING), HSM_OK);
    rig.on_txn = TXN_KEEP;
    at(29 * DAY);
    assert_true(rig.b->rotation_pending);
    /* Another partition took the policy away. */
    key_fields_of(key_of("race"), &f);
    f.has_rotation = false;
    key_fields_encode(&f, &w);
    txn_begin(&t, buf, sizeof buf);
    assert_int_equal(txn_add(&t, rig.b->state, rig.b->control.sc, REC_KEY, bytes_str("race"),
                             wr_view(&w), bytes_of(NULL, 0)),
                     HSM_OK);
    assert_int_equal(txn_finish(&t, rig.b->control.sc, &payload), HSM_OK);
    assert_int_equal(wire_propose_decode(payload, &p), HSM_OK);
    rig_commit(&rig, p.bytes);
    rig_settle(&rig);
    rig.on_txn = TXN_COMMIT;
    rig_commit(&rig, bytes_of(rig.kept, rig.kept_n));
    rig_settle(&rig);
    assert_false(rig.b->rotation_pending);
    assert_int_equal(versions("race"), 1);
    assert_int_equal(rotated("race"), 0);
    rig.b->next_rotation_us = 0;
    at(30 * DAY);
    assert_int_equal(versions("race"), 1);
}

static void commit_fails(void **state)
{
    (void)state;
    create("disk");
    assert_int_equal(put("disk", "", ROTATE("P28D", ""), NOTIFY("P28D", "")), HSM_OK);
    rig.on_txn = TXN_FAIL;
    rig.fail_with = HSM_E_DISK_FULL;
    at(29 * DAY); /* the notice */
    at(29 * DAY + 1);
    assert_int_equal(notified("disk"), 0);
    assert_false(rig.b->rotation_pending);
    rig.on_txn = TXN_COMMIT;
    rig.b->next_rotation_us = 0;
    rig.b->state->rotations.heap[0]->rotation->r.notified = 1;
    assert_int_equal(rotation_index_update(&rig.b->state->rotations, key_of("disk")), HSM_OK);
    rig.on_txn = TXN_FAIL;
    at(29 * DAY + 2); /* the rotation */
    at(29 * DAY + 3);
    assert_int_equal(recorded("\"KeyRotateIfDue\"", "/keys/disk/rotate", "disk is full"), 1);
    assert_int_equal(versions("disk"), 1);
    rig.on_txn = TXN_COMMIT;
    rig.b->next_rotation_us = 0;
    at(29 * DAY + 4);
    assert_int_equal(versions("disk"), 2);
    assert_int_equal(rotated("disk"), 1);
}

/* A writer who is first makes the rotation wait for him, and its key is not lost. */
static void behind_a_writer(void **state)
{
    const struct wire_key_update u = {.name = bytes_str("busy"), .attr_set = ATTR_EXP, .exp = 77};
    uint8_t body[256];
    struct wr w = wr_of(body, sizeof body);
    (void)state;
    create("busy");
    assert_int_equal(put("busy", "", ROTATE("P28D", ""), NOTHING), HSM_OK);
    wire_key_update_put(&w, &u);
    rig.on_txn = TXN_KEEP;
    uint64_t id = rig_post(&rig, 1, OP_KEY_UPDATE, rig_token_of(&rig, RIG_ADMIN, 60), wr_view(&w));
    rig_settle(&rig);
    at(29 * DAY);
    assert_int_equal(rig.b->held.blocked_n, 1);
    rig.on_txn = TXN_COMMIT;
    rig_commit(&rig, bytes_of(rig.kept, rig.kept_n));
    rig_wait(&rig, id);
    assert_int_equal(rig.answer.err, HSM_OK);
    at(29 * DAY);
    assert_int_equal(versions("busy"), 2);
    assert_int_equal(key_of("busy")->version[0]->exp, 77);
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
        T(stopped_in_between),
        T(lost_race),
        T(commit_fails),
        T(behind_a_writer),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
