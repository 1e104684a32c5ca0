#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include "boundary/keymat_impl.h"

/* Where the cache gets its keys from: oct keys whose bytes are the version id twice. */
struct source {
    struct uuid version;
    atomic_uint *opened;
    hsm_err fail;
    unsigned fail_times;
    struct keycache *drop_in; /* drop the version while it is being opened */
};

static hsm_err open_source(void *ctx, struct secret_buf *ret_private)
{
    struct source *s = (struct source *)ctx;
    if (s->opened != NULL)
        atomic_fetch_add(s->opened, 1);
    if (s->fail_times > 0) {
        s->fail_times--;
        return s->fail;
    }
    if (s->drop_in != NULL)
        keycache_drop(s->drop_in, &s->version);
    TRY(secret_buf_new(ret_private, 9 + 4 + 32));
    struct wr w = wr_of(ret_private->p, ret_private->n);
    keymat_head_put(&w, KTY_OCT, CRV_NONE, 256);
    wr_u32(&w, 32);
    wr_bytes(&w, s->version.b, 16);
    wr_bytes(&w, s->version.b, 16);
    return wr_ok(&w);
}

static struct uuid version_of(unsigned i)
{
    struct uuid v = {{(uint8_t)(i >> 8), (uint8_t)i, 7}};
    v.b[15] = (uint8_t)(i * 31);
    return v;
}

static size_t one_cost(void)
{
    struct keymat probe = {.kty = KTY_OCT, .bits = 256};
    return keymat_cost(&probe) + 128;
}

static hsm_err get(struct keycache *c, unsigned i, atomic_uint *opened, struct keymat **ret)
{
    struct source s = {.version = version_of(i), .opened = opened};
    return keycache_get(c, &s.version, open_source, &s, ret);
}

static void touch(struct keycache *c, unsigned i, atomic_uint *opened)
{
    struct keymat *k = NULL;
    struct uuid v = version_of(i);
    assert_int_equal(get(c, i, opened, &k), HSM_OK);
    assert_memory_equal(k->oct, v.b, 16);
    assert_memory_equal(k->oct + 16, v.b, 16);
    keymat_unref(k);
}

static void second_use_is_a_hit(void **state)
{
    struct keycache *c = NULL;
    struct keymat *a = NULL;
    struct keymat *b = NULL;
    atomic_uint opened = 0;
    (void)state;
    assert_int_equal(keycache_new(1 << 20, &c), HSM_OK);
    assert_int_equal(get(c, 1, &opened, &a), HSM_OK);
    assert_int_equal(get(c, 1, &opened, &b), HSM_OK);
    assert_ptr_equal(a, b);
    assert_int_equal(opened, 1);
    /* The key outlives the cache as long as somebody uses it. */
    keycache_free(c);
    assert_int_equal(atomic_load(&a->refs), 2);
    keymat_unref(a);
    keymat_unref(b);
    keycache_free(NULL);
}

static void least_recently_used_goes_first(void **state)
{
    struct keycache *c = NULL;
    atomic_uint opened = 0;
    (void)state;
    assert_int_equal(keycache_new(4 * one_cost(), &c), HSM_OK);
    for (unsigned i = 0; i < 4; i++)
        touch(c, i, &opened);
    touch(c, 0, &opened);
    assert_int_equal(opened, 4);
    touch(c, 4, &opened); /* takes the place of 1 */
    assert_int_equal(opened, 5);
    touch(c, 0, &opened);
    touch(c, 2, &opened);
    touch(c, 3, &opened);
    touch(c, 4, &opened);
    assert_int_equal(opened, 5);
    touch(c, 1, &opened);
    assert_int_equal(opened, 6);
    keycache_free(c);
}

static void a_key_larger_than_the_limit_is_served(void **state)
{
    struct keycache *c = NULL;
    atomic_uint opened = 0;
    (void)state;
    assert_int_equal(keycache_new(1, &c), HSM_OK);
    touch(c, 1, &opened);
    touch(c, 2, &opened);
    touch(c, 1, &opened);
    assert_int_equal(opened, 3);
    keycache_free(c);
}

static void collisions_in_a_bucket(void **state)
{
    struct keycache *c = NULL;
    atomic_uint opened = 0;
    (void)state;
    assert_int_equal(keycache_new(1 << 20, &c), HSM_OK);
    for (unsigned i = 0; i < 8; i++)
        touch(c, i * 1024 + 5, &opened);
    for (unsigned i = 8; i-- > 0;)
        touch(c, i * 1024 + 5, &opened);
    assert_int_equal(opened, 8);
    struct uuid v = version_of(3 * 1024 + 5);
    keycache_drop(c, &v);
    for (unsigned i = 0; i < 8; i++)
        touch(c, i * 1024 + 5, &opened);
    assert_int_equal(opened, 9);
    keycache_free(c);
}

