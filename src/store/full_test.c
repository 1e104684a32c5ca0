/* A full disk: a clear answer, nothing acknowledged lost, and work goes on when there is room. The
 * disk is a small tmpfs in a mount namespace of its own. */
#include "store/testkit.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

#define DISK "size=72m,mode=0700"
#define SKIP 77

static char dir[256];

static bool put_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool ok = fd >= 0 && write(fd, text, strlen(text)) > 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

static bool mount_disk(void)
{
    char map[64];
    int uid = (int)getuid(), gid = (int)getgid();
    if (unshare(CLONE_NEWNS) != 0) {
        if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0)
            return false;
        (void)put_file("/proc/self/setgroups", "deny");
        snprintf(map, sizeof map, "0 %d 1", uid);
        if (!put_file("/proc/self/uid_map", map))
            return false;
        snprintf(map, sizeof map, "0 %d 1", gid);
        (void)put_file("/proc/self/gid_map", map);
    }
    (void)mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
    return mount("tmpfs", dir, "tmpfs", 0, DISK) == 0;
}

/* Take all of the disk but some bytes. */
static void take_space(size_t leave)
{
    char path[300];
    struct statvfs v;
    static char block[65536];
    snprintf(path, sizeof path, "%s/filler", dir);
    memset(block, 1, sizeof block);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    for (;;) {
        assert_int_equal(statvfs(dir, &v), 0);
        size_t room = (size_t)v.f_bavail * v.f_bsize;
        if (room <= leave)
            break;
        size_t n = room - leave < sizeof block ? room - leave : sizeof block;
        if (write(fd, block, n) <= 0)
            break;
    }
    close(fd);
}

static void give_space(void)
{
    char path[300];
    snprintf(path, sizeof path, "%s/filler", dir);
    assert_int_equal(unlink(path), 0);
}

/* Update record 0 and create one with size bytes; only what was acknowledged counts. */
struct progress {
    uint64_t n; /* transactions acknowledged; values and revisions follow from it */
    uint64_t revision;
};

static hsm_err put(struct kit *k, struct progress *p, size_t size)
{
    static char sealed[600000];
    char value[24];
    snprintf(value, sizeof value, "%llu", (unsigned long long)p->n + 1);
    memset(sealed, '_', sizeof sealed);
    memcpy(sealed, value, strlen(value));
    uint64_t rev = p->revision + 1;
    struct kit_op ops[] = {{0, k->records[0].revision, rev, value, 0},
                           {p->n + 1, 0, rev, sealed, size}};
    bool accepted = false;
    hsm_err err = kit_propose(k, ops, 2, &accepted);
    assert_true(err != HSM_OK || accepted);
    p->n += err == HSM_OK;
    p->revision = rev;
    return err;
}

static void check(const struct kit *k, const struct progress *p)
{
    assert_int_equal(k->records[0].value, p->n);
    for (uint64_t i = 1; i <= p->n; i++)
        assert_int_equal(k->records[i].value, i);
    assert_int_equal(k->records[p->n + 1].revision, 0);
}

static void fill_until_full(struct kit *k, struct progress *p)
{
    hsm_err err = HSM_OK;
    for (int i = 0; i < 2000 && err == HSM_OK; i++)
        err = put(k, p, 100000);
    assert_int_equal(err, HSM_E_DISK_FULL);
    assert_int_equal(k->fatal, HSM_OK);
}

