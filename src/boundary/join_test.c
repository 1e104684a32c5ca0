/* Two ends of a join connection with a relay between them that does whatever a gateway can do. */
#include "boundary/join_pair_testing.h"

static void joins(void **state)
{
    (void)state;
    struct pair *p = &pair;
    pair_init(p, &zero, &one);
    pump(p);
    assert_int_equal(p->member.ends, 1);
    assert_int_equal(p->member.err, HSM_OK);
    assert_int_equal(p->joiner.ends, 1);
    assert_int_equal(p->joiner.err, HSM_OK);
    assert_int_equal(p->member.grants, 1);
    assert_int_equal(p->joiner.takes, 1);
    assert_memory_equal(p->joiner.pool.b, pool_id.b, 16);
    assert_int_equal(join_peer(p->member.join)->partition, 1);
    assert_string_equal(join_peer(p->member.join)->pool, "dev");
    assert_int_equal(join_peer(p->joiner.join)->partition, 0);
    /* Nothing of it can be read on the way. */
    for (unsigned i = 0; i < p->member.sent_n; i++)
        assert_null(memmem(p->member.sent[i].p, p->member.sent[i].n, ROOTS, 8));
    /* The same ends again. */
    p->member.closed = p->joiner.closed = false;
    join_start(p->member.join, 0x80000002u, 1000, wall_s());
    join_start(p->joiner.join, 2, 1000, wall_s());
    pump(p);
    assert_int_equal(p->member.grants, 2);
    assert_int_equal(p->joiner.takes, 2);
    assert_int_equal(p->joiner.err, HSM_OK);
    pair_done(p);
}

/* Neither side gives or takes anything. */
static void fails(const struct peer_options *member, const struct peer_options *joiner,
                  const char *member_why, const char *joiner_why)
{
    struct pair *p = &pair;
    pair_init(p, member, joiner);
    pump(p);
    assert_int_equal(p->member.ends, 1);
    assert_int_equal(p->joiner.ends, 1);
    assert_int_not_equal(p->member.err, HSM_OK);
    assert_int_not_equal(p->joiner.err, HSM_OK);
    assert_int_equal(p->member.grants, 0);
    assert_int_equal(p->joiner.takes, 0);
    if (strstr(p->member.why, member_why) == NULL)
        fail_msg("member: %s", p->member.why);
    if (strstr(p->joiner.why, joiner_why) == NULL)
        fail_msg("joiner: %s", p->joiner.why);
    pair_done(p);
}

static void other_key(void **state)
{
    (void)state;
    const struct peer_options o = {.partition = 1, .admission = 7};
    fails(&zero, &o, "admission key", "another admission key");
}

static void other_program(void **state)
{
    (void)state;
    const struct peer_options o = {.partition = 1, .measurement = 7};
    /* The joiner looks first. */
    fails(&zero, &o, "refused the evidence", "measurement is not accepted");
    /* It accepts everything: then the member looks. */
    struct peer_options open = o;
    open.policy.measurement_n = 1;
    memset(open.policy.measurement[0], 0x5a, 32);
    open.policy.measurement[0][0] = 0;
    fails(&zero, &open, "measurement is not accepted", "refused the evidence");
    /* Both list the other one. */
    struct peer_options m = zero;
    m.policy.measurement_n = 2;
    memset(m.policy.measurement[1], 0x5a, 32);
    m.policy.measurement[1][0] = 7;
    struct pair *p = &pair;
    pair_init(p, &m, &open);
    pump(p);
    assert_int_equal(p->joiner.err, HSM_OK);
    assert_int_equal(p->joiner.takes, 1);
    pair_done(p);
}

static void other_pool(void **state)
{
    (void)state;
    const struct peer_options o = {.partition = 1, .pool = "prod"};
    fails(&zero, &o, "refused the evidence", "another pool");
}

/* A claim of a platform without anything behind it is not stronger than none. */
static void claimed_platform(void **state)
{
    (void)state;
    const struct peer_options o = {.partition = 1, .provider = EVIDENCE_TPM2};
    struct peer_options weak = o;
    weak.policy.providers = 1u << EVIDENCE_SOFTWARE;
    fails(&zero, &weak, "cannot be verified", "refused the evidence");
    /* A weaker provider than the own one. */
    fails(&zero, &o, "refused the evidence", "provider that is not accepted");
    struct peer_options strict = zero;
    strict.policy.providers = 1u << EVIDENCE_TPM2;
    fails(&strict, &one, "peers.providers", "refused the evidence");
}

