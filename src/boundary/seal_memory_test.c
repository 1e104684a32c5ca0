/* After a start no copy of the KEK is left in this process outside of secret memory, and of a
 * token's module nothing at all: neither code nor threads. The providers are begun before there is
 * secret memory, as in the program; so everything is one test. */
#include "base/sanitized_testing.h"
#include "boundary/seal_tpm_testing.h"
#include "boundary/seal_token_testing.h"

#define KEK_LEN 32u
#define MASK    0xa5u

static size_t count_in(const uint8_t *p, size_t n, const uint8_t masked[KEK_LEN])
{
    size_t hits = 0;
    for (size_t i = 0; i + 16 <= n; i++) {
        size_t k = 0;
        while (k < 16 && (p[i + k] ^ MASK) == masked[k])
            k++;
        hits += k == 16;
    }
    return hits;
}

/* Copies of its first half in everything that can be read but the mapping of secret. */
static size_t copies(const uint8_t masked[KEK_LEN], const void *secret)
{
    static uint8_t chunk[1 << 20];
    char line[512];
    size_t hits = 0, seen = 0;
    FILE *maps = fopen("/proc/self/maps", "re");
    int mem = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    assert_true(maps != NULL && mem >= 0);
    while (fgets(line, sizeof line, maps) != NULL) {
        unsigned long from, to;
        assert_int_equal(sscanf(line, "%lx-%lx", &from, &to), 2);
        if ((uintptr_t)secret >= from && (uintptr_t)secret < to)
            continue;
        for (unsigned long at = from; at < to;) {
            size_t want = to - at < sizeof chunk ? to - at : sizeof chunk;
            ssize_t n = pread(mem, chunk, want, (off_t)at);
            if (n <= 0)
                break;
            hits += count_in(chunk, (size_t)n, masked);
            seen += (size_t)n;
            at += (size_t)n;
        }
        memset(chunk, 0, sizeof chunk);
    }
    close(mem);
    fclose(maps);
    assert_true(seen > 1u << 20);
    return hits;
}

static bool is_mapped(const char *name)
{
    char line[512];
    bool found = false;
    FILE *maps = fopen("/proc/self/maps", "re");
    assert_non_null(maps);
    while (fgets(line, sizeof line, maps) != NULL)
        found = found || strstr(line, name) != NULL;
    fclose(maps);
    return found;
}

static size_t threads(void)
{
    size_t n = 0;
    DIR *d = opendir("/proc/self/task");
    assert_non_null(d);
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d))
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static struct seal *begin(const struct place *p)
{
    char text[512] = "";
    struct seal *s = NULL;
    if (seal_begin(p->provider, p->path, &s, text, sizeof text) != HSM_OK)
        fail_msg("%s", text);
    return s;
}

/* As a boundary does; the sink shows the key. */
static struct seal_sink take(struct seal *s)
{
    char text[512] = "";
    struct roots r = {0};
    struct seal_sink sink = {.fd = -1};
    assert_int_equal(seal_load(s, &r, text, sizeof text), HSM_E_NOT_FOUND);
    if (seal_join_begin(s, &sink, text, sizeof text) != HSM_OK)
        fail_msg("%s", text);
    seal_end(s);
    return sink;
}

/* While the key is in use, and after the roots were sealed and opened with it. */
static void check(struct seal_sink *sink, const struct place *p)
{
    uint8_t masked[KEK_LEN];
    struct roots r = {0};
    for (size_t i = 0; i < KEK_LEN; i++)
        masked[i] = sink->kek.p[i] ^ MASK;
    assert_int_equal(copies(masked, sink->kek.p), 0);
    /* the search finds what is there */
    uint8_t *planted = malloc(KEK_LEN);
    memcpy(planted, sink->kek.p, KEK_LEN);
    assert_int_equal(copies(masked, sink->kek.p), 1);
    secret_wipe(planted, KEK_LEN);
    free(planted);
    assert_int_equal(roots_generate("dev", &r), HSM_OK);
    assert_int_equal(seal_join_finish(sink, &r), HSM_OK);
    roots_done(&r);
    seal_sink_done(sink);
    if (strcmp(p->provider, "file") == 0) { /* no helper, so another start is possible here */
        char text[512] = "";
        if (load(p->provider, p->path, &r, text, sizeof text) != HSM_OK)
            fail_msg("%s", text);
        roots_done(&r);
    }
    assert_int_equal(copies(masked, NULL), 0); /* secret memory, too, if it can be read */
}

static void no_copy_of_the_key(void **state)
{
    static struct machine tpm;
    static char tpm_provider[128];
    static char threaded[700];
    struct place p[3];
    struct seal *s[3];
    struct seal_sink sink[3];
    (void)state;
    if (IS_SANITIZED)
        skip(); /* all of its shadow memory would be read */
    machine_new(&tpm, 33000);
    setup_tokens(NULL);
    set_pin("4711-right\n");
    snprintf(tpm_provider, sizeof tpm_provider, "tpm2:tcti=%s", tpm.tcti);
    setenv("THREADED_MODULE_REAL", hsm.module, 1);
    snprintf(threaded, sizeof threaded, "pkcs11:module=%s;token=first token;pin-file=%s",
             THREADED_MODULE, hsm.pin_file);
    place_make(&p[0], "file", ".key");
    place_make(&p[1], tpm_provider, ".tpm2");
    place_make(&p[2], threaded, ".pkcs11");
    for (size_t i = 0; i < 3; i++) {
        seal_end(begin(&p[i])); /* makes the key */
        s[i] = begin(&p[i]);
    }
    assert_true(exists(p[1].key) && exists(p[2].key));
    assert_int_equal(secret_init(4u << 20), HSM_OK);
    assert_int_equal(secret_take_over_openssl(), HSM_OK);
    for (size_t i = 0; i < 3; i++)
        sink[i] = take(s[i]);
    for (size_t i = 0; i < 3; i++)
        check(&sink[i], &p[i]);
    assert_int_equal(threads(), 1);
    assert_false(is_mapped("softhsm"));
    assert_false(is_mapped("threaded_module"));
    assert_false(is_mapped("tcti-swtpm"));
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(place_done(&p[i]), 0);
    machine_free(&tpm);
    assert_int_equal(teardown_tokens(NULL), 0);
}

int main(void)
{
    setenv("TSS2_LOG", "all+NONE", 1);
    const struct CMUnitTest tests[] = {cmocka_unit_test(no_copy_of_the_key)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
