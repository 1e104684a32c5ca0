#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include "base/mutate.h"
#include "model/price_book.h"

static void amounts_in_text(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
        money m;
    } good[] = {
        {"0", "0.00", 0},
        {"3.20", "3.20", 3200000},
        {"3.2", "3.20", 3200000},
        {"0.000003", "0.000003", 3},
        {"0.0300", "0.03", 30000},
        {"2304", "2304.00", 2304000000},
        {"1000000", "1000000.00", PRICE_MAX},
        {"0.1234", "0.1234", 123400},
    };
    static const char *const wrong[] = {"",           ".5",      "5.",   "-1",    "+1",
                                        "1e3",        "01",      "3,20", "3.2.0", "1.000000000",
                                        "1000000.01", " 1",      "1 ",   "$3",    "12345678",
                                        "0x10",       "\xd9\xa3"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        char text[MONEY_TEXT_MAX];
        money m = -1;
        assert_int_equal(money_parse(bytes_str(good[i].in), &m), HSM_OK);
        assert_int_equal(m, good[i].m);
        money_format(m, text);
        assert_string_equal(text, good[i].out);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        money m = -1;
        assert_int_equal(money_parse(bytes_str(wrong[i]), &m), HSM_E_BAD_PARAMETER);
        assert_int_equal(m, -1);
    }
}

static void products_and_sums(void **state)
{
    (void)state;
    char text[MONEY_TEXT_MAX];
    assert_int_equal(money_times(3200000, 720, 1), 2304000000);
    assert_int_equal(money_times(30000, 10000, 10000), 30000);
    assert_int_equal(money_times(30000, 1, 10000), 3);
    assert_int_equal(money_times(1, 1, 3), 0);
    assert_int_equal(money_times(1, 2, 3), 1);
    assert_int_equal(money_times(1, 1, 2), 1);
    assert_int_equal(money_times(3, 7, 5), 4);
    assert_int_equal(money_times(PRICE_MAX, 2678400, 2678400), PRICE_MAX);
    assert_int_equal(money_times(PRICE_MAX, UINT64_MAX, 1), MONEY_MAX);
    assert_int_equal(money_times(PRICE_MAX, 9223372, 1), 9223372 * PRICE_MAX);
    assert_int_equal(money_times(PRICE_MAX, 9223373, 1), MONEY_MAX);
    assert_int_equal(money_sum(MONEY_MAX, 1), MONEY_MAX);
    money_format(MONEY_MAX, text);
    assert_string_equal(text, "9223372036854.775807");
}

static struct json_tok toks[PRICE_BOOK_TOKENS];

static void the_built_in_book(void **state)
{
    (void)state;
    struct price_book b;
    money m = 0;
    price_book_default(&b);
    assert_int_equal(b.hour, 3200000);
    assert_int_equal(money_times(b.hour, b.month_hours, 1), (money)2304 * MONEY_UNIT);
    assert_int_equal(b.minimum_hours, 24);
    assert_false(b.fees_charged);
    assert_int_equal(b.operations, 30000);
    assert_int_equal(b.per, 10000);
    assert_true(price_book_key(&b, bytes_str("RSA-2048"), &m));
    assert_int_equal(m, 1000000);
    static const char *const five[] = {"RSA-3072", "RSA-4096", "EC-P-256", "EC-P-521"};
    for (size_t i = 0; i < 4; i++) {
        assert_true(price_book_key(&b, bytes_str(five[i]), &m));
        assert_int_equal(m, 5000000);
    }
    assert_false(price_book_key(&b, bytes_str("oct-256"), &m));
    assert_false(price_book_key(&b, bytes_str("RSA"), &m));
    assert_true(b.note_n >= 3);
}

#define HEAD  "{\"name\":\"n\",\"currency\":\"EUR\",\"fees\":\"charged\","
#define POOL  "\"pool\":{\"hour\":\"1\",\"minimumHours\":0,\"monthHours\":730}"
#define SMALL HEAD POOL "}"