static void same_number(void **state)
{
    (void)state;
    fails(&zero, &zero, "partition number", "partition number");
}

static void wrong_clock(void **state)
{
    (void)state;
    struct pair *p = &pair;
    pair_init(p, &zero, &one);
    join_closed(p->joiner.join);
    join_start(p->joiner.join, 2, 1000, NOW_S);
    join_closed(p->member.join);
    join_start(p->member.join, 0x80000002u, 1000, wall_s());
    p->joiner.passed_n = p->joiner.sent_n - 1;
    pump(p);
    assert_int_equal(p->joiner.takes, 0);
    assert_non_null(strstr(p->joiner.why, "validity"));
    pair_done(p);
}

/* ---- what a relay can do to the bytes ---- */

/* The connection is cut in front of, and within, every piece that either side sends. */
static void truncated(void **state)
{
    (void)state;
    struct pair *p = &pair;
    unsigned total = 1, taken = 0;
    for (unsigned at = 0; at < 2 * total; at++) {
        pair_init(p, &zero, &one);
        unsigned n = 0;
        bool cut = false;
        for (;;) {
            struct end *e = p->joiner.passed_n < p->joiner.sent_n   ? &p->joiner
                            : p->member.passed_n < p->member.sent_n ? &p->member
                                                                    : NULL;
            if (e == NULL)
                break;
            if (n++ != at / 2) {
                assert_true(pass(e));
                continue;
            }
            const struct chunk *c = &e->sent[e->passed_n];
            if (at % 2 == 1)
                join_data(e->other->join, bytes_of(c->p, c->n / 2));
            join_closed(p->member.join);
            join_closed(p->joiner.join);
            cut = true;
            break;
        }
        if (!cut) {
            pump(p);
            assert_int_equal(p->joiner.err, HSM_OK);
        }
        total = cut ? n + 1 : total;
        assert_int_equal(p->member.ends, 1);
        assert_int_equal(p->joiner.ends, 1);
        assert_true(p->joiner.takes == 0 || p->member.grants == 1);
        assert_true(p->joiner.takes == 1 || p->joiner.err != HSM_OK);
        assert_true(p->member.err != HSM_OK || p->joiner.takes == 1);
        taken += p->joiner.takes;
        pair_done(p);
        if (!cut)
            break;
    }
    assert_true(taken > 0 && total > 4);
}

/* One bit of every piece is changed: TLS notices all of it. */
static void changed(void **state)
{
    (void)state;
    struct pair *p = &pair;
    for (unsigned at = 0;; at++) {
        pair_init(p, &zero, &one);
        unsigned n = 0;
        bool hit = false, has_sealed = false;
        for (;;) {
            struct end *e = p->joiner.passed_n < p->joiner.sent_n ? &p->joiner : &p->member;
            if (e->passed_n < e->sent_n && n++ == at) {
                has_sealed = p->joiner.takes > 0;
                e->sent[e->passed_n].p[e->sent[e->passed_n].n / 2] ^= 0x10;
                hit = true;
            }
            if (!pass(&p->joiner) && !pass(&p->member))
                break;
        }
        join_tick(p->member.join, 1000 + JOIN_TIMEOUT_MS);
        join_tick(p->joiner.join, 1000 + JOIN_TIMEOUT_MS);
        if (hit && !has_sealed) {
            assert_int_equal(p->joiner.takes, 0);
            assert_int_not_equal(p->joiner.err, HSM_OK);
        }
        if (hit)
            assert_int_not_equal(p->member.err, HSM_OK);
        pair_done(p);
        if (!hit)
            break;
        assert_true(at < CHUNKS);
    }
}

/* Bytes behind what a side sends, in the same piece: TLS finds them, at the latest with the piece
 * after them. */
