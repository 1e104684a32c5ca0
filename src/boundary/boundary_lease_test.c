/* A partition answers only from state that is current for certain, and tells nothing that another
 * partition may not know yet. */
#include "boundary/lease_testing.h"

#define NO_CONTACT "This partition has no contact to the pool's leader; retry."

static int begin(void **state)
{
    (void)state;
    pool_begin();
    return 0;
}

static int end(void **state)
{
    (void)state;
    pool_end();
    return 0;
}

static void waits_for_a_lease(void **state)
{
    (void)state;
    struct member *m = &pool[0];
    pass_ms(LEASE_MS);
    unsigned wants = m->wants;
    (void)POST_GET(one);
    assert_false(one->answer.there);
    assert_int_equal(one->b->held.lease_n, 1);
    assert_int_equal(m->wants, wants + 1);
    struct uuid first = m->nonce;
    /* One question is under way; without an answer another one follows. */
    pass_ms(99);
    rig_settle(one);
    assert_int_equal(m->wants, wants + 1);
    pass_ms(1);
    rig_settle(one);
    assert_int_equal(m->wants, wants + 2);
    assert_memory_not_equal(&first, &m->nonce, sizeof first);
    /* The answer to the first one still counts, from when it was asked. */
    sign_for(one, &first, one->store->index);
    grant(one, &m->proof);
    expect_answer(one, HSM_OK);
    assert_int_equal(one->b->held.lease_n, 0);
    assert_int_equal(lease_ms_left(&one->b->lease), LEASE_MS - 100);
    /* A newer one makes it longer, an answer given twice does nothing. */
    lease_from(one, one);
    assert_int_equal(lease_ms_left(&one->b->lease), LEASE_MS);
    uint64_t until = lease_until(&one->b->lease);
    pass_ms(10);
    grant(one, &m->proof);
    assert_int_equal(lease_until(&one->b->lease), until);
}

static void nothing_else_gives_one(void **state)
{
    (void)state;
    struct member *m = &pool[0];
    struct boundary *b = one->b;
    pass_ms(LEASE_MS);
    (void)POST_GET(one);
    sign_for(one, &m->nonce, one->store->index);
    const struct wire_lease_proof good = m->proof;
    struct wire_lease_proof p = good;
    /* Nonces that are not ours: nothing happens to the question. */
    p.nonce.b[3] ^= 1;
    grant(one, &p);
    p = good;
    p.mac.n = 31;
    grant(one, &p);
    assert_true(b->lease.is_unanswered);
    /* A wrong MAC, index, or a MAC of another pool use the question up. */
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(b->held.lease_n, 1);
        pass_ms(100);
        rig_settle(one);
        sign_for(one, &m->nonce, one->store->index);
        p = m->proof;
        if (i == 0)
            m->mac[5] ^= 0x40;
        else if (i == 1)
            p.index--;
        else
            memset(m->mac, 0, sizeof m->mac);
        grant(one, &p);
    }
    /* Somebody whose state is behind ours: authentic, but no leader. */
    pass_ms(100);
    rig_settle(one);
    uint8_t past[SEAL_MAC_LEN];
    p = (struct wire_lease_proof){
        .nonce = m->nonce, .index = b->state->index - 1, .mac = bytes_of(m->mac, 32)};
    assert_true(state_past_at(b->state, p.index, past));
    assert_int_equal(seal_lease_mac(b->control.sc, &p.nonce, p.index, past, m->mac), HSM_OK);
    grant(one, &p);
    /* Too late. */
    pass_ms(100);
    rig_settle(one);
    sign_for(one, &m->nonce, one->store->index);
    pass_ms(LEASE_MS);
    grant(one, &m->proof);
    assert_false(one->answer.there);
    assert_int_equal(b->held.lease_n, 1);
    assert_int_equal(lease_ms_left(&b->lease), 0);
    rig_settle(one);
    lease_from(one, one);
    expect_answer(one, HSM_OK);
}

