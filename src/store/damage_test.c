/* Damage on disk: a clear error or the right data, never wrong data, never a crash. */
#include "store/testkit.h"

#include <sys/wait.h>
#include "store/logentry.h"
#include "store/segment.h"

static char dir[256];
#define TXNS 400u
/* A start takes long under the thread sanitizer: fewer samples. */
#if defined(__SANITIZE_THREAD__)
#define SPARSE 6u
#else
#define SPARSE 1u
#endif

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

/* Record 0 := i and record i created, for 1..n, some records removed, some large. */
static void fill(struct kit *k, uint64_t from, uint64_t to)
{
    static char sealed[6000];
    char value[24];
    for (uint64_t i = from; i <= to; i++) {
        snprintf(value, sizeof value, "%llu", (unsigned long long)i);
        memset(sealed, '_', sizeof sealed);
        memcpy(sealed, value, strlen(value));
        size_t len = i % 10 == 0 ? sizeof sealed : 100 + i;
        assert_true(KIT_TRY(k, {0, i > 1 ? 10 * i - 10 : 0, 10 * i, value, 0},
                            {i, 0, 10 * i + 1, sealed, len}));
        if (i % 9 == 0)
            assert_true(KIT_TRY(k, {i - 4, 10 * i - 39, 10 * i + 2, NULL, 0}));
    }
}

static bool whole(const struct kit *k, uint64_t last)
{
    if (k->records[0].value != last)
        return false;
    for (uint64_t i = 1; i <= last; i++) {
        bool gone = (i + 4) % 9 == 0 && i + 4 <= last;
        if (k->records[i].value != (gone ? 0 : i))
            return false;
    }
    return true;
}

static char *read_all(const char *path, size_t *n)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    char *p = malloc((size_t)st.st_size + 1);
    int fd = open(path, O_RDONLY);
    assert_int_equal(read(fd, p, (size_t)st.st_size), st.st_size);
    close(fd);
    *n = (size_t)st.st_size;
    return p;
}

static void write_all(const char *path, const char *p, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_int_equal(write(fd, p, n), n);
    close(fd);
}

static void copy_dir(const char *from, const char *to)
{
    char cmd[1200];
    kit_rm(to);
    snprintf(cmd, sizeof cmd, "cp -a %s %s", from, to);
    assert_int_equal(system(cmd), 0);
}

enum outcome {
    OUT_RIGHT = 10,
    OUT_CORRUPT,
    OUT_WRONG,
    OUT_OTHER
};

/* In a process of its own, because a crash is one of the outcomes that are looked for. */
static int inside(const char *path, uint64_t last, bool start)
{
    static struct kit k;
    hsm_err err = kit_open(&k, path, 64);
    if (err == HSM_OK && !start && whole(&k, last))
        return OUT_RIGHT; /* else it may be an earlier state, which the log completes */
    if (err == HSM_OK)
        err = store_start(k.s);
    if (err != HSM_OK && k.s && !k.text[0])
        snprintf(k.text, sizeof k.text, "%s", store_failure(k.s));
    if (err == HSM_OK) {
        kit_run_until(&k, k.fatal || (k.leader && k.records[0].value >= last), 3000);
        err = k.fatal;
    }
    if (err == HSM_OK && whole(&k, last)) { /* it also takes a write */
        bool ok = KIT_TRY(&k, {0, 10 * last, 10 * last + 5, "1", 0});
        return ok && store_flush(k.s) == HSM_OK ? OUT_RIGHT : OUT_WRONG;
    }
    if (err == HSM_OK)
        return OUT_WRONG;
    return err == HSM_E_CORRUPT && (k.text[0] || k.fatal_text[0]) ? OUT_CORRUPT : OUT_OTHER;
}

