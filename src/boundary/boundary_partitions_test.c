/* Several boundaries of one pool over one log: leases between them, concurrent transactions, and
 * what each of them does by itself at the same time. */
#include "boundary/lease_testing.h"
#include "model/rotation.h"

#define DAY (int64_t)86400

static struct rig *two, *three;

static int begin(void **state)
{
    (void)state;
    pool_begin();
    two = pool_join(1);
    three = pool_join(2);
    commits_apply = false;
    return 0;
}

static int end(void **state)
{
    (void)state;
    rig_clock_ahead_s = 0;
    pool_end();
    return 0;
}

static void log_settle_all(void)
{
    log_settle(one);
    log_settle(two);
    log_settle(three);
}

static void release_all(void)
{
    release(one, one->store->index);
    release(two, one->store->index);
    release(three, one->store->index);
}

static void lease_all(void)
{
    struct rig *all[] = {one, two, three};
    for (unsigned i = 0; i < 3; i++) {
        (void)POST_GET(all[i]);
        if (all[i]->answer.there)
            continue;
        lease_from(one, all[i]);
        expect_answer(all[i], HSM_OK);
    }
}

/* Keys, their roles and states: the same everywhere. */
static void expect_same(void)
{
    struct rig *all[] = {two, three};
    for (unsigned i = 0; i < 2; i++) {
        const struct state *a = one->b->state, *b = all[i]->b->state;
        assert_int_equal(a->index, b->index);
        assert_int_equal(a->applied_n, b->applied_n);
        assert_memory_equal(a->past, b->past, sizeof a->past);
        assert_memory_equal(a->sum, b->sum, sizeof a->sum);
    }
    assert_int_equal(one->ended + two->ended + three->ended, 0);
}

static unsigned count(const struct rig *r, const char *text)
{
    unsigned n = 0;
    for (const char *p = r->audit; p != NULL && (p = strstr(p, text)) != NULL; p++)
        n++;
    return n;
}

static void leader_proves_to_another_one(void **state)
{
    (void)state;
    pass_ms(LEASE_MS);
    (void)POST_GET(two);
    assert_false(two->answer.there);
    lease_from(one, two);
    expect_answer(two, HSM_OK);
    /* The leader is further: the grant waits until the follower is as far. */
    lease_all();
    (void)POST(one, OP_KEY_DELETE, key_name, .name = bytes_str("k"));
    log_settle(one);
    release_all();
    expect_answer(one, HSM_OK);
    pass_ms(LEASE_MS);
    (void)POST_GET(two);
    lease_from(one, two);
    assert_false(two->answer.there);
    assert_int_equal(lease_ms_left(&two->b->lease), 0);
    pass_ms(40);
    log_settle(two);
    expect_answer(two, HSM_E_KEY_NOT_FOUND);
    assert_int_equal(lease_ms_left(&two->b->lease), LEASE_MS - 40);
    /* Too late it is worth nothing. */
    commits_apply = true;
    (void)POST_GET(one);
    lease_from(one, one);
    (void)POST_CREATE(one, "j");
    release_all();
    pass_ms(LEASE_MS);
    (void)POST_GET(two);
    lease_from(one, two);
    pass_ms(LEASE_MS);
    log_settle(two);
    assert_false(two->answer.there);
    assert_int_equal(two->b->held.lease_n, 1);
}

static void signs_only_what_it_has(void **state)
{
    (void)state;
    struct uuid nonce = {{1, 2, 3}};
    unsigned was = pool[0].proofs;
    sign_for(one, &nonce, one->b->state->index + 1);
    sign_for(one, &nonce, UINT64_MAX);
    assert_int_equal(pool[0].proofs, was);
    sign_for(one, &nonce, 0);
    assert_int_equal(pool[0].proofs, was + 1);
    assert_int_equal(pool[0].proof.index, one->b->state->index);
}

/* The follower's gateway leaves the removal of a key out and goes on with another transaction at
 * its index. Nothing of that is served. */
static void another_history_gets_no_lease(void **state)
{
    (void)state;
    lease_all();
    (void)POST(one, OP_KEY_DELETE, key_name, .name = bytes_str("k"));
    log_settle(one);
    size_t kept = pool[1].given;
    (void)POST_CREATE(two, "x");
    assert_int_equal(pool_log_n, kept + 2);
    pool_log[kept + 1].index--;
    pool[1].given = kept + 1;
    log_settle(two);
    assert_int_equal(two->ended, 0);
    assert_int_equal(two->b->state->index, one->b->state->index);
    pass_ms(LEASE_MS);
    (void)POST_GET(two);
    for (unsigned i = 0; i < 5; i++) {
        lease_from(one, two);
        assert_false(two->answer.there);
        pass_ms(100);
        rig_settle(two);
    }
    assert_int_equal(lease_until(&two->b->lease) <= lease_now_us, 1);
}

