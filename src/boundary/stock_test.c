#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/clock.h"
#include "boundary/keymat_impl.h"
#include "boundary/stock.h"

#define SOON (STOCK_DELAY_US + 1)

static const struct keymat_spec rsa2048 = {.kty = KTY_RSA, .bits = 2048, .public_exponent = 65537};

/* Costs nothing, and each is another one. */
static hsm_err make_number(const struct keymat_spec *spec, atomic_bool *stop,
                           struct secret_buf *ret_private, struct keymat_public *ret_public)
{
    static atomic_uint count;
    uint32_t number = atomic_fetch_add(&count, 1);
    if (atomic_load(stop))
        return HSM_E_UNAVAILABLE;
    TRY(secret_buf_new(ret_private, spec->bits / 2));
    *ret_public = (struct keymat_public){.n_len = sizeof number};
    memcpy(ret_private->p, &number, sizeof number);
    memcpy(ret_public->n, &number, sizeof number);
    return HSM_OK;
}

static struct stock *stock_by(stock_make_fn make, unsigned n2048, unsigned n3072, unsigned n4096)
{
    const unsigned want[STOCK__SIZES] = {n2048, n3072, n4096};
    struct stock *s = NULL;
    assert_int_equal(stock_new(want, make, &s), HSM_OK);
    return s;
}

static struct stock *stock_of(unsigned n2048, unsigned n3072, unsigned n4096)
{
    return stock_by(make_number, n2048, n3072, n4096);
}

static void expect_count(const struct stock *s, uint32_t n2048, uint32_t n3072, uint32_t n4096)
{
    uint32_t n[STOCK__SIZES];
    stock_count(s, n);
    assert_int_equal(n[STOCK_2048], n2048);
    assert_int_equal(n[STOCK_3072], n3072);
    assert_int_equal(n[STOCK_4096], n4096);
}

static void a_prepared_key_is_a_key(void **state)
{
    struct stock *s = stock_by(keymat_generate_until, 1, 1, 0);
    (void)state;
    assert_true(stock_make_one(s));
    assert_true(stock_make_one(s));
    assert_false(stock_make_one(s)); /* full */
    expect_count(s, 1, 1, 0);
    for (uint32_t bits = 2048; bits <= 3072; bits += 1024) {
        const struct keymat_spec spec = {.kty = KTY_RSA, .bits = bits, .public_exponent = 65537};
        DEFER(secret_buf_done) struct secret_buf private_part = {0};
        struct keymat_public pub;
        struct keymat_parts parts;
        assert_true(stock_take(s, &spec, &private_part, &pub));
        struct bytes b = bytes_of(private_part.p, private_part.n);
        assert_int_equal(keymat_parts_decode(b, &parts), HSM_OK);
        assert_int_equal(parts.bits, bits);
        assert_int_equal(pub.n_len, bits / 8);
        assert_memory_equal(parts.rsa[RSA_N].p, pub.n, pub.n_len);
        assert_int_equal(pub.e_len, 3);
        assert_memory_equal(pub.e, "\1\0\1", 3);
    }
    expect_count(s, 0, 0, 0);
    stock_free(s);
    stock_free(NULL);
}

static void only_what_was_asked_for(void **state)
{
    struct stock *s = stock_of(1, 0, 0);
    (void)state;
    assert_true(stock_make_one(s));
    const struct keymat_spec others[] = {
        {.kty = KTY_RSA, .bits = 2048, .public_exponent = 3},
        {.kty = KTY_RSA, .bits = 3072, .public_exponent = 65537},
        {.kty = KTY_RSA, .bits = 1024, .public_exponent = 65537},
        {.kty = KTY_EC, .crv = CRV_P256, .bits = 256},
        {.kty = KTY_OCT, .bits = 256},
    };
    struct secret_buf private_part = {0};
    struct keymat_public pub;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        assert_false(stock_take(s, &others[i], &private_part, &pub));
    assert_null(private_part.p);
    expect_count(s, 1, 0, 0);
    assert_true(stock_take(s, &rsa2048, &private_part, &pub));
    secret_buf_done(&private_part);
    assert_false(stock_take(s, &rsa2048, &private_part, &pub));
    stock_free(s);
}

