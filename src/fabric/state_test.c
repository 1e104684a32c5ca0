#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "fabric/state.h"

struct rig {
    struct state *s;
    struct changes *c;
    hsm_err err;
    unsigned done;
    char seen[256];
};

static int setup(void **state)
{
    struct rig *r = calloc(1, sizeof *r);
    if (r == NULL || state_open_memory(&r->s) != HSM_OK)
        return -1;
    r->c = changes_new(r->s);
    *state = r;
    return r->c != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    struct rig *r = *state;
    changes_free(r->c);
    state_close(r->s, NULL, NULL);
    free(r);
    return 0;
}

static void on_done(void *ctx, hsm_err err)
{
    struct rig *r = ctx;
    r->err = err;
    r->done++;
}

static hsm_err commit(struct rig *r, struct changes *c)
{
    unsigned before = r->done;
    state_commit(r->s, c, on_done, r);
    assert_int_equal(r->done, before + 1);
    return r->err;
}

static void put(struct changes *c, const char *key, const char *json)
{
    changes_put(c, STATE_RESOURCE, bytes_str(key), bytes_str(json));
}

static bool has(const struct document *d, const char *json)
{
    return d != NULL && bytes_eq_str(d->json, json);
}

static const struct document *get(const struct rig *r, const char *key)
{
    return state_get(r->s, STATE_RESOURCE, bytes_str(key));
}

static void commit_makes_changes_visible_together(void **state)
{
    struct rig *r = *state;
    assert_true(changes_empty(r->c));
    put(r->c, "/a", "{\"v\":1}");
    put(r->c, "/b", "{}");
    put(r->c, "/a", "{\"v\":2}");
    assert_false(changes_empty(r->c));
    assert_null(get(r, "/a"));
    assert_true(has(changes_get(r->c, STATE_RESOURCE, bytes_str("/a")), "{\"v\":2}"));
    assert_int_equal(commit(r, r->c), HSM_OK);
    assert_true(has(get(r, "/a"), "{\"v\":2}"));
    assert_true(has(get(r, "/b"), "{}"));
    assert_null(state_get(r->s, STATE_GROUP, bytes_str("/a")));
    changes_reset(r->c, r->s);
    changes_delete(r->c, STATE_RESOURCE, bytes_str("/a"));
    assert_null(changes_get(r->c, STATE_RESOURCE, bytes_str("/a")));
    assert_true(has(changes_get(r->c, STATE_RESOURCE, bytes_str("/b")), "{}"));
    assert_int_equal(commit(r, r->c), HSM_OK);
    assert_null(get(r, "/a"));
    assert_true(has(get(r, "/b"), "{}"));
}

/* Whatever was computed from an older state is refused, also when it touches other documents. */
static void older_changes_conflict(void **state)
{
    struct rig *r = *state;
    struct changes *late = changes_new(r->s);
    assert_non_null(late);
    put(late, "/x", "{}");
    put(r->c, "/a", "{}");
    assert_int_equal(commit(r, r->c), HSM_OK);
    assert_int_equal(commit(r, late), HSM_E_CONFLICT);
    assert_null(get(r, "/x"));
    assert_int_equal(commit(r, r->c), HSM_E_CONFLICT);
    changes_reset(late, r->s);
    put(late, "/x", "{}");
    assert_int_equal(commit(r, late), HSM_OK);
    assert_true(has(get(r, "/x"), "{}"));
    changes_free(late);
}

static void faults_of_staging_show_at_the_commit(void **state)
{
    struct rig *r = *state;
    static char big[STATE_JSON_MAX + 2];
    char key[STATE_KEY_MAX + 2];
    memset(big, 'x', sizeof big - 1);
    memset(key, 'k', sizeof key);
    changes_put(r->c, STATE_RESOURCE, bytes_of(key, STATE_KEY_MAX + 1), bytes_str("{}"));
    assert_false(changes_empty(r->c));
    assert_int_equal(commit(r, r->c), HSM_E_RANGE);
    changes_reset(r->c, r->s);
    put(r->c, "/a", big);
    put(r->c, "/b", "{}");
    assert_int_equal(commit(r, r->c), HSM_E_TOO_LARGE);
    assert_null(get(r, "/b"));
    changes_reset(r->c, r->s);
    for (unsigned i = 0; i < 4; i++) {
        char name[8];
        snprintf(name, sizeof name, "/%u", i);
        changes_put(r->c, STATE_RESOURCE, bytes_str(name), bytes_of(big, STATE_JSON_MAX));
    }
    assert_int_equal(commit(r, r->c), HSM_E_TOO_LARGE);
    changes_reset(r->c, r->s);
    changes_put(r->c, STATE_RESOURCE, bytes_of(key, STATE_KEY_MAX), bytes_of(big, STATE_JSON_MAX));
    assert_int_equal(commit(r, r->c), HSM_OK);
}