static void full_and_free_again(void)
{
    struct kit k;
    struct progress p = {0};
    assert_int_equal(kit_open(&k, dir, 64), HSM_OK);
    kit_ready(&k);
    for (int i = 0; i < 20; i++)
        assert_int_equal(put(&k, &p, 5000), HSM_OK);
    for (int round = 0; round < 3; round++) {
        take_space(round == 1 ? 300000 : 0);
        fill_until_full(&k, &p);
        for (int i = 0; i < 10; i++) { /* and answered at once from now on */
            uint64_t t = uv_hrtime();
            assert_int_equal(put(&k, &p, 1000), HSM_E_DISK_FULL);
            assert_true(uv_hrtime() - t < 1000000000u);
        }
        check(&k, &p);
        kit_run_until(&k, false, 1500); /* libraft's and our retries */
        give_space();
        uint64_t t = uv_hrtime();
        hsm_err err = HSM_E_DISK_FULL;
        while (err == HSM_E_DISK_FULL && uv_hrtime() - t < 8000000000u) {
            err = put(&k, &p, 1000);
            kit_run_until(&k, false, 50);
        }
        assert_int_equal(err, HSM_OK);
        assert_int_equal(k.fatal, HSM_OK);
    }
    assert_int_equal(store_flush(k.s), HSM_OK);
    kit_close(&k);
    assert_int_equal(kit_open(&k, dir, 64), HSM_OK);
    check(&k, &p);
    kit_close(&k);
}

/* Stopped while full, started while full: reads work, writes are refused, later all is well. */
static void start_on_a_full_disk(void)
{
    struct kit k;
    struct progress p = {0};
    assert_int_equal(kit_open(&k, dir, 64), HSM_OK);
    kit_ready(&k);
    assert_int_equal(put(&k, &p, 1000), HSM_OK);
    take_space(0);
    fill_until_full(&k, &p);
    kit_close(&k);
    take_space(0);
    hsm_err err = kit_open(&k, dir, 64);
    if (err != HSM_OK)
        print_message("%s\n", k.text);
    assert_int_equal(err, HSM_OK);
    assert_int_equal(store_start(k.s), HSM_OK);
    kit_run_until(&k, k.records[0].value >= p.n || k.fatal, 8000);
    assert_int_equal(k.fatal, HSM_OK);
    check(&k, &p);
    assert_int_equal(put(&k, &p, 1000), HSM_E_DISK_FULL);
    kit_close(&k);
    give_space();
    assert_int_equal(kit_open(&k, dir, 64), HSM_OK);
    kit_ready(&k);
    kit_run_until(&k, k.records[0].value >= p.n, 5000);
    assert_int_equal(put(&k, &p, 1000), HSM_OK);
    check(&k, &p);
    kit_close(&k);
}

static void new_store_on_a_full_disk(void)
{
    for (size_t leave = 0; leave < 400000; leave += 4096) {
        struct kit k;
        char sub[300];
        snprintf(sub, sizeof sub, "%s/s", dir);
        take_space(leave);
        hsm_err err = kit_open(&k, sub, 64);
        if (err == HSM_OK)
            err = store_start(k.s);
        if (err == HSM_OK) {
            kit_run_until(&k, k.leader || k.fatal, 3000);
            struct progress p = {0};
            err = k.fatal ? k.fatal : put(&k, &p, 1000);
        }
        if (err != HSM_E_DISK_FULL)
            print_message("%zu bytes left: %s %s\n", leave, k.text, k.fatal_text);
        assert_int_equal(err, HSM_E_DISK_FULL);
        kit_close(&k);
        give_space();
        if (leave % 40960 == 0) { /* what the attempt left behind is no obstacle */
            struct progress p = {0};
            assert_int_equal(kit_open(&k, sub, 64), HSM_OK);
            kit_ready(&k);
            assert_int_equal(put(&k, &p, 1000), HSM_OK);
            kit_close(&k);
        }
        kit_rm(sub);
    }
}

/* The log's files begin to fail: the store says so and stops; what was acknowledged is there. */
static void swap_log_files(const char *with, int flags)
{
    for (int fd = 3; fd < 256; fd++) {
        char link[64], target[400];
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t n = readlink(link, target, sizeof target - 1);
        if (n < 0)
            continue;
        target[n] = '\0';
        if (!strstr(target, "/log/open-"))
            continue;
        int other = open(with ? with : target, flags | O_CLOEXEC);
        assert_true(other >= 0);
        assert_int_equal(dup2(other, fd), fd);
        close(other);
    }
}

