/* Seal provider "tpm2" against software TPMs (swtpm), each a process of its own. */
#include "boundary/seal_testing.h"
#include "boundary/seal_tpm_testing.h"
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <tss2/tss2_esys.h>
#include <tss2/tss2_tctildr.h>
#include "boundary/seal_tpm2.h"

static struct machine mine, other;

/* ---- the TPMs -------------------------------------------------------------------------------- */
static int setup_machines(void **state)
{
    (void)state;
    machine_new(&mine, 21000);
    machine_new(&other, 30000);
    return 0;
}

static int teardown_machines(void **state)
{
    (void)state;
    machine_free(&mine);
    machine_free(&other);
    return 0;
}

static char provider_text[128];

static const char *provider_of(const struct machine *m, const char *pcrs)
{
    snprintf(provider_text, sizeof provider_text, "tpm2:%s%stcti=%s", pcrs, *pcrs ? ";" : "",
             m->tcti);
    return provider_text;
}

static int setup(void **state)
{
    static struct place p;
    place_init(&p, provider_of(&mine, ""), ".tpm2");
    *state = &p;
    return 0;
}

static int teardown(void **state)
{
    machine_is_clean(&mine);
    return place_done((struct place *)*state);
}

/* ---- tests ----------------------------------------------------------------------------------- */
static void restart(struct machine *m)
{
    power_off(m);
    power_on(m);
}

static void store_and_load(void **state)
{
    struct place *p = (struct place *)*state;
    expect_load(p, HSM_E_NOT_FOUND, "does not exist");
    must_store(p);
    assert_int_equal(mode_of(p->path), 0600);
    assert_int_equal(mode_of(p->key), 0600);
    expect_load(p, HSM_OK, "");
    restart(&mine);
    expect_load(p, HSM_OK, "");
    uint8_t before[2][4096];
    size_t n = slurp(p->key, before[0], sizeof before[0]);
    must_store(p); /* keeps the key */
    assert_int_equal(slurp(p->key, before[1], sizeof before[1]), n);
    assert_memory_equal(before[0], before[1], n);
    expect_load(p, HSM_OK, "");
}

static void level(void **state)
{
    struct place *p = (struct place *)*state;
    char text[512];
    struct seal *s;
    assert_int_equal(seal_begin(p->provider, p->path, &s, text, sizeof text), HSM_OK);
    assert_string_equal(seal_protection(s), "tpm2");
    seal_end(s);
    unlink(p->key);
}

static void changed_pcr_does_not_open(void **state)
{
    struct place *p = (struct place *)*state;
    must_store(p);
    machine_extend(&mine, ESYS_TR_PCR4);
    expect_load(p, HSM_OK, ""); /* not chosen */
    machine_extend(&mine, ESYS_TR_PCR7);
    expect_load(p, HSM_E_DENIED, "a PCR of 7 has changed");
    expect_load(p, HSM_E_DENIED, "remove this partition");
    restart(&mine);
    expect_load(p, HSM_OK, "");
}

/* The TPM itself refuses, whatever the file claims about the policy. */
static void the_tpm_decides(void **state)
{
    struct place *p = (struct place *)*state;
    struct tpm2_blob sealed, now;
    struct place q;
    uint8_t buf[TPM2_BLOB_MAX];
    must_store(p);
    assert_int_equal(tpm2_blob_decode(bytes_of(buf, slurp(p->key, buf, sizeof buf)), &sealed), 0);
    machine_extend(&mine, ESYS_TR_PCR7);
    place_init(&q, p->provider, ".tpm2");
    must_store(&q);
    assert_int_equal(tpm2_blob_decode(bytes_of(buf, slurp(q.key, buf, sizeof buf)), &now), 0);
    memcpy(sealed.policy, now.policy, sizeof sealed.policy);
    size_t n;
    assert_int_equal(tpm2_blob_encode(&sealed, buf, &n), HSM_OK);
    spill(p->key, buf, n);
    expect_load(p, HSM_E_UNAVAILABLE, "unsealing failed with 0x99d"); /* TPM_RC_POLICY_FAIL */
    assert_int_equal(place_done(&q), 0);
    restart(&mine);
}

static void chosen_pcrs(void **state)
{
    struct place *p = (struct place *)*state;
    char all[128];
    p->provider = provider_of(&mine, "pcrs=0,2,4,7");
    must_store(p);
    expect_load(p, HSM_OK, "");
    snprintf(all, sizeof all, "%s", provider_text);
    p->provider = provider_of(&mine, "");
    expect_load(p, HSM_E_DENIED, "sealed to PCRs 0,2,4,7, the seal provider says 7");
    p->provider = all;
    machine_extend(&mine, ESYS_TR_PCR2);
    expect_load(p, HSM_E_DENIED, "a PCR of 0,2,4,7 has changed");
    restart(&mine);
    expect_load(p, HSM_OK, "");
    p->provider = provider_of(&mine, "");
}

