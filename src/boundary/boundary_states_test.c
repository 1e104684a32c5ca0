/* Every message type in every protocol state, on both kinds of lanes: what is not written down here
 * ends the connection, and a message that does not decode does as well. */
#include "boundary/boundary_testing.h"
#include "boundary/peer_testing.h"

static const enum phase phases[] = {PHASE_HELLO,   PHASE_LOAD,    PHASE_LOADING, PHASE_RESUME,
                                    PHASE_SERVING, PHASE_REFUSED, PHASE_JOIN};
#define PHASES (sizeof phases / sizeof phases[0])

/* Written down a second time on purpose: the table in commands.c is what is tested. */
static bool expected(enum phase p, unsigned lane, unsigned type)
{
    if (lane > 0)
        return p == PHASE_SERVING && type >= OP_KEY_CREATE && type <= OP_REFUSED;
    switch (type) {
    case CTL_HELLO:
        return p == PHASE_HELLO;
    case CTL_LOAD_BEGIN:
        return p == PHASE_LOAD;
    case CTL_LOAD_RECORDS:
    case CTL_LOAD_END:
        return p == PHASE_LOADING;
    case CTL_AUDIT_RESUME:
        return p == PHASE_RESUME;
    case CTL_APPLY:
    case CTL_TXN_FAILED:
    case CTL_PEER_OPEN:
    case CTL_LEASE_SIGN:
    case CTL_LEASE_GRANT:
    case CTL_RELEASED:
        return p == PHASE_SERVING;
    case CTL_NET_DATA:
    case CTL_NET_CLOSE:
        return p == PHASE_SERVING || p == PHASE_JOIN;
    case CTL_STATUS:
    case CTL_QUIESCE:
        return p != PHASE_HELLO;
    default:
        return false;
    }
}

static struct rig rig;

static void joining(struct rig *r, struct boundary_config *c)
{
    (void)r;
    c->roots = NULL;
    c->fresh = false;
    c->joining = true;
    c->join_self = peer_self(&(struct peer_options){.partition = 1});
}

static void reach(struct rig *r, enum phase p)
{
    rig_init(r);
    if (p == PHASE_JOIN)
        r->configure = joining;
    rig_start(r, true);
    r->on_txn = TXN_KEEP;
    r->net.mode = SERVER_SILENT;
    if (p != PHASE_HELLO)
        RIG_CONTROL(r, CTL_HELLO, hello, .version = WIRE_VERSION, .lanes = RIG_LANES);
    if (p == PHASE_REFUSED)
        RIG_CONTROL(r, CTL_LOAD_BEGIN, load_begin, .index = 5);
    if (p == PHASE_LOADING || p == PHASE_RESUME || p == PHASE_SERVING)
        RIG_CONTROL(r, CTL_LOAD_BEGIN, load_begin, .index = 0);
    if (p == PHASE_RESUME || p == PHASE_SERVING)
        rig_send(r, 0, CTL_LOAD_END, 1, bytes_of(NULL, 0));
    if (p == PHASE_SERVING)
        RIG_CONTROL(r, CTL_AUDIT_RESUME, audit_resume, .seq = 0);
    rig_settle(r);
    assert_int_equal(r->ended, 0);
    assert_int_equal(boundary_phase(r->b), p);
}

/* The frame goes straight to the dispatcher. Returns the exit code + 1, or 0. */
static int give(struct rig *r, unsigned lane, unsigned type, struct bytes payload)
{
    struct ring_frame f = {.type = (uint16_t)type, .id = 3, .payload = payload};
    bool alive = lane == 0 ? control_frame(r->b, &f) : lane_frame(&r->b->lane[lane], &f);
    int ended = atomic_load(&r->b->ended);
    assert_true(alive == (ended == 0));
    atomic_store(&r->b->ended, 0);
    return ended;
}

static void refused(void **state)
{
    (void)state;
    struct rig *r = &rig;
    const struct bytes odd = bytes_str("\x01\x02\x03");
    for (unsigned p = 0; p < PHASES; p++) {
        reach(r, phases[p]);
        for (unsigned type = 0; type < 300; type++) {
            for (unsigned lane = 0; lane <= RIG_LANES; lane++) {
                if (expected(phases[p], lane, type))
                    continue;
                assert_int_equal(give(r, lane, type, bytes_of(NULL, 0)), EXIT_PROTOCOL + 1);
                assert_int_equal(give(r, lane, type, odd), EXIT_PROTOCOL + 1);
            }
        }
        /* None of it moved anything. */
        assert_int_equal(boundary_phase(r->b), phases[p]);
        assert_int_equal(r->b->state->records.n, 0);
        rig_done(r);
    }
}

