#include "base/secret.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/secret_arena.h"

#define ARENA ((size_t)4 << 20)

/* From before secret_init: ordinary memory that must stay usable and freeable. */
static uint8_t *early;
static uint8_t *early_small;

static bool is_zero(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] != 0)
            return false;
    return true;
}

typedef void child_fn(void);

/* Run fn in a child; returns the signal that ended it. */
static int signal_of(child_fn *fn)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct rlimit none = {0};
        (void)setrlimit(RLIMIT_CORE, &none);
        (void)close(STDERR_FILENO);
        (void)signal(SIGABRT, SIG_DFL);
        (void)signal(SIGSEGV, SIG_DFL);
        fn();
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void write_behind(void)
{
    volatile uint8_t *p = early_small;
    p[5] ^= 1;
    secret_free(early_small);
}

static void write_before(void)
{
    volatile uint8_t *p = early_small;
    p[-1] ^= 1;
    secret_free(early_small);
}

static void damage_ends_the_process(void **state)
{
    (void)state;
    assert_int_equal(signal_of(write_behind), SIGABRT);
    assert_int_equal(signal_of(write_before), SIGABRT);
}

static void early_blocks_survive(void **state)
{
    (void)state;
    assert_true(is_zero(early, 100));
    secret_free(early);
    secret_free(early_small);
    secret_free(NULL);
}

static void impossible_sizes(void **state)
{
    (void)state;
    assert_null(secret_alloc(SIZE_MAX));
    assert_null(secret_alloc(SIZE_MAX / 2));
    assert_null(secret_alloc(secret_size()));
    struct secret_buf b = {0};
    assert_int_equal(secret_buf_new(&b, SIZE_MAX), HSM_E_NOMEM);
    assert_null(b.p);
    secret_buf_done(&b);
}

static void blocks_are_zeroed_and_aligned(void **state)
{
    (void)state;
    size_t before = secret_used();
    for (size_t n = 0; n < 40000; n += n < 300 ? 1 : 997) {
        for (int round = 0; round < 2; round++) {
            uint8_t *p = (uint8_t *)secret_alloc(n);
            assert_non_null(p);
            assert_int_equal((uintptr_t)p % 16, 0);
            assert_true(is_zero(p, n));
            memset(p, 0xa5, n);
            secret_free(p);
        }
    }
    assert_int_equal(secret_used(), before);
}

/* A freed block's bytes are gone at once: looked at through a dangling pointer into the arena. */
static void free_wipes(void **state)
{
    (void)state;
    uint8_t *hold = (uint8_t *)secret_alloc(200); /* keeps the slab */
    uint8_t *p = (uint8_t *)secret_alloc(200);
    memset(p, 0x5a, 200);
    uintptr_t at = (uintptr_t)p;
    secret_free(p);
    assert_true(is_zero((const uint8_t *)at, 200));
    secret_free(hold);
}

#define MANY 4096
static void exhaustion_is_null_and_recovers(void **state)
{
    (void)state;
    static uint8_t *p[MANY];
    size_t before = secret_used();
    static const size_t sizes[] = {5000, 60000, 1 << 20};
    for (size_t s = 0; s < 3; s++) {
        size_t n = 0;
        while (n < MANY) {
            p[n] = (uint8_t *)secret_alloc(sizes[s]);
            if (p[n] == NULL)
                break;
            memset(p[n], (int)n, sizes[s]);
            n++;
        }
        assert_true(n > 0 && n < MANY);
        /* every second, then the rest: runs must join again */
        for (size_t i = 0; i < n; i += 2)
            secret_free(p[i]);
        for (size_t i = 1; i < n; i += 2) {
            assert_int_equal(p[i][sizes[s] - 1], i & 0xff);
            secret_free(p[i]);
        }
        assert_int_equal(secret_used(), before);
    }
}