static void renewed_while_requests_come(void **state)
{
    (void)state;
    struct member *m = &pool[0];
    pass_ms(LEASE_MS);
    (void)POST_GET(one);
    lease_from(one, one);
    expect_answer(one, HSM_OK);
    unsigned wants = m->wants;
    pass_ms(LEASE_RENEW_MS);
    (void)POST_GET(one);
    expect_answer(one, HSM_OK);
    assert_int_equal(m->wants, wants);
    pass_ms(1);
    for (unsigned i = 0; i < 3; i++) {
        (void)POST_GET(one);
        expect_answer(one, HSM_OK);
    }
    assert_int_equal(m->wants, wants + 1);
    lease_from(one, one);
    assert_int_equal(lease_ms_left(&one->b->lease), LEASE_MS);
    /* Nobody asks anything: it ends, and nobody asks for it either. */
    for (unsigned i = 0; i < 10; i++) {
        pass_ms(100);
        rig_settle(one);
    }
    assert_int_equal(m->wants, wants + 1);
    assert_int_equal(lease_ms_left(&one->b->lease), 0);
}

/* ---- stopped between looking at the lease and answering ---- */

static void time_passes(void)
{
    pass_ms(LEASE_MS);
}

static void stopped_after_reading(void **state)
{
    (void)state;
    pass_ms(LEASE_MS);
    (void)POST_GET(one);
    lease_from(one, one);
    /* The second look at the clock is the one after the handler. */
    clock_calls = 0;
    clock_hook = time_passes;
    clock_hook_at = 2;
    (void)POST_GET(one);
    clock_hook_at = 0;
    assert_false(one->answer.there);
    assert_int_equal(one->b->held.lease_n, 1);
    lease_from(one, one);
    expect_answer(one, HSM_OK);
    /* The same for a refusal, and for a transaction: none goes out. */
    unsigned proposals = one->proposals;
    clock_calls = 0;
    clock_hook_at = 2;
    (void)POST_CREATE(one, "k");
    clock_hook_at = 0;
    assert_int_equal(one->b->held.lease_n, 1);
    assert_int_equal(one->proposals, proposals);
}

/* Everything that may happen while a worker does not get on: the key is deleted, the lease ends, a
 * new one comes. What it read must not go out under that one. */
static void key_goes_and_lease_comes(void)
{
    static uint8_t buf[RING_FRAME_MAX];
    struct member *m = &pool[0];
    struct wr w = wr_of(buf, sizeof buf);
    const struct wire_apply a = {.index = pool_log[m->given].index,
                                 .accepted = 1,
                                 .txn = bytes_of(pool_log[m->given].txn, pool_log[m->given].n)};
    wire_apply_put(&w, &a);
    assert_int_equal(wr_ok(&w), HSM_OK);
    const struct ring_frame f = {.type = CTL_APPLY, .payload = wr_view(&w)};
    clock_hook_at = 0;
    assert_true(control_frame(one->b, &f));
    m->given++;
    pass_ms(LEASE_MS);
    atomic_store(&one->b->lease.until_us, lease_now_us + LEASE_US);
}

static void newer_lease_does_not_cover(void **state)
{
    (void)state;
    pass_ms(LEASE_MS);
    (void)POST_GET(one);
    lease_from(one, one);
    commits_apply = false;
    (void)POST(one, OP_KEY_DELETE, key_name, .name = bytes_str("k"));
    assert_false(one->answer.there);
    release(one, one->store->index);
    clock_calls = 0;
    clock_hook = key_goes_and_lease_comes;
    clock_hook_at = 2;
    uint64_t id = POST_GET(one);
    assert_int_equal(one->answer.id, id);
    expect_answer(one, HSM_E_KEY_NOT_FOUND);
    assert_true(clock_calls >= 4);
}

/* ---- answers that are not released ---- */

static void told_when_released(void **state)
{
    (void)state;
    struct boundary *b = one->b;
    uint64_t before = lease_released(&b->lease);
    (void)POST_CREATE(one, "w");
    assert_non_null(state_key(b->state, bytes_str("w")));
    assert_false(one->answer.there);
    /* Nor is it told by reading it, or by what it hinders. */
    (void)POST(one, OP_KEY_GET, key_ref, .name = bytes_str("w"));
    (void)POST(one, OP_KEY_GET, key_ref, .name = bytes_str("absent"));
    assert_false(one->answer.there);
    assert_int_equal(b->held.unreleased_n, 3);
    release(one, before);
    release(one, one->store->index - 1);
    release(one, 0);
    assert_int_equal(lease_released(&b->lease), one->store->index - 1);
    assert_false(one->answer.there);
    rig_send(one, 0, CTL_STATUS, 1, bytes_of(NULL, 0));
    rig_settle(one);
    assert_int_equal(one->status.commits_awaited, 3);
    assert_int_equal(one->status.released, one->store->index - 1);
    assert_int_equal(one->status.lease_ms_left, LEASE_MS);
    release(one, one->store->index);
    expect_answer(one, HSM_E_KEY_NOT_FOUND); /* the last of the three */
    assert_int_equal(b->held.unreleased_n, 0);
    assert_int_equal(b->held.unreleased_bytes, 0);
    (void)POST(one, OP_KEY_GET, key_ref, .name = bytes_str("w"));
    expect_answer(one, HSM_OK);
}