static void books_taken(void **state)
{
    (void)state;
    struct price_book b;
    const char *why = NULL;
    assert_int_equal(price_book_parse(bytes_str(SMALL), toks, &b, &why), HSM_OK);
    assert_string_equal(b.currency, "EUR");
    assert_true(b.fees_charged);
    assert_int_equal(b.key_n, 0);
    assert_int_equal(b.per, 0);
    const char *more = HEAD POOL ",\"keys\":[{\"type\":\"*\",\"month\":\"0.5\"}],\"notes\":[\"a\"],"
                                 "\"operations\":{\"price\":\"1\",\"per\":1}}";
    money m = 0;
    assert_int_equal(price_book_parse(bytes_str(more), toks, &b, &why), HSM_OK);
    assert_true(price_book_key(&b, bytes_str("oct-256"), &m));
    assert_int_equal(m, 500000);
    assert_int_equal(b.per, 1);
    assert_string_equal(b.note[0], "a");
}

static void books_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        "[]",
        "{}",
        "1",
        SMALL " x",
        SMALL ",",
        "{\"currency\":\"EUR\",\"fees\":\"charged\"," POOL "}",
        "{\"name\":\"n\",\"currency\":\"euro\",\"fees\":\"charged\"," POOL "}",
        "{\"name\":\"n\",\"currency\":\"eur\",\"fees\":\"charged\"," POOL "}",
        "{\"name\":\"n\",\"currency\":\"EUR\",\"fees\":\"maybe\"," POOL "}",
        "{\"name\":\"n\\u0007\",\"currency\":\"EUR\",\"fees\":\"charged\"," POOL "}",
        "{\"name\":\"n\",\"currency\":\"EUR\"," POOL "}",
        HEAD "\"pool\":{\"hour\":\"1\",\"minimumHours\":0}}",
        HEAD "\"pool\":{\"hour\":1,\"minimumHours\":0,\"monthHours\":720}}",
        HEAD "\"pool\":{\"hour\":\"-1\",\"minimumHours\":0,\"monthHours\":720}}",
        HEAD "\"pool\":{\"hour\":\"1\",\"minimumHours\":0,\"monthHours\":0}}",
        HEAD "\"pool\":{\"hour\":\"1\",\"minimumHours\":-1,\"monthHours\":720}}",
        HEAD "\"pool\":{\"hour\":\"1\",\"minimumHours\":0,\"monthHours\":720,\"year\":\"1\"}}",
        HEAD POOL ",\"discount\":\"1\"}",
        HEAD POOL ",\"keys\":{}}",
        HEAD POOL ",\"keys\":[1]}",
        HEAD POOL ",\"keys\":[{\"type\":\"R*A\",\"month\":\"1\"}]}",
        HEAD POOL ",\"keys\":[{\"type\":\"\",\"month\":\"1\"}]}",
        HEAD POOL ",\"keys\":[{\"type\":\"RSA\",\"month\":\"1\",\"year\":\"1\"}]}",
        HEAD POOL ",\"keys\":[{\"type\":\"RSA\"}]}",
        HEAD POOL ",\"operations\":{\"price\":\"1\",\"per\":0}}",
        HEAD POOL ",\"operations\":{\"price\":\"1\"}}",
        HEAD POOL ",\"notes\":\"a\"}",
        HEAD POOL ",\"notes\":[\"\"]}",
        HEAD POOL ",\"notes\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\"]}",
        HEAD POOL ",\"fees\":\"beside\"}",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct price_book b = {.hour = 7};
        const char *why = NULL;
        if (price_book_parse(bytes_str(wrong[i]), toks, &b, &why) != HSM_E_BAD_PARAMETER)
            fail_msg("taken: %s", wrong[i]);
        assert_non_null(why);
        assert_int_equal(b.hour, 7);
    }
}

static void try_book(struct bytes in, void *arg)
{
    struct price_book b;
    const char *why = NULL;
    (void)arg;
    hsm_err err = price_book_parse(in, toks, &b, &why);
    assert_true(err == HSM_OK || (err == HSM_E_BAD_PARAMETER && why != NULL));
    if (in.n + 1 < strlen(price_book_default_json))
        assert_int_equal(err, HSM_E_BAD_PARAMETER);
}

/* The built-in book with each bit changed, and cut at each byte: it is refused or whole. */
static void damaged_books(void **state)
{
    (void)state;
    mutate_each(bytes_str(price_book_default_json), try_book, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(amounts_in_text),   cmocka_unit_test(products_and_sums),
        cmocka_unit_test(the_built_in_book), cmocka_unit_test(books_taken),
        cmocka_unit_test(books_refused),     cmocka_unit_test(damaged_books),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