static void different_records_at_once(void **state)
{
    (void)state;
    lease_all();
    (void)POST_CREATE(one, "a");
    (void)POST_CREATE(two, "b");
    (void)POST_CREATE(three, "c");
    assert_int_equal(pool_log_n, 3 + pool[0].given);
    log_settle_all();
    release_all();
    expect_answer(one, HSM_OK);
    expect_answer(two, HSM_OK);
    expect_answer(three, HSM_OK);
    expect_same();
    for (const char *n = "a\0b\0c\0"; *n != '\0'; n += 2)
        assert_non_null(state_key(three->b->state, bytes_str(n)));
}

static void one_record_at_once(void **state)
{
    (void)state;
    lease_all();
    (void)POST(one, OP_KEY_UPDATE, key_update, .name = bytes_str("k"), .attr_set = ATTR_ENABLED);
    (void)POST(two, OP_KEY_UPDATE, key_update, .name = bytes_str("k"), .attr_set = ATTR_EXP,
               .exp = 5000000000u);
    (void)POST(three, OP_KEY_DELETE, key_name, .name = bytes_str("k"));
    assert_true(pool_log[pool_log_n - 3].accepted);
    assert_false(pool_log[pool_log_n - 2].accepted);
    log_settle_all(); /* the others look again, and propose again */
    log_settle_all();
    log_settle_all();
    release_all();
    expect_answer(one, HSM_OK);
    expect_same();
    /* Both changes are there, one after the other. */
    const struct key *k = state_key(one->b->state, bytes_str("k"));
    expect_answer(three, HSM_OK);
    assert_true(k->deleted_date != 0);
    if (two->answer.err == HSM_OK)
        assert_int_equal(key_current(k)->exp, 5000000000u);
    else
        assert_int_equal(two->answer.err, HSM_E_KEY_NOT_FOUND);
}

/* A boundary that has seen nothing of many transactions proposes in the past it knows. */
static void far_behind(void **state)
{
    (void)state;
    lease_all();
    commits_apply = true;
    for (unsigned i = 0; i < 10; i++) {
        char name[8];
        snprintf(name, sizeof name, "n%u", i);
        (void)POST_CREATE(one, name);
        release_all();
        expect_answer(one, HSM_OK);
    }
    commits_apply = false;
    (void)POST_CREATE(two, "late");
    (void)POST_CREATE(three, "n7");
    log_settle_all();
    log_settle_all();
    release_all();
    expect_answer(two, HSM_OK);
    expect_answer(three, HSM_OK); /* as a new version of what it did not know */
    expect_same();
}

static hsm_err apply_to(struct rig *r, struct bytes txn, bool accepted)
{
    const struct wire_apply a = {
        .index = r->b->state->index + 1, .accepted = accepted ? 1 : 0, .txn = txn};
    struct uuid id;
    const char *why;
    return state_apply(r->b->state, r->b->control.sc, &a, &id, &why);
}

/* What a partition was about to propose when its machine was put to sleep for a night: more has
 * been committed since than anybody remembers the past of. It must not end the pool. */
static void after_a_night(void **state)
{
    (void)state;
    uint8_t body[40];
    lease_all();
    (void)POST_CREATE(two, "late");
    const struct bytes late = bytes_of(pool_log[pool_log_n - 1].txn, pool_log[pool_log_n - 1].n);
    struct state *s = one->b->state;
    uint64_t applied = s->applied_n;
    for (uint64_t i = 1; i <= STATE_PAST_MAX; i++) {
        struct txn *t = own_begin(one->b);
        struct wire_propose m;
        struct bytes payload;
        struct wr w = wr_of(body, sizeof body);
        wr_u64(&w, i);
        wr_bytes(&w, s->past, 32);
        assert_int_equal(txn_add(t, s, one->b->control.sc, REC_AUDIT_MARK, bytes_str("9"),
                                 wr_view(&w), bytes_of(NULL, 0)),
                         HSM_OK);
        assert_int_equal(txn_finish(t, one->b->control.sc, &payload), HSM_OK);
        assert_int_equal(wire_propose_decode(payload, &m), HSM_OK);
        assert_int_equal(apply_to(one, m.bytes, true), HSM_OK);
    }
    assert_int_equal(s->applied_n, applied + STATE_PAST_MAX);
    assert_int_equal(s->mark.present, 0); /* that of partition 9 is not ours */
    assert_int_equal(apply_to(one, late, true), HSM_OK);
    assert_non_null(state_key(s, bytes_str("late")));
    /* Once. */
    assert_int_equal(apply_to(one, late, false), HSM_OK);
}

/* ---- what each of them does by itself ---- */

