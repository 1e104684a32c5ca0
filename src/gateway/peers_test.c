/* Who may hold a lease and which writes may be told: the rules of peers.c against a store and a
 * boundary that the test plays, with a clock that it moves. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "gateway/peers.h"
#include "gateway/peers_join.h"
#include "base/clock.h"
#include "wire/lease.h"

#define SELF    1u
#define LEASE_T (LEASE_MS + LEASE_DRIFT_MS)

static struct {
    uint64_t now_ms, term, leader;
    uint64_t id[STORE_MEMBERS_MAX];
    size_t n;
    uint64_t released;             /* the own boundary was told */
    uint64_t proofs, applied_told; /* messages to others */
    struct uuid signs;             /* nonce of the last question to the own boundary */
    struct peers *p;
    uv_loop_t loop;
} t;

/* ---- what peers.c sees ---- */
uint64_t clock_mono_us(void)
{
    return t.now_ms * 1000;
}

uint64_t store_term_led(const struct store *s)
{
    (void)s;
    return t.leader == SELF ? t.term : 0;
}

uint64_t store_term(const struct store *s)
{
    (void)s;
    return t.term;
}

uint64_t store_leader(const struct store *s)
{
    (void)s;
    return t.leader;
}

uint64_t store_loaded_index(const struct store *s)
{
    (void)s;
    return 0;
}

size_t store_members(struct store *s, struct store_member ret[STORE_MEMBERS_MAX])
{
    (void)s;
    for (size_t i = 0; i < t.n; i++)
        ret[i] = (struct store_member){.id = t.id[i], .role = STORE_VOTER, .linked = true};
    return t.n;
}

hsm_err store_send(struct store *s, uint64_t to, uint16_t type, struct bytes payload)
{
    (void)s, (void)to, (void)payload;
    t.proofs += type == PEERS_LEASE_PROOF;
    t.applied_told += type == PEERS_APPLIED;
    return HSM_OK;
}

void store_barrier(struct store *s, store_barrier_fn done, void *ctx)
{
    (void)s;
    done(ctx, HSM_OK, 1);
}

void control_send(struct control *c, unsigned type, uint64_t id, struct bytes payload)
{
    struct wire_released released;
    struct wire_lease_sign sign;
    (void)c, (void)id;
    if (type == CTL_RELEASED && wire_released_decode(payload, &released) == HSM_OK)
        t.released = released.index;
    if (type == CTL_LEASE_SIGN && wire_lease_sign_decode(payload, &sign) == HSM_OK)
        t.signs = sign.nonce;
}

hsm_err peers_join_new(struct control *c, struct peers_join **ret)
{
    (void)c;
    *ret = NULL;
    return HSM_OK;
}

void peers_join_set_store(struct peers_join *j, struct store *s)
{
    (void)j, (void)s;
}

void peers_join_free(struct peers_join *j)
{
    (void)j;
}

void peers_join_message(struct peers_join *j, uint64_t from, uint16_t type, struct bytes payload)
{
    (void)j, (void)from, (void)type, (void)payload;
}

void peers_join_lost(struct peers_join *j, uint64_t node)
{
    (void)j, (void)node;
}

void peers_join_data(struct peers_join *j, const struct wire_net_data *m)
{
    (void)j, (void)m;
}

void peers_join_close(struct peers_join *j, const struct wire_net_close *m)
{
    (void)j, (void)m;
}

/* ---- steps ---- */
static void members(size_t n)
{
    t.n = n;
    for (size_t i = 0; i < n; i++)
        t.id[i] = i + 1;
}

static void nothing(uv_timer_t *h)
{
    (void)h;
}

/* One turn of the loop. */
static void turn(void)
{
    uv_timer_t wake;
    (void)uv_timer_init(&t.loop, &wake);
    (void)uv_timer_start(&wake, nothing, 0, 0);
    (void)uv_run(&t.loop, UV_RUN_NOWAIT);
    uv_close((uv_handle_t *)&wake, NULL);
    (void)uv_run(&t.loop, UV_RUN_NOWAIT);
}

static void start(size_t n)
{
    memset(&t, 0, sizeof t);
    t.now_ms = 1000000;
    t.term = 1;
    members(n);
    assert_int_equal(uv_loop_init(&t.loop), 0);
    assert_int_equal(peers_new(&t.loop, NULL, SELF, &t.p), HSM_OK);
    peers_set_store(t.p, (struct store *)(void *)&t);
    t.now_ms += LEASE_T + 1; /* not just started */
    turn();
}

static void stop(void)
{
    peers_stop(t.p);
    (void)uv_run(&t.loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&t.loop), 0);
    peers_free(t.p);
}

static void follower_applied(uint64_t id, uint64_t index)
{
    uint8_t b[8];
    be64_put(b, index);
    peers_message(t.p, id, PEERS_APPLIED, bytes_of(b, sizeof b));
}