static void undecodable(void **state)
{
    (void)state;
    struct rig *r = &rig;
    const struct bytes odd = bytes_str("\xff\xff\xff\xff\xff");
    for (unsigned p = 0; p < PHASES; p++) {
        reach(r, phases[p]);
        for (unsigned type = 0; type < 256; type++)
            for (unsigned lane = 0; lane <= 1; lane++)
                if (expected(phases[p], lane, type))
                    assert_int_equal(give(r, lane, type, odd), EXIT_PROTOCOL + 1);
        assert_int_equal(boundary_phase(r->b), phases[p]);
        rig_done(r);
    }
}

/* An encoding of the message with nothing but zeros and empty fields. */
static struct bytes minimal(unsigned type)
{
    static uint8_t buf[1024];
    struct wr w = wr_of(buf, sizeof buf);
    const struct wire_caller caller = {.host = bytes_str(RIG_HOST)};
    if (type < WIRE_OP__END)
        wire_caller_put(&w, &caller);
    switch (type) {
#define O(op, req, res, name, http)                                                                \
    case op: {                                                                                     \
        const struct wire_##req m = {0};                                                           \
        wire_##req##_put(&w, &m);                                                                  \
        break;                                                                                     \
    }
        WIRE_OPS(O)
#undef O
#define C(ctl, msg)                                                                                \
    case ctl: {                                                                                    \
        const struct wire_##msg m = {0};                                                           \
        wire_##msg##_put(&w, &m);                                                                  \
        break;                                                                                     \
    }
        WIRE_CONTROLS(C)
#undef C
    default:
        break;
    }
    return wr_view(&w);
}

/* Whose index is 0 may have a lease from an empty state. */
static void on_proof(struct rig *r, const struct ring_frame *f)
{
    (void)r;
    assert_int_equal(f->type, CTL_LEASE_PROOF);
}

static void allowed(void **state)
{
    (void)state;
    struct rig *r = &rig;
    unsigned n = 0;
    for (unsigned p = 0; p < PHASES; p++) {
        for (unsigned type = 0; type < 256; type++) {
            for (unsigned lane = 0; lane <= 1; lane++) {
                if (!expected(phases[p], lane, type))
                    continue;
                reach(r, phases[p]);
                r->on_control = on_proof;
                int ended = give(r, lane, type, minimal(type));
                /* Zeros are a wrong version, no transaction of ours, no incoming connection. */
                int want = type == CTL_HELLO || type == CTL_PEER_OPEN ? EXIT_PROTOCOL + 1
                           : type == CTL_APPLY                        ? EXIT_INTEGRITY + 1
                                                                      : 0;
                if (ended != want)
                    fail_msg("%s in phase %u: %d", wire_type_name(type), phases[p], ended);
                n++;
                rig_settle(r);
                if (lane > 0)
                    assert_true(r->answer.there);
                rig_done(r);
            }
        }
    }
    assert_int_equal(n, (WIRE_OP__END - OP_KEY_CREATE) + 15 + 12);
}

static void hello_twice(void **state)
{
    (void)state;
    struct rig *r = &rig;
    rig_init(r);
    rig_start(r, true);
    for (unsigned i = 0; i < 2; i++)
        RIG_CONTROL(r, CTL_HELLO, hello, .version = WIRE_VERSION, .lanes = RIG_LANES);
    rig_settle(r);
    assert_int_equal(r->ended, EXIT_PROTOCOL + 1);
    rig_done(r);
}

static void wrong_hello(void **state)
{
    (void)state;
    struct rig *r = &rig;
    for (unsigned i = 0; i < 2; i++) {
        rig_init(r);
        rig_start(r, true);
        RIG_CONTROL(r, CTL_HELLO, hello, .version = WIRE_VERSION + (i == 0 ? 1 : 0),
                    .lanes = (uint16_t)(RIG_LANES + i));
        rig_settle(r);
        assert_int_equal(r->ended, EXIT_PROTOCOL + 1);
        rig_done(r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refused),     cmocka_unit_test(undecodable), cmocka_unit_test(allowed),
        cmocka_unit_test(hello_twice), cmocka_unit_test(wrong_hello),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