static void failing_log(const char *with, int flags, unsigned in_flight)
{
    struct kit k;
    struct progress p = {0};
    struct kit_done d[16] = {0};
    static uint8_t buf[2048];
    assert_int_equal(kit_open(&k, dir, 0), HSM_OK);
    kit_ready(&k);
    for (int i = 0; i < 5; i++)
        assert_int_equal(put(&k, &p, 1000), HSM_OK);
    swap_log_files(with, flags);
    for (unsigned i = 0; i < in_flight; i++) {
        struct kit_op op = {100 + i, 0, 1000 + i, "1", 0};
        hsm_err err = store_propose(k.s, kit_txn(buf, sizeof buf, &op, 1), kit_done, &d[i]);
        assert_int_equal(err, HSM_OK);
        kit_run_until(&k, false, 1);
    }
    kit_run_until(&k, k.fatal, 10000);
    assert_int_equal(k.fatal, HSM_E_IO);
    kit_close(&k);
    for (unsigned i = 0; i < in_flight; i++)
        assert_true(d[i].called && (d[i].err == HSM_E_IO || d[i].err == HSM_E_UNAVAILABLE));
    assert_int_equal(kit_open(&k, dir, 0), HSM_OK);
    kit_ready(&k);
    kit_run_until(&k, k.records[0].value >= p.n, 5000);
    assert_int_equal(k.records[0].value, p.n);
    kit_close(&k);
    fflush(NULL);
    _exit(0); /* the failed store's memory stays: not a leak to report */
}

static void failing_log_read_only(void)
{
    failing_log(NULL, O_RDONLY, 1);
}

static void failing_log_dev_full(void)
{
    failing_log("/dev/full", O_WRONLY, 5);
}

/* Each case runs in a process of its own, started anew. */
static const struct {
    const char *name;
    void (*fn)(void);
    bool plain; /* on the ordinary file system */
} cases[] = {
    {"full_and_free_again", full_and_free_again, false},
    {"start_on_a_full_disk", start_on_a_full_disk, false},
    {"new_store_on_a_full_disk", new_store_on_a_full_disk, false},
    {"failing_log_read_only_tmpfs", failing_log_read_only, false},
    {"failing_log_dev_full_tmpfs", failing_log_dev_full, false},
    {"failing_log_read_only", failing_log_read_only, true},
    {"failing_log_dev_full", failing_log_dev_full, true},
};
#define CASES (sizeof cases / sizeof *cases)

static void run_inside(void **state)
{
    cases[*(int *)*state].fn();
}

static int inside(int n)
{
    const struct CMUnitTest test[] = {cmocka_unit_test_prestate(run_inside, &n)};
    return cases[n].plain || mount_disk()
               ? cmocka_run_group_tests_name(cases[n].name, test, NULL, NULL)
               : SKIP;
}

static void in_namespace(void **state)
{
    const char *n = *state;
    int status;
    kit_tmp(dir);
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        execl("/proc/self/exe", "full_test", n, dir, (char *)NULL);
        _exit(1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    kit_rm(dir);
    if (WIFEXITED(status) && WEXITSTATUS(status) == SKIP) {
        print_message("skipped: this user may not mount a small tmpfs\n");
        skip();
    }
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(int argc, char **argv)
{
    static char numbers[CASES][2] = {"0", "1", "2", "3", "4", "5", "6"};
    struct CMUnitTest tests[CASES];
    if (argc == 3) {
        snprintf(dir, sizeof dir, "%s", argv[2]);
        return inside(argv[1][0] - '0');
    }
    for (size_t i = 0; i < CASES; i++)
        tests[i] = (struct CMUnitTest){
            .name = cases[i].name, .test_func = in_namespace, .initial_state = numbers[i]};
    cmocka_set_test_filter(getenv("KIT_FILTER"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
