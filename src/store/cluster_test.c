/* Three stores in one process, with real links between them: joining, proposals from everywhere,
 * loss of the leader, a node that is far behind, removal. */
#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include "store/peer_testing.h"
#undef KIT_UNUSED
#include "store/testkit.h"

#define NODES 4

/* libraft forgets the configuration of an InstallSnapshot message that it did not take. */
const char *__lsan_default_suppressions(void);
/* Its texts of errors lie in static buffers: several stores in one process share them. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
    return "race:libraft.so\n";
}
const char *__lsan_default_suppressions(void)
{
    return "leak:libraft.so\n";
}

struct trio {
    struct pki *pki;
    struct kit kit[NODES];
    bool open[NODES];
    char (*dir)[256], address[NODES][32], seeds[128];
    char pem[NODES][160], key[NODES][160], ca[160];
    struct store_peers peers[NODES];
    unsigned threshold;
};

static uint16_t free_port(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, n), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
    close(fd);
    return ntohs(a.sin_port);
}

static bool step(struct trio *t)
{
    for (int i = 0; i < NODES; i++)
        if (t->open[i])
            uv_run(&t->kit[i].loop, UV_RUN_NOWAIT);
    return true;
}

#define UNTIL(t, cond, ms)                                                                         \
    do {                                                                                           \
        uint64_t end_ = uv_hrtime() + (uint64_t)(ms)*1000000;                                      \
        bool ok_ = false;                                                                          \
        while (step(t) && !(ok_ = (cond)) && uv_hrtime() < end_)                                   \
            usleep(100);                                                                           \
        if (!ok_)                                                                                  \
            fail_msg("not within %d ms: %s", (int)(ms), #cond);                                    \
    } while (0)

static void start(struct trio *t, int i)
{
    struct kit *k = &t->kit[i];
    hsm_err err =
        kit_open_as(k, t->dir[i], t->threshold, (uint64_t)i + 1, t->address[i], &t->peers[i]);
    if (err != HSM_OK)
        fail_msg("%s", k->text);
    t->open[i] = true;
    assert_int_equal(store_start(k->s), HSM_OK);
}

/* As a kill does as far as the others can see: nothing more is said. */
static void stop(struct trio *t, int i)
{
    struct kit *k = &t->kit[i];
    store_close(k->s, kit_closed, k);
    uint64_t end = uv_hrtime() + (uint64_t)5000000000;
    while (!k->closed && uv_hrtime() < end)
        step(t);
    assert_true(k->closed);
    t->open[i] = false;
    kit_close(k);
}

static void open_trio(struct trio *t, unsigned threshold)
{
    char seeds[sizeof t->seeds];
    size_t n = 0;
    memset(t, 0, sizeof *t);
    t->threshold = threshold;
    t->dir = calloc(NODES, sizeof *t->dir);
    t->pki = calloc(1, sizeof *t->pki);
    pki_open(t->pki);
    pki_path(t->pki, "ca", "pem", t->ca);
    for (int i = 0; i < NODES; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "p%d", i);
        kit_tmp(t->dir[i]);
        (void)snprintf(t->address[i], sizeof t->address[i], "127.0.0.1:%u", free_port());
        pki_path(t->pki, name, "pem", t->pem[i]);
        pki_path(t->pki, name, "key", t->key[i]);
        if (i < 3)
            n += (size_t)snprintf(seeds + n, sizeof seeds - n, "%s%d=%.31s", i ? "," : "", i + 1,
                                  t->address[i]);
    }
    memcpy(t->seeds, seeds, sizeof seeds);
    for (int i = 0; i < NODES; i++)
        t->peers[i] = (struct store_peers){.pool = POOL,
                                           .listen = t->address[i],
                                           .cert = t->pem[i],
                                           .key = t->key[i],
                                           .ca = t->ca,
                                           .seeds = t->seeds,
                                           .join = i > 0};
}

static void close_trio(struct trio *t)
{
    for (int i = 0; i < NODES; i++) {
        if (t->open[i])
            stop(t, i);
        kit_rm(t->dir[i]);
    }
    pki_close(t->pki);
    free(t->pki);
    free(t->dir);
}

static bool is_voter(struct trio *t, int i)
{
    struct store_info info;
    if (!t->open[i])
        return false;
    store_info(t->kit[i].s, &info);
    return info.voter;
}

static int leader(struct trio *t)
{
    for (int i = 0; i < NODES; i++)
        if (t->open[i] && store_term_led(t->kit[i].s) != 0)
            return i;
    return -1;
}

