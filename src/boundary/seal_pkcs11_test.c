/* Seal provider "pkcs11" against SoftHSM 2 with tokens of its own. */
#include "boundary/seal_testing.h"
#include "boundary/seal_token_testing.h"
#include "boundary/seal_internal.h"

static int setup(void **state)
{
    static struct place p;
    set_pin("4711-right\n");
    place_init(&p, hsm.provider, ".pkcs11");
    *state = &p;
    return 0;
}

static int teardown(void **state)
{
    return place_done((struct place *)*state);
}

static void note_path(const struct place *p, char dst[128])
{
    snprintf(dst, 128, "%s.pin-refused", p->path);
}

/* ---- tests ----------------------------------------------------------------------------------- */
static void store_and_load(void **state)
{
    struct place *p = (struct place *)*state;
    expect_load(p, HSM_E_NOT_FOUND, "does not exist");
    must_store(p);
    assert_int_equal(mode_of(p->path), 0600);
    assert_int_equal(mode_of(p->key), 0600);
    expect_load(p, HSM_OK, "");
    must_store(p);
    expect_load(p, HSM_OK, "");
    set_pin("4711-right"); /* no newline */
    expect_load(p, HSM_OK, "");
}

static void level(void **state)
{
    struct place *p = (struct place *)*state;
    char text[512];
    struct seal *s;
    assert_int_equal(seal_begin(p->provider, p->path, &s, text, sizeof text), HSM_OK);
    assert_string_equal(seal_protection(s), "pkcs11");
    seal_end(s);
    unlink(p->key);
}

/* A boundary that fails is started again and again; the token must not lock by that. */
static void wrong_pin_is_tried_once(void **state)
{
    struct place *p = (struct place *)*state;
    char note[128];
    note_path(p, note);
    must_store(p);
    set_pin("4711-wrong\n");
    expect_load(p, HSM_E_DENIED, "refused the PIN");
    assert_true(exists(note));
    /* Even the right PIN would not be tried as long as nobody wrote to the file: put it there with
     * the old date. */
    struct stat st;
    assert_int_equal(stat(hsm.pin_file, &st), 0);
    set_pin("4711-right\n");
    const struct timespec old[2] = {st.st_atim, st.st_mtim};
    assert_int_equal(utimensat(AT_FDCWD, hsm.pin_file, old, 0), 0);
    expect_load(p, HSM_E_DENIED, "not tried again");
    set_pin("4711-right\n");
    expect_load(p, HSM_OK, "");
    assert_false(exists(note));
}

static void pin_file_of_others(void **state)
{
    struct place *p = (struct place *)*state;
    must_store(p);
    assert_int_equal(chmod(hsm.pin_file, 0640), 0);
    expect_load(p, HSM_E_DENIED, "chmod 600");
    assert_int_equal(chmod(hsm.pin_file, 0600), 0);
    set_pin("\n");
    expect_load(p, HSM_E_DENIED, "holds no PIN");
    set_pin("");
    expect_load(p, HSM_E_DENIED, "holds no PIN");
    assert_int_equal(unlink(hsm.pin_file), 0);
    expect_load(p, HSM_E_IO, hsm.pin_file);
    set_pin("4711-right\n");
    expect_load(p, HSM_OK, "");
}

static void another_token(void **state)
{
    struct place *p = (struct place *)*state;
    char text[512];
    must_store(p);
    p->provider = hsm.other_token;
    expect_load(p, HSM_E_DENIED, "not in this token");
    snprintf(text, sizeof text, "pkcs11:module=%s;token=nobody;pin-file=%s", hsm.module,
             hsm.pin_file);
    p->provider = text;
    expect_load(p, HSM_E_UNAVAILABLE, "no token has the label nobody");
    snprintf(text, sizeof text, "pkcs11:module=%s;token=twice;pin-file=%s", hsm.module,
             hsm.pin_file);
    expect_load(p, HSM_E_UNAVAILABLE, "more than one token");
    snprintf(text, sizeof text, "pkcs11:module=/nonexistent.so;token=x;pin-file=%s", hsm.pin_file);
    expect_load(p, HSM_E_UNAVAILABLE, "/nonexistent.so");
    snprintf(text, sizeof text, "pkcs11:module=libc.so.6;token=x;pin-file=%s", hsm.pin_file);
    expect_load(p, HSM_E_BAD_PARAMETER, "paths begin with /");
    snprintf(text, sizeof text, "pkcs11:module=/lib/x86_64-linux-gnu/libz.so.1;token=x;pin-file=%s",
             hsm.pin_file);
    expect_load(p, HSM_E_UNAVAILABLE, "PKCS#11 module");
    p->provider = hsm.provider;
    expect_load(p, HSM_OK, "");
}