static void marks_of_their_own(void **state)
{
    (void)state;
    struct rig *all[] = {one, two, three};
    lease_all();
    for (unsigned i = 0; i < 3; i++)
        own_audit_mark(all[i]->b);
    for (unsigned i = 0; i < 3; i++)
        rig_settle(all[i]);
    log_settle_all();
    expect_same();
    for (unsigned i = 0; i < 3; i++) {
        const struct audit_mark *m = &all[i]->b->state->mark;
        assert_true(m->present);
        assert_int_equal(m->seq, audit_position(all[i]->b->audit).seq);
        assert_int_equal(all[i]->b->marked_seq, m->seq);
        assert_int_equal(count(all[i], "\"gap\":true"), 0);
        assert_int_equal(count(all[i], "\"reason\":\"mark\""), 0);
    }
    assert_int_equal(count(one, "\"partition\""), 0);
    assert_true(count(two, "\"reason\":\"start\",\"pool\":\"") == 1);
    assert_true(count(two, ",\"partition\":1,") >= 1);
    assert_true(count(two, ",\"partition\":1}") >= 1);
    assert_true(count(three, ",\"partition\":2}") >= 1);
    /* A restart finds its own. */
    rig_stop(two);
    member_start(1);
    assert_int_equal(two->b->state->mark.seq, two->b->marked_seq);
    assert_int_equal(count(two, "\"gap\":true"), 0);
}

/* Ticks of all three until nothing more is proposed; few are enough. */
static void let_them_work(void)
{
    size_t before;
    unsigned rounds = 0;
    do {
        before = pool_log_n;
        rig_settle(one);
        rig_settle(two);
        rig_settle(three);
        log_settle_all();
        assert_true(++rounds < 10);
    } while (pool_log_n != before);
}

static void purge_once(void **state)
{
    (void)state;
    lease_all();
    (void)POST(one, OP_KEY_DELETE, key_name, .name = bytes_str("k"));
    log_settle_all();
    release_all();
    expect_answer(one, HSM_OK);
    size_t before = pool_log_n;
    rig_clock_ahead_s = 8 * DAY;
    one->b->next_purge_us = two->b->next_purge_us = three->b->next_purge_us = 0;
    let_them_work();
    assert_null(state_key(one->b->state, bytes_str("k")));
    unsigned won = 0;
    for (size_t i = before; i < pool_log_n; i++)
        won += pool_log[i].accepted ? 1 : 0;
    assert_int_equal(won, 1);
    assert_int_equal(pool_log_n - before, 3); /* all of them tried, once */
    expect_same();
}

static void rotate_once(void **state)
{
    (void)state;
    uint8_t list[256];
    struct wr w = wr_of(list, sizeof list);
    const struct wire_lifetime_action a = {.type = ROTATION_ROTATE,
                                           .after_create = bytes_str("P30D")};
    size_t at = wr_lv_open(&w);
    wire_lifetime_action_put(&w, &a);
    wr_lv_close(&w, at);
    lease_all();
    (void)POST(one, OP_ROTATION_PUT, rotation_put, .name = bytes_str("k"), .actions = wr_view(&w));
    log_settle_all();
    release_all();
    expect_answer(one, HSM_OK);
    size_t before = pool_log_n;
    rig_clock_ahead_s = 30 * DAY + 60;
    let_them_work();
    expect_same();
    assert_int_equal(state_key(two->b->state, bytes_str("k"))->version_n, 2);
    unsigned won = 0;
    for (size_t i = before; i < pool_log_n; i++)
        won += pool_log[i].accepted ? 1 : 0;
    assert_int_equal(won, 1);
    assert_int_equal(pool_log_n - before, 3); /* all of them tried, once */
    assert_int_equal(count(one, "KeyRotateIfDue") + count(two, "KeyRotateIfDue") +
                         count(three, "KeyRotateIfDue"),
                     1);
    assert_false(one->b->rotation_pending || two->b->rotation_pending ||
                 three->b->rotation_pending);
}

static void only_the_first_makes_a_pool(void **state)
{
    (void)state;
    rig_stop(three);
    rig_store_clear(one->store);
    unsigned was = three->proposals;
    rig_start(three, false);
    rig_serve(three);
    rig_settle(three);
    control_tick(three->b, clock_mono_us() + 5000000);
    rig_settle(three);
    assert_int_equal(three->proposals, was);
    assert_int_equal(three->ended, 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {
        T(leader_proves_to_another_one),
        T(signs_only_what_it_has),
        T(another_history_gets_no_lease),
        T(different_records_at_once),
        T(one_record_at_once),
        T(far_behind),
        T(after_a_night),
        T(marks_of_their_own),
        T(purge_once),
        T(rotate_once),
        T(only_the_first_makes_a_pool),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