/* On a busy machine one may be just elected. */
static int wait_leader(struct trio *t)
{
    UNTIL(t, leader(t) >= 0, 10000);
    return leader(t);
}

static void start_all(struct trio *t)
{
    start(t, 0);
    UNTIL(t, leader(t) == 0, 5000);
    start(t, 1);
    start(t, 2);
    UNTIL(t, is_voter(t, 1) && is_voter(t, 2), 10000);
}

static hsm_err write_one(struct trio *t, int i, uint64_t rid, uint64_t expected, uint64_t revision,
                         const char *value)
{
    static uint8_t buf[4096];
    struct kit_done d = {0};
    const struct kit_op op = {rid, expected, revision, value, 0};
    hsm_err err = store_propose(t->kit[i].s, kit_txn(buf, sizeof buf, &op, 1), kit_done, &d);
    if (err != HSM_OK)
        return err;
    UNTIL(t, d.called, 15000);
    return d.err;
}

static bool same(struct trio *t, uint64_t rid, uint64_t revision)
{
    for (int i = 0; i < NODES; i++)
        if (t->open[i] && is_voter(t, i) && t->kit[i].records[rid].revision != revision)
            return false;
    return true;
}

static void test_three(void **state)
{
    struct trio *t = calloc(1, sizeof *t);
    (void)state;
    open_trio(t, 0);
    start_all(t);
    for (uint64_t n = 1; n <= 60; n++)
        assert_int_equal(write_one(t, (int)(n % 3), n, 0, n, "7"), HSM_OK);
    for (uint64_t n = 1; n <= 60; n++)
        UNTIL(t, same(t, n, n), 5000);
    close_trio(t);
    free(t);
}

static void test_leader_lost(void **state)
{
    struct trio *t = calloc(1, sizeof *t);
    (void)state;
    open_trio(t, 0);
    start_all(t);
    uint64_t revision = 0;
    for (int round = 0; round < 4; round++) {
        int gone = wait_leader(t);
        stop(t, gone);
        int other = (gone + 1) % 3;
        assert_int_equal(write_one(t, other, 5, revision, revision + 1, "1"), HSM_OK);
        revision++;
        start(t, gone);
        UNTIL(t, leader(t) >= 0 && same(t, 5, revision), 10000);
    }
    close_trio(t);
    free(t);
}

struct proof {
    bool called;
    hsm_err err;
    uint64_t index;
};
static void on_proof(void *ctx, hsm_err err, uint64_t index)
{
    *(struct proof *)ctx = (struct proof){true, err, index};
}

static void test_barrier(void **state)
{
    struct trio *t = calloc(1, sizeof *t);
    struct proof p = {0}, q = {0};
    (void)state;
    open_trio(t, 0);
    start_all(t);
    assert_int_equal(write_one(t, 1, 3, 0, 1, "1"), HSM_OK);
    int first = wait_leader(t);
    uint64_t before = t->kit[first].last_index;
    store_barrier(t->kit[first].s, on_proof, &p);
    UNTIL(t, p.called, 5000);
    assert_int_equal(p.err, HSM_OK);
    assert_true(p.index >= before);
    /* Alone it can prove nothing. */
    for (int i = 0; i < 3; i++)
        if (i != first)
            stop(t, i);
    store_barrier(t->kit[first].s, on_proof, &q);
    UNTIL(t, q.called, 5000);
    assert_int_equal(q.err, HSM_E_UNAVAILABLE);
    close_trio(t);
    free(t);
}

/* The log is cut several times while a node is away: it gets the state as a whole. */
static void test_far_behind(void **state)
{
    struct trio *t = calloc(1, sizeof *t);
    (void)state;
    open_trio(t, 32);
    start_all(t);
    assert_int_equal(write_one(t, 0, 1, 0, 1, "1"), HSM_OK);
    stop(t, 2);
    for (uint64_t n = 2; n <= 300; n++)
        assert_int_equal(write_one(t, 0, n, 0, n, "7"), HSM_OK);
    start(t, 2);
    UNTIL(t, t->kit[2].fatal != HSM_OK, 10000);
    assert_int_equal(t->kit[2].fatal, HSM_E_STALE); /* the process is to start again */
    stop(t, 2);
    start(t, 2);
    assert_true(t->kit[2].loaded_records >= 200);
    UNTIL(t, same(t, 300, 300), 10000);
    assert_int_equal(write_one(t, 2, 301, 0, 301, "7"), HSM_OK);
    UNTIL(t, same(t, 301, 301), 5000);
    stop(t, 2);
    start(t, 2);
    UNTIL(t, same(t, 301, 301), 10000);
    close_trio(t);
    free(t);
}

