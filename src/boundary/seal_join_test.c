/* What a boundary that joins writes inside its sandbox, and what the next start makes of it. */
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

/* A start with --join up to its sandbox. */
static struct seal_sink begin(struct place *p)
{
    char text[512] = "";
    struct roots r = {0};
    struct seal *s;
    struct seal_sink sink = {.fd = -1};
    assert_int_equal(seal_begin(p->provider, p->path, &s, text, sizeof text), HSM_OK);
    assert_int_equal(seal_load(s, &r, text, sizeof text), HSM_E_NOT_FOUND);
    if (seal_join_begin(s, &sink, text, sizeof text) != HSM_OK)
        fail_msg("%s", text);
    seal_end(s);
    return sink;
}

static void join(struct place *p)
{
    struct seal_sink sink = begin(p);
    assert_int_equal(seal_join_finish(&sink, &p->roots), HSM_OK);
    assert_null(sink.kek.p);
    seal_sink_done(&sink);
    assert_int_equal(sink.fd, -1);
}

static void next_start_finds_it(void **state)
{
    struct place *p = (struct place *)*state;
    mode_t old = umask(0);
    join(p);
    umask(old);
    assert_int_equal(mode_of(p->fresh), 0600);
    assert_int_equal(mode_of(p->key), 0600);
    assert_false(exists(p->path));
    expect_load(p, HSM_OK, "");
    assert_true(exists(p->path));
    assert_false(exists(p->fresh));
    expect_load(p, HSM_OK, "");
}

static void once_only(void **state)
{
    struct place *p = (struct place *)*state;
    struct seal_sink sink = begin(p);
    assert_int_equal(seal_join_finish(&sink, &p->roots), HSM_OK);
    assert_int_equal(seal_join_finish(&sink, &p->roots), HSM_E_INTERNAL);
    seal_sink_done(&sink);
    expect_load(p, HSM_OK, "");
}

static void given_up_before_anything_was_written(void **state)
{
    struct place *p = (struct place *)*state;
    struct seal_sink sink = begin(p);
    assert_true(exists(p->fresh));
    seal_sink_done(&sink);
    assert_null(sink.kek.p);
    expect_load(p, HSM_E_NOT_FOUND, "does not exist");
    assert_false(exists(p->fresh));
    join(p);
    expect_load(p, HSM_OK, "");
}

static void cut_off_at_every_length(void **state)
{
    struct place *p = (struct place *)*state;
    uint8_t file[8192];
    join(p);
    size_t n = slurp(p->fresh, file, sizeof file);
    for (size_t cut = 0; cut < n; cut++) {
        spill(p->fresh, file, cut);
        expect_load(p, HSM_E_NOT_FOUND, "does not exist");
        assert_false(exists(p->fresh));
        assert_false(exists(p->path));
    }
    /* a file system that grew the file before it had its content */
    for (size_t zero = 1; zero < n; zero += 61) {
        uint8_t torn[8192];
        memcpy(torn, file, n);
        memset(torn + n - zero, 0, zero);
        spill(p->fresh, torn, n);
        expect_load(p, HSM_E_NOT_FOUND, "does not exist");
        assert_false(exists(p->fresh));
    }
    spill(p->fresh, file, n);
    expect_load(p, HSM_OK, "");
    assert_false(exists(p->fresh));
}

static void without_its_key(void **state)
{
    struct place *p = (struct place *)*state;
    join(p);
    assert_int_equal(unlink(p->key), 0);
    expect_load(p, HSM_E_NOT_FOUND, "does not exist");
    assert_false(exists(p->fresh));
    join(p);
    expect_load(p, HSM_OK, "");
}

/* What cannot be read now may be readable after a repair: it stays. */
static void key_that_cannot_be_used_now(void **state)
{
    struct place *p = (struct place *)*state;
    join(p);
    assert_int_equal(chmod(p->key, 0644), 0);
    expect_load(p, HSM_E_DENIED, "chmod 600");
    assert_true(exists(p->fresh));
    assert_int_equal(chmod(p->key, 0600), 0);
    expect_load(p, HSM_OK, "");
}

/* An existing seal is never replaced by a half of another one. */
static void beside_an_existing_seal(void **state)
{
    struct place *p = (struct place *)*state;
    must_store(p);
    spill(p->fresh, (const uint8_t *)"half", 4);
    expect_load(p, HSM_OK, "");
    assert_true(exists(p->path));
}

static void places_that_cannot_be_written(void **state)
{
    struct place *p = (struct place *)*state;
    char text[512] = "";
    struct seal *s;
    struct roots r = {0};
    struct seal_sink sink = {.fd = -1};
    assert_int_equal(symlink("/etc/passwd", p->fresh), 0);
    assert_int_equal(seal_begin(NULL, p->path, &s, text, sizeof text), HSM_OK);
    assert_int_equal(seal_load(s, &r, text, sizeof text), HSM_E_IO);
    assert_int_equal(seal_join_begin(s, &sink, text, sizeof text), HSM_E_IO);
    assert_int_equal(sink.fd, -1);
    assert_non_null(strstr(text, ".new"));
    seal_end(s);
    /* a full disk */
    assert_int_equal(unlink(p->fresh), 0);
    sink = begin(p);
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_true(full >= 0);
    assert_int_equal(dup3(full, sink.fd, O_CLOEXEC), sink.fd);
    close(full);
    assert_int_equal(seal_join_finish(&sink, &p->roots), HSM_E_DISK_FULL);
    assert_null(sink.kek.p);
    seal_sink_done(&sink);
    expect_load(p, HSM_E_NOT_FOUND, "does not exist");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(next_start_finds_it),
        T(once_only),
        T(given_up_before_anything_was_written),
        T(cut_off_at_every_length),
        T(without_its_key),
        T(key_that_cannot_be_used_now),
        T(beside_an_existing_seal),
        T(places_that_cannot_be_written),
    };
#undef T
    return cmocka_run_group_tests(tests, NULL, NULL);
}
