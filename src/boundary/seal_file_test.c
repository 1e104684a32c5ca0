#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "boundary/roots.h"

struct place {
    char dir[64];
    char path[96];
    char key[112];
    struct roots roots;
};

static int setup(void **state)
{
    static struct place p;
    p = (struct place){.dir = "/tmp/seal_file_test.XXXXXX"};
    assert_non_null(mkdtemp(p.dir));
    snprintf(p.path, sizeof p.path, "%s/roots.sealed", p.dir);
    snprintf(p.key, sizeof p.key, "%s.key", p.path);
    assert_int_equal(roots_generate("dev", &p.roots), HSM_OK);
    *state = &p;
    return 0;
}

static int teardown(void **state)
{
    struct place *p = (struct place *)*state;
    roots_done(&p->roots);
    unlink(p->path);
    unlink(p->key);
    return rmdir(p->dir); /* fails when a temporary file was left */
}

static size_t slurp(const char *path, uint8_t *dst, size_t cap)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    ssize_t n = read(fd, dst, cap);
    assert_true(n > 0);
    close(fd);
    return (size_t)n;
}

static void spill(const char *path, const uint8_t *src, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, src, n), n);
    close(fd);
}

static mode_t mode_of(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 07777;
}

static void store(struct place *p)
{
    char text[256] = "";
    assert_int_equal(seal_file_store(p->path, &p->roots, text, sizeof text), HSM_OK);
}

static void expect_load(struct place *p, hsm_err want, const char *mentions)
{
    struct roots r = {0};
    char text[512] = "";
    assert_int_equal(seal_file_load(p->path, &r, text, sizeof text), want);
    if (want == HSM_OK) {
        assert_memory_equal(r.dek, p->roots.dek, ROOT_KEY_LEN);
        assert_memory_equal(r.pool.b, p->roots.pool.b, 16);
        roots_done(&r);
        return;
    }
    assert_null(r.dek);
    if (strstr(text, mentions) == NULL)
        fail_msg("\"%s\" does not mention \"%s\"", text, mentions);
}

static void store_and_load(void **state)
{
    struct place *p = (struct place *)*state;
    expect_load(p, HSM_E_NOT_FOUND, "does not exist");
    mode_t old = umask(0);
    store(p);
    umask(old);
    assert_int_equal(mode_of(p->path), 0600);
    assert_int_equal(mode_of(p->key), 0600);
    expect_load(p, HSM_OK, "");
}

static void nothing_secret_in_the_file(void **state)
{
    struct place *p = (struct place *)*state;
    uint8_t file[8192];
    store(p);
    size_t n = slurp(p->path, file, sizeof file);
    assert_null(memmem(file, n, p->roots.dek, 16));
    assert_null(memmem(file, n, p->roots.owner_key.p, 16));
    assert_null(memmem(file, n, p->roots.pool.b, 16));
}

static void storing_again_keeps_the_key(void **state)
{
    struct place *p = (struct place *)*state;
    uint8_t key[2][64];
    uint8_t file[2][8192];
    store(p);
    assert_int_equal(slurp(p->key, key[0], 64), 32);
    size_t n = slurp(p->path, file[0], 8192);
    store(p);
    assert_int_equal(slurp(p->key, key[1], 64), 32);
    assert_int_equal(slurp(p->path, file[1], 8192), n);
    assert_memory_equal(key[0], key[1], 32);
    assert_memory_not_equal(file[0], file[1], n); /* a fresh nonce each time */
    expect_load(p, HSM_OK, "");
}

static void crash_between_key_and_file(void **state)
{
    struct place *p = (struct place *)*state;
    store(p);
    assert_int_equal(unlink(p->path), 0);
    expect_load(p, HSM_E_NOT_FOUND, "does not exist");
    store(p);
    expect_load(p, HSM_OK, "");
}

static void key_file_of_others(void **state)
{
    static const mode_t modes[] = {0640, 0604, 0660, 0601, 0777};
    struct place *p = (struct place *)*state;
    char text[512] = "";
    store(p);
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        assert_int_equal(chmod(p->key, modes[i]), 0);
        expect_load(p, HSM_E_DENIED, "chmod 600");
        assert_int_equal(seal_file_store(p->path, &p->roots, text, sizeof text), HSM_E_DENIED);
        assert_non_null(strstr(text, "chmod 600"));
    }
    assert_int_equal(chmod(p->key, 0400), 0);
    expect_load(p, HSM_OK, "");
}

static void lost_or_wrong_key(void **state)
{
    struct place *p = (struct place *)*state;
    uint8_t key[64];
    store(p);
    slurp(p->key, key, sizeof key);
    spill(p->key, key, 31);
    expect_load(p, HSM_E_CORRUPT, "31 bytes");
    key[0] ^= 1;
    spill(p->key, key, 32);
    expect_load(p, HSM_E_CORRUPT, "security domain");
    assert_int_equal(unlink(p->key), 0);
    expect_load(p, HSM_E_CORRUPT, "is missing");
    key[0] ^= 1;
    spill(p->key, key, 32);
    expect_load(p, HSM_OK, "");
    assert_int_equal(unlink(p->key), 0);
    assert_int_equal(symlink(p->path, p->key), 0);
    expect_load(p, HSM_E_IO, "cannot open");
}

static void every_damage_is_noticed(void **state)
{
    struct place *p = (struct place *)*state;
    uint8_t file[8192];
    store(p);
    size_t n = slurp(p->path, file, sizeof file);
    for (size_t i = 0; i < n; i += i < 64 ? 1 : 23) {
        file[i] ^= 0x10;
        spill(p->path, file, n);
        expect_load(p, HSM_E_CORRUPT, "damaged");
        file[i] ^= 0x10;
    }
    for (size_t cut = 1; cut < n; cut += cut < 40 ? 1 : 37) {
        spill(p->path, file, cut);
        expect_load(p, HSM_E_CORRUPT, "damaged");
    }
    file[n] = 0;
    spill(p->path, file, n + 1);
    expect_load(p, HSM_E_CORRUPT, "damaged");
    spill(p->path, file, 0);
    expect_load(p, HSM_E_CORRUPT, "expected size");
    spill(p->path, file, n);
    expect_load(p, HSM_OK, "");
}

static void places_that_cannot_be_written(void **state)
{
    struct place *p = (struct place *)*state;
    char text[6000] = "";
    char longest[5000];
    assert_int_equal(seal_file_store("/nonexistent-directory/x", &p->roots, text, sizeof text),
                     HSM_E_IO);
    assert_non_null(strstr(text, "/nonexistent-directory/x"));
    memset(longest, 'a', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    struct roots r = {0};
    assert_int_equal(seal_file_load(longest, &r, text, sizeof text), HSM_E_RANGE);
    assert_int_equal(seal_file_store(longest, &p->roots, text, sizeof text), HSM_E_RANGE);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(store_and_load),
        T(nothing_secret_in_the_file),
        T(storing_again_keeps_the_key),
        T(crash_between_key_and_file),
        T(key_file_of_others),
        T(lost_or_wrong_key),
        T(every_damage_is_noticed),
        T(places_that_cannot_be_written),
    };
#undef T
    return cmocka_run_group_tests(tests, NULL, NULL);
}
