#include "net/door_message.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static char id[DOOR_ENDPOINT_MAX + 1];

static void both_ways(void **state)
{
    (void)state;
    uint8_t m[DOOR_MESSAGE_MAX];
    char longest[DOOR_ENDPOINT_MAX + 1];
    memset(longest, 'x', DOOR_ENDPOINT_MAX);
    longest[DOOR_ENDPOINT_MAX] = '\0';
    const char *const ids[] = {"", "a", "5c1b9e2e-0000-4000-8000-000000000001", longest};
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        size_t n = door_message_write(ids[i], m);
        assert_int_equal(m[0], i == 0 ? DOOR_PUBLIC : DOOR_PRIVATE);
        assert_int_equal(door_message_parse(bytes_of(m, n), id), HSM_OK);
        assert_string_equal(id, ids[i]);
    }
    assert_int_equal(door_message_write(NULL, m), 1);
}

/* What is not understood never becomes the public way. */
static void refused(void **state)
{
    (void)state;
    uint8_t longer[DOOR_MESSAGE_MAX + 1];
    memset(longer, 'x', sizeof longer);
    longer[0] = DOOR_PRIVATE;
    const struct bytes bad[] = {
        bytes_of("", 0),    bytes_of("\1", 1),      bytes_of("\2", 1),    bytes_of("\0a", 2),
        bytes_of("\1 ", 2), bytes_of("\1a b", 4),   bytes_of("\1a\0", 3), bytes_of("\1\x7f", 2),
        bytes_of("\2a", 2), bytes_of("\1a\xc3", 3), bytes_of("\377a", 2), bytes_of(longer, 202),
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(door_message_parse(bad[i], id), HSM_E_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(both_ways), cmocka_unit_test(refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