/* Without the stock's own thread: when it would be told to work. */
static void sizes_fill_evenly(void **state)
{
    struct stock *s = stock_of(4, 2, 0);
    (void)state;
    const uint32_t steps[][2] = {{1, 0}, {1, 1}, {2, 1}, {3, 1}, {3, 2}, {4, 2}};
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        assert_true(stock_make_one(s));
        expect_count(s, steps[i][0], steps[i][1], 0);
    }
    assert_false(stock_make_one(s));
    stock_free(s);
}

static void closing_wipes_and_stays(void **state)
{
    struct stock *s = stock_of(2, 0, 0);
    struct secret_buf private_part = {0};
    struct keymat_public pub;
    (void)state;
    size_t before = secret_used();
    assert_true(stock_make_one(s));
    assert_true(stock_make_one(s));
    assert_true(secret_used() >= before + 2 * 1024);
    stock_close(s);
    expect_count(s, 0, 0, 0);
    assert_false(stock_take(s, &rsa2048, &private_part, &pub));
    assert_int_equal(secret_used(), before);
    assert_false(stock_make_one(s)); /* nor is one kept that was under way */
    expect_count(s, 0, 0, 0);
    assert_int_equal(secret_used(), before);
    stock_run(s); /* returns */
    stock_free(s);
}

static void shedding(void **state)
{
    struct stock *s = stock_of(2, 0, 0);
    (void)state;
    assert_false(stock_shed(s));
    assert_true(stock_make_one(s));
    assert_true(stock_shed(s));
    expect_count(s, 0, 0, 0);
    assert_false(stock_shed(s));
    stock_free(s);
}

/* Opened keys stay while there are prepared ones to give up. */
static bool spare(void *ctx)
{
    return stock_shed((struct stock *)ctx);
}
static hsm_err short_of_memory(void *ctx, struct secret_buf *ret_private)
{
    unsigned *calls = (unsigned *)ctx;
    if ((*calls)++ == 0)
        return HSM_E_NOMEM;
    struct keymat_public pub;
    const struct keymat_spec spec = {.kty = KTY_OCT, .bits = 256};
    return keymat_generate(&spec, ret_private, &pub);
}
static void prepared_keys_go_first(void **state)
{
    struct stock *s = stock_of(1, 0, 0);
    struct keycache *c = NULL;
    struct keymat *a = NULL;
    struct keymat *b = NULL;
    struct keymat *again = NULL;
    unsigned calls = 1;
    (void)state;
    const struct uuid va = {{1}}, vb = {{2}}, vc = {{3}};
    assert_int_equal(keycache_new(1 << 20, &c), HSM_OK);
    keycache_set_spare(c, spare, s);
    assert_int_equal(keycache_get(c, &va, short_of_memory, &calls, &a), HSM_OK);
    assert_true(stock_make_one(s));
    calls = 0;
    assert_int_equal(keycache_get(c, &vb, short_of_memory, &calls, &b), HSM_OK);
    expect_count(s, 0, 0, 0);
    calls = 1;
    assert_int_equal(keycache_get(c, &va, short_of_memory, &calls, &again), HSM_OK);
    assert_ptr_equal(again, a); /* still open */
    keymat_unref(again);
    calls = 0;
    assert_int_equal(keycache_get(c, &vc, short_of_memory, &calls, &again), HSM_OK);
    keymat_unref(again);
    calls = 1; /* now it had to go */
    assert_int_equal(keycache_get(c, &vb, short_of_memory, &calls, &again), HSM_OK);
    assert_ptr_not_equal(again, b);
    keymat_unref(again);
    keymat_unref(a);
    keymat_unref(b);
    keycache_free(c);
    stock_free(s);
}

/* ---- with threads ---- */

static void *run(void *stock)
{
    stock_run((struct stock *)stock);
    return NULL;
}

static bool is_full(struct stock *s, uint32_t n)
{
    uint32_t have[STOCK__SIZES];
    stock_count(s, have);
    return have[STOCK_2048] == n;
}

static void tick_until_full(struct stock *s, uint32_t n, uint64_t now)
{
    uint64_t end = clock_mono_us() + 60000000u;
    while (!is_full(s, n) && clock_mono_us() < end) {
        stock_tick(s, true, now);
        (void)usleep(1000);
    }
    assert_true(is_full(s, n));
}