static void another_tpm(void **state)
{
    struct place *p = (struct place *)*state;
    must_store(p);
    p->provider = provider_of(&other, "");
    expect_load(p, HSM_E_DENIED, "another TPM");
    machine_is_clean(&other);
    p->provider = provider_of(&mine, "");
    expect_load(p, HSM_OK, "");
}

static void no_tpm(void **state)
{
    struct place *p = (struct place *)*state;
    must_store(p);
    p->provider = "tpm2:tcti=device:/nonexistent";
    expect_load(p, HSM_E_UNAVAILABLE, "no TPM at device:/nonexistent");
    p->provider = "file";
    expect_load(p, HSM_E_CORRUPT, ".tpm2: set the seal provider back");
    p->provider = provider_of(&mine, "");
    expect_load(p, HSM_OK, "");
}

static void another_partitions_key(void **state)
{
    struct place *p = (struct place *)*state;
    struct place q;
    uint8_t own[TPM2_BLOB_MAX], foreign[TPM2_BLOB_MAX];
    place_init(&q, p->provider, ".tpm2");
    must_store(p);
    must_store(&q);
    size_t own_n = slurp(p->key, own, sizeof own);
    size_t n = slurp(q.key, foreign, sizeof foreign);
    spill(p->key, foreign, n);
    expect_load(p, HSM_E_CORRUPT, "does not belong to");
    spill(p->key, own, own_n);
    expect_load(p, HSM_OK, "");
    assert_int_equal(unlink(p->key), 0);
    expect_load(p, HSM_E_CORRUPT, "is missing");
    assert_false(exists(p->key)); /* no new key under an existing seal */
    assert_int_equal(place_done(&q), 0);
}

static void every_damage_is_noticed(void **state)
{
    struct place *p = (struct place *)*state;
    uint8_t file[TPM2_BLOB_MAX];
    struct tpm2_blob b;
    must_store(p);
    size_t n = slurp(p->key, file, sizeof file);
    for (size_t i = 0; i < n; i++) {
        file[i] ^= 0x10;
        assert_int_equal(tpm2_blob_decode(bytes_of(file, n), &b), HSM_E_CORRUPT);
        file[i] ^= 0x10;
        assert_int_equal(tpm2_blob_decode(bytes_of(file, i), &b), HSM_E_CORRUPT);
    }
    assert_int_equal(tpm2_blob_decode(bytes_of(file, n), &b), HSM_OK);
    file[n / 2] ^= 1;
    spill(p->key, file, n);
    expect_load(p, HSM_E_CORRUPT, "damaged");
    /* with a good checksum: the TPM finds it */
    b.priv.buffer[b.priv.size - 1] ^= 1;
    assert_int_equal(tpm2_blob_encode(&b, file, &n), HSM_OK);
    spill(p->key, file, n);
    expect_load(p, HSM_E_CORRUPT, "not what this TPM made");
}

/* The same parser for contents that a good checksum covers. */
static void odd_contents(void **state)
{
    struct place *p = (struct place *)*state;
    uint8_t file[TPM2_BLOB_MAX];
    struct tpm2_blob b;
    must_store(p);
    size_t n = slurp(p->key, file, sizeof file) - SEAL_SUM_LEN;
    for (size_t cut = 0; cut < n; cut++) {
        uint8_t copy[TPM2_BLOB_MAX];
        memcpy(copy, file, cut);
        assert_true(seal_sum(bytes_of(copy, cut), copy + cut));
        assert_int_not_equal(tpm2_blob_decode(bytes_of(copy, cut + SEAL_SUM_LEN), &b), HSM_OK);
    }
    file[n] = 0;
    assert_true(seal_sum(bytes_of(file, n + 1), file + n + 1));
    assert_int_not_equal(tpm2_blob_decode(bytes_of(file, n + 1 + SEAL_SUM_LEN), &b), HSM_OK);
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
    struct seal_sink sink = begin(p);
    assert_int_equal(seal_join_finish(&sink, &p->roots), HSM_OK);
    seal_sink_done(&sink);
    restart(&mine);
    expect_load(p, HSM_OK, "");
    assert_false(exists(p->fresh));
    expect_load(p, HSM_OK, "");
}

/* ---- what can be heard between the boundary and the TPM ---------------------------------------
 */
struct tap {
    int port; /* of the listener; the control channel's is the next */
    int listener[2];
    uint8_t heard[1 << 18];
    size_t n;
    atomic_bool stop;
    pthread_t thread;
};

