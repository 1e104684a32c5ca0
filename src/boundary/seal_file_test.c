#include "boundary/seal_testing.h"

static int setup(void **state)
{
    static struct place p;
    place_init(&p, "file", ".key");
    *state = &p;
    return 0;
}

static int teardown(void **state)
{
    return place_done((struct place *)*state);
}

static void store_and_load(void **state)
{
    struct place *p = (struct place *)*state;
    expect_load(p, HSM_E_NOT_FOUND, "does not exist");
    mode_t old = umask(0);
    must_store(p);
    umask(old);
    assert_int_equal(mode_of(p->path), 0600);
    assert_int_equal(mode_of(p->key), 0600);
    expect_load(p, HSM_OK, "");
}

static void nothing_secret_in_the_file(void **state)
{
    struct place *p = (struct place *)*state;
    uint8_t file[8192];
    must_store(p);
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
    must_store(p);
    assert_int_equal(slurp(p->key, key[0], 64), 32);
    size_t n = slurp(p->path, file[0], 8192);
    must_store(p);
    assert_int_equal(slurp(p->key, key[1], 64), 32);
    assert_int_equal(slurp(p->path, file[1], 8192), n);
    assert_memory_equal(key[0], key[1], 32);
    assert_memory_not_equal(file[0], file[1], n); /* a fresh nonce each time */
    expect_load(p, HSM_OK, "");
}

static void crash_between_key_and_file(void **state)
{
    struct place *p = (struct place *)*state;
    must_store(p);
    assert_int_equal(unlink(p->path), 0);
    expect_load(p, HSM_E_NOT_FOUND, "does not exist");
    must_store(p);
    expect_load(p, HSM_OK, "");
}

static void key_file_of_others(void **state)
{
    static const mode_t modes[] = {0640, 0604, 0660, 0601, 0777};
    struct place *p = (struct place *)*state;
    char text[512] = "";
    must_store(p);
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        assert_int_equal(chmod(p->key, modes[i]), 0);
        expect_load(p, HSM_E_DENIED, "chmod 600");
        assert_int_equal(store(NULL, p->path, &p->roots, text, sizeof text), HSM_E_DENIED);
        assert_non_null(strstr(text, "chmod 600"));
    }
    assert_int_equal(chmod(p->key, 0400), 0);
    expect_load(p, HSM_OK, "");
}

static void lost_or_wrong_key(void **state)
{
    struct place *p = (struct place *)*state;
    uint8_t key[64];
    must_store(p);
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
    must_store(p);
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
    assert_int_equal(store(NULL, "/nonexistent-directory/x", &p->roots, text, sizeof text),
                     HSM_E_IO);
    assert_non_null(strstr(text, "/nonexistent-directory/x"));
    memset(longest, 'a', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    struct roots r = {0};
    assert_int_equal(load(NULL, longest, &r, text, sizeof text), HSM_E_RANGE);
    assert_int_equal(store(NULL, longest, &p->roots, text, sizeof text), HSM_E_RANGE);
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
