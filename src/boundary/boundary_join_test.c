/* A boundary joins the pool of another one, both driven in this thread. */
#include <sys/stat.h>
#include "boundary/join_relay_testing.h"
#include "boundary/seal.h"

static char dir[64];
static char seal_path[96];
static struct seal_sink sink;
static struct peer_options joiner_is, member_is;
static bool has_no_key, is_on_disk, is_disk_full;

/* ---- making ---- */

static hsm_err seal_into(void *ctx, const struct roots *r)
{
    if (is_disk_full)
        return HSM_E_DISK_FULL;
    return is_on_disk ? seal_join_finish((struct seal_sink *)ctx, r) : HSM_OK;
}

static void as_joiner(struct rig *r, struct boundary_config *c)
{
    (void)r;
    c->roots = NULL;
    c->fresh = false;
    c->joining = true;
    c->join_self = peer_self(&joiner_is);
    c->seal_roots = seal_into;
    c->seal_ctx = &sink;
}

static void as_member(struct rig *r, struct boundary_config *c)
{
    (void)r;
    if (!has_no_key)
        c->join_self = peer_self(&member_is);
}

static void begin(void)
{
    relay_init();
    relay.member.configure = as_member;
    relay.joiner.configure = as_joiner;
    rig_start(&relay.member, true);
    rig_serve(&relay.member);
    assert_int_equal(relay.member.ended, 0);
    rig_start(&relay.joiner, false);
}

static int reset(void **state)
{
    (void)state;
    member_is = (struct peer_options){.partition = 0};
    joiner_is = (struct peer_options){.partition = 1};
    has_no_key = is_on_disk = is_disk_full = false;
    return 0;
}

/* ---- success ---- */