#define THREADS 4
#define SLOTS   64
static void *churn(void *arg)
{
    uint32_t x = *(const uint32_t *)arg;
    uint8_t *slot[SLOTS] = {0};
    uint32_t len[SLOTS] = {0};
    for (uint32_t i = 0; i < 40000; i++) {
        x = x * 1664525u + 1013904223u;
        uint32_t k = x >> 8 & (SLOTS - 1);
        if (slot[k] != NULL) {
            HSM_ASSERT(slot[k][0] == (uint8_t)k && slot[k][len[k] - 1] == (uint8_t)k);
            secret_free(slot[k]);
            slot[k] = NULL;
            continue;
        }
        len[k] = 1 + (x >> 16 & ((x & 64) != 0 ? 0xff : 0x1fff));
        slot[k] = (uint8_t *)secret_alloc(len[k]);
        HSM_ASSERT(slot[k] != NULL && slot[k][0] == 0 && slot[k][len[k] - 1] == 0);
        memset(slot[k], (int)k, len[k]);
    }
    for (size_t k = 0; k < SLOTS; k++)
        secret_free(slot[k]);
    return NULL;
}

static void threads_share_the_arena(void **state)
{
    (void)state;
    size_t before = secret_used();
    pthread_t t[THREADS];
    uint32_t seed[THREADS];
    for (uint32_t i = 0; i < THREADS; i++) {
        seed[i] = i * 77777;
        assert_int_equal(pthread_create(&t[i], NULL, churn, &seed[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(t[i], NULL), 0);
    assert_int_equal(secret_used(), before);
}

static void openssl_lives_in_the_arena(void **state)
{
    (void)state;
    size_t before = secret_used();
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    assert_non_null(key);
    assert_true(secret_used() > before);
    EVP_PKEY_free(key);
    uint8_t *p = (uint8_t *)OPENSSL_malloc(10);
    memset(p, 7, 10);
    for (size_t n = 11; n < 30000; n += 1 + n / 3) {
        p = (uint8_t *)OPENSSL_realloc(p, n);
        assert_non_null(p);
        assert_int_equal(p[9], 7);
    }
    p = (uint8_t *)OPENSSL_realloc(p, 10);
    assert_int_equal(p[9], 7);
    assert_null(OPENSSL_realloc(p, 0));
}

/* The fallback for kernels without memfd_secret. */
static uint8_t *locked;
#define LOCKED ((size_t)1 << 20)

static void touch_before(void)
{
    ((volatile uint8_t *)locked)[-1] = 1;
}

static void touch_behind(void)
{
    ((volatile uint8_t *)locked)[LOCKED] = 1;
}

static void child_sees_secret(void)
{
    if (locked[0] != 0 || locked[LOCKED - 1] != 0)
        (void)raise(SIGUSR1);
}

static void locked_fallback(void **state)
{
    (void)state;
    assert_int_equal(arena_map_locked(LOCKED, &locked), HSM_OK);
    assert_true(is_zero(locked, LOCKED));
    memset(locked, 0x77, LOCKED);
    assert_int_equal(signal_of(child_sees_secret), 0);
    assert_true(signal_of(touch_before) != 0);
    assert_true(signal_of(touch_behind) != 0);
    assert_int_equal(locked[LOCKED - 1], 0x77);
}

static void level_is_reported(void **state)
{
    (void)state;
    assert_true(secret_level() == SECRET_MEMFD || secret_level() == SECRET_ANONYMOUS);
    assert_string_equal(secret_level_name(),
                        secret_level() == SECRET_MEMFD ? "memfd_secret" : "locked");
    assert_int_equal(secret_size(), ARENA);
    assert_int_equal(secret_init(0), HSM_OK); /* no second arena */
    assert_int_equal(secret_size(), ARENA);
}

int main(void)
{
    early = (uint8_t *)secret_alloc(100);
    early_small = (uint8_t *)secret_alloc(5);
    if (early == NULL || early_small == NULL || secret_level() != SECRET_NONE)
        return 1;
    if (secret_init(ARENA) != HSM_OK) {
        (void)fprintf(stderr, "no lockable memory here; skipped\n");
        return 0;
    }
    if (secret_take_over_openssl() != HSM_OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(damage_ends_the_process),
        cmocka_unit_test(early_blocks_survive),
        cmocka_unit_test(impossible_sizes),
        cmocka_unit_test(blocks_are_zeroed_and_aligned),
        cmocka_unit_test(free_wipes),
        cmocka_unit_test(exhaustion_is_null_and_recovers),
        cmocka_unit_test(threads_share_the_arena),
        cmocka_unit_test(openssl_lives_in_the_arena),
        cmocka_unit_test(locked_fallback),
        cmocka_unit_test(level_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
