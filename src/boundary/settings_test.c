/* Random bytes and the pool's settings, through the whole boundary. */
#include "boundary/boundary_testing.h"
#include "boundary/settings.h"

#define NAME "AllowKeyManagementOperationsThroughARM"

static struct rig rig;

static int start(void **state)
{
    (void)state;
    rig_init(&rig);
    rig_start(&rig, true);
    rig_serve(&rig);
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

static void random_bytes(void **state)
{
    static const uint32_t wrong[] = {0, 129, 65536, UINT32_MAX};
    uint8_t first[128];
    (void)state;
    for (unsigned i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(RIG_CALL(&rig, OP_RNG, rng, .count = wrong[i]), HSM_E_BAD_PARAMETER);
        assert_string_equal(
            rig.answer.detail,
            "GetRandomBytesRequest: count cannot be greater than 128 or less than 1");
    }
    for (uint32_t n = 1; n <= 128; n += n < 4 ? 1 : 31) {
        struct wire_rng_result r;
        assert_int_equal(RIG_CALL(&rig, OP_RNG, rng, .count = n), HSM_OK);
        struct bytes body = bytes_of(rig.answer.body, rig.answer.body_n);
        assert_int_equal(wire_rng_result_decode(body, &r), HSM_OK);
        assert_int_equal(r.value.n, n);
        if (n == 128) {
            assert_memory_not_equal(r.value.p, first, 66);
            break;
        }
        memcpy(first, r.value.p, n);
    }
}

static void expect_setting(struct bytes body, const char *value)
{
    struct wire_setting m;
    assert_int_equal(wire_setting_decode(body, &m), HSM_OK);
    assert_true(bytes_eq_str(m.name, NAME));
    assert_true(bytes_eq_str(m.type, "boolean"));
    assert_true(bytes_eq_str(m.value, value));
}

static void expect_everywhere(struct rig *r, const char *value)
{
    struct wire_list_result all;
    struct bytes item;
    assert_int_equal(RIG_CALL(r, OP_SETTING_GET, setting_ref, .name = bytes_str(NAME)), HSM_OK);
    expect_setting(bytes_of(r->answer.body, r->answer.body_n), value);
    assert_int_equal(RIG_CALL(r, OP_SETTING_LIST, empty, 0), HSM_OK);
    struct bytes body = bytes_of(r->answer.body, r->answer.body_n);
    assert_int_equal(wire_list_result_decode(body, &all), HSM_OK);
    assert_true(wire_list_next(&all.items, &item));
    expect_setting(item, value);
    assert_false(wire_list_next(&all.items, &item));
}

static void settings(void **state)
{
    struct rig *r = &rig;
    (void)state;
    expect_everywhere(r, "false");
    unsigned proposals = r->proposals;
    assert_int_equal(RIG_CALL(r, OP_SETTING_UPDATE, setting_update, .name = bytes_str(NAME),
                              .value = bytes_str("yes")),
                     HSM_E_BAD_PARAMETER);
    assert_string_equal(r->answer.detail, "Setting '" NAME "' must be 'true' or 'false'.");
    assert_int_equal(RIG_CALL(r, OP_SETTING_UPDATE, setting_update, .name = bytes_str("Other"),
                              .value = bytes_str("true")),
                     HSM_E_NOT_FOUND);
    assert_int_equal(RIG_CALL(r, OP_SETTING_GET, setting_ref, .name = bytes_str("Other")),
                     HSM_E_NOT_FOUND);
    assert_string_equal(r->answer.detail, "Requested setting not found");
    assert_int_equal(r->proposals, proposals);
    expect_everywhere(r, "false");
    assert_int_equal(RIG_CALL(r, OP_SETTING_UPDATE, setting_update, .name = bytes_str(NAME),
                              .value = bytes_str("True")),
                     HSM_OK);
    expect_setting(bytes_of(r->answer.body, r->answer.body_n), "true");
    expect_everywhere(r, "true");
    /* It is a record like all others: there after a restart. */
    rig_stop(r);
    rig_start(r, false);
    rig_serve(r);
    assert_int_equal(r->loaded_err, HSM_OK);
    expect_everywhere(r, "true");
    assert_int_equal(RIG_CALL(r, OP_SETTING_UPDATE, setting_update,
                              .name = bytes_str("allowkeymanagementoperationsthrougharm"),
                              .value = bytes_str("false")),
                     HSM_OK);
    expect_everywhere(r, "false");
}

static void bodies_of_records(void **state)
{
    uint8_t buf[64];
    bool value = false;
    (void)state;
    struct wr w = wr_of(buf, sizeof buf);
    setting_body_encode(true, &w);
    assert_int_equal(setting_body_decode(wr_view(&w), &value), HSM_OK);
    assert_true(value);
    for (size_t n = 0; n < w.n; n++)
        assert_int_not_equal(setting_body_decode(bytes_of(buf, n), &value), HSM_OK);
    buf[0] = 2;
    assert_int_not_equal(setting_body_decode(wr_view(&w), &value), HSM_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_bytes),
        cmocka_unit_test(settings),
        cmocka_unit_test(bodies_of_records),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
