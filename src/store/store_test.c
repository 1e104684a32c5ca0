#include "store/testkit.h"

#include <pthread.h>
#include <stdatomic.h>
#include "store/logentry.h"
#include "store/overlay.h"

static char dir[256];

static int setup(void **state)
{
    (void)state;
    kit_tmp(dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kit_rm(dir);
    return 0;
}

static void new_store_is_empty(void **state)
{
    (void)state;
    struct kit k;
    struct stat st;
    char sub[300];
    snprintf(sub, sizeof sub, "%s/new", dir);
    assert_int_equal(kit_open(&k, sub, 0), HSM_OK);
    assert_int_equal(store_loaded_index(k.s), 0);
    assert_int_equal(store_loaded_digest(k.s).n, 0);
    assert_int_equal(k.loaded_records, 0);
    kit_ready(&k);
    assert_int_equal(stat(sub, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    kit_close(&k);
}

static void close_without_start(void **state)
{
    (void)state;
    struct kit k;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(kit_open(&k, dir, 0), HSM_OK);
        kit_close(&k);
    }
}

static void rules(void **state)
{
    (void)state;
    struct kit k;
    assert_int_equal(kit_open(&k, dir, 0), HSM_OK);
    kit_ready(&k);
    assert_false(KIT_TRY(&k, {1, 5, 10, "a", 0})); /* must exist, does not */
    assert_false(KIT_TRY(&k, {1, 5, 10, NULL, 0}));
    assert_false(KIT_TRY(&k, {1, 0, 10, NULL, 0})); /* remove an absent one */
    assert_false(KIT_TRY(&k, {1, 0, 0, "a", 0}));   /* revision not above expected */
    assert_true(KIT_TRY(&k, {1, 0, 10, "a", 0}));
    assert_false(KIT_TRY(&k, {1, 0, 11, "b", 0}));  /* exists */
    assert_false(KIT_TRY(&k, {1, 9, 11, "b", 0}));  /* stale */
    assert_false(KIT_TRY(&k, {1, 10, 10, "b", 0})); /* not above */
    assert_true(KIT_TRY(&k, {1, 10, 11, "b", 0}));
    assert_false(KIT_TRY(&k, {1, 10, 12, "b", 0})); /* stale now */
    assert_false(KIT_TRY(&k, {2, 0, 12, "x", 0}, {1, 10, 13, "b", 0}));
    assert_int_equal(k.records[2].revision, 0); /* all or nothing */
    assert_true(KIT_TRY(&k, {2, 0, 12, "x", 0}, {1, 11, 13, "b", 0}));
    assert_false(KIT_TRY(&k, {3, 0, 20, "x", 0}, {3, 0, 21, "y", 0}));
    assert_false(KIT_TRY(&k, {3, 0, 20, "x", 0}, {3, 20, 21, "y", 0}));
    assert_false(KIT_TRY(&k, {1, 13, 20, NULL, 0}, {1, 13, 21, "y", 0}));
    assert_true(KIT_TRY(&k, {3, 0, 20, "x", 0}));
    kit_close(&k);
}

/* The same before and after the records have gone to LMDB. */
static void floor_outlives_flush_and_restart(void **state)
{
    (void)state;
    struct kit k;
    assert_int_equal(kit_open(&k, dir, 0), HSM_OK);
    kit_ready(&k);
    assert_true(KIT_TRY(&k, {1, 0, 10, "a", 0}));
    assert_true(KIT_TRY(&k, {1, 10, 30, NULL, 0}));
    assert_false(KIT_TRY(&k, {1, 0, 10, "a", 0})); /* replay of the creation */
    assert_false(KIT_TRY(&k, {1, 0, 30, "a", 0}));
    assert_false(KIT_TRY(&k, {2, 0, 29, "a", 0}));
    assert_int_equal(store_flush(k.s), HSM_OK);
    assert_false(KIT_TRY(&k, {1, 0, 10, "a", 0}));
    assert_true(KIT_TRY(&k, {4, 0, 31, "a", 0}));
    kit_close(&k);
    assert_int_equal(kit_open(&k, dir, 0), HSM_OK);
    assert_int_equal(k.loaded_records, 1);
    kit_ready(&k);
    assert_false(KIT_TRY(&k, {1, 0, 30, "a", 0}));
    assert_true(KIT_TRY(&k, {1, 0, 32, "again", 0}));
    assert_true(KIT_TRY(&k, {1, 32, 33, "more", 0}, {4, 31, 34, NULL, 0}));
    struct store_info info;
    store_info(k.s, &info);
    assert_int_equal(info.records, 1);
    kit_close(&k);
    assert_int_equal(kit_open(&k, dir, 0), HSM_OK);
    assert_int_equal(k.loaded_records, 1);
    assert_int_equal(k.records[1].revision, 33);
    kit_close(&k);
}

static void malformed_is_not_proposed(void **state)
{
    (void)state;
    struct kit k;
    uint8_t buf[512];
    struct kit_op op = {1, 0, 10, "a", 0};
    struct bytes txn = kit_txn(buf, sizeof buf, &op, 1);
    struct kit_done d = {0};
    assert_int_equal(kit_open(&k, dir, 0), HSM_OK);
    kit_ready(&k);
    for (size_t n = 0; n < txn.n; n++)
        assert_int_equal(store_propose(k.s, bytes_of(txn.p, n), kit_done, &d), HSM_E_MALFORMED);
    buf[KIT_TXN_HEAD + 4 + 4 + 3] = 31; /* length of the rid */
    assert_int_equal(store_propose(k.s, txn, kit_done, &d), HSM_E_MALFORMED);
    txn = kit_txn(buf, sizeof buf, &op, 1);
    buf[KIT_TXN_HEAD + 4 + 4 + 4 + 32 + 16] = 1; /* remove, with bytes */
    assert_int_equal(store_propose(k.s, txn, kit_done, &d), HSM_E_MALFORMED);
    assert_false(d.called);
    kit_close(&k);
}

static void restart_keeps_all(void **state)
{
    (void)state;
    struct kit k;
    char value[32];
    uint64_t revision = 0, last = 0;
    for (uint64_t round = 0; round < 5; round++) {
        assert_int_equal(kit_open(&k, dir, 0), HSM_OK);
        kit_ready(&k);
        kit_run_until(&k, k.last_index >= last, 5000);
        assert_int_equal(k.records[0].revision, revision);
        for (uint64_t i = 1; i <= 50; i++) {
            uint64_t n = round * 50 + i;
            snprintf(value, sizeof value, "%llu", (unsigned long long)n);
            assert_true(KIT_TRY(&k, {0, revision, 2 * n, value, 0}, {n, 0, 2 * n + 1, value, 0}));
            revision = 2 * n;
        }
        last = k.last_index;
        kit_close(&k);
    }
    assert_int_equal(kit_open(&k, dir, 0), HSM_OK);
    assert_int_equal(k.loaded_records, 251);
    assert_int_equal(store_loaded_index(k.s), last);
    for (uint64_t n = 1; n <= 250; n++)
        assert_int_equal(k.records[n].value, n);
    kit_close(&k);
}

/* A large value goes to overflow pages, the largest transaction through the log. */
static void large_values(void **state)
{
    (void)state;
    static char big[590000];
    struct kit k;
    memset(big, '7', sizeof big);
    assert_int_equal(kit_open(&k, dir, 0), HSM_OK);
    kit_ready(&k);
    for (uint64_t i = 0; i < 40; i++)
        assert_true(KIT_TRY(&k, {1 + i, 0, i + 1, big, sizeof big - i * 1000},
                            {100 + i, 0, i + 1, big, 280000}));
    for (uint64_t i = 0; i < 40; i += 2)
        assert_true(KIT_TRY(&k, {1 + i, i + 1, 100 + i, NULL, 0}));
    kit_close(&k);
    assert_int_equal(kit_open(&k, dir, 0), HSM_OK);
    assert_int_equal(k.loaded_records, 60);
    assert_int_equal(k.records[2].len, sizeof big - 1000);
    kit_close(&k);
}

/* Enough for a tree of three levels and a long list of free pages. */
static void many_records(void **state)
{
    (void)state;
    struct kit k;
    enum {
        N = 20000,
        PER = 40
    };
    static char sealed[900];
    uint64_t revision = 1;
    memset(sealed, '1', sizeof sealed);
    assert_int_equal(kit_open(&k, dir, 0), HSM_OK);
    kit_ready(&k);
    for (int pass = 0; pass < 3; pass++) {
        for (uint64_t i = 0; i < N; i += PER) {
            struct kit_op ops[PER];
            for (uint64_t j = 0; j < PER; j++) {
                uint64_t old = k.records[i + j].revision;
                bool drop = pass == 1 && (i + j) % 3 == 0;
                size_t len = 1 + (i * 31 + j * 77 + (uint64_t)pass * 500) % sizeof sealed;
                ops[j] = (struct kit_op){i + j, old, revision++, drop ? NULL : sealed, len};
            }
            assert_true(kit_try(&k, ops, PER));
        }
        kit_close(&k);
        assert_int_equal(kit_open(&k, dir, 0), HSM_OK);
        assert_int_equal(k.loaded_records, pass == 1 ? N - (N + 2) / 3 : N);
        kit_ready(&k);
    }
    kit_close(&k);
}

static void ack_next(struct kit *k, uint64_t index)
{
    uint8_t d[16];
    store_applied(k->s, index, bytes_of(d, kit_digest(k, index, d)));
}

/* Only what the boundary has acknowledged goes to LMDB, with exactly its digest. */
static void only_acked_is_loaded(void **state)
{
    (void)state;
    struct kit k;
    uint8_t d[16];
    uint64_t index[4];
    assert_int_equal(kit_open(&k, dir, 0), HSM_OK);
    k.auto_ack = false;
    kit_ready(&k);
    for (uint64_t i = 0; i < 4; i++) {
        char value[2] = {(char)('1' + i), 0};
        assert_true(KIT_TRY(&k, {0, i, i + 1, value, 0}));
        index[i] = k.last_index;
        if (i < 2)
            ack_next(&k, index[i]);
    }
    kit_close(&k);
    assert_int_equal(kit_open(&k, dir, 0), HSM_OK);
    assert_int_equal(store_loaded_index(k.s), index[1]);
    assert_int_equal(k.records[0].value, 2);
    assert_true(bytes_eq(store_loaded_digest(k.s), bytes_of(d, kit_digest(&k, index[1], d))));
    kit_ready(&k);
    kit_run_until(&k, k.last_index == index[3], 5000);
    assert_int_equal(k.n_committed, 2); /* the other two again, and nothing else */
    assert_int_equal(k.records[0].value, 4);
    kit_close(&k);
}

static void out_of_turn_ack_is_fatal(void **state)
{
    (void)state;
    struct kit k;
    assert_int_equal(kit_open(&k, dir, 0), HSM_OK);
    k.auto_ack = false;
    kit_ready(&k);
    assert_true(KIT_TRY(&k, {1, 0, 1, "a", 0}));
    assert_true(KIT_TRY(&k, {2, 0, 2, "a", 0}));
    ack_next(&k, k.last_index);
    kit_run_until(&k, k.fatal != HSM_OK, 2000);
    assert_int_equal(k.fatal, HSM_E_INTERNAL);
    kit_close(&k);
}

static void second_opener_is_refused(void **state)
{
    (void)state;
    struct kit k, other;
    assert_int_equal(kit_open(&k, dir, 0), HSM_OK);
    assert_int_equal(kit_open(&other, dir, 0), HSM_E_CONFLICT);
    assert_non_null(strstr(other.text, "in use by another process"));
    kit_close(&other);
    kit_close(&k);
}

static void other_node_is_refused(void **state)
{
    (void)state;
    struct kit k;
    char text[640];
    struct store *s;
    assert_int_equal(kit_open(&k, dir, 0), HSM_OK);
    kit_ready(&k);
    assert_true(KIT_TRY(&k, {1, 0, 1, "a", 0}));
    kit_close(&k);
    uv_loop_t loop;
    uv_loop_init(&loop);
    struct store_config cfg = {.dir = dir, .node_id = 2, .address = "x"};
    struct store_callbacks cb = {
        .ctx = NULL, .committed = kit_committed, .leader = NULL, .fatal = NULL};
    assert_int_equal(store_open(&loop, &cfg, &cb, &s, text, sizeof text), HSM_E_BAD_PARAMETER);
    assert_non_null(strstr(text, "node 1"));
    uv_loop_close(&loop);
}

#define THREADS    4
#define PER_THREAD 200
static atomic_int answered;

static void count_done(void *ctx, hsm_err err)
{
    (void)ctx;
    assert_int_equal(err, HSM_OK);
    atomic_fetch_add(&answered, 1);
}

static void *proposer(void *arg)
{
    struct kit *k = ((void **)arg)[0];
    uint64_t base = (uint64_t)(uintptr_t)((void **)arg)[1];
    for (uint64_t i = 0; i < PER_THREAD; i++) {
        uint8_t buf[512];
        struct kit_op op = {base + i, 0, 1 + i, "v", 0};
        if (store_propose(k->s, kit_txn(buf, sizeof buf, &op, 1), count_done, NULL) != HSM_OK)
            abort();
    }
    return NULL;
}

static void many_threads_propose(void **state)
{
    (void)state;
    struct kit k;
    pthread_t t[THREADS];
    void *args[THREADS][2];
    atomic_store(&answered, 0);
    assert_int_equal(kit_open(&k, dir, 64), HSM_OK);
    kit_ready(&k);
    for (uintptr_t i = 0; i < THREADS; i++) {
        args[i][0] = &k;
        args[i][1] = (void *)(1 + i * PER_THREAD);
        assert_int_equal(pthread_create(&t[i], NULL, proposer, args[i]), 0);
    }
    kit_run_until(&k, atomic_load(&answered) == THREADS * PER_THREAD, 60000);
    for (int i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
    assert_int_equal(atomic_load(&answered), THREADS * PER_THREAD);
    assert_int_equal(k.n_accepted, THREADS * PER_THREAD);
    kit_close(&k);
}

static unsigned count_files(const char *sub, const char *prefix)
{
    char path[400];
    unsigned n = 0;
    snprintf(path, sizeof path, "%s/%s", dir, sub);
    DIR *d = opendir(path);
    for (struct dirent *e = readdir(d); e; e = readdir(d))
        n += strncmp(e->d_name, prefix, strlen(prefix)) == 0;
    closedir(d);
    return n;
}

/* Far more than the threshold: the log is cut, and a restart needs only its rest. */
static void snapshots_cut_the_log(void **state)
{
    (void)state;
    struct kit k;
    char value[32];
    uint64_t total = 0;
    for (int round = 0; round < 3; round++) {
        assert_int_equal(kit_open(&k, dir, 32), HSM_OK);
        assert_int_equal(k.records[0].value, total);
        kit_ready(&k);
        for (int i = 0; i < 300; i++) {
            snprintf(value, sizeof value, "%llu", (unsigned long long)total + 1);
            assert_true(KIT_TRY(&k, {0, total, total + 1, value, 0}));
            total++;
        }
        kit_close(&k);
        assert_true(count_files("log", "snapshot-") > 0);
        assert_true(count_files("log", "0000000000000001-") == 0);
    }
    assert_int_equal(kit_open(&k, dir, 32), HSM_OK);
    assert_int_equal(k.records[0].value, 900);
    kit_ready(&k);
    kit_run_until(&k, false, 100);
    assert_int_equal(k.n_committed, 0); /* all was in LMDB */
    kit_close(&k);
}

/* Behind the boundary's back no snapshot: an old state file does not go with a newer log. */
static void old_state_file_is_refused(void **state)
{
    (void)state;
    struct kit k;
    char cmd[600];
    assert_int_equal(kit_open(&k, dir, 16), HSM_OK);
    kit_ready(&k);
    for (uint64_t i = 0; i < 10; i++)
        assert_true(KIT_TRY(&k, {0, i, i + 1, "1", 0}));
    kit_close(&k);
    snprintf(cmd, sizeof cmd, "cp %s/state.mdb %s/old", dir, dir);
    assert_int_equal(system(cmd), 0);
    assert_int_equal(kit_open(&k, dir, 16), HSM_OK);
    kit_ready(&k);
    for (uint64_t i = 10; i < 200; i++)
        assert_true(KIT_TRY(&k, {0, i, i + 1, "1", 0}));
    kit_close(&k);
    snprintf(cmd, sizeof cmd, "cp %s/old %s/state.mdb", dir, dir);
    assert_int_equal(system(cmd), 0);
    assert_int_equal(kit_open(&k, dir, 16), HSM_OK);
    assert_int_equal(store_start(k.s), HSM_E_CORRUPT);
    kit_run_until(&k, k.fatal != HSM_OK, 2000);
    assert_int_equal(k.fatal, HSM_E_CORRUPT);
    assert_non_null(strstr(k.fatal_text, "older"));
    kit_close(&k);
}

/* A boundary that stops acknowledging stops snapshots, never correctness. */
static void slow_acks(void **state)
{
    (void)state;
    struct kit k;
    uint64_t acked = 0, index[400];
    assert_int_equal(kit_open(&k, dir, 32), HSM_OK);
    k.auto_ack = false;
    kit_ready(&k);
    for (uint64_t i = 0; i < 200; i++) {
        assert_true(KIT_TRY(&k, {0, i, i + 1, "5", 0}));
        index[i] = k.last_index;
        if (i >= 5)
            ack_next(&k, index[acked++]);
        if (i % 40 == 39)
            while (acked <= i)
                ack_next(&k, index[acked++]);
    }
    kit_close(&k);
    assert_int_equal(kit_open(&k, dir, 32), HSM_OK);
    kit_ready(&k);
    kit_run_until(&k, k.last_index == index[199], 5000);
    assert_int_equal(k.records[0].revision, 200);
    kit_close(&k);
}

/* ---- bench: commits per second ---- */

struct bench {
    struct kit k;
    uint64_t next, finished;
    uint64_t until;
};

static void bench_more(void *ctx, hsm_err err)
{
    struct bench *b = ctx;
    static char sealed[700];
    uint8_t buf[1024];
    memset(sealed, 'x', sizeof sealed);
    if (err != HSM_OK)
        printf("bench: %s\n", hsm_err_name(err));
    b->finished++;
    if (uv_hrtime() >= b->until)
        return;
    b->next++;
    struct kit_op op = {1 + b->next % 60000, b->k.records[1 + b->next % 60000].revision, b->next,
                        sealed, sizeof sealed};
    (void)!store_propose(b->k.s, kit_txn(buf, sizeof buf, &op, 1), bench_more, b);
}

static void bench(unsigned in_flight, unsigned seconds)
{
    static struct bench b;
    b = (struct bench){0};
    kit_tmp(dir);
    if (kit_open(&b.k, dir, 0) != HSM_OK)
        abort();
    kit_ready(&b.k);
    uint64_t start = uv_hrtime();
    b.until = start + (uint64_t)seconds * 1000000000;
    for (unsigned i = 0; i < in_flight; i++)
        bench_more(&b, HSM_OK);
    while (b.finished < b.next + in_flight)
        uv_run(&b.k.loop, UV_RUN_ONCE);
    double t = (double)(uv_hrtime() - start) / 1e9;
    printf("%3u in flight: %.0f commits/s\n", in_flight, (double)b.next / t);
    kit_close(&b.k);
    start = uv_hrtime();
    if (kit_open(&b.k, dir, 0) != HSM_OK)
        abort();
    printf("    %llu records checked and loaded in %.0f ms\n",
           (unsigned long long)b.k.loaded_records, (double)(uv_hrtime() - start) / 1e6);
    kit_close(&b.k);
    kit_rm(dir);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        T(new_store_is_empty),
        T(close_without_start),
        T(rules),
        T(floor_outlives_flush_and_restart),
        T(malformed_is_not_proposed),
        T(restart_keeps_all),
        T(large_values),
        T(many_records),
        T(only_acked_is_loaded),
        T(out_of_turn_ack_is_fatal),
        T(second_opener_is_refused),
        T(other_node_is_refused),
        T(many_threads_propose),
        T(snapshots_cut_the_log),
        T(old_state_file_is_refused),
        T(slow_acks),
    };
    if (argc > 1 && strcmp(argv[1], "bench") == 0) {
        bench(1, 3);
        bench(16, 3);
        bench(64, 3);
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