static void when_keys_are_made(void **state)
{
    struct stock *s = stock_of(1, 0, 0);
    pthread_t t;
    (void)state;
    uint64_t now = clock_mono_us();
    assert_int_equal(pthread_create(&t, NULL, run, s), 0);
    /* Not before it may, nor right after. */
    stock_tick(s, false, now);
    stock_tick(s, true, now);
    stock_tick(s, true, now + STOCK_DELAY_US - 1);
    (void)usleep(2000);
    expect_count(s, 0, 0, 0);
    /* Interrupted: it begins anew. */
    stock_tick(s, false, now + STOCK_DELAY_US);
    stock_tick(s, true, now + STOCK_DELAY_US);
    stock_tick(s, true, now + STOCK_DELAY_US + 1);
    expect_count(s, 0, 0, 0);
    now += STOCK_DELAY_US + SOON;
    tick_until_full(s, 1, now);
    /* Shed: a minute of rest. */
    assert_true(stock_shed(s));
    stock_tick(s, true, clock_mono_us() + STOCK_PAUSE_US / 2);
    (void)usleep(2000);
    expect_count(s, 0, 0, 0);
    tick_until_full(s, 1, clock_mono_us() + STOCK_PAUSE_US + 1);
    stock_close(s);
    assert_int_equal(pthread_join(t, NULL), 0);
    stock_free(s);
}

/* Four threads take what a fifth makes: each key goes to one of them. */
#define TAKERS 4u
#define TAKEN  4000u
static struct taken {
    struct stock *s;
    atomic_uint n;
    uint32_t number[TAKEN];
} taken;

static void *take(void *arg)
{
    struct secret_buf private_part = {0};
    struct keymat_public pub;
    (void)arg;
    while (atomic_load(&taken.n) < TAKEN) {
        if (!stock_take(taken.s, &rsa2048, &private_part, &pub)) {
            (void)sched_yield();
            continue;
        }
        assert_memory_equal(private_part.p, pub.n, pub.n_len);
        unsigned i = atomic_fetch_add(&taken.n, 1);
        if (i < TAKEN)
            memcpy(&taken.number[i], pub.n, sizeof taken.number[i]);
        secret_buf_done(&private_part);
    }
    return NULL;
}

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void each_key_goes_to_one_caller(void **state)
{
    pthread_t maker, taker[TAKERS];
    (void)state;
    taken.s = stock_of(8, 0, 0);
    uint64_t now = clock_mono_us();
    assert_int_equal(pthread_create(&maker, NULL, run, taken.s), 0);
    stock_tick(taken.s, true, now);
    tick_until_full(taken.s, 8, now + SOON);
    for (unsigned i = 0; i < TAKERS; i++)
        assert_int_equal(pthread_create(&taker[i], NULL, take, NULL), 0);
    while (atomic_load(&taken.n) < TAKEN) {
        stock_tick(taken.s, true, now + SOON);
        (void)sched_yield();
    }
    for (unsigned i = 0; i < TAKERS; i++)
        assert_int_equal(pthread_join(taker[i], NULL), 0);
    stock_close(taken.s);
    assert_int_equal(pthread_join(maker, NULL), 0);
    qsort(taken.number, TAKEN, sizeof taken.number[0], by_number);
    for (unsigned i = 1; i < TAKEN; i++)
        assert_true(taken.number[i - 1] < taken.number[i]);
    stock_free(taken.s);
}

/* At the end nobody waits for the primes of a large key. */
static void closing_gives_up_the_key_under_way(void **state)
{
    struct stock *s = stock_by(keymat_generate_until, 0, 0, 64);
    pthread_t t;
    (void)state;
    uint64_t now = clock_mono_us();
    assert_int_equal(pthread_create(&t, NULL, run, s), 0);
    stock_tick(s, true, now);
    stock_tick(s, true, now + SOON);
    (void)usleep(5000);
    stock_close(s);
    assert_int_equal(pthread_join(t, NULL), 0);
    expect_count(s, 0, 0, 0);
    stock_free(s);
}

static int with_arena(void **state)
{
    (void)state;
    return secret_init(4u << 20) == HSM_OK && secret_take_over_openssl() == HSM_OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_prepared_key_is_a_key),
        cmocka_unit_test(only_what_was_asked_for),
        cmocka_unit_test(sizes_fill_evenly),
        cmocka_unit_test(closing_wipes_and_stays),
        cmocka_unit_test(shedding),
        cmocka_unit_test(prepared_keys_go_first),
        cmocka_unit_test(when_keys_are_made),
        cmocka_unit_test(each_key_goes_to_one_caller),
        cmocka_unit_test(closing_gives_up_the_key_under_way),
    };
    return cmocka_run_group_tests(tests, with_arena, NULL);
}
