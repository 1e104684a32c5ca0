/* A child writes in a loop and tells what was acknowledged; it is killed at random moments. Every
 * acknowledged transaction must be there afterwards, each one wholly or not at all. */
#include "store/testkit.h"

#include <sys/wait.h>
#include <time.h>

#define ROUNDS    20
#define THRESHOLD 48
#define IN_FLIGHT 8
#define EARLY_US  20000 /* below: counted from the start, not from when it is ready */

/* Transaction n: record 0 := n, records 1..3 := n, record 10+n is created; every 7th one also
 * removes the record of three transactions ago. Revision = 10 n + position. */
static size_t ops_of(uint64_t n, struct kit_op ops[6], char value[24])
{
    size_t c = 0;
    snprintf(value, 24, "%llu", (unsigned long long)n);
    for (uint64_t r = 0; r < 4; r++)
        ops[c++] = (struct kit_op){r, n > 1 ? 10 * (n - 1) + r : 0, 10 * n + r, value, 0};
    ops[c++] = (struct kit_op){10 + n, 0, 10 * n + 5, value, 0};
    if (n % 7 == 0)
        ops[c++] = (struct kit_op){10 + n - 3, 10 * (n - 3) + 5, 10 * n + 4, NULL, 0};
    return c;
}

static bool removed_at(uint64_t n, uint64_t last)
{
    return (n + 3) % 7 == 0 && n + 3 <= last;
}

/* ---- child ---- */

struct writer {
    struct kit k;
    uint64_t next;
    uint64_t acked;
};

static void child_committed(void *ctx, uint64_t index, bool accepted, struct bytes txn)
{
    struct writer *w = ctx;
    uint8_t d[16];
    kit_committed(&w->k, index, accepted, txn);
    if (!accepted && w->next > 0)
        _exit(3);
    be64_put(d, w->k.records[0].value);
    be64_put(d + 8, index);
    store_applied(w->k.s, index, bytes_of(d, sizeof d));
}

static void submit(struct writer *w);

static void child_done(void *ctx, hsm_err err)
{
    struct writer *w = ctx;
    char line[32];
    if (err != HSM_OK)
        _exit(4);
    w->acked++;
    int n = snprintf(line, sizeof line, "%llu\n", (unsigned long long)w->acked);
    if (write(1, line, (size_t)n) != n)
        _exit(5);
    submit(w);
}

static void submit(struct writer *w)
{
    struct kit_op ops[6];
    uint8_t buf[2048];
    char value[24];
    size_t n = ops_of(++w->next, ops, value);
    if (store_propose(w->k.s, kit_txn(buf, sizeof buf, ops, n), child_done, w) != HSM_OK)
        _exit(6);
}

static int child(const char *path)
{
    static struct writer w;
    if (kit_open(&w.k, path, THRESHOLD) != HSM_OK)
        return fprintf(stderr, "child: %s\n", w.k.text), 7;
    w.k.auto_ack = false;
    /* Again with the callback of this file. */
    store_close(w.k.s, kit_closed, &w.k);
    while (!w.k.closed)
        uv_run(&w.k.loop, UV_RUN_ONCE);
    struct store_callbacks cb = {.ctx = &w, .committed = child_committed, .leader = kit_leader};
    if (store_open(&w.k.loop, &w.k.cfg, &cb, &w.k.s, w.k.text, sizeof w.k.text) != HSM_OK ||
        store_start(w.k.s) != HSM_OK)
        return fprintf(stderr, "child: %s\n", w.k.text), 8;
    /* Something that is rejected: once it is answered the whole old log has come in. */
    struct kit_op probe = {9, 1, 2, "x", 0};
    if (kit_propose(&w.k, &probe, 1, NULL) != HSM_OK)
        return 9;
    w.acked = w.next = w.k.records[0].value;
    if (write(1, "0\n", 2) != 2)
        return 10;
    for (int i = 0; i < IN_FLIGHT; i++)
        submit(&w);
    uv_run(&w.k.loop, UV_RUN_DEFAULT);
    return 0;
}

/* ---- parent ---- */

static uint64_t last_number(int fd)
{
    static char all[1 << 20];
    size_t n = 0;
    uint64_t last = 0;
    ssize_t got;
    while ((got = read(fd, all + n, sizeof all - 1 - n)) > 0)
        n += (size_t)got;
    all[n] = '\0';
    for (char *p = all, *e; (e = strchr(p, '\n')); p = e + 1)
        last = strtoull(p, NULL, 10);
    return last;
}

/* Run the child for some time from when it is ready, kill it; the last number it acknowledged. */
static uint64_t run_child(const char *path, unsigned us)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    assert_true(fcntl(fds[0], F_SETPIPE_SZ, 1 << 20) > 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(fds[1], 1);
        close(fds[0]);
        close(fds[1]);
        execl("/proc/self/exe", "crash_test", "child", path, (char *)NULL);
        _exit(9);
    }
    close(fds[1]);
    char ready[2];
    if (us >= EARLY_US)
        assert_int_equal(read(fds[0], ready, 2), 2);
    usleep(us);
    kill(pid, SIGKILL);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status)); /* it did not end by itself */
    uint64_t last = last_number(fds[0]);
    close(fds[0]);
    return last;
}

static void check_whole(const struct kit *k, uint64_t last)
{
    for (uint64_t r = 0; r < 4; r++) {
        assert_int_equal(k->records[r].value, last);
        assert_int_equal(k->records[r].revision, last ? 10 * last + r : 0);
    }
    for (uint64_t n = 1; 10 + n < KIT_RECORDS; n++) {
        bool there = n <= last && !removed_at(n, last);
        assert_int_equal(k->records[10 + n].value, there ? n : 0);
    }
}

static void survives_kill(void **state)
{
    (void)state;
    char dir[256];
    uint64_t before = 0;
    unsigned seed = (unsigned)time(NULL);
    kit_tmp(dir);
    print_message("seed %u\n", seed);
    for (int round = 0; round < ROUNDS; round++) {
        struct kit k;
        uint64_t acked = run_child(dir, (unsigned)rand_r(&seed) % 120000);
        if (acked == 0)
            acked = before;
        assert_true(acked >= before);
        assert_int_equal(kit_open(&k, dir, THRESHOLD), HSM_OK);
        /* On disk: records and digest of one and the same moment. */
        uint64_t loaded = k.records[0].value;
        check_whole(&k, loaded);
        if (store_loaded_index(k.s) > 0)
            assert_int_equal(be64_get(store_loaded_digest(k.s).p), loaded);
        assert_int_equal(store_start(k.s), HSM_OK);
        kit_run_until(&k, k.leader && k.records[0].value >= acked, 5000);
        kit_run_until(&k, false, 50);
        uint64_t last = k.records[0].value;
        assert_true(last >= acked);
        assert_true(last <= acked + IN_FLIGHT);
        check_whole(&k, last);
        kit_close(&k);
        before = last;
    }
    print_message("%llu transactions\n", (unsigned long long)before);
    kit_rm(dir);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(survives_kill)};
    if (argc == 3 && strcmp(argv[1], "child") == 0)
        return child(argv[2]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
