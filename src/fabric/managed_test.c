/* Managed identities that resources make, and membership in groups. */
#include "fabric/identity/test_dir.h"

#include "codec/jws.h"
#include "fabric/managed.h"
#include "fabric/people.h"

#define NOW_S  1795307240u
#define NOW_MS (NOW_S * 1000ull)
#define RESOURCE                                                                                   \
    "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/diskEncryptionSets/Des1"

struct setup {
    struct test_dir *dir;
    char home[160];
    struct fabric *f;
    struct changes *c;
    char text[256];
};

static int setup(void **state)
{
    struct setup *s = calloc(1, sizeof *s);
    void *dir = NULL;
    if (s == NULL || test_dir_setup(&dir) != 0)
        return -1;
    s->dir = dir;
    snprintf(s->home, sizeof s->home, "%s/fabric", s->dir->path);
    const struct fabric_config c = {.home = s->home,
                                    .origin = "https://localhost:8443",
                                    .hsm_suffix = "managedhsm.localhost:8443",
                                    .region = "local"};
    *state = s;
    if (fabric_open(&c, NOW_MS, &s->f, s->text, sizeof s->text) != HSM_OK)
        return -1;
    s->c = changes_new(s->f->state);
    return s->c != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    struct setup *s = *state;
    void *dir = s->dir;
    changes_free(s->c);
    fabric_close(s->f);
    free(s);
    return test_dir_teardown(&dir);
}

static void on_done(void *ctx, hsm_err err)
{
    *(hsm_err *)ctx = err;
}

static void commit(struct setup *s)
{
    hsm_err e = HSM_E_INTERNAL;
    state_commit(s->f->state, s->c, on_done, &e);
    assert_int_equal(e, HSM_OK);
    changes_reset(s->c, s->f->state);
}

static struct managed_identity make(struct setup *s, const char *name, const char *resource,
                                    bool user_assigned)
{
    struct managed_identity id;
    const struct managed_want want = {.name = bytes_str(name),
                                      .resource_id = bytes_str(resource),
                                      .user_assigned = user_assigned};
    assert_int_equal(identity_create_managed(s->f, s->c, &want, NOW_MS, &id), HSM_OK);
    return id;
}

static enum token_fault ask(struct setup *s, const struct managed_selector *which)
{
    static uint8_t out[32768];
    struct wr w = wr_of(out, sizeof out);
    return provider_managed_token(&s->f->provider, bytes_str(s->f->provider.dir.identity_header),
                                  bytes_str("https://h"), which, NOW_S, &w);
}

static void life_of_an_identity(void **state)
{
    struct setup *s = *state;
    static uint8_t jwt[TOKEN_JWT_MAX];
    struct managed_identity id = make(s, "des1", RESOURCE, false), back;
    struct wr w = wr_of(jwt, sizeof jwt);
    struct bytes oid = bytes_str(id.principal_id);
    assert_int_equal(identity_find_managed(s->f, oid, &back), HSM_E_NOT_FOUND);
    commit(s);
    assert_int_equal(identity_find_managed(s->f, oid, &back), HSM_OK);
    assert_string_equal(back.client_id, id.client_id);
    assert_false(back.user_assigned);
    assert_int_equal(managed_token(s->f, oid, bytes_str("https://h"), NOW_MS, &w), HSM_OK);
    struct principal who;
    char audience[TOKEN_RESOURCE_MAX + 1];
    struct bytes token = wr_view(&w);
    assert_int_equal(provider_verify(&s->f->provider, token, NOW_S, &who, audience), HSM_OK);
    assert_string_equal(who.oid, id.principal_id);
    assert_string_equal(who.resource_id, RESOURCE);
    assert_int_equal(who.kind, PRINCIPAL_MANAGED_IDENTITY);

    assert_int_equal(identity_delete(s->f, s->c, oid), HSM_OK);
    commit(s);
    assert_int_equal(provider_verify(&s->f->provider, token, NOW_S, &who, audience),
                     HSM_E_TOKEN_ISSUER);
    assert_int_equal(managed_token(s->f, oid, bytes_str("https://h"), NOW_MS, &w), HSM_E_NOT_FOUND);
    assert_int_equal(identity_delete(s->f, s->c, oid), HSM_OK);
    assert_true(changes_empty(s->c));
    assert_int_equal(state_count(s->f->state, STATE_DIRECTORY_NAME, bytes_of(NULL, 0)), 0);
}

