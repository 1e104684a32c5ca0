/* Three instances in one process, with real links. */
#include "fabric/identity/test_dir.h"

#include <arpa/inet.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include "base/file.h"
#include "fabric/identity/pki.h"
#include "fabric/state.h"
#include "store/store.h"

#define N      3
#define NOW_MS 1795307240000ull

/* libraft forgets the configuration of an InstallSnapshot message that it did not take. */
const char *__lsan_default_suppressions(void);
/* Its texts of errors lie in static buffers: several stores in one process share them. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
    return "race:libraft.so\n";
}
const char *__lsan_default_suppressions(void)
{
    return "leak:libraft.so\n";
}

struct instance {
    struct state *s;
    uv_loop_t loop; /* each its own: one may be stopped alone */
    bool ready, leads, closed, open;
    char dir[200], address[32], cert[240], key[240];
    struct store_peers peers;
};

struct rig {
    struct test_dir *dir;
    struct instance at[N];
    char ca[200], seeds[128], text[512];
};

static uint16_t free_port(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, n), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
    close(fd);
    return ntohs(a.sin_port);
}

static void step(struct rig *r)
{
    for (int i = 0; i < N; i++) {
        if (r->at[i].open)
            uv_run(&r->at[i].loop, UV_RUN_NOWAIT);
    }
    usleep(200);
}

static uint64_t now_ms(void)
{
    return uv_hrtime() / 1000000;
}