static void prepare_seal(void)
{
    char text[256];
    struct seal *s;
    struct roots none;
    snprintf(dir, sizeof dir, "/tmp/join_test.XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(seal_path, sizeof seal_path, "%s/seal", dir);
    assert_int_equal(seal_begin(NULL, seal_path, &s, text, sizeof text), HSM_OK);
    assert_int_equal(seal_load(s, &none, text, sizeof text), HSM_E_NOT_FOUND);
    assert_int_equal(seal_join_begin(s, &sink, text, sizeof text), HSM_OK);
    seal_end(s);
    is_on_disk = true;
}

static void check_seal(const struct secret_buf *want)
{
    char text[256], path[128];
    struct seal *s;
    struct roots got;
    struct secret_buf b;
    seal_sink_done(&sink);
    assert_int_equal(seal_begin(NULL, seal_path, &s, text, sizeof text), HSM_OK);
    assert_int_equal(seal_load(s, &got, text, sizeof text), HSM_OK);
    seal_end(s);
    assert_int_equal(roots_encode(&got, &b), HSM_OK);
    assert_int_equal(b.n, want->n);
    assert_memory_equal(b.p, want->p, b.n);
    secret_buf_done(&b);
    roots_done(&got);
    (void)unlink(seal_path);
    snprintf(path, sizeof path, "%s.key", seal_path);
    (void)unlink(path);
    assert_int_equal(rmdir(dir), 0);
}

static void joins(void **state)
{
    static const struct uuid nil;
    (void)state;
    prepare_seal();
    begin();
    relay_hello();
    relay_run();
    assert_int_equal(relay.welcomes, 1);
    assert_true(relay.is_joining);
    assert_memory_equal(relay.welcome_pool.b, nil.b, 16);
    assert_int_equal(relay.joined, 1);
    assert_int_equal(relay.joiner.ended, EXIT_JOINED + 1);
    assert_int_equal(relay.member.ended, 0);
    assert_int_equal(relay.opens, 1);
    relay_saw_no_secret();
    assert_int_equal(relay_audits(), 1);
    relay_audit_has("\"resultType\":\"Success\"");
    relay_audit_has("/partitions/1/join");
    relay_audit_has("measurement 005a5a5a");
    relay_audit_has("evidence software of pool dev, protection level software");
    check_seal(&relay.member.roots_text);
    /* The member serves on. */
    assert_int_equal(RIG_CALL(&relay.member, OP_KEY_GET, key_ref, .name = bytes_str("k")),
                     HSM_E_NOT_ACTIVATED);
    relay_done();
}

/* ---- refusals ---- */

/* Nothing was given; the joiner asks again half a second later, and the log has one line of it. */
static void asks_again(const char *why, const char *status)
{
    assert_int_equal(relay.joined, 0);
    assert_int_equal(relay.joiner.ended, 0);
    assert_int_equal(relay.member.ended, 0);
    assert_int_equal(boundary_phase(relay.joiner.b), PHASE_JOIN);
    unsigned audits = relay_audits();
    if (why != NULL) {
        assert_int_equal(audits, 1);
        relay_audit_has("\"resultType\":\"Failure\"");
        relay_audit_has(why);
        relay_audit_has(status);
    }
    assert_int_equal(relay.opens, 1);
    assert_int_equal(relay.joiner.b->join.told_n, 1);
    control_tick(relay.joiner.b, clock_mono_us() + 400000);
    relay_run();
    assert_int_equal(relay.opens, 1);
    control_tick(relay.joiner.b, clock_mono_us() + 500000);
    relay_run();
    assert_int_equal(relay.opens, 2);
    assert_int_equal(relay.joined, 0);
    assert_int_equal(relay_audits(), 2 * audits);
    assert_int_equal(relay.joiner.b->join.told_n, 1);
}

static void wrong_key(void **state)
{
    (void)state;
    joiner_is.admission = 3;
    begin();
    relay_hello();
    relay_run();
    asks_again("admission key", "\"httpStatusCode\":403");
    relay_audit_has("measurement 005a5a5a");
    relay_done();
}

static void wrong_program(void **state)
{
    (void)state;
    joiner_is.measurement = 3;
    joiner_is.policy.measurement_n = 1;
    memset(joiner_is.policy.measurement[0] + 1, 0x5a, 31);
    begin();
    relay_hello();
    relay_run();
    asks_again("measurement is not accepted", "\"httpStatusCode\":403");
    relay_audit_has("measurement 035a5a5a");
    relay_audit_has("/partitions/1/join");
    relay_done();
}

static void own_number(void **state)
{
    (void)state;
    joiner_is.partition = 0;
    begin();
    relay_hello();
    relay_run();
    asks_again("partition number", "\"httpStatusCode\":403");
    relay_done();
}

static void nobody_there(void **state)
{
    (void)state;
    begin();
    relay.is_down = true;
    relay_hello();
    relay_run();
    asks_again(NULL, NULL);
    /* Somebody is, now. */
    relay.is_down = false;
    control_tick(relay.joiner.b, clock_mono_us() + 1100000);
    relay_run();
    assert_int_equal(relay.joiner.ended, EXIT_JOINED + 1);
    relay_done();
}

static void no_admission_key(void **state)
{
    (void)state;
    has_no_key = true;
    begin();
    relay_hello();
    relay_run();
    assert_int_equal(relay.close_err, HSM_E_UNAVAILABLE);
    asks_again("no admission key", "\"httpStatusCode\":503");
    relay_audit_has("/partitions/unknown/join");
    relay_done();
}

static void no_pool_yet(void **state)
{
    (void)state;
    relay_init();
    relay.member.configure = as_member;
    relay.joiner.configure = as_joiner;
    relay.member.on_txn = TXN_KEEP;
    rig_start(&relay.member, true);
    rig_serve(&relay.member);
    rig_start(&relay.joiner, false);
    relay_hello();
    relay_run();
    asks_again("the pool is not made yet", "\"httpStatusCode\":503");
    relay_done();
}

/* Evidence and admission key are right, the secrets are of a pool of another name. */
static void other_secrets(void **state)
{
    (void)state;
    struct roots other;
    struct secret_buf text;
    assert_int_equal(roots_generate("prod", &other), HSM_OK);
    assert_int_equal(roots_encode(&other, &text), HSM_OK);
    roots_done(&other);
    relay_init();
    secret_buf_done(&relay.member.roots_text);
    relay.member.roots_text = text;
    relay.member.configure = as_member;
    relay.joiner.configure = as_joiner;
    rig_start(&relay.member, true);
    rig_serve(&relay.member);
    rig_start(&relay.joiner, false);
    relay_hello();
    relay_run();
    assert_int_equal(relay.joined, 0);
    assert_int_equal(relay.joiner.ended, 0);
    assert_int_equal(relay.joiner.b->join.told_n, 1);
    assert_non_null(strstr(relay.joiner.b->join.told[0], "another pool"));
    relay_done();
}

static void disk_full(void **state)
{
    (void)state;
    is_disk_full = true;
    begin();
    relay_hello();
    relay_run();
    assert_int_equal(relay.joined, 0);
    assert_int_equal(relay.joiner.ended, EXIT_SETUP + 1);
    relay_done();
}

/* ---- a gateway that does what it likes ---- */

static void two_at_once(void **state)
{
    (void)state;
    begin();
    RIG_CONTROL(&relay.member, CTL_PEER_OPEN, peer_open, .conn = INBOUND | 77);
    rig_settle(&relay.member);
    relay_hello();
    relay_run();
    assert_int_equal(relay.joined, 0);
    assert_int_equal(relay.close_err, HSM_E_THROTTLED);
    assert_int_equal(relay_audits(), 1);
    relay_audit_has("another boundary is joining");
    relay_audit_has("\"httpStatusCode\":429");
    /* The first one says nothing; its time runs out, it is recorded, the next one gets in. */
    control_tick(relay.member.b, clock_mono_us() + 5100000);
    rig_settle(&relay.member);
    assert_int_equal(relay.close_err, 0);
    assert_int_equal(relay_audits(), 2);
    relay_audit_has("no end in time");
    relay_audit_has("\"httpStatusCode\":408");
    control_tick(relay.joiner.b, clock_mono_us() + 600000);
    relay_run();
    assert_int_equal(relay.joined, 1);
    relay_done();
}

static void wrong_numbers(void **state)
{
    (void)state;
    begin();
    RIG_CONTROL(&relay.member, CTL_PEER_OPEN, peer_open, .conn = 5);
    rig_settle(&relay.member);
    assert_int_equal(relay.member.ended, EXIT_PROTOCOL + 1);
    relay_done();
    begin();
    RIG_CONTROL(&relay.member, CTL_PEER_OPEN, peer_open, .conn = INBOUND | 5);
    RIG_CONTROL(&relay.member, CTL_PEER_OPEN, peer_open, .conn = INBOUND | 5);
    rig_settle(&relay.member);
    assert_int_equal(relay.member.ended, EXIT_PROTOCOL + 1);
    relay_done();
}

/* Bytes and ends for connections that are over, or never were, move nothing. */
static void late_bytes(void **state)
{
    (void)state;
    begin();
    for (unsigned i = 0; i < 2; i++) {
        struct rig *r = i == 0 ? &relay.member : &relay.joiner;
        if (i == 1) {
            relay.is_down = true;
            relay_hello();
            relay_run();
        }
        RIG_CONTROL(r, CTL_NET_DATA, net_data, .conn = INBOUND | 9, .data = bytes_str("x"));
        RIG_CONTROL(r, CTL_NET_CLOSE, net_close, .conn = INBOUND | 9);
        RIG_CONTROL(r, CTL_NET_DATA, net_data, .conn = 1, .data = bytes_str("x"));
        RIG_CONTROL(r, CTL_NET_CLOSE, net_close, .conn = 1);
        rig_settle(r);
        assert_int_equal(r->ended, 0);
    }
    /* Garbage on a connection that is there ends that connection only. */
    RIG_CONTROL(&relay.member, CTL_PEER_OPEN, peer_open, .conn = INBOUND | 10);
    RIG_CONTROL(&relay.member, CTL_NET_DATA, net_data, .conn = INBOUND | 10,
                .data = bytes_str("GET / HTTP/1.1\r\n\r\n"));
    rig_settle(&relay.member);
    assert_int_equal(relay.member.ended, 0);
    assert_int_equal(relay.member_closes, 1);
    relay_audit_has("TLS failed");
    relay_audit_has("/partitions/unknown/join");
    relay_done();
}

/* ---- phases ---- */

static void stopped_while_joining(void **state)
{
    (void)state;
    begin();
    relay.is_down = true;
    relay_hello();
    relay_run();
    rig_send(&relay.joiner, 0, CTL_STATUS, 1, bytes_of(NULL, 0));
    rig_send(&relay.joiner, 0, CTL_QUIESCE, 2, bytes_of(NULL, 0));
    rig_settle(&relay.joiner);
    assert_int_equal(relay.joiner.statuses, 1);
    assert_int_equal(relay.joiner.status.audit_seq, 0);
    assert_int_equal(relay.joiner.quiesced, 1);
    assert_int_equal(relay.joiner.ended, EXIT_QUIESCED + 1);
    relay_done();
}

static void without_genesis(struct rig *r, struct boundary_config *c)
{
    (void)r;
    c->no_genesis = true;
}

/* With the secrets of a pool and an empty store: waits for the pool, makes none. */
static void no_genesis(void **state)
{
    (void)state;
    relay_init();
    relay.member.configure = without_genesis;
    rig_start(&relay.member, false);
    rig_serve(&relay.member);
    control_tick(relay.member.b, clock_mono_us() + 5000000);
    rig_settle(&relay.member);
    assert_int_equal(boundary_phase(relay.member.b), PHASE_SERVING);
    assert_int_equal(relay.member.proposals, 0);
    relay_done();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(joins, reset),
        cmocka_unit_test_setup(wrong_key, reset),
        cmocka_unit_test_setup(wrong_program, reset),
        cmocka_unit_test_setup(own_number, reset),
        cmocka_unit_test_setup(nobody_there, reset),
        cmocka_unit_test_setup(no_admission_key, reset),
        cmocka_unit_test_setup(no_pool_yet, reset),
        cmocka_unit_test_setup(other_secrets, reset),
        cmocka_unit_test_setup(disk_full, reset),
        cmocka_unit_test_setup(two_at_once, reset),
        cmocka_unit_test_setup(wrong_numbers, reset),
        cmocka_unit_test_setup(late_bytes, reset),
        cmocka_unit_test_setup(stopped_while_joining, reset),
        cmocka_unit_test_setup(no_genesis, reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
