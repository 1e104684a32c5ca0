/* Leases with all threads at work: they run out under load, come late, and what commits is released
 * one step behind. Meant for ThreadSanitizer, and for requests that nobody wakes. */
#include "boundary/lease_testing.h"

#define RUN_US 700000u
#define GAP_US 100000u
#define WINDOW 32u

static struct boundary *running;
static pthread_t control_thread;
static unsigned answered, good;
static bool hold_back; /* grants */
static unsigned grants;
static struct uuid asked;
static bool is_asked;

static void *control_main(void *arg)
{
    boundary_control((struct boundary *)arg);
    return NULL;
}

static void on_answer(struct rig *r, const struct ring_frame *f)
{
    struct wire_result m;
    (void)r;
    assert_int_equal(wire_result_decode(f->payload, &m), HSM_OK);
    answered++;
    good += m.err == HSM_OK;
    if (m.err != HSM_OK)
        print_message("%s %.*s\n", hsm_err_name(m.err), (int)m.detail.n, (const char *)m.detail.p);
}

static void on_control(struct rig *r, const struct ring_frame *f)
{
    struct wire_lease_want want;
    struct wire_lease_proof p;
    if (f->type == CTL_LEASE_WANT) {
        assert_int_equal(wire_lease_want_decode(f->payload, &want), HSM_OK);
        asked = want.nonce;
        is_asked = true;
        return;
    }
    assert_int_equal(f->type, CTL_LEASE_PROOF);
    assert_int_equal(wire_lease_proof_decode(f->payload, &p), HSM_OK);
    grants++;
    RIG_CONTROL(r, CTL_LEASE_GRANT, lease_proof, .nonce = p.nonce, .index = p.index, .mac = p.mac);
}

static void gateway(struct rig *r)
{
    static uint64_t released;
    bool moved = rig_gateway(r);
    if (is_asked && !hold_back) {
        is_asked = false;
        RIG_CONTROL(r, CTL_LEASE_SIGN, lease_sign, .nonce = asked, .index = r->store->index);
    }
    if (released != r->store->index) {
        released = r->store->index;
        RIG_CONTROL(r, CTL_RELEASED, released, .index = released);
    } else if (!moved) {
        usleep(100);
    }
}

static void post(struct rig *r, struct bytes token, unsigned i)
{
    static uint8_t body[512];
    static const uint8_t digest[32] = {3};
    struct wr w = wr_of(body, sizeof body);
    const struct wire_crypto c = {
        .name = bytes_str("k"), .alg = ALG_ES256, .value = bytes_of(digest, 32)};
    const struct wire_key_update u = {
        .name = bytes_str("k"), .attr_set = ATTR_EXP, .exp = 4000000000u + i};
    if (i % 16 == 0)
        wire_key_update_put(&w, &u);
    else
        wire_crypto_put(&w, &c);
    (void)rig_post(r, 1 + i % RIG_LANES, i % 16 == 0 ? OP_KEY_UPDATE : OP_SIGN, token, wr_view(&w));
}

static void under_load(void **state)
{
    (void)state;
    pool_begin();
    one->on_txn = TXN_COMMIT;
    one->on_proposal = NULL;
    one->on_control = on_control;
    one->on_answer = on_answer;
    one->b->lease.clock = clock_boot_us;
    atomic_store(&one->b->lease.until_us, 0);
    static char text[TOKEN_CAP];
    struct bytes token = rig_token_of(one, RIG_ADMIN, 3600);
    memcpy(text, token.p, token.n);
    token.p = (const uint8_t *)text;
    running = one->b;
    one->b = NULL;
    assert_int_equal(boundary_start(running), HSM_OK);
    boundary_open_gate(running);
    assert_int_equal(pthread_create(&control_thread, NULL, control_main, running), 0);
    uint64_t begin = clock_mono_us();
    unsigned sent = 0;
    for (uint64_t now = begin; now < begin + RUN_US || answered < sent; now = clock_mono_us()) {
        assert_true(now < begin + 60000000u);
        /* For longer than a lease lasts. */
        hold_back = now > begin + GAP_US && now < begin + GAP_US + (LEASE_MS + 100) * 1000u;
        for (; now < begin + RUN_US && sent < answered + WINDOW; sent++)
            post(one, token, sent);
        gateway(one);
    }
    assert_int_equal(good, answered);
    assert_true(answered > WINDOW);
    assert_true(grants >= 2);
    boundary_stop(running);
    assert_int_equal(pthread_join(control_thread, NULL), 0);
    one->b = running;
    assert_int_equal(one->b->held.lease_n + one->b->held.unreleased_n, 0);
    pool_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(under_load)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
