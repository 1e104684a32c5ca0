/* Transactions that lose a race, wait for another one, fail, or are never committed. */
#include "boundary/boundary_testing.h"

static struct rig rig;

static struct wire_key answered_key(struct rig *r)
{
    struct wire_key k;
    assert_int_equal(wire_key_decode(bytes_of(r->answer.body, r->answer.body_n), &k), HSM_OK);
    return k;
}

static int start(void **state)
{
    (void)state;
    rig_init(&rig);
    rig_start(&rig, true);
    rig_serve(&rig);
    assert_int_equal(rig.ended, 0);
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

/* A transaction as another partition's boundary would have made it: a version's nbf changes. */
static void foreign_update(struct rig *r, const char *name, uint64_t nbf)
{
    static uint8_t buf[65536], body[4096];
    struct boundary *b = r->b;
    struct txn t;
    struct version_fields f;
    struct wire_propose p;
    struct bytes payload;
    char hex[VERSION_HEX + 1];
    struct key_version *v = key_current(state_key(b->state, bytes_str(name)));
    key_version_fields(v, &f);
    f.nbf = nbf;
    f.attr_set |= ATTR_NBF;
    struct wr w = wr_of(body, sizeof body);
    version_fields_encode(&f, &w);
    version_hex(&v->id, hex);
    txn_begin(&t, buf, sizeof buf);
    assert_int_equal(txn_add(&t, b->state, b->control.sc, REC_KEY_VERSION, bytes_str(hex),
                             wr_view(&w), key_version_private(v)),
                     HSM_OK);
    assert_int_equal(txn_finish(&t, b->control.sc, &payload), HSM_OK);
    assert_int_equal(wire_propose_decode(payload, &p), HSM_OK);
    rig_commit(r, p.bytes);
    rig_settle(r);
}

static uint64_t post_update(struct rig *r, uint64_t exp)
{
    const struct wire_key_update u = {.name = bytes_str("race"), .attr_set = ATTR_EXP, .exp = exp};
    uint8_t body[256];
    struct wr w = wr_of(body, sizeof body);
    wire_key_update_put(&w, &u);
    uint64_t id = rig_post(r, 1, OP_KEY_UPDATE, rig_token_of(r, RIG_ADMIN, 60), wr_view(&w));
    rig_settle(r);
    return id;
}

/* Between proposal and commit another partition changes the key: the command runs again. */
static void lost_race(void **state)
{
    (void)state;
    struct rig *r = &rig;
    assert_int_equal(
        RIG_CALL(r, OP_KEY_CREATE, key_create, .name = bytes_str("race"), .kty = KTY_OCT), HSM_OK);
    r->on_txn = TXN_KEEP;
    uint64_t first = post_update(r, 11);
    foreign_update(r, "race", 22);
    r->on_txn = TXN_COMMIT;
    unsigned proposals = r->proposals;
    rig_commit(r, bytes_of(r->kept, r->kept_n)); /* too late now */
    rig_wait(r, first);
    assert_int_equal(r->answer.err, HSM_OK);
    assert_int_equal(r->proposals, proposals + 1);
    struct wire_key k = answered_key(r);
    assert_int_equal(k.nbf, 22);
    assert_int_equal(k.exp, 11);
}

/* Always too late: at the eighth time the client is told. */
static void lost_every_race(void **state)
{
    (void)state;
    struct rig *r = &rig;
    r->on_txn = TXN_KEEP;
    unsigned proposals = r->proposals;
    uint64_t first = post_update(r, 33);
    for (unsigned i = 0; i < JOB_ATTEMPTS_MAX; i++) {
        assert_false(r->answer.there);
        assert_int_equal(r->proposals, ++proposals);
        foreign_update(r, "race", 100 + i);
        rig_commit(r, bytes_of(r->kept, r->kept_n));
        rig_settle(r);
    }
    rig_wait(r, first);
    assert_int_equal(r->answer.err, HSM_E_CONFLICT);
    r->on_txn = TXN_COMMIT;
}

static unsigned answers;

static void count_answer(struct rig *r, const struct ring_frame *f)
{
    struct wire_result m;
    (void)r;
    assert_int_equal(wire_result_decode(f->payload, &m), HSM_OK);
    assert_int_equal(m.err, HSM_OK);
    answers++;
}

/* Many writers of one key do not race each other: each waits for the one before. */
static void own_writers_wait(void **state)
{
    (void)state;
    struct rig *r = &rig;
    r->on_txn = TXN_KEEP;
    r->on_answer = count_answer;
    answers = 0;
    unsigned proposals = r->proposals;
    for (unsigned i = 0; i < 20; i++)
        (void)post_update(r, 1000 + i);
    assert_int_equal(r->proposals, proposals + 1);
    assert_int_equal(r->b->held.blocked_n, 19);
    r->on_txn = TXN_COMMIT;
    rig_commit(r, bytes_of(r->kept, r->kept_n));
    rig_settle(r);
    assert_int_equal(answers, 20);
    assert_int_equal(r->proposals, proposals + 20);
    assert_int_equal(r->b->held.blocked_n, 0);
    r->on_answer = NULL;
}

static void commit_fails(void **state)
{
    (void)state;
    struct rig *r = &rig;
    const struct {
        hsm_err given, seen;
    } cases[] = {
        {HSM_E_DISK_FULL, HSM_E_DISK_FULL},
        {HSM_E_UNAVAILABLE, HSM_E_UNAVAILABLE},
        {HSM_E_IO, HSM_E_UNAVAILABLE},
    };
    r->on_txn = TXN_FAIL;
    for (unsigned i = 0; i < 3; i++) {
        r->fail_with = cases[i].given;
        assert_int_equal(
            RIG_CALL(r, OP_KEY_CREATE, key_create, .name = bytes_str("fails"), .kty = KTY_OCT),
            cases[i].seen);
    }
    r->on_txn = TXN_COMMIT;
    assert_int_equal(RIG_CALL(r, OP_KEY_GET, key_ref, .name = bytes_str("fails")),
                     HSM_E_KEY_NOT_FOUND);
}

/* Nobody commits: the answer after the deadline; a late commit is simply state. */
static void deadline(void **state)
{
    (void)state;
    struct rig *r = &rig;
    r->on_txn = TXN_KEEP;
    const struct wire_key_create m = {.name = bytes_str("late"), .kty = KTY_OCT};
    uint8_t body[256];
    struct wr w = wr_of(body, sizeof body);
    wire_key_create_put(&w, &m);
    uint64_t id = rig_post(r, 2, OP_KEY_CREATE, rig_token_of(r, RIG_ADMIN, 60), wr_view(&w));
    rig_settle(r);
    assert_false(r->answer.there);
    held_expire(r->b, clock_mono_us() + 31000000u);
    rig_wait(r, id);
    assert_int_equal(r->answer.err, HSM_E_UNAVAILABLE);
    r->on_txn = TXN_COMMIT;
    rig_commit(r, bytes_of(r->kept, r->kept_n));
    rig_settle(r);
    assert_int_equal(RIG_CALL(r, OP_KEY_GET, key_ref, .name = bytes_str("late")), HSM_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lost_race),        cmocka_unit_test(lost_every_race),
        cmocka_unit_test(own_writers_wait), cmocka_unit_test(commit_fails),
        cmocka_unit_test(deadline),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