static void never_released(void **state)
{
    (void)state;
    struct boundary *b = one->b;
    uint64_t now = clock_mono_us();
    uint64_t write = POST_CREATE(one, "w");
    uint64_t read = POST_GET(one);
    held_expire(b, now + 2900000);
    rig_settle(one);
    assert_false(one->answer.there);
    held_expire(b, clock_mono_us() + 3100000);
    rig_settle(one);
    assert_int_equal(one->answer.id, read);
    expect_answer(one, HSM_E_UNAVAILABLE);
    assert_string_equal(one->answer.detail, NO_CONTACT);
    held_expire(b, now + 29000000);
    assert_int_equal(b->held.unreleased_n, 1);
    held_expire(b, clock_mono_us() + 30100000);
    rig_settle(one);
    assert_int_equal(one->answer.id, write);
    expect_answer(one, HSM_E_UNAVAILABLE);
    /* It was done all the same. */
    release(one, one->store->index);
    (void)POST(one, OP_KEY_GET, key_ref, .name = bytes_str("w"));
    expect_answer(one, HSM_OK);
}

static void stops_with_answers_held(void **state)
{
    (void)state;
    (void)POST_CREATE(one, "w");
    rig_send(one, 0, CTL_QUIESCE, 9, bytes_of(NULL, 0));
    rig_settle(one);
    assert_int_equal(one->quiesced, 0);
    control_tick(one->b, clock_mono_us() + 2100000);
    rig_settle(one);
    assert_int_equal(one->quiesced, 1);
    assert_int_equal(one->ended, EXIT_QUIESCED + 1);
    one->ended = 0;
}

/* ---- no contact ---- */

static void no_contact(void **state)
{
    (void)state;
    struct member *m = &pool[0];
    pass_ms(LEASE_MS);
    uint64_t now = clock_mono_us();
    (void)POST_GET(one);
    held_expire(one->b, now + 2900000);
    assert_int_equal(one->b->held.lease_n, 1);
    held_expire(one->b, clock_mono_us() + 3100000);
    rig_settle(one);
    expect_answer(one, HSM_E_UNAVAILABLE);
    assert_string_equal(one->answer.detail, NO_CONTACT);
    assert_int_equal(one->b->held.lease_bytes, 0);
    /* Nobody waits: no more questions, but for one that was wanted already. */
    unsigned wants = m->wants;
    for (unsigned i = 0; i < 20; i++) {
        pass_ms(100);
        rig_settle(one);
    }
    assert_true(m->wants <= wants + 1);
    /* What needs none. */
    assert_int_equal(RIG_CALL(one, OP_UNIMPLEMENTED, empty, 0), HSM_E_NOT_IMPLEMENTED);
    assert_int_equal(RIG_CALL(one, OP_REFUSED, refused, .op = OP_KEY_GET, .status = 400,
                              .err = HSM_E_BAD_PARAMETER),
                     HSM_OK);
    uint8_t body[64];
    struct wr w = wr_of(body, sizeof body);
    const struct wire_key_ref ref = {.name = bytes_str("k")};
    wire_key_ref_put(&w, &ref);
    assert_int_equal(rig_call(one, OP_KEY_GET, bytes_str("no.token.atall"), wr_view(&w)),
                     HSM_E_TOKEN_MALFORMED);
}

static void waiting_is_bounded(void **state)
{
    (void)state;
    pass_ms(LEASE_MS);
    for (unsigned i = 0; i < HELD_MAX; i++)
        (void)POST_GET(one);
    assert_false(one->answer.there);
    uint64_t last = POST_GET(one);
    assert_int_equal(one->answer.id, last);
    expect_answer(one, HSM_E_THROTTLED);
    lease_from(one, one);
    assert_int_equal(one->b->held.lease_n, 0);
    expect_answer(one, HSM_OK);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {
        T(waits_for_a_lease),     T(nothing_else_gives_one),     T(renewed_while_requests_come),
        T(stopped_after_reading), T(newer_lease_does_not_cover), T(told_when_released),
        T(never_released),        T(stops_with_answers_held),    T(no_contact),
        T(waiting_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
