#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>
#include "store/peer_frame.h"

static void frame_round_trip(void **state)
{
    (void)state;
    uint8_t buf[PEER_FRAME_HEAD + 5];
    struct peer_frame f;
    size_t total;
    peer_frame_head(buf, 0x1234, 0x0102030405060708, 5);
    memcpy(buf + PEER_FRAME_HEAD, "hello", 5);
    for (size_t n = 0; n < sizeof buf; n++) {
        assert_int_equal(peer_frame_parse(bytes_of(buf, n), &f, &total), HSM_E_AGAIN);
        assert_int_equal(total, n < PEER_FRAME_HEAD ? PEER_FRAME_HEAD : sizeof buf);
    }
    assert_int_equal(peer_frame_parse(bytes_of(buf, sizeof buf), &f, &total), HSM_OK);
    assert_int_equal(total, sizeof buf);
    assert_int_equal(f.type, 0x1234);
    assert_true(f.seq == 0x0102030405060708);
    assert_true(bytes_eq_str(f.payload, "hello"));
}

static hsm_err judge(uint32_t length, uint16_t type, uint64_t seq)
{
    uint8_t buf[PEER_FRAME_HEAD + 8] = {0};
    struct peer_frame f;
    size_t total;
    peer_frame_head(buf, type, seq, 0);
    be32_put(buf, length);
    return peer_frame_parse(bytes_of(buf, sizeof buf), &f, &total);
}

static void bad_heads_are_refused_at_once(void **state)
{
    (void)state;
    assert_int_equal(judge(10, 1, 7), HSM_OK);
    assert_int_equal(judge(9, 1, 7), HSM_E_MALFORMED);
    assert_int_equal(judge(0, 1, 7), HSM_E_MALFORMED);
    assert_int_equal(judge(10 + PEER_PAYLOAD_MAX, 1, 7), HSM_E_AGAIN);
    assert_int_equal(judge(11 + PEER_PAYLOAD_MAX, 1, 7), HSM_E_MALFORMED);
    assert_int_equal(judge(UINT32_MAX, 1, 7), HSM_E_MALFORMED);
    assert_int_equal(judge(10, PEER_PING, 0), HSM_OK);
    assert_int_equal(judge(10, PEER_PING, 1), HSM_E_MALFORMED);
    assert_int_equal(judge(11, PEER_PING, 0), HSM_E_MALFORMED);
    assert_int_equal(judge(10, 0xff00, 0), HSM_E_MALFORMED);
    assert_int_equal(judge(10, PEER_PING + 1, 0), HSM_E_MALFORMED);
    assert_int_equal(judge(10, PEER_TYPE_MAX, 0), HSM_OK);
    assert_int_equal(judge(11 + PEER_HELLO_MAX, PEER_HELLO_RAFT, 0), HSM_E_MALFORMED);
}

static hsm_err hello(uint16_t type, const char *payload, size_t n, char *address)
{
    struct peer_frame f = {.type = type, .payload = bytes_of(payload, n)};
    return peer_hello_parse(&f, address);
}

static void hellos(void **state)
{
    (void)state;
    char address[PEER_ADDRESS_CAP];
    uint8_t buf[PEER_HELLO_MAX];
    char longest[2 * PEER_ADDRESS_CAP];
    assert_int_equal(hello(PEER_HELLO_LINK, "\1", 1, address), HSM_OK);
    assert_string_equal(address, "");
    assert_int_equal(hello(PEER_HELLO_RAFT, "\1h:1", 4, address), HSM_OK);
    assert_string_equal(address, "h:1");
    assert_int_equal(hello(PEER_HELLO_LINK, "", 0, address), HSM_E_MALFORMED);
    assert_int_equal(hello(PEER_HELLO_LINK, "\2", 1, address), HSM_E_MALFORMED);
    assert_int_equal(hello(PEER_HELLO_LINK, "\1h:1", 4, address), HSM_E_MALFORMED);
    assert_int_equal(hello(PEER_HELLO_RAFT, "\1", 1, address), HSM_E_MALFORMED);
    assert_int_equal(hello(PEER_HELLO_RAFT, "\1h\0001", 4, address), HSM_E_MALFORMED);
    assert_int_equal(hello(PEER_HELLO_RAFT, "\1h 1", 4, address), HSM_E_MALFORMED);
    assert_int_equal(hello(PEER_PING, "\1", 1, address), HSM_E_MALFORMED);
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    size_t n = peer_hello_make(buf, longest);
    assert_int_equal(n, PEER_ADDRESS_CAP);
    assert_int_equal(hello(PEER_HELLO_RAFT, (const char *)buf, n, address), HSM_OK);
    assert_int_equal(strlen(address), PEER_ADDRESS_CAP - 1);
}

static void names(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "keyhold:",
        "keyhold:pool",
        "keyhold:pool:",
        "keyhold::1",
        "keyhold:pool:01",
        "keyhold:pool:-1",
        "keyhold:pool:+1",
        "keyhold:pool: 1",
        "keyhold:pool:1 ",
        "keyhold:pool:1:2",
        "keyhold:po_ol:1",
        "keyhold:pool:1234567890",
        "keyhold:abcdefghijklmnopqrstuvwxy:1",
        "Keyhold:pool:1",
        "https:pool:1",
    };
    struct bytes pool;
    uint64_t id;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(peer_name_parse(bytes_str(bad[i]), &pool, &id), HSM_E_MALFORMED);
    assert_int_equal(peer_name_parse(bytes_of("keyhold:pool:1\0", 15), &pool, &id),
                     HSM_E_MALFORMED);
    assert_int_equal(peer_name_parse(bytes_str("keyhold:My-pool1:0"), &pool, &id), HSM_OK);
    assert_true(bytes_eq_str(pool, "My-pool1"));
    assert_true(id == 1);
    assert_int_equal(peer_name_parse(bytes_str("keyhold:p:999999999"), &pool, &id), HSM_OK);
    assert_true(id == 1000000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frame_round_trip),
        cmocka_unit_test(bad_heads_are_refused_at_once),
        cmocka_unit_test(hellos),
        cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
