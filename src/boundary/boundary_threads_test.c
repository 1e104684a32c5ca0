/* All threads at once: two lanes full of requests, slow operations beside them, and writes that
 * change what the others read. Meant for ThreadSanitizer, and for what only overlap shows. */
#include "boundary/boundary_testing.h"

static struct rig rig;
static struct boundary *running;
static pthread_t control_thread;

static void *control_main(void *arg)
{
    boundary_control((struct boundary *)arg);
    return NULL;
}

/* The rig takes its hands off: the boundary runs by itself. */
static void let_run(struct rig *r)
{
    running = r->b;
    r->b = NULL;
    assert_int_equal(boundary_start(running), HSM_OK);
    boundary_open_gate(running);
    assert_int_equal(pthread_create(&control_thread, NULL, control_main, running), 0);
}

static void take_back(struct rig *r)
{
    boundary_stop(running);
    assert_int_equal(pthread_join(control_thread, NULL), 0);
    r->b = running;
}

struct load {
    unsigned sent, answered, good, throttled;
};

/* Keep window requests of a kind under way until all were answered. */
static uint64_t outstanding[4096];
static unsigned outstanding_n;

static struct load load;

static void answered(struct rig *r, const struct ring_frame *f)
{
    struct wire_result m;
    (void)r;
    assert_int_equal(wire_result_decode(f->payload, &m), HSM_OK);
    unsigned i = 0;
    while (i < outstanding_n && outstanding[i] != f->id)
        i++;
    assert_true(i < outstanding_n); /* every answer once, to a request of ours */
    outstanding[i] = outstanding[--outstanding_n];
    load.answered++;
    load.good += m.err == HSM_OK;
    load.throttled += m.err == HSM_E_THROTTLED;
    if (m.err != HSM_OK && m.err != HSM_E_THROTTLED)
        fail_msg("%s", hsm_err_name(m.err));
}

static struct bytes body_of(unsigned i, unsigned *ret_type)
{
    static uint8_t body[512];
    static const uint8_t digest[32] = {3};
    struct wr w = wr_of(body, sizeof body);
    struct wire_crypto c = {
        .name = bytes_str("ec"), .alg = ALG_ES256, .value = bytes_of(digest, 32)};
    const struct wire_key_update u = {
        .name = bytes_str("aes"), .attr_set = ATTR_EXP, .exp = 4000000000u + i};
    const struct wire_list list = {.max = 25};
    const struct wire_key_create k = {.name = bytes_str("new"), .kty = KTY_RSA, .key_size = 2048};
    if (i % 256 == 0) {
        *ret_type = OP_KEY_CREATE;
        wire_key_create_put(&w, &k);
        return wr_view(&w);
    }
    switch (i % 8) {
    case 0:
        *ret_type = OP_KEY_UPDATE;
        wire_key_update_put(&w, &u);
        break;
    case 1:
        *ret_type = OP_KEY_LIST;
        wire_list_put(&w, &list);
        break;
    case 2:
        c.name = bytes_str("rsa");
        c.alg = ALG_RS256;
        *ret_type = OP_SIGN;
        wire_crypto_put(&w, &c);
        break;
    case 3:
    case 4:
        *ret_type = OP_SIGN;
        wire_crypto_put(&w, &c);
        break;
    default:
        c.name = bytes_str("aes");
        c.alg = ALG_A256KW;
        *ret_type = OP_WRAP;
        wire_crypto_put(&w, &c);
        break;
    }
    return wr_view(&w);
}

/* A key of a month ago that is due to be rotated, and its owner to be notified. */
static void make_due(struct rig *r, const char *name)
{
    uint8_t list[128];
    struct wr w = wr_of(list, sizeof list);
    for (unsigned type = ROTATION_ROTATE; type <= ROTATION_NOTIFY; type++) {
        const struct wire_lifetime_action a = {.type = (uint8_t)type,
                                               .after_create = bytes_str("P28D")};
        size_t item = wr_lv_open(&w);
        wire_lifetime_action_put(&w, &a);
        wr_lv_close(&w, item);
    }
    assert_int_equal(
        RIG_CALL(r, OP_ROTATION_PUT, rotation_put, .name = bytes_str(name), .actions = wr_view(&w)),
        HSM_OK);
    struct key *k = state_key(r->b->state, bytes_str(name));
    key_current(k)->created -= 29u * 86400;
    assert_int_equal(rotation_index_update(&r->b->state->rotations, k), HSM_OK);
}

