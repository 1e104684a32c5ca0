/* On their way from one boundary to the other the root secrets are in secret memory and nowhere
 * else: not in libssl's buffers on the heap, not on a stack. All writable memory of the process is
 * searched while TLS holds them, and afterwards. */
#include "base/sanitized_testing.h"
#include "boundary/join_pair_testing.h"

#include <openssl/rand.h>
#include "base/secret.h"

#define SECRET_LEN 1024u
#define PROBE_LEN  16u

static struct secret_buf secret_original; /* of which there is one copy */
static unsigned searches;

struct found {
    unsigned inside, outside;
};

static void search_span(const uint8_t *p, size_t n, unsigned *count)
{
    const uint8_t *probe = secret_original.p + SECRET_LEN / 2;
    for (size_t i = 0; i + PROBE_LEN <= n; i++)
        if (p[i] == probe[0] && memcmp(p + i, probe, PROBE_LEN) == 0)
            (*count)++;
}

static struct found search(void)
{
    struct found f = {0};
    char line[512];
    FILE *maps = fopen("/proc/self/maps", "r");
    assert_non_null(maps);
    while (fgets(line, sizeof line, maps) != NULL) {
        unsigned long from, to;
        char perms[5];
        if (sscanf(line, "%lx-%lx %4s", &from, &to, perms) != 3 || perms[0] != 'r' ||
            perms[1] != 'w')
            continue;
        const uint8_t *p = (const uint8_t *)from;
        bool is_arena = (uintptr_t)secret_original.p >= from && (uintptr_t)secret_original.p < to;
        search_span(p, to - from, is_arena ? &f.inside : &f.outside);
    }
    fclose(maps);
    searches++;
    return f;
}

static hsm_err grant(void *ctx, const struct evidence *peer, struct uuid *ret_pool,
                     struct secret_buf *ret_roots, enum join_reason *reason)
{
    (void)ctx;
    (void)peer;
    (void)reason;
    *ret_pool = pool_id;
    assert_int_equal(secret_buf_new(ret_roots, SECRET_LEN), HSM_OK);
    memcpy(ret_roots->p, secret_original.p, SECRET_LEN);
    return HSM_OK;
}

static hsm_err take(void *ctx, const struct uuid *pool, struct bytes roots, const char **why)
{
    (void)ctx;
    (void)pool;
    (void)why;
    assert_int_equal(roots.n, SECRET_LEN);
    assert_memory_equal(roots.p, secret_original.p, SECRET_LEN);
    struct found f = search();
    assert_int_equal(f.outside, 0);
    assert_true(f.inside >= 2); /* the original, and what came */
    return HSM_OK;
}

static void nowhere_else(void **state)
{
    (void)state;
    if (IS_SANITIZED)
        skip();
    assert_int_equal(secret_buf_new(&secret_original, SECRET_LEN), HSM_OK);
    assert_int_equal(RAND_priv_bytes(secret_original.p, SECRET_LEN), 1);
    pair_grant = grant;
    pair_take = take;
    pair_init(&pair, &zero, &one);
    size_t used = secret_used();
    while (pass(&pair.joiner) || pass(&pair.member)) {
        /* libssl's own buffers are secret memory. */
        assert_true(secret_used() > 32u * 1024u || pair.joiner.ends > 0);
    }
    assert_int_equal(pair.joiner.err, HSM_OK);
    assert_int_equal(pair.member.err, HSM_OK);
    assert_true(secret_used() < used);
    /* It is over: one copy is left. */
    struct found f = search();
    assert_int_equal(f.outside, 0);
    assert_int_equal(f.inside, 1);
    assert_int_equal(searches, 2);
    pair_done(&pair);
    secret_buf_done(&secret_original);
}

int main(void)
{
    /* Before libcrypto is used at all. */
    if (secret_init(0) != HSM_OK || secret_take_over_openssl() != HSM_OK)
        return 1;
    const struct CMUnitTest tests[] = {cmocka_unit_test(nowhere_else)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
