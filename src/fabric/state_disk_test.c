/* The state in a store: what is reported is there after a restart, and nothing else is accepted. */
#include "fabric/identity/test_dir.h"

#include <signal.h>
#include <sys/wait.h>
#include "base/file.h"
#include "fabric/state_disk.h"
#include "wire/wire.h"

struct rig {
    struct test_dir *dir;
    uv_loop_t loop;
    struct state *s;
    bool ready, closed;
    hsm_err fatal;
    char text[512];
};

static void on_ready(void *ctx)
{
    ((struct rig *)ctx)->ready = true;
}

static void on_fatal(void *ctx, hsm_err err, const char *text)
{
    struct rig *r = ctx;
    r->fatal = err;
    snprintf(r->text, sizeof r->text, "%s", text);
}

static void on_closed(void *ctx)
{
    struct rig *r = ctx;
    r->closed = true;
    r->s = NULL;
}

static hsm_err open_state(struct rig *r)
{
    const struct state_config cfg = {.dir = r->dir->path, .instance = 1};
    const struct state_handlers h = {.ctx = r, .ready = on_ready, .fatal = on_fatal};
    r->ready = r->closed = false;
    r->text[0] = 0;
    TRY(state_open(&r->loop, &cfg, &h, &r->s, r->text, sizeof r->text));
    while (!r->ready && r->fatal == HSM_OK)
        uv_run(&r->loop, UV_RUN_ONCE);
    return r->fatal;
}

static void close_state(struct rig *r)
{
    if (r->s == NULL)
        return;
    state_close(r->s, on_closed, r);
    while (!r->closed)
        uv_run(&r->loop, UV_RUN_ONCE);
}

static void reopen(struct rig *r)
{
    close_state(r);
    assert_int_equal(open_state(r), HSM_OK);
}

static int setup(void **state)
{
    struct rig *r = calloc(1, sizeof *r);
    *state = r;
    void *dir = NULL;
    if (r == NULL || test_dir_setup(&dir) != 0 || uv_loop_init(&r->loop) != 0)
        return -1;
    signal(SIGPIPE, SIG_IGN);
    r->dir = dir;
    return 0;
}