static unsigned lines_with(const struct rig *r, const char *text)
{
    unsigned n = 0;
    for (const char *p = r->audit; (p = strstr(p, text)) != NULL; p++)
        n++;
    return n;
}

static void everything_at_once(void **state)
{
    (void)state;
    struct rig *r = &rig;
    const unsigned total = 1500, window = 64;
    rig_init(r);
    r->prepared[STOCK_2048] = 4;
    rig_start(r, true);
    rig_serve(r);
    assert_int_equal(rig_activate(r), HSM_OK);
    rig_make_crypto_user(r);
    static const struct {
        const char *name;
        uint8_t kty;
        uint32_t bits;
    } keys[] = {
        {"aes", KTY_OCT, 256},
        {"ec", KTY_EC, 0},
        {"rsa", KTY_RSA, 3072},
    };
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(RIG_CALL(r, OP_KEY_CREATE, key_create, .name = bytes_str(keys[i].name),
                                  .kty = keys[i].kty, .key_size = keys[i].bits),
                         HSM_OK);
    for (unsigned i = 0; i < 3; i++)
        make_due(r, keys[i].name);
    char token[TOKEN_CAP];
    struct bytes t = rig_token_of(r, RIG_ADMIN, 3600);
    memcpy(token, t.p, t.n);
    t.p = (const uint8_t *)token;
    r->on_answer = answered;
    let_run(r);
    uint64_t deadline = clock_mono_us() + 90000000u;
    while (load.answered < total && clock_mono_us() < deadline) {
        while (load.sent < total && outstanding_n < window) {
            unsigned type;
            struct bytes body = body_of(load.sent, &type);
            outstanding[outstanding_n++] = rig_post(r, 1 + load.sent % RIG_LANES, type, t, body);
            load.sent++;
        }
        if (!rig_gateway(r))
            usleep(100);
    }
    assert_int_equal(load.answered, total);
    assert_int_equal(outstanding_n, 0);
    assert_int_equal(load.good + load.throttled, total);
    assert_true(load.good > total / 2);
    while (lines_with(r, "\"KeyRotateIfDue\"") < 3 && clock_mono_us() < deadline)
        if (!rig_gateway(r))
            usleep(1000);
    assert_int_equal(lines_with(r, "\"KeyRotateIfDue\""), 3);
    assert_int_equal(lines_with(r, "\"KeyRotationNotify\""), 3);
    /* One audit line for each answer, in one chain; the verifier's tests look closer. */
    while (rig_gateway(r))
        continue;
    unsigned lines = 0;
    for (size_t i = 0; i < r->audit_n; i++)
        lines += r->audit[i] == '\n';
    assert_true(lines >= total);
    take_back(r);
    assert_int_equal(atomic_load(&r->b->ended), 0);
    assert_int_equal(r->b->held.pending_n, 0);
    rig_done(r);
}

/* The boundary stops while requests are under way: nothing hangs, nothing leaks. */
static void stop_under_load(void **state)
{
    (void)state;
    struct rig *r = &rig;
    rig_init(r);
    rig_start(r, true);
    rig_serve(r);
    assert_int_equal(rig_activate(r), HSM_OK);
    rig_make_crypto_user(r);
    let_run(r);
    const struct wire_key_create m = {.name = bytes_str("r"), .kty = KTY_RSA, .key_size = 4096};
    uint8_t body[256];
    struct wr w = wr_of(body, sizeof body);
    wire_key_create_put(&w, &m);
    char token[TOKEN_CAP];
    struct bytes t = rig_token_of(r, RIG_ADMIN, 3600);
    memcpy(token, t.p, t.n);
    for (unsigned i = 0; i < 20; i++)
        (void)rig_post(r, 1 + i % RIG_LANES, OP_KEY_CREATE, bytes_of(token, t.n), wr_view(&w));
    usleep(20000);
    take_back(r);
    rig_done(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(everything_at_once),
                                       cmocka_unit_test(stop_under_load)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