#define UNTIL(r, cond)                                                                             \
    do {                                                                                           \
        uint64_t end_ = now_ms() + 20000;                                                          \
        while (!(cond)) {                                                                          \
            step(r);                                                                               \
            if (now_ms() > end_)                                                                   \
                fail_msg("never: %s", #cond);                                                      \
        }                                                                                          \
    } while (0)

static void on_ready(void *ctx)
{
    ((struct instance *)ctx)->ready = true;
}

static void on_leads(void *ctx, bool leads)
{
    ((struct instance *)ctx)->leads = leads;
}

static void on_fatal(void *ctx, hsm_err err, const char *text)
{
    (void)ctx;
    fail_msg("%s (%s)", text, hsm_err_name(err));
}

static void on_closed(void *ctx)
{
    ((struct instance *)ctx)->closed = true;
}

static void start(struct rig *r, int i)
{
    struct instance *x = &r->at[i];
    const struct state_config cfg = {
        .dir = x->dir, .instance = (uint64_t)i + 1, .address = x->address, .peers = &x->peers};
    const struct state_handlers h = {
        .ctx = x, .ready = on_ready, .leads = on_leads, .fatal = on_fatal};
    x->ready = x->leads = x->closed = false;
    assert_int_equal(uv_loop_init(&x->loop), 0);
    x->open = true;
    if (state_open(&x->loop, &cfg, &h, &x->s, r->text, sizeof r->text) != HSM_OK)
        fail_msg("%s", r->text);
}

static void stop(struct rig *r, int i)
{
    struct instance *x = &r->at[i];
    state_close(x->s, on_closed, x);
    UNTIL(r, x->closed);
    for (int k = 0; k < 50 && uv_run(&x->loop, UV_RUN_NOWAIT) != 0; k++)
        usleep(1000);
    assert_int_equal(uv_loop_close(&x->loop), 0);
    x->open = false;
}

static int setup(void **state)
{
    struct rig *r = calloc(1, sizeof *r);
    void *dir = NULL;
    static const char *const names[] = {"localhost"};
    *state = r;
    if (r == NULL || test_dir_setup(&dir) != 0)
        return -1;
    signal(SIGPIPE, SIG_IGN);
    r->dir = dir;
    snprintf(r->ca, sizeof r->ca, "%s/ca.pem", r->dir->path);
    if (pki_ensure(r->dir->path, names, 1, NOW_MS, NULL, r->text, sizeof r->text) != HSM_OK)
        return -1;
    size_t n = 0;
    for (int i = 0; i < N; i++) {
        struct instance *x = &r->at[i];
        char path[240];
        snprintf(x->dir, sizeof x->dir, "%s/%d", r->dir->path, i);
        snprintf(x->address, sizeof x->address, "127.0.0.1:%u", free_port());
        n += (size_t)snprintf(r->seeds + n, sizeof r->seeds - n, "%s%d=%s", i ? "," : "", i + 1,
                              x->address);
        assert_int_equal(path_join(x->cert, sizeof x->cert, x->dir, "peer.pem"), HSM_OK);
        assert_int_equal(path_join(x->key, sizeof x->key, x->dir, "peer.key"), HSM_OK);
        snprintf(path, sizeof path, "%s/state.key", x->dir);
        if (dir_ensure(x->dir, 0700) != HSM_OK ||
            pki_ensure_peer(r->dir->path, x->dir, "-fabric-", (unsigned)i, NOW_MS, r->text,
                            sizeof r->text) != HSM_OK ||
            file_replace(path, bytes_str("0123456789abcdef0123456789abcdef"), 0600) != HSM_OK)
            return -1;
        x->peers = (struct store_peers){.pool = "-fabric-",
                                        .listen = x->address,
                                        .cert = x->cert,
                                        .key = x->key,
                                        .ca = r->ca,
                                        .seeds = r->seeds,
                                        .join = i > 0};
    }
    return 0;
}

static int teardown(void **state)
{
    struct rig *r = *state;
    void *dir = r->dir;
    for (int i = 0; i < N; i++) {
        if (r->at[i].open)
            stop(r, i);
    }
    free(r);
    return test_dir_teardown(&dir);
}

struct waiting {
    bool done;
    hsm_err err;
};

static void on_done(void *ctx, hsm_err err)
{
    struct waiting *w = ctx;
    w->err = err;
    w->done = true;
}

static hsm_err put(struct rig *r, int i, const char *key)
{
    struct waiting w = {0};
    struct changes *c = changes_new(r->at[i].s);
    changes_put(c, STATE_GROUP, bytes_str(key), bytes_str("{}"));
    state_commit(r->at[i].s, c, on_done, &w);
    UNTIL(r, w.done);
    changes_free(c);
    return w.err;
}

static hsm_err fresh(struct rig *r, int i)
{
    struct waiting w = {0};
    state_fresh(r->at[i].s, on_done, &w);
    UNTIL(r, w.done);
    return w.err;
}

/* Again as the dispatcher does. */
static void put_for_sure(struct rig *r, int i, const char *key)
{
    hsm_err e = HSM_E_CONFLICT;
    for (int k = 0; k < 200 && e != HSM_OK; k++) {
        if (fresh(r, i) == HSM_OK)
            e = put(r, i, key);
        else
            step(r);
    }
    assert_int_equal(e, HSM_OK);
}

static bool has(const struct rig *r, int i, const char *key)
{
    return state_get(r->at[i].s, STATE_GROUP, bytes_str(key)) != NULL;
}

static int leader(const struct rig *r)
{
    for (int i = 0; i < N; i++) {
        if (r->at[i].open && r->at[i].leads)
            return i;
    }
    return -1;
}

static void start_all(struct rig *r)
{
    for (int i = 0; i < N; i++)
        start(r, i);
    UNTIL(r, r->at[0].ready && r->at[1].ready && r->at[2].ready);
}

static void every_instance_commits_and_reads(void **state)
{
    struct rig *r = *state;
    start_all(r);
    assert_int_equal(r->at[0].leads + r->at[1].leads + r->at[2].leads, 1);
    for (int i = 0; i < N; i++) {
        char key[16];
        snprintf(key, sizeof key, "g%d", i);
        put_for_sure(r, i, key);
        /* What is answered is seen by whoever asks any instance from then on. */
        for (int k = 0; k < N; k++) {
            assert_int_equal(fresh(r, k), HSM_OK);
            assert_true(has(r, k, key));
        }
    }
}

/* Changes that were computed from one state, at two instances: one of them wins. */
static void rivals_conflict(void **state)
{
    struct rig *r = *state;
    struct waiting w[N] = {0};
    struct changes *c[N];
    start_all(r);
    put_for_sure(r, 0, "base");
    for (int i = 0; i < N; i++)
        assert_int_equal(fresh(r, i), HSM_OK);
    for (int i = 0; i < N; i++) {
        char key[16];
        snprintf(key, sizeof key, "r%d", i);
        c[i] = changes_new(r->at[i].s);
        changes_put(c[i], STATE_GROUP, bytes_str(key), bytes_str("{}"));
        state_commit(r->at[i].s, c[i], on_done, &w[i]);
    }
    UNTIL(r, w[0].done && w[1].done && w[2].done);
    int won = 0;
    for (int i = 0; i < N; i++) {
        assert_true(w[i].err == HSM_OK || w[i].err == HSM_E_CONFLICT);
        won += w[i].err == HSM_OK;
        changes_free(c[i]);
    }
    assert_int_equal(won, 1);
    for (int i = 0; i < N; i++) {
        assert_int_equal(fresh(r, i), HSM_OK);
        assert_int_equal(state_count(r->at[i].s, STATE_GROUP, bytes_str("r")), 1);
    }
}

static void another_one_takes_the_lead(void **state)
{
    struct rig *r = *state;
    start_all(r);
    put_for_sure(r, 1, "before");
    int first = leader(r);
    stop(r, first);
    r->at[first].leads = false;
    UNTIL(r, leader(r) >= 0);
    int other = leader(r);
    assert_int_not_equal(other, first);
    put_for_sure(r, N - first - other, "during");
    assert_true(has(r, other, "before"));
    stop(r, other);
    /* One alone neither commits nor answers. */
    int last = N - first - other;
    assert_int_not_equal(fresh(r, last), HSM_OK);
    assert_int_not_equal(put(r, last, "alone"), HSM_OK);
    start(r, first);
    UNTIL(r, r->at[first].ready);
    assert_true(has(r, first, "before") && has(r, first, "during"));
    put_for_sure(r, first, "after");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_instance_commits_and_reads),
        TEST(rivals_conflict),
        TEST(another_one_takes_the_lead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