/* Only what is meant for programs: not the identity of a resource. */
static void the_endpoint_gives_user_assigned_ones(void **state)
{
    struct setup *s = *state;
    struct managed_identity u = make(s, "u1", "/subscriptions/s/u1", true);
    struct managed_identity r = make(s, "des1", RESOURCE, false);
    commit(s);
    struct managed_selector q = {.client_id = bytes_str(u.client_id)};
    assert_int_equal(ask(s, &q), TOKEN_OK);
    q = (struct managed_selector){.object_id = bytes_str(u.principal_id)};
    assert_int_equal(ask(s, &q), TOKEN_OK);
    q = (struct managed_selector){.resource_id = bytes_str("/SUBSCRIPTIONS/s/U1")};
    assert_int_equal(ask(s, &q), TOKEN_OK);
    q.object_id = bytes_str(u.principal_id);
    assert_int_equal(ask(s, &q), TOKEN_IDENTITY);
    q = (struct managed_selector){0};
    assert_int_equal(ask(s, &q), TOKEN_OK);
    q = (struct managed_selector){.client_id = bytes_str(r.client_id)};
    assert_int_equal(ask(s, &q), TOKEN_IDENTITY);
    q = (struct managed_selector){.resource_id = bytes_str(RESOURCE)};
    assert_int_equal(ask(s, &q), TOKEN_IDENTITY);
    q = (struct managed_selector){.object_id = bytes_str(s->f->provider.dir.admin.oid)};
    assert_int_equal(ask(s, &q), TOKEN_IDENTITY);
}

/* The new one keeps the resource's name in the index, in whatever order both are staged. */
static void an_identity_is_replaced(void **state)
{
    struct setup *s = *state;
    struct managed_identity a = make(s, "x", "/subscriptions/s/x", true);
    commit(s);
    struct managed_identity b = make(s, "x", "/subscriptions/s/x", true);
    assert_int_equal(identity_delete(s->f, s->c, bytes_str(a.principal_id)), HSM_OK);
    commit(s);
    char oid[UUID_TEXT_LEN + 1];
    assert_true(people_find(s->f, "res", bytes_str("/subscriptions/s/x"), oid));
    assert_string_equal(oid, b.principal_id);
}

static void what_does_not_fit(void **state)
{
    struct setup *s = *state;
    static char longest[PRINCIPAL_RESOURCE_MAX + 1];
    struct managed_identity id;
    memset(longest, 'a', sizeof longest - 1);
    const struct managed_want bad[] = {
        {.name = bytes_str(""), .resource_id = bytes_str(RESOURCE)},
        {.name = bytes_str("x"), .resource_id = bytes_str("")},
        {.name = bytes_str("x"), .resource_id = bytes_str(longest)},
        {.name = bytes_of(longest, DIRECTORY_NAME_MAX + 1), .resource_id = bytes_str(RESOURCE)},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(identity_create_managed(s->f, s->c, &bad[i], NOW_MS, &id),
                         HSM_E_BAD_PARAMETER);
    assert_true(changes_empty(s->c));
}

static void guid(unsigned n, char dst[UUID_TEXT_LEN + 1])
{
    snprintf(dst, UUID_TEXT_LEN + 1, "00000000-0000-4000-8000-%012u", n);
}

/* Groups in groups, also in a circle; and more of them than a token has room for. */
static void groups_of_groups(void **state)
{
    struct setup *s = *state;
    static char all[PEOPLE_GROUPS_MAX][UUID_TEXT_LEN + 1];
    char a[UUID_TEXT_LEN + 1], b[UUID_TEXT_LEN + 1];
    const char *user = s->f->provider.dir.user.oid;
    assert_int_equal(people_groups(s->f, bytes_str(user), all, PEOPLE_GROUPS_MAX), 1);
    assert_string_equal(all[0], s->f->provider.dir.group.oid);
    for (unsigned i = 0; i < 300; i++) {
        guid(i, a);
        guid((i + 1) % 300, b);
        people_stage_member(s->c, bytes_str(b), bytes_str(a));
    }
    guid(7, a);
    people_stage_member(s->c, bytes_str(a), bytes_str(user));
    commit(s);
    assert_int_equal(people_groups(s->f, bytes_str(user), all, PEOPLE_GROUPS_MAX), 301);
    assert_int_equal(people_groups(s->f, bytes_str(user), all, 200), 201);
    assert_true(people_is_member(s->f, bytes_str(a), bytes_str(user)));
    people_unstage_all(s->f, s->c, bytes_str(a));
    commit(s);
    assert_false(people_is_member(s->f, bytes_str(a), bytes_str(user)));
    assert_int_equal(people_groups(s->f, bytes_str(user), all, PEOPLE_GROUPS_MAX), 1);
    assert_int_equal(state_count(s->f->state, STATE_MEMBER, bytes_of(NULL, 0)), 2 * 298);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(life_of_an_identity, setup, teardown),
        cmocka_unit_test_setup_teardown(the_endpoint_gives_user_assigned_ones, setup, teardown),
        cmocka_unit_test_setup_teardown(an_identity_is_replaced, setup, teardown),
        cmocka_unit_test_setup_teardown(what_does_not_fit, setup, teardown),
        cmocka_unit_test_setup_teardown(groups_of_groups, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