static void another_partitions_key(void **state)
{
    struct place *p = (struct place *)*state;
    struct place q;
    uint8_t own[256], foreign[256];
    place_init(&q, p->provider, ".pkcs11");
    must_store(p);
    must_store(&q);
    size_t n = slurp(p->key, own, sizeof own);
    assert_int_equal(slurp(q.key, foreign, sizeof foreign), n);
    spill(p->key, foreign, n);
    expect_load(p, HSM_E_CORRUPT, "does not belong to");
    spill(p->key, own, n);
    expect_load(p, HSM_OK, "");
    assert_int_equal(unlink(p->key), 0);
    expect_load(p, HSM_E_CORRUPT, "is missing");
    assert_false(exists(p->key));
    assert_int_equal(place_done(&q), 0);
}

/* Header, nonce, key and tag, with a good checksum: the token finds it. */
static void every_damage_is_noticed(void **state)
{
    struct place *p = (struct place *)*state;
    uint8_t file[256];
    uint8_t copy[256];
    must_store(p);
    size_t n = slurp(p->key, file, sizeof file);
    for (size_t i = 0; i < n; i += 5) {
        memcpy(copy, file, n);
        copy[i] ^= 0x10;
        spill(p->key, copy, n);
        expect_load(p, HSM_E_CORRUPT, "damaged");
        if (i + SEAL_SUM_LEN >= n)
            continue;
        assert_true(seal_sum(bytes_of(copy, n - SEAL_SUM_LEN), copy + n - SEAL_SUM_LEN));
        spill(p->key, copy, n);
        if (i < 8)
            expect_load(p, HSM_E_CORRUPT, "damaged");
        else if (i < 24)
            expect_load(p, HSM_E_DENIED, "not in this token");
        else
            expect_load(p, HSM_E_CORRUPT, "does not open");
    }
    for (size_t cut = 0; cut < n; cut += 7) {
        spill(p->key, file, cut);
        expect_load(p, HSM_E_CORRUPT, cut == 0 ? "expected size" : "damaged");
    }
}

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

static void join_and_next_start(void **state)
{
    struct place *p = (struct place *)*state;
    uint8_t file[256];
    struct seal_sink sink = begin(p);
    size_t n = slurp(p->key, file, sizeof file);
    assert_null(memmem(file, n, sink.kek.p, 8));
    assert_int_equal(seal_join_finish(&sink, &p->roots), HSM_OK);
    seal_sink_done(&sink);
    assert_int_equal(truncate(p->fresh, 100), 0);
    expect_load(p, HSM_E_NOT_FOUND, "does not exist"); /* crashed in between */
    sink = begin(p);
    assert_int_equal(seal_join_finish(&sink, &p->roots), HSM_OK);
    seal_sink_done(&sink);
    expect_load(p, HSM_OK, "");
    assert_false(exists(p->fresh));
}

/* A boundary that ends in the middle, and the next one at once: they do not make two keys, and the
 * token is not cut off while it writes. */
static void one_after_the_other(void **state)
{
    struct place *p = (struct place *)*state;
    uint8_t first[256], last[256];
    for (int i = 0; i < 3; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            char text[512];
            struct seal *s;
            hsm_err err = seal_begin(p->provider, p->path, &s, text, sizeof text);
            _exit(err == HSM_OK ? 0 : 1); /* its helper goes on */
        }
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
    }
    struct seal_sink sink = begin(p);
    size_t n = slurp(p->key, first, sizeof first);
    assert_int_equal(seal_join_finish(&sink, &p->roots), HSM_OK);
    seal_sink_done(&sink);
    expect_load(p, HSM_OK, "");
    assert_int_equal(slurp(p->key, last, sizeof last), n);
    assert_memory_equal(first, last, n);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(store_and_load),          T(level),
        T(wrong_pin_is_tried_once), T(pin_file_of_others),
        T(another_token),           T(another_partitions_key),
        T(every_damage_is_noticed), T(join_and_next_start),
        T(one_after_the_other),
    };
#undef T
    return cmocka_run_group_tests(tests, setup_tokens, teardown_tokens);
}