static void dropped_keys_are_opened_again(void **state)
{
    struct keycache *c = NULL;
    struct keymat *k = NULL;
    atomic_uint opened = 0;
    struct uuid v = version_of(1);
    (void)state;
    assert_int_equal(keycache_new(1 << 20, &c), HSM_OK);
    keycache_drop(c, &v);
    touch(c, 1, &opened);
    keycache_drop(c, &v);
    touch(c, 1, &opened);
    assert_int_equal(opened, 2);

    struct source s = {.version = version_of(2), .opened = &opened, .drop_in = c};
    assert_int_equal(keycache_get(c, &s.version, open_source, &s, &k), HSM_OK);
    keymat_unref(k);
    touch(c, 2, &opened); /* was not kept: it went while it was opened */
    assert_int_equal(opened, 4);
    touch(c, 2, &opened);
    assert_int_equal(opened, 4);
    keycache_free(c);
}

static void failures_are_passed_on_and_not_kept(void **state)
{
    struct keycache *c = NULL;
    struct keymat *k = NULL;
    struct source s = {.version = version_of(1), .fail = HSM_E_CORRUPT, .fail_times = 1};
    (void)state;
    assert_int_equal(keycache_new(1 << 20, &c), HSM_OK);
    assert_int_equal(keycache_get(c, &s.version, open_source, &s, &k), HSM_E_CORRUPT);
    assert_null(k);
    assert_int_equal(keycache_get(c, &s.version, open_source, &s, &k), HSM_OK);
    keymat_unref(k);
    keycache_free(c);
}

static void short_memory_makes_room(void **state)
{
    struct keycache *c = NULL;
    struct keymat *k = NULL;
    atomic_uint opened = 0;
    (void)state;
    assert_int_equal(keycache_new(1 << 20, &c), HSM_OK);
    for (unsigned i = 0; i < 10; i++)
        touch(c, i, &opened);
    struct source s = {.version = version_of(99), .fail = HSM_E_NOMEM, .fail_times = 2};
    assert_int_equal(keycache_get(c, &s.version, open_source, &s, &k), HSM_OK);
    keymat_unref(k);
    touch(c, 9, &opened);
    assert_int_equal(opened, 10);
    touch(c, 0, &opened);
    assert_int_equal(opened, 11); /* had to go */

    /* With nothing left to give up it is an error, not an endless loop. */
    s = (struct source){.version = version_of(98), .fail = HSM_E_NOMEM, .fail_times = 1000};
    assert_int_equal(keycache_get(c, &s.version, open_source, &s, &k), HSM_E_NOMEM);
    touch(c, 9, &opened);
    assert_int_equal(opened, 12);
    keycache_free(c);
}

static struct keycache *shared;

static void *worker(void *arg)
{
    unsigned seed = (unsigned)(uintptr_t)arg;
    uintptr_t bad = 0;
    for (unsigned i = 0; i < 4000; i++) {
        seed = seed * 1103515245u + 12345u;
        unsigned which = (seed >> 16) % 24;
        struct uuid v = version_of(which);
        if (seed % 17 == 0) {
            keycache_drop(shared, &v);
            continue;
        }
        struct keymat *k = NULL;
        bad += get(shared, which, NULL, &k) != HSM_OK || memcmp(k->oct, v.b, 16) != 0;
        keymat_unref(k);
    }
    return (void *)bad;
}

static void threads(void **state)
{
    pthread_t t[4];
    (void)state;
    assert_int_equal(keycache_new(12 * one_cost(), &shared), HSM_OK);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&t[i], NULL, worker, (void *)(uintptr_t)(i + 1)), 0);
    for (unsigned i = 0; i < 4; i++) {
        void *bad = &t;
        pthread_join(t[i], &bad);
        assert_null(bad);
    }
    keycache_free(shared);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(second_use_is_a_hit),
        cmocka_unit_test(least_recently_used_goes_first),
        cmocka_unit_test(a_key_larger_than_the_limit_is_served),
        cmocka_unit_test(collisions_in_a_bucket),
        cmocka_unit_test(dropped_keys_are_opened_again),
        cmocka_unit_test(failures_are_passed_on_and_not_kept),
        cmocka_unit_test(short_memory_makes_room),
        cmocka_unit_test(threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