static int teardown(void **state)
{
    struct rig *r = *state;
    void *dir = r->dir;
    close_state(r);
    for (int i = 0; i < 50 && uv_run(&r->loop, UV_RUN_NOWAIT) != 0; i++)
        usleep(1000);
    static struct rig *kept[8]; /* a store that failed leaves handles in its loop: store.h */
    static unsigned kept_n;
    int e = r->fatal == HSM_OK ? uv_loop_close(&r->loop) : 0;
    if (r->fatal != HSM_OK && kept_n < sizeof kept / sizeof kept[0])
        kept[kept_n++] = r;
    else
        free(r);
    return e == 0 ? test_dir_teardown(&dir) : -1;
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

static hsm_err commit(struct rig *r, struct changes *c)
{
    struct waiting w = {0};
    state_commit(r->s, c, on_done, &w);
    while (!w.done)
        uv_run(&r->loop, UV_RUN_ONCE);
    return w.err;
}

static void put(struct rig *r, const char *key, const char *json)
{
    struct changes *c = changes_new(r->s);
    changes_put(c, STATE_RESOURCE, bytes_str(key), bytes_str(json));
    assert_int_equal(commit(r, c), HSM_OK);
    changes_free(c);
}

static void del(struct rig *r, const char *key)
{
    struct changes *c = changes_new(r->s);
    changes_delete(c, STATE_RESOURCE, bytes_str(key));
    assert_int_equal(commit(r, c), HSM_OK);
    changes_free(c);
}

static void expect(const struct rig *r, const char *key, const char *json)
{
    const struct document *d = state_get(r->s, STATE_RESOURCE, bytes_str(key));
    assert_true(json == NULL ? d == NULL : d != NULL && bytes_eq_str(d->json, json));
}

static void outlives_a_restart(void **state)
{
    struct rig *r = *state;
    assert_int_equal(open_state(r), HSM_OK);
    put(r, "/a", "{\"v\":1}");
    put(r, "/b", "{}");
    put(r, "/a", "{\"v\":2}");
    del(r, "/b");
    put(r, "/c", "{}");
    reopen(r);
    expect(r, "/a", "{\"v\":2}");
    expect(r, "/b", NULL);
    expect(r, "/c", "{}");
    put(r, "/b", "{\"again\":true}");
    struct changes *c = changes_new(r->s);
    changes_delete(c, STATE_RESOURCE, bytes_str("/a"));
    changes_put(c, STATE_GROUP, bytes_str("g"), bytes_str("{}"));
    changes_delete(c, STATE_RESOURCE, bytes_str("/never"));
    changes_put(c, STATE_RESOURCE, bytes_str("/b"), bytes_str("{\"v\":3}"));
    assert_int_equal(commit(r, c), HSM_OK);
    changes_free(c);
    reopen(r);
    reopen(r);
    expect(r, "/a", NULL);
    expect(r, "/b", "{\"v\":3}");
    assert_int_equal(state_count(r->s, STATE_GROUP, bytes_str("g")), 1);
    assert_int_equal(state_count(r->s, STATE_RESOURCE, bytes_str("")), 2);
}

/* All of them come from the same state: the first wins, and the others say so. */
static void commits_wait_for_their_turn(void **state)
{
    struct rig *r = *state;
    struct changes *c[5];
    struct waiting w[5] = {0};
    assert_int_equal(open_state(r), HSM_OK);
    for (size_t i = 0; i < 5; i++) {
        char key[8];
        snprintf(key, sizeof key, "/%zu", i);
        c[i] = changes_new(r->s);
        changes_put(c[i], STATE_RESOURCE, bytes_str(key), bytes_str("{}"));
        state_commit(r->s, c[i], on_done, &w[i]);
    }
    assert_false(w[0].done);
    expect(r, "/0", NULL);
    while (!w[4].done)
        uv_run(&r->loop, UV_RUN_ONCE);
    for (size_t i = 0; i < 5; i++) {
        assert_true(w[i].done);
        assert_int_equal(w[i].err, i == 0 ? HSM_OK : HSM_E_CONFLICT);
        changes_free(c[i]);
    }
    assert_int_equal(state_count(r->s, STATE_RESOURCE, bytes_str("")), 1);
}

static void closing_ends_what_waits(void **state)
{
    struct rig *r = *state;
    struct waiting w[2] = {0};
    assert_int_equal(open_state(r), HSM_OK);
    struct changes *c = changes_new(r->s);
    changes_put(c, STATE_RESOURCE, bytes_str("/a"), bytes_str("{}"));
    state_commit(r->s, c, on_done, &w[0]);
    state_commit(r->s, c, on_done, &w[1]);
    close_state(r);
    assert_true(w[0].done && w[1].done);
    assert_int_equal(w[1].err, HSM_E_UNAVAILABLE);
    changes_free(c);
    assert_int_equal(open_state(r), HSM_OK);
    if (w[0].err == HSM_OK)
        expect(r, "/a", "{}");
}

/* Writes documents and reports each one that was committed, until it is killed. */
static void child(struct rig *r, int fd)
{
    if (uv_loop_init(&r->loop) != 0 || open_state(r) != HSM_OK)
        _exit(1);
    for (unsigned i = 0;; i++) {
        char key[16];
        snprintf(key, sizeof key, "/%u", i);
        put(r, key, key);
        if (write(fd, &i, sizeof i) != sizeof i)
            _exit(2);
    }
}

static void killed_at_any_time(void **state)
{
    struct rig *r = *state;
    int fds[2];
    unsigned last = 0;
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(fds[0]);
        child(r, fds[1]);
    }
    close(fds[1]);
    while (last < 25)
        assert_int_equal(read(fds[0], &last, sizeof last), sizeof last);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    while (read(fds[0], &last, sizeof last) == sizeof last)
        ;
    close(fds[0]);
    assert_int_equal(open_state(r), HSM_OK);
    for (unsigned i = 0; i <= last; i++) {
        char key[16];
        snprintf(key, sizeof key, "/%u", i);
        expect(r, key, key);
    }
    /* The one after it may be there, but not only half. */
    assert_true(state_count(r->s, STATE_RESOURCE, bytes_str("")) <= last + 2u);
}

