#include "base/uuid.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/mutate.h"

#define SAMPLE "00112233-4455-6677-8899-aabbccddeeff"

static void bad_texts(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "00112233-4455-6677-8899-aabbccddeef",
        "00112233-4455-6677-8899-aabbccddeefff",
        "0011223344556677-8899-aabbccddeeff--",
        "00112233-4455-6677-8899-aabbccddeefg",
        "{0112233-4455-6677-8899-aabbccddeef}",
        "001122334-455-6677-8899-aabbccddeeff",
        " 0112233-4455-6677-8899-aabbccddeeff",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct uuid u = {{7}};
        assert_int_equal(uuid_parse(bytes_str(bad[i]), &u), HSM_E_MALFORMED);
        assert_int_equal(u.b[0], 7);
    }
    uint8_t out[2];
    assert_int_equal(hex_decode(out, 2, bytes_str("123")), HSM_E_MALFORMED);
    assert_int_equal(hex_decode(out, 2, bytes_str("12345")), HSM_E_MALFORMED);
    assert_int_equal(hex_decode(out, 2, bytes_str("12 4")), HSM_E_MALFORMED);
}

/* Every byte at every place, in whole words and behind them. */
static void hex_of_every_byte(void **state)
{
    (void)state;
    static const char digits[] = "0123456789abcdef";
    for (unsigned v = 0; v < 256; v++) {
        for (size_t at = 0; at < 7; at++) {
            uint8_t raw[7] = {0x0f, 0xa9, 0x9a, 0xff, 0x00, 0x5c, 0x90};
            uint8_t back[7];
            char text[15];
            raw[at] = (uint8_t)v;
            hex_encode(text, raw, sizeof raw);
            for (size_t i = 0; i < sizeof raw; i++) {
                assert_int_equal(text[2 * i], digits[raw[i] >> 4]);
                assert_int_equal(text[2 * i + 1], digits[raw[i] & 15]);
            }
            assert_int_equal(text[14], 0);
            assert_int_equal(hex_decode(back, sizeof back, bytes_str(text)), HSM_OK);
            assert_memory_equal(back, raw, sizeof raw);
        }
        for (size_t at = 0; at < 14; at++) {
            uint8_t text[14];
            uint8_t back[7];
            uint8_t want = 0;
            memset(text, '5', sizeof text);
            memset(back, 0xee, sizeof back);
            text[at] = (uint8_t)v;
            bool good = (v >= '0' && v <= '9') || (v >= 'a' && v <= 'f') || (v >= 'A' && v <= 'F');
            hsm_err err = hex_decode(back, sizeof back, bytes_of(text, sizeof text));
            assert_int_equal(err, good ? HSM_OK : HSM_E_MALFORMED);
            if (good)
                want = (uint8_t)(v <= '9' ? v - '0' : (v | 0x20) - 'a' + 10);
            uint8_t byte = (uint8_t)(at % 2 == 0 ? want << 4 | 5 : 0x50 | want);
            for (size_t i = 0; i < sizeof back; i++)
                assert_int_equal(back[i], !good ? 0xee : i == at / 2 ? byte : 0x55);
        }
    }
}

static void one_mutant(struct bytes text, void *arg)
{
    (void)arg;
    struct uuid u;
    char again[UUID_TEXT_LEN + 1];
    if (uuid_parse(text, &u) != HSM_OK)
        return;
    uuid_format(&u, again);
    assert_true(bytes_ieq(text, bytes_str(again)));
}

static void text_round_trip(void **state)
{
    (void)state;
    struct uuid u;
    char text[UUID_TEXT_LEN + 1];
    assert_int_equal(uuid_parse(bytes_str("00112233-4455-6677-8899-AABBCCDDEEFF"), &u), HSM_OK);
    for (unsigned i = 0; i < 16; i++)
        assert_int_equal(u.b[i], i * 0x11);
    uuid_format(&u, text);
    assert_string_equal(text, SAMPLE);
    mutate_each(bytes_str(SAMPLE), one_mutant, NULL);
}

static void versions(void **state)
{
    (void)state;
    struct uuid a;
    struct uuid b;
    uuid_new_v4(&a);
    uuid_new_v4(&b);
    assert_int_equal(a.b[6] >> 4, 4);
    assert_int_equal(a.b[8] >> 6, 2);
    assert_memory_not_equal(a.b, b.b, 16);
    uuid_new_v1(&a);
    uuid_new_v1(&b);
    assert_int_equal(a.b[6] >> 4, 1);
    assert_int_equal(a.b[8] >> 6, 2);
    assert_int_equal(a.b[10] & 1, 1);
    assert_memory_equal(a.b + 8, b.b + 8, 8);
    assert_memory_not_equal(a.b, b.b, 8);
}

#define PER_THREAD 2000
#define THREADS    4
static struct uuid made[THREADS][PER_THREAD];

static void *make_many(void *arg)
{
    struct uuid *row = (struct uuid *)arg;
    for (size_t i = 0; i < PER_THREAD; i++)
        uuid_new_v1(&row[i]);
    return NULL;
}

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct uuid));
}

static void v1_is_unique_across_threads(void **state)
{
    (void)state;
    pthread_t t[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&t[i], NULL, make_many, made[i]), 0);
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(t[i], NULL), 0);
    struct uuid *all = &made[0][0];
    qsort(all, (size_t)THREADS * PER_THREAD, sizeof *all, compare);
    for (size_t i = 1; i < (size_t)THREADS * PER_THREAD; i++)
        assert_memory_not_equal(all[i - 1].b, all[i].b, 16);
}

static void times(void **state)
{
    (void)state;
    static const struct {
        uint64_t ms;
        const char *text;
    } rows[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {951782399999, "2000-02-28T23:59:59.999Z"},
        {951782400000, "2000-02-29T00:00:00.000Z"},
        {951868800000, "2000-03-01T00:00:00.000Z"},
        {1598903559763, "2020-08-31T19:52:39.763Z"},
        {4107542400000, "2100-03-01T00:00:00.000Z"},
        {253402300799999, "9999-12-31T23:59:59.999Z"},
        {UINT64_MAX, "9999-12-31T23:59:59.999Z"},
    };
    char text[25];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        clock_format_ms(rows[i].ms, text, sizeof text);
        assert_string_equal(text, rows[i].text);
    }
    uint64_t before = clock_mono_us();
    assert_true(clock_mono_us() >= before);
    assert_true(clock_now_ms() > 1700000000000u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_texts),
        cmocka_unit_test(hex_of_every_byte),
        cmocka_unit_test(text_round_trip),
        cmocka_unit_test(versions),
        cmocka_unit_test(v1_is_unique_across_threads),
        cmocka_unit_test(times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