static int try_dir(const char *path, uint64_t last, bool start)
{
    char number[24];
    int status;
    snprintf(number, sizeof number, "%llu", (unsigned long long)last);
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        execl("/proc/self/exe", "damage_test", path, number, start ? "1" : "0", (char *)NULL);
        _exit(OUT_OTHER);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* start: also start and write, each time; otherwise only now and then. */
static void flip_each(const char *file, uint64_t last, size_t step, bool start, unsigned counts[2])
{
    char work[300], path[700], orig[700];
    size_t n;
    snprintf(work, sizeof work, "%s/work", dir);
    snprintf(orig, sizeof orig, "%s/good/%s", dir, file);
    snprintf(path, sizeof path, "%s/%s", work, file);
    char *p = read_all(orig, &n);
    for (size_t at = 0; at < n; at += 1 + (at * 7919 + 13) % (step * SPARSE)) {
        char good[300];
        snprintf(good, sizeof good, "%s/good", dir);
        copy_dir(good, work);
        p[at] ^= (char)(1 << at % 8);
        write_all(path, p, n);
        p[at] ^= (char)(1 << at % 8);
        int out = try_dir(work, last, start || at % 8 == 0);
        if (out != OUT_RIGHT && out != OUT_CORRUPT)
            print_message("%s: byte %zu: outcome %d\n", file, at, out);
        assert_true(out == OUT_RIGHT || out == OUT_CORRUPT);
        counts[out - OUT_RIGHT]++;
    }
    free(p);
}

static void make_good(struct kit *k, unsigned threshold, uint64_t n)
{
    char good[300];
    snprintf(good, sizeof good, "%s/good", dir);
    assert_int_equal(kit_open(k, good, threshold), HSM_OK);
    kit_ready(k);
    fill(k, 1, n);
}

static void flips_in_the_state_file(void **state)
{
    (void)state;
    struct kit k;
    unsigned counts[2] = {0};
    make_good(&k, 64, TXNS);
    kit_close(&k);
    flip_each("state.mdb", TXNS, 3000, false, counts);
    print_message("%u harmless, %u detected\n", counts[0], counts[1]);
    assert_true(counts[1] > 0);
}

/* Header pages, where every byte counts, more densely. */
static void flips_in_page_heads(void **state)
{
    (void)state;
    struct kit k;
    char orig[400], path[400], good[300], work[300];
    unsigned counts[2] = {0};
    size_t n;
    make_good(&k, 64, 120);
    kit_close(&k);
    snprintf(good, sizeof good, "%s/good", dir);
    snprintf(work, sizeof work, "%s/work", dir);
    snprintf(orig, sizeof orig, "%s/state.mdb", good);
    snprintf(path, sizeof path, "%s/state.mdb", work);
    char *p = read_all(orig, &n);
    for (size_t page = 0; page < n; page += 4096 * SPARSE) {
        for (size_t at = page + page / 4096 % 5; at < page + 160 && at < n; at += 13) {
            char bit = (char)(1 << (at / 3) % 8);
            copy_dir(good, work);
            p[at] ^= bit;
            write_all(path, p, n);
            p[at] ^= bit;
            int out = try_dir(work, 120, at % 8 == 0);
            if (out != OUT_RIGHT && out != OUT_CORRUPT)
                print_message("state.mdb: byte %zu bit %d: outcome %d\n", at, bit, out);
            assert_true(out == OUT_RIGHT || out == OUT_CORRUPT);
            counts[out - OUT_RIGHT]++;
        }
    }
    free(p);
    print_message("%u harmless, %u detected\n", counts[0], counts[1]);
}

static void truncated_state_file(void **state)
{
    (void)state;
    struct kit k;
    char path[400], good[300], work[300];
    make_good(&k, 64, 200);
    kit_close(&k);
    snprintf(good, sizeof good, "%s/good", dir);
    snprintf(work, sizeof work, "%s/work", dir);
    snprintf(path, sizeof path, "%s/state.mdb", work);
    struct stat st;
    copy_dir(good, work);
    assert_int_equal(stat(path, &st), 0);
    for (off_t n = 1; n < st.st_size; n += 11003 * SPARSE) {
        copy_dir(good, work);
        assert_int_equal(truncate(path, n), 0);
        int out = try_dir(work, 200, n % 4 == 0);
        if (out != OUT_RIGHT && out != OUT_CORRUPT)
            print_message("%lld bytes: outcome %d\n", (long long)n, out);
        assert_true(out == OUT_RIGHT || out == OUT_CORRUPT);
    }
}

static bool first_file(const char *sub, const char *prefix, bool newest, char *ret, size_t cap)
{
    char path[400];
    bool found = false;
    snprintf(path, sizeof path, "%s/%s/log", dir, sub);
    DIR *d = opendir(path);
    for (struct dirent *e = readdir(d); e; e = readdir(d)) {
        char name[400];
        snprintf(name, sizeof name, "log/%s", e->d_name);
        if (strncmp(e->d_name, prefix, strlen(prefix)) != 0)
            continue;
        if (!found || (strcmp(name, ret) > 0) == newest)
            snprintf(ret, cap, "%s", name);
        found = true;
    }
    closedir(d);
    return found;
}

static void flips_in_closed_segments(void **state)
{
    (void)state;
    struct kit k;
    char file[400];
    unsigned counts[2] = {0};
    make_good(&k, 0, 60);
    kit_close(&k);
    assert_true(first_file("good", "0000", true, file, sizeof file));
    flip_each(file, 60, 1500, true, counts);
    print_message("%u harmless, %u detected\n", counts[0], counts[1]);
    assert_int_equal(counts[0], 0);
}

static void flips_in_snapshots_and_metadata(void **state)
{
    (void)state;
    struct kit k;
    char file[400];
    unsigned counts[2] = {0};
    make_good(&k, 32, 150);
    kit_close(&k);
    assert_true(first_file("good", "snapshot-", true, file, sizeof file));
    flip_each(file, 150, 20, true, counts);
    *strstr(file, ".meta") = '\0';
    flip_each(file, 150, 20, true, counts);
    assert_true(first_file("good", "metadata", true, file, sizeof file));
    flip_each(file, 150, 2, true, counts);
    print_message("%u harmless, %u detected\n", counts[0], counts[1]);
}

/* A copy of the directory of a running store is what a kill leaves. */
static void make_running(struct kit *k, uint64_t flushed, uint64_t n)
{
    char good[300], copy[300];
    make_good(k, 0, flushed);
    assert_int_equal(store_flush(k->s), HSM_OK);
    k->auto_ack = false; /* what follows is in the log only */
    fill(k, flushed + 1, n);
    snprintf(good, sizeof good, "%s/good", dir);
    snprintf(copy, sizeof copy, "%s/copy", dir);
    copy_dir(good, copy);
    kit_close(k);
    kit_rm(good);
    assert_int_equal(rename(copy, good), 0);
}

/* End of the written part of an open segment. */
static size_t segment_end(const char *p, size_t n, size_t *last_batch)
{
    struct segment_batch b;
    size_t at = SEGMENT_HEAD;
    assert_true(segment_head_ok(bytes_of(p, n)));
    while (segment_batch_read(bytes_of(p, n), at, &b) == HSM_OK) {
        *last_batch = at;
        at = b.end;
    }
    assert_true(segment_is_zero(bytes_of(p, n), at));
    return at;
}

static void open_segment(char *path, size_t cap, char **p, size_t *n)
{
    char file[400];
    assert_true(first_file("good", "open-", false, file, sizeof file));
    char full[700];
    snprintf(full, sizeof full, "%s/good/%s", dir, file);
    *p = read_all(full, n);
    snprintf(path, cap, "%s/work/%s", dir, file);
}

static void torn_tail_is_recovered(void **state)
{
    (void)state;
    struct kit k;
    char path[700], good[300], work[300];
    char *p;
    size_t n, last;
    make_running(&k, 30, 40);
    snprintf(good, sizeof good, "%s/good", dir);
    snprintf(work, sizeof work, "%s/work", dir);
    open_segment(path, sizeof path, &p, &n);
    size_t end = segment_end(p, n, &last);
    for (size_t cut = last; cut < end; cut += 211 * SPARSE) {
        char *q = malloc(n);
        memcpy(q, p, n);
        memset(q + cut, 0, end - cut);
        copy_dir(good, work);
        write_all(path, q, n);
        assert_int_equal(try_dir(work, 39, true), OUT_RIGHT);
        memset(q + cut, 0xa5, 300); /* garbage instead of zeros */
        copy_dir(good, work);
        write_all(path, q, n);
        assert_int_equal(try_dir(work, 39, true), OUT_RIGHT);
        copy_dir(good, work); /* and a shorter file */
        write_all(path, q, cut);
        assert_int_equal(try_dir(work, 39, true), OUT_RIGHT);
        free(q);
    }
    free(p);
}

/* Not the last entry: it was acknowledged before the ones behind it. */
static void flips_in_open_segments(void **state)
{
    (void)state;
    struct kit k;
    char path[700], good[300], work[300];
    char *p;
    size_t n, last;
    unsigned counts[2] = {0};
    make_running(&k, 30, 60);
    snprintf(good, sizeof good, "%s/good", dir);
    snprintf(work, sizeof work, "%s/work", dir);
    open_segment(path, sizeof path, &p, &n);
    (void)segment_end(p, n, &last);
    for (size_t at = 0; at < last; at += at < 8 ? 1 : 1 + (at * 7919 + 13) % (1200 * SPARSE)) {
        copy_dir(good, work);
        p[at] ^= (char)(1 << at % 8);
        write_all(path, p, n);
        p[at] ^= (char)(1 << at % 8);
        int out = try_dir(work, 60, true);
        if (out != OUT_CORRUPT)
            print_message("open segment: byte %zu: outcome %d\n", at, out);
        assert_int_equal(out, OUT_CORRUPT);
        counts[1]++;
    }
    print_message("%u detected\n", counts[1]);
    free(p);
}

/* Entries that the state file already has cannot be missing from the log. */
static void flushed_but_lost_is_refused(void **state)
{
    (void)state;
    struct kit k;
    char path[700], good[300], work[300];
    char *p;
    size_t n, last;
    make_running(&k, 40, 40);
    snprintf(good, sizeof good, "%s/good", dir);
    snprintf(work, sizeof work, "%s/work", dir);
    open_segment(path, sizeof path, &p, &n);
    size_t end = segment_end(p, n, &last);
    copy_dir(good, work);
    memset(p + last, 0, end - last);
    write_all(path, p, n);
    assert_int_equal(try_dir(work, 40, true), OUT_CORRUPT);
    copy_dir(good, work);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(try_dir(work, 40, true), OUT_CORRUPT);
    free(p);
}

static void missing_log_is_refused(void **state)
{
    (void)state;
    struct kit k;
    char log[400];
    make_good(&k, 0, 20);
    kit_close(&k);
    snprintf(log, sizeof log, "%s/good/log", dir);
    kit_rm(log);
    snprintf(log, sizeof log, "%s/good", dir);
    assert_int_equal(try_dir(log, 20, true), OUT_CORRUPT);
}

int main(int argc, char **argv)
{
    if (argc == 4)
        _exit(inside(argv[1], strtoull(argv[2], NULL, 10), argv[3][0] == '1'));
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        T(flips_in_the_state_file),
        T(flips_in_page_heads),
        T(truncated_state_file),
        T(flips_in_closed_segments),
        T(flips_in_snapshots_and_metadata),
        T(torn_tail_is_recovered),
        T(flips_in_open_segments),
        T(flushed_but_lost_is_refused),
        T(missing_log_is_refused),
    };
    cmocka_set_test_filter(getenv("KIT_FILTER"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
