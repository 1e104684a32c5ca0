/* What callers may not do to the process: fill its memory, or get something into the log that no
 * start could apply. */
#include "boundary/boundary_testing.h"

static struct rig rig;

/* Whoever sends these has shown no good token: what waits for issuer keys is bounded. */
static void waiting_is_bounded(void **state)
{
    (void)state;
    struct rig *r = &rig;
    static uint8_t body[200000], zeros[131072];
    rig_init(r);
    rig_start(r, true);
    r->net.mode = SERVER_SILENT;
    rig_serve(r);
    struct bytes token = rig_token_of(r, RIG_ADMIN, 60);
    for (unsigned i = 0; i < HELD_MAX; i++) {
        (void)rig_post(r, 1, OP_SD_DOWNLOAD_STATUS, token, bytes_of(NULL, 0));
        rig_settle(r);
    }
    assert_int_equal(r->b->held.parked_n, HELD_MAX);
    uint64_t id = rig_post(r, 1, OP_SD_DOWNLOAD_STATUS, token, bytes_of(NULL, 0));
    rig_wait(r, id);
    assert_int_equal(r->answer.err, HSM_E_THROTTLED);
    held_expire(r->b, clock_mono_us() + 7000000u);
    rig_settle(r);
    assert_int_equal(r->b->held.parked_n, 0);
    const struct wire_crypto big = {.name = bytes_str("x"), .aad = bytes_of(zeros, sizeof zeros)};
    struct wr w = wr_of(body, sizeof body);
    wire_crypto_put(&w, &big);
    for (unsigned i = 0; i < PARKED_BYTES_MAX / sizeof zeros; i++) {
        id = rig_post(r, 1, OP_SIGN, token, wr_view(&w));
        rig_settle(r);
    }
    assert_true(r->b->held.parked_n < PARKED_BYTES_MAX / sizeof zeros);
    assert_int_equal(r->answer.id, id);
    assert_int_equal(r->answer.err, HSM_E_THROTTLED);
    rig_done(r);
}

/* A name that only its record's decoder would refuse must not get into the log: no start could
 * ever apply it. */
static void names_of_new_keys(void **state)
{
    (void)state;
    struct rig *r = &rig;
    rig_init(r);
    rig_start(r, true);
    rig_serve(r);
    assert_int_equal(rig_activate(r), HSM_OK);
    rig_make_crypto_user(r);
    static const char *const names[] = {"", "/", "a/b", "a b", "a.b", "..", "a\x80"};
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
        assert_int_equal(
            RIG_CALL(r, OP_KEY_CREATE, key_create, .name = bytes_str(names[i]), .kty = KTY_OCT),
            HSM_E_INVALID_KEY_ID);
    assert_int_equal(r->ended, 0);
    rig_done(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waiting_is_bounded),
        cmocka_unit_test(names_of_new_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
