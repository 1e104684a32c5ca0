/* The audit file: order, torn ends, resuming, a full disk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/audit_sink.h"

#define HASH    "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define LINE(n) "{\"x\":1,\"chain\":{\"seq\":" #n ",\"prev\":\"\",\"hash\":\"" HASH "\"}}"

struct kit {
    char dir[64], path[128], torn[128], text[256];
    struct ring_fds fds;
    struct ring_set gateway, boundary;
    struct audit_sink *sink;
    uint64_t seq;
    uint8_t hash[AUDIT_HASH_LEN];
};

static int setup(void **state)
{
    struct kit *k = calloc(1, sizeof *k);
    assert_non_null(k);
    (void)snprintf(k->dir, sizeof k->dir, "/tmp/kh-audit-XXXXXX");
    assert_non_null(mkdtemp(k->dir));
    (void)snprintf(k->path, sizeof k->path, "%s/audit.jsonl", k->dir);
    (void)snprintf(k->torn, sizeof k->torn, "%s/audit.torn", k->dir);
    assert_int_equal(ring_fds_create(1, &k->fds), HSM_OK);
    assert_int_equal(ring_attach(&k->fds, RING_GATEWAY, &k->gateway), HSM_OK);
    assert_int_equal(ring_attach(&k->fds, RING_BOUNDARY, &k->boundary), HSM_OK);
    *state = k;
    return 0;
}

static int teardown(void **state)
{
    struct kit *k = *state;
    audit_sink_close(k->sink);
    ring_detach(&k->gateway);
    ring_detach(&k->boundary);
    ring_fds_close(&k->fds);
    (void)unlink(k->path);
    (void)unlink(k->torn);
    (void)rmdir(k->dir);
    free(k);
    return 0;
}

static hsm_err reopen(struct kit *k)
{
    audit_sink_close(k->sink);
    k->sink = NULL;
    hsm_err err = audit_sink_open(k->dir, k->gateway.audit, &k->sink, k->text, sizeof k->text);
    if (err == HSM_OK)
        audit_sink_tail(k->sink, &k->seq, k->hash);
    return err;
}

static void put_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    assert_int_equal(fclose(f), 0);
}

static const char *get_file(const char *path)
{
    static char text[1u << 22];
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    size_t n = fread(text, 1, sizeof text - 1, f);
    text[n] = '\0';
    (void)fclose(f);
    return text;
}

static void line(struct kit *k, const char *text)
{
    struct ring_frame f = {.payload = bytes_str(text)};
    assert_int_equal(ring_write(k->boundary.audit, &f, 0), HSM_OK);
}

static void test_append_and_resume(void **state)
{
    struct kit *k = *state;
    assert_int_equal(reopen(k), HSM_OK);
    assert_int_equal(k->seq, 0);
    line(k, LINE(1));
    line(k, LINE(2));
    assert_int_equal(audit_sink_drain(k->sink), HSM_OK);
    assert_string_equal(get_file(k->path), LINE(1) "\n" LINE(2) "\n");
    assert_int_equal(audit_sink_sync(k->sink), HSM_OK);
    struct stat st;
    assert_int_equal(stat(k->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(reopen(k), HSM_OK);
    assert_int_equal(k->seq, 2);
    assert_int_equal(k->hash[0], 0x00);
    assert_int_equal(k->hash[31], 0xff);
    line(k, LINE(3));
    assert_int_equal(audit_sink_drain(k->sink), HSM_OK);
    assert_string_equal(get_file(k->path), LINE(1) "\n" LINE(2) "\n" LINE(3) "\n");
}

static void test_torn_end(void **state)
{
    struct kit *k = *state;
    put_file(k->path, LINE(7) "\n{\"half\":");
    assert_int_equal(reopen(k), HSM_OK);
    assert_int_equal(k->seq, 7);
    assert_string_equal(get_file(k->path), LINE(7) "\n");
    assert_string_equal(get_file(k->torn), "{\"half\":\n");
    /* nothing but a torn line */
    put_file(k->path, "{\"ha");
    assert_int_equal(reopen(k), HSM_OK);
    assert_int_equal(k->seq, 0);
    assert_string_equal(get_file(k->path), "");
    assert_string_equal(get_file(k->torn), "{\"half\":\n{\"ha\n");
}

static void test_foreign_end(void **state)
{
    struct kit *k = *state;
    static const char *const bad[] = {
        "hello\n",
        "{}\n",
        "[]\n",
        LINE(1) "\n\n",
        "{\"chain\":{\"seq\":0,\"hash\":\"" HASH "\"}}\n",
        "{\"chain\":{\"seq\":1,\"hash\":\"00\"}}\n",
        "{\"chain\":{\"seq\":\"1\",\"hash\":\"" HASH "\"}}\n",
        "{\"chain\":{\"hash\":\"" HASH "\"}}\n",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        put_file(k->path, bad[i]);
        if (reopen(k) != HSM_E_CORRUPT)
            fail_msg("accepted: %s", bad[i]);
        assert_true(k->text[0] != '\0');
        assert_string_equal(get_file(k->path), bad[i]); /* untouched */
    }
}

/* More than the buffer holds, in one go and in order. */
static void test_many_lines(void **state)
{
    struct kit *k = *state;
    char text[2048];
    size_t want = 0;
    assert_int_equal(reopen(k), HSM_OK);
    for (unsigned i = 0; i < 3000; i++) {
        (void)snprintf(text, sizeof text, "{\"i\":%u,\"pad\":\"%01000u\"}", i, i);
        struct ring_frame f = {.payload = bytes_str(text)};
        if (ring_write(k->boundary.audit, &f, 0) == HSM_E_AGAIN) {
            assert_int_equal(audit_sink_drain(k->sink), HSM_OK);
            assert_int_equal(ring_write(k->boundary.audit, &f, 0), HSM_OK);
        }
        want += strlen(text) + 1;
    }
    assert_int_equal(audit_sink_drain(k->sink), HSM_OK);
    const char *all = get_file(k->path);
    assert_int_equal(strlen(all), want);
    for (unsigned i = 0; i < 3000; i++) {
        (void)snprintf(text, sizeof text, "{\"i\":%u,", i);
        assert_memory_equal(all, text, strlen(text));
        all = strchr(all, '\n') + 1;
    }
}

/* A file that cannot grow: nothing is lost, the sink says that it is broken, and goes on later. */
static void test_full_disk(void **state)
{
    struct kit *k = *state;
    struct rlimit before, small;
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void)sigaction(SIGXFSZ, &ignore, NULL);
    assert_int_equal(reopen(k), HSM_OK);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    line(k, LINE(1));
    assert_int_equal(audit_sink_drain(k->sink), HSM_OK);
    assert_false(audit_sink_is_broken(k->sink));
    small = before;
    small.rlim_cur = strlen(LINE(1)) + 11; /* room for a part of the next line */
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    line(k, LINE(2));
    hsm_err first = audit_sink_drain(k->sink);
    line(k, LINE(3));
    hsm_err second = audit_sink_drain(k->sink);
    bool broken = audit_sink_is_broken(k->sink);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_not_equal(first, HSM_OK);
    assert_int_not_equal(second, HSM_OK);
    assert_true(broken);
    assert_int_equal(audit_sink_drain(k->sink), HSM_OK); /* no new line needed */
    assert_false(audit_sink_is_broken(k->sink));
    assert_string_equal(get_file(k->path), LINE(1) "\n" LINE(2) "\n" LINE(3) "\n");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_append_and_resume), T(test_torn_end),  T(test_foreign_end),
        T(test_many_lines),        T(test_full_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