static int dial(int port)
{
    const struct sockaddr_in at = local(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&at, sizeof at) != 0)
        abort();
    return fd;
}

/* Bytes that could be moved; 0: that end was closed. */
static size_t pass(struct tap *t, int from, int to)
{
    uint8_t *at = t->heard + t->n;
    ssize_t n = read(from, at, sizeof t->heard - t->n);
    if (n <= 0 || write(to, at, (size_t)n) != n)
        return 0;
    t->n += (size_t)n;
    return (size_t)n;
}

/* One connection of each kind at a time, as swtpm has it. */
static void *tap_main(void *arg)
{
    struct tap *t = (struct tap *)arg;
    struct pollfd p[6];
    for (size_t i = 0; i < 2; i++)
        p[i] = (struct pollfd){.fd = t->listener[i], .events = POLLIN};
    for (size_t i = 2; i < 6; i++)
        p[i] = (struct pollfd){.fd = -1, .events = POLLIN};
    while (!atomic_load(&t->stop)) {
        if (poll(p, 6, 20) <= 0)
            continue;
        for (size_t i = 0; i < 2; i++) {
            struct pollfd *near = &p[2 + 2 * i];
            struct pollfd *far = near + 1;
            bool end = (near->revents != 0 && pass(t, near->fd, far->fd) == 0) ||
                       (far->revents != 0 && pass(t, far->fd, near->fd) == 0);
            if (end) {
                close(near->fd);
                close(far->fd);
                near->fd = far->fd = -1;
            }
            p[i].fd = near->fd < 0 ? t->listener[i] : -1;
            if (p[i].fd >= 0 && (p[i].revents & POLLIN) != 0) {
                near->fd = accept4(t->listener[i], NULL, NULL, SOCK_CLOEXEC);
                far->fd = dial(mine.port + (int)i);
                p[i].fd = -1;
            }
            near->revents = far->revents = p[i].revents = 0;
        }
    }
    for (size_t i = 0; i < 6; i++)
        if (p[i].fd >= 0)
            close(p[i].fd);
    return NULL;
}

static void tap_start(struct tap *t)
{
    int one = 1;
    t->port = free_ports(12000);
    for (int i = 0; i < 2; i++) {
        const struct sockaddr_in at = local(t->port + i);
        t->listener[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(setsockopt(t->listener[i], SOL_SOCKET, SO_REUSEADDR, &one, sizeof one), 0);
        assert_int_equal(bind(t->listener[i], (const struct sockaddr *)&at, sizeof at), 0);
        assert_int_equal(listen(t->listener[i], 4), 0);
    }
    assert_int_equal(pthread_create(&t->thread, NULL, tap_main, t), 0);
}

/* The key never crosses in clear, neither when it is sealed nor when it is opened. */
static void nothing_to_be_heard(void **state)
{
    static struct tap t;
    struct place *p = (struct place *)*state;
    struct machine heard = mine;
    uint8_t file[TPM2_BLOB_MAX];
    struct tpm2_blob b;
    tap_start(&t);
    snprintf(heard.tcti, sizeof heard.tcti, "swtpm:host=127.0.0.1,port=%d", t.port);
    p->provider = provider_of(&heard, "");
    struct seal_sink first = begin(p);
    struct seal_sink again = begin(p);
    assert_memory_equal(first.kek.p, again.kek.p, KEK_LEN);
    atomic_store(&t.stop, true);
    pthread_join(t.thread, NULL);
    assert_int_equal(tpm2_blob_decode(bytes_of(file, slurp(p->key, file, sizeof file)), &b),
                     HSM_OK);
    /* the public part went both ways, so the tap works */
    const uint8_t *hit = memmem(t.heard, t.n, b.policy, 32);
    assert_non_null(hit);
    assert_non_null(memmem(hit + 1, t.n - (size_t)(hit + 1 - t.heard), b.policy, 32));
    for (size_t i = 0; i + 8 <= KEK_LEN; i++)
        assert_null(memmem(t.heard, t.n, first.kek.p + i, 8));
    seal_sink_done(&first);
    seal_sink_done(&again);
    p->provider = provider_of(&mine, "");
}

int main(void)
{
    setenv("TSS2_LOG", "all+NONE", 1);
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(store_and_load),
        T(level),
        T(changed_pcr_does_not_open),
        T(the_tpm_decides),
        T(chosen_pcrs),
        T(another_tpm),
        T(no_tpm),
        T(another_partitions_key),
        T(every_damage_is_noticed),
        T(odd_contents),
        T(join_and_next_start),
        T(nothing_to_be_heard),
    };
#undef T
    return cmocka_run_group_tests(tests, setup_machines, teardown_machines);
}