static void copy_dir(const char *from, const char *to)
{
    const char *const argv[] = {"cp", "-a", from, to, NULL};
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        execvp(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* A member's disk is put back to an earlier day: it gets again what it had. */
static void put_back_a_disk(unsigned threshold)
{
    struct trio *t = calloc(1, sizeof *t);
    char saved[256 + 8], old[256 + 8];
    open_trio(t, threshold);
    start_all(t);
    for (uint64_t n = 1; n <= 5; n++)
        assert_int_equal(write_one(t, 0, n, 0, n, "7"), HSM_OK);
    UNTIL(t, leader(t) >= 0, 5000);
    int victim = (leader(t) + 1) % 3, other = leader(t);
    (void)snprintf(saved, sizeof saved, "%s-saved", t->dir[victim]);
    (void)snprintf(old, sizeof old, "%s-old", t->dir[victim]);
    stop(t, victim);
    copy_dir(t->dir[victim], saved);
    start(t, victim);
    for (uint64_t n = 6; n <= 200; n++)
        assert_int_equal(write_one(t, other, n, 0, n, "7"), HSM_OK);
    UNTIL(t, same(t, 200, 200), 5000);
    stop(t, victim);
    assert_int_equal(rename(t->dir[victim], old), 0);
    assert_int_equal(rename(saved, t->dir[victim]), 0);
    start(t, victim);
    if (threshold > 0) {
        UNTIL(t, t->kit[victim].fatal != HSM_OK, 10000);
        assert_int_equal(t->kit[victim].fatal, HSM_E_STALE); /* the state came as a whole */
        stop(t, victim);
        start(t, victim);
    }
    assert_int_equal(write_one(t, other, 201, 0, 201, "7"), HSM_OK);
    UNTIL(t, is_voter(t, victim) && same(t, 201, 201) && same(t, 200, 200), 10000);
    kit_rm(old);
    close_trio(t);
    free(t);
}

static void test_old_disk(void **state)
{
    (void)state;
    put_back_a_disk(0);
}

static void test_old_disk_far_behind(void **state)
{
    (void)state;
    put_back_a_disk(32);
}

static void test_replaced(void **state)
{
    struct trio *t = calloc(1, sizeof *t);
    struct store_member m[STORE_MEMBERS_MAX];
    (void)state;
    open_trio(t, 0);
    start_all(t);
    for (uint64_t n = 1; n <= 10; n++)
        assert_int_equal(write_one(t, 0, n, 0, n, "7"), HSM_OK);
    stop(t, 1);
    start(t, 3);
    UNTIL(t, is_voter(t, 3), 10000);
    UNTIL(t, same(t, 10, 10), 5000);
    UNTIL(t, store_remove(t->kit[wait_leader(t)].s, 2) == HSM_OK, 5000);
    UNTIL(t, store_members(t->kit[wait_leader(t)].s, m) == 3, 5000);
    start(t, 1); /* it is told, or refused */
    for (int i = 0; i < 200; i++) {
        step(t);
        usleep(1000);
    }
    assert_int_equal(store_members(t->kit[wait_leader(t)].s, m), 3);
    assert_int_equal(write_one(t, 3, 11, 0, 11, "7"), HSM_OK);
    close_trio(t);
    free(t);
}

static void test_transfer(void **state)
{
    struct trio *t = calloc(1, sizeof *t);
    (void)state;
    open_trio(t, 0);
    start_all(t);
    int from = wait_leader(t), to = (from + 1) % 3;
    assert_int_equal(store_transfer(t->kit[to].s, 0), HSM_E_UNAVAILABLE);
    UNTIL(t, store_transfer(t->kit[from].s, (uint64_t)to + 1) == HSM_OK, 10000);
    UNTIL(t, leader(t) == to, 10000);
    assert_int_equal(write_one(t, from, 1, 0, 1, "7"), HSM_OK);
    close_trio(t);
    free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_three),    cmocka_unit_test(test_leader_lost),
        cmocka_unit_test(test_barrier),  cmocka_unit_test(test_far_behind),
        cmocka_unit_test(test_replaced), cmocka_unit_test(test_transfer),
        cmocka_unit_test(test_old_disk), cmocka_unit_test(test_old_disk_far_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