/* A member asks, and the own boundary signs at once. */
static void ask_for_lease(uint64_t id)
{
    struct uuid nonce;
    uint8_t mac[32] = {0};
    uuid_new_v4(&nonce);
    peers_message(t.p, id, PEERS_LEASE_ASK, bytes_of(nonce.b, sizeof nonce.b));
    assert_memory_equal(nonce.b, t.signs.b, sizeof nonce.b);
    const struct wire_lease_proof m = {
        .nonce = nonce, .index = 1, .mac = bytes_of(mac, sizeof mac)};
    peers_lease_proof(t.p, &m);
}

/* ---- tests ---- */
static void released_when_applied_everywhere(void **state)
{
    (void)state;
    start(3);
    t.leader = SELF;
    peers_applied(t.p, 10);
    turn();
    assert_int_equal(t.released, 0); /* leases of the leader before */
    follower_applied(2, 10);
    turn();
    assert_int_equal(t.released, 0);
    follower_applied(3, 9);
    turn();
    assert_int_equal(t.released, 9);
    t.now_ms += LEASE_T + 1;
    turn();
    assert_int_equal(t.released, 10); /* 3 can hold none any more */
    stop();
}

static void waits_for_a_lease_that_it_gave(void **state)
{
    (void)state;
    start(3);
    t.leader = SELF;
    turn();
    t.now_ms += LEASE_T + 1;
    ask_for_lease(2);
    peers_applied(t.p, 5);
    turn();
    assert_int_equal(t.released, 0);
    t.now_ms += LEASE_T - 1;
    turn();
    assert_int_equal(t.released, 0);
    t.now_ms += 2;
    turn();
    assert_int_equal(t.released, 5);
    stop();
}

/* One that stands still holds others up once, not for ever. */
static void a_stuck_member_gets_no_second_lease(void **state)
{
    (void)state;
    start(3);
    t.leader = SELF;
    turn();
    t.now_ms += LEASE_T + 1;
    peers_applied(t.p, 5);
    ask_for_lease(2);
    assert_int_equal(t.proofs, 1);
    ask_for_lease(2);
    assert_int_equal(t.proofs, 1);
    t.now_ms += LEASE_T + 1;
    ask_for_lease(2);
    assert_int_equal(t.proofs, 1); /* nor later */
    follower_applied(2, 5);
    ask_for_lease(2);
    assert_int_equal(t.proofs, 2);
    stop();
}

/* 3 got a lease from the leader before and was removed; this node leads 100 ms later. */
static void one_that_left_under_another_leader(void **state)
{
    (void)state;
    start(3);
    t.leader = 2;
    turn();
    members(2);
    turn();
    t.now_ms += 100;
    t.leader = SELF;
    t.term = 2;
    peers_applied(t.p, 7);
    follower_applied(2, 7);
    turn();
    assert_int_equal(t.released, 0);
    t.now_ms += LEASE_T - 100;
    turn();
    assert_int_equal(t.released, 0);
    t.now_ms += 1;
    turn();
    assert_int_equal(t.released, 7);
    stop();
}

/* The look at the members and the lead may come in one turn. */
static void one_that_left_as_the_lead_changed(void **state)
{
    (void)state;
    start(3);
    t.leader = 2;
    turn();
    members(2);
    t.leader = SELF;
    t.term = 2;
    peers_applied(t.p, 7);
    follower_applied(2, 7);
    turn();
    assert_int_equal(t.released, 0);
    t.now_ms += LEASE_T + 1;
    turn();
    assert_int_equal(t.released, 7);
    stop();
}

/* The leader that removed it knows what it gave: nobody else is waited for. */
static void one_without_a_lease_leaves(void **state)
{
    (void)state;
    start(3);
    t.leader = SELF;
    turn();
    t.now_ms += LEASE_T + 1;
    turn();
    members(2);
    peers_applied(t.p, 3);
    turn();
    assert_int_equal(t.released, 3);
    stop();
}

/* A leader that was elected anew has forgotten what it was told in an earlier term. */
static void told_again_in_another_term(void **state)
{
    (void)state;
    start(3);
    t.leader = 2;
    peers_applied(t.p, 4);
    turn();
    assert_int_equal(t.applied_told, 1);
    turn();
    assert_int_equal(t.applied_told, 1);
    t.term = 2;
    turn();
    assert_int_equal(t.applied_told, 2);
    stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(released_when_applied_everywhere),
        cmocka_unit_test(waits_for_a_lease_that_it_gave),
        cmocka_unit_test(a_stuck_member_gets_no_second_lease),
        cmocka_unit_test(one_that_left_under_another_leader),
        cmocka_unit_test(one_that_left_as_the_lead_changed),
        cmocka_unit_test(one_without_a_lease_leaves),
        cmocka_unit_test(told_again_in_another_term),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