static void extra(void **state)
{
    (void)state;
    struct pair *p = &pair;
    static uint8_t longer[CHUNK_MAX + 32];
    for (unsigned side = 0; side < 2; side++) {
        pair_init(p, &zero, &one);
        struct end *e = side == 0 ? &p->joiner : &p->member;
        for (;;) {
            if (e->passed_n < e->sent_n) {
                const struct chunk *c = &e->sent[e->passed_n++];
                memcpy(longer, c->p, c->n);
                memset(longer + c->n, 0x17, 32);
                join_data(e->other->join, bytes_of(longer, c->n + 32));
            } else if (!pass(e->other) && !pass(e)) {
                break;
            }
        }
        assert_int_equal(p->joiner.takes, 0);
        assert_int_not_equal(p->joiner.err, HSM_OK);
        assert_int_not_equal(p->member.err, HSM_OK);
        pair_done(p);
    }
}

/* What a joiner once sent is worth nothing in another connection. */
static void replayed(void **state)
{
    (void)state;
    struct pair *p = &pair;
    struct end fresh;
    pair_init(p, &zero, &one);
    pump(p);
    assert_int_equal(p->member.grants, 1);
    end_init(&fresh, JOIN_MEMBER, &zero);
    join_start(fresh.join, 0x80000009u, 1000, wall_s());
    for (unsigned i = 0; i < p->joiner.sent_n; i++)
        join_data(fresh.join, bytes_of(p->joiner.sent[i].p, p->joiner.sent[i].n));
    join_closed(fresh.join);
    assert_int_equal(fresh.grants, 0);
    assert_int_equal(fresh.ends, 1);
    end_done(&fresh);
    /* Nor what a member once sent. */
    end_init(&fresh, JOIN_JOINER, &one);
    join_start(fresh.join, 9, 1000, wall_s());
    for (unsigned i = 0; i < p->member.sent_n; i++)
        join_data(fresh.join, bytes_of(p->member.sent[i].p, p->member.sent[i].n));
    join_closed(fresh.join);
    assert_int_equal(fresh.takes, 0);
    end_done(&fresh);
    pair_done(p);
}

static void time_out(void **state)
{
    (void)state;
    struct pair *p = &pair;
    for (unsigned after = 0; after < 3; after++) {
        pair_init(p, &zero, &one);
        for (unsigned i = 0; i < after; i++)
            assert_true(i % 2 == 0 ? pass(&p->joiner) : pass(&p->member));
        join_tick(p->member.join, 999 + JOIN_TIMEOUT_MS);
        join_tick(p->joiner.join, 999 + JOIN_TIMEOUT_MS);
        assert_int_equal(p->member.ends + p->joiner.ends, 0);
        join_tick(p->member.join, 1000 + JOIN_TIMEOUT_MS);
        join_tick(p->joiner.join, 1000 + JOIN_TIMEOUT_MS);
        assert_int_equal(p->member.err, HSM_E_TIMEOUT);
        assert_int_equal(p->joiner.err, HSM_E_TIMEOUT);
        assert_true(p->member.closed && p->joiner.closed);
        pair_done(p);
    }
}

static void too_many_bytes(void **state)
{
    (void)state;
    struct end e;
    uint8_t record[5 + 64] = {0x16, 3, 1, 0, 64}; /* never a whole message */
    static uint8_t zeros[JOIN_RECEIVED_MAX + 1];
    record[5] = 1;
    record[6] = 0x0f;
    end_init(&e, JOIN_MEMBER, &zero);
    join_start(e.join, 0x80000001u, 1000, wall_s());
    join_data(e.join, bytes_of(record, sizeof record));
    join_data(e.join, bytes_of(zeros, sizeof zeros));
    assert_int_equal(e.ends, 1);
    assert_int_not_equal(e.err, HSM_OK);
    assert_int_equal(e.grants, 0);
    end_done(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(joins),          cmocka_unit_test(other_key),
        cmocka_unit_test(other_pool),     cmocka_unit_test(other_program),
        cmocka_unit_test(same_number),    cmocka_unit_test(claimed_platform),
        cmocka_unit_test(wrong_clock),    cmocka_unit_test(truncated),
        cmocka_unit_test(changed),        cmocka_unit_test(extra),
        cmocka_unit_test(replayed),       cmocka_unit_test(time_out),
        cmocka_unit_test(too_many_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