static bool collect(void *ctx, const struct document *d)
{
    char *text = ctx;
    size_t n = strlen(text);
    snprintf(text + n, 256 - n, "%.*s ", (int)d->key.n, (const char *)d->key.p);
    return !bytes_eq_str(d->key, "/g/stop");
}

static void documents_come_in_order(void **state)
{
    struct rig *r = *state;
    static const char *const keys[] = {"/g/b", "/h", "/g/a", "/g", "/f/z", "/g/aa"};
    char text[256] = "";
    for (size_t i = 0; i < 6; i++)
        put(r->c, keys[i], "{}");
    assert_int_equal(commit(r, r->c), HSM_OK);
    state_each(r->s, STATE_RESOURCE, bytes_str("/g/"), collect, text);
    assert_string_equal(text, "/g/a /g/aa /g/b ");
    assert_int_equal(state_count(r->s, STATE_RESOURCE, bytes_str("")), 6);
    assert_int_equal(state_count(r->s, STATE_RESOURCE, bytes_str("/g")), 4);
    assert_int_equal(state_count(r->s, STATE_GROUP, bytes_str("")), 0);
    changes_reset(r->c, r->s);
    put(r->c, "/g/stop", "{}");
    put(r->c, "/g/z", "{}");
    changes_delete(r->c, STATE_RESOURCE, bytes_str("/g/aa"));
    assert_int_equal(commit(r, r->c), HSM_OK);
    text[0] = 0;
    state_each(r->s, STATE_RESOURCE, bytes_str("/g"), collect, text);
    assert_string_equal(text, "/g /g/a /g/b /g/stop ");
}

static void watch(void *ctx, enum state_kind kind, struct bytes key, const struct document *now)
{
    struct rig *r = ctx;
    size_t n = strlen(r->seen);
    snprintf(r->seen + n, sizeof r->seen - n, "%d%.*s%s ", kind == STATE_RESOURCE, (int)key.n,
             (const char *)key.p, now == NULL ? "-" : "+");
    /* Everything of the commit is visible already. */
    assert_non_null(get(r, "/b"));
}

static void watchers_see_what_was_committed(void **state)
{
    struct rig *r = *state;
    assert_int_equal(state_watch(r->s, watch, r), HSM_OK);
    put(r->c, "/a", "{}");
    put(r->c, "/b", "{}");
    assert_int_equal(commit(r, r->c), HSM_OK);
    assert_string_equal(r->seen, "1/a+ 1/b+ ");
    changes_reset(r->c, r->s);
    changes_delete(r->c, STATE_RESOURCE, bytes_str("/a"));
    assert_int_equal(commit(r, r->c), HSM_OK);
    assert_string_equal(r->seen, "1/a+ 1/b+ 1/a- ");
    assert_int_equal(commit(r, r->c), HSM_E_CONFLICT);
    assert_string_equal(r->seen, "1/a+ 1/b+ 1/a- ");
}

/* Against a plain model: what many random commits leave. */
static void many_commits(void **state)
{
    struct rig *r = *state;
    unsigned model[64] = {0}, seed = 1;
    for (unsigned round = 1; round <= 3000; round++) {
        char key[8], json[16];
        seed = seed * 1103515245u + 12345u;
        unsigned k = seed >> 16 & 63;
        bool is_delete = (seed >> 8 & 3) == 0;
        snprintf(key, sizeof key, "/%u", k);
        snprintf(json, sizeof json, "%u", round);
        changes_reset(r->c, r->s);
        if (is_delete)
            changes_delete(r->c, STATE_RESOURCE, bytes_str(key));
        else
            put(r->c, key, json);
        assert_int_equal(commit(r, r->c), HSM_OK);
        model[k] = is_delete ? 0 : round;
    }
    size_t n = 0;
    for (unsigned k = 0; k < 64; k++) {
        char key[8], json[16];
        snprintf(key, sizeof key, "/%u", k);
        snprintf(json, sizeof json, "%u", model[k]);
        assert_true(model[k] == 0 ? get(r, key) == NULL : has(get(r, key), json));
        n += model[k] != 0;
    }
    assert_int_equal(state_count(r->s, STATE_RESOURCE, bytes_str("/")), n);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(commit_makes_changes_visible_together), TEST(older_changes_conflict),
        TEST(faults_of_staging_show_at_the_commit),  TEST(documents_come_in_order),
        TEST(watchers_see_what_was_committed),       TEST(many_commits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