static void key_is_needed(void **state)
{
    struct rig *r = *state;
    char path[200];
    assert_int_equal(open_state(r), HSM_OK);
    put(r, "/a", "{}");
    close_state(r);
    snprintf(path, sizeof path, "%s/state.key", r->dir->path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(open_state(r), HSM_E_CORRUPT);
    assert_non_null(strstr(r->text, "state.key is missing"));
    assert_int_equal(file_replace(path, bytes_str("short"), 0600), HSM_OK);
    assert_int_equal(open_state(r), HSM_E_CORRUPT);
    assert_non_null(strstr(r->text, "state.key is damaged"));
    assert_int_equal(file_replace(path, bytes_str("01234567890123456789012345678901"), 0600),
                     HSM_OK);
    assert_int_equal(open_state(r), HSM_E_CORRUPT);
    assert_non_null(strstr(r->text, "does not fit its key"));
}

/* ---- somebody who can write to the store's files, but has no key ---- */

struct thief {
    uint8_t rid[STATE_RID_LEN];
    uint64_t revision;
    uint8_t sealed[512];
    size_t n;
    uint8_t buf[4096];
    bool done, closed;
};

static hsm_err steal(void *ctx, const uint8_t rid[STORE_RID_LEN], uint64_t revision,
                     struct bytes sealed)
{
    struct thief *t = ctx;
    if (sealed.n > STATE_SEAL_LEN && sealed.n <= sizeof t->sealed) {
        memcpy(t->rid, rid, sizeof t->rid);
        t->revision = revision;
        memcpy(t->sealed, sealed.p, sealed.n);
        t->n = sealed.n;
    }
    return HSM_OK;
}

static void thief_committed(void *ctx, uint64_t index, bool accepted, struct bytes txn)
{
    (void)ctx, (void)index, (void)accepted, (void)txn;
}

static void thief_done(void *ctx, hsm_err err)
{
    assert_int_equal(err, HSM_OK);
    ((struct thief *)ctx)->done = true;
}

static void thief_closed(void *ctx)
{
    ((struct thief *)ctx)->closed = true;
}

static void propose(struct rig *r, struct store *store, struct thief *t, bool remove)
{
    struct wr w = wr_of(t->buf, sizeof t->buf);
    static const uint8_t id[16] = {1};
    wr_bytes(&w, id, sizeof id);
    wr_u64(&w, 0);
    wr_lv(&w, bytes_str(""));
    size_t list = wr_lv_open(&w), item = wr_lv_open(&w);
    struct wire_txn_op op = {.rid = bytes_of(t->rid, sizeof t->rid),
                             .expected = t->revision,
                             .revision = t->revision + 100,
                             .remove = remove};
    if (!remove)
        op.sealed = bytes_of(t->sealed, t->n);
    wire_txn_op_put(&w, &op);
    wr_lv_close(&w, item);
    wr_lv_close(&w, list);
    wr_lv(&w, bytes_str("mac"));
    assert_int_equal(store_propose(store, wr_view(&w), thief_done, t), HSM_OK);
    while (!t->done)
        uv_run(&r->loop, UV_RUN_ONCE);
}

static void tamper(struct rig *r, bool remove, bool flush)
{
    static struct thief t;
    char path[200], text[512];
    struct store *store = NULL;
    const struct store_callbacks cb = {.ctx = &t, .committed = thief_committed};
    snprintf(path, sizeof path, "%s/store", r->dir->path);
    const struct store_config cfg = {.dir = path, .node_id = 1, .address = "127.0.0.1:0"};
    t = (struct thief){0};
    assert_int_equal(store_open(&r->loop, &cfg, &cb, &store, text, sizeof text), HSM_OK);
    assert_int_equal(store_each(store, steal, &t), HSM_OK);
    assert_true(t.n > 0);
    assert_int_equal(store_start(store), HSM_OK);
    propose(r, store, &t, remove);
    if (flush) {
        struct store_info info;
        store_info(store, &info);
        /* Everything that is in the log belongs to the state now. */
        for (uint64_t i = store_loaded_index(store) + 1; i <= info.log_last; i++)
            store_applied(store, i, bytes_str("d"));
        assert_int_equal(store_flush(store), HSM_OK);
    }
    store_close(store, thief_closed, &t);
    while (!t.closed)
        uv_run(&r->loop, UV_RUN_ONCE);
}

static void tampering_is_noticed(void **state, bool remove, bool flush)
{
    struct rig *r = *state;
    assert_int_equal(open_state(r), HSM_OK);
    put(r, "/a", "{\"v\":1}");
    put(r, "/b", "{\"v\":2}");
    reopen(r); /* all of it is flushed */
    close_state(r);
    tamper(r, remove, flush);
    assert_int_equal(open_state(r), HSM_E_CORRUPT);
    assert_non_null(strstr(r->text, "fit its key"));
}

static void a_document_taken_away(void **state)
{
    tampering_is_noticed(state, true, true);
}

static void a_document_put_anew(void **state)
{
    tampering_is_noticed(state, false, true);
}

static void a_foreign_change_in_the_log(void **state)
{
    tampering_is_noticed(state, false, false);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(killed_at_any_time), /* first: it forks, and no thread runs yet */
        TEST(outlives_a_restart),          TEST(commits_wait_for_their_turn),
        TEST(closing_ends_what_waits),     TEST(key_is_needed),
        TEST(a_document_taken_away),       TEST(a_document_put_anew),
        TEST(a_foreign_change_in_the_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
