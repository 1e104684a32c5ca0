#include "fabric/identity/test_dir.h"

#include <string.h>
#include <sys/stat.h>
#include "base/file.h"
#include "codec/base64url.h"
#include "codec/json.h"
#include "codec/jws.h"
#include "fabric/identity/provider.h"

#define NOW_S  1795307240u
#define NOW_MS (NOW_S * 1000ull)
#define AZ_CLI "04b07795-8ddb-461a-bbee-02f9e1bf7b46"

struct setup {
    struct test_dir *dir;
    struct provider p;
};

static int setup(void **state)
{
    struct setup *s = calloc(1, sizeof *s);
    void *dir = NULL;
    if (s == NULL || test_dir_setup(&dir) != 0)
        return -1;
    s->dir = dir;
    *state = s;
    return provider_load(s->dir->path, NOW_MS, &s->p) == HSM_OK ? 0 : -1;
}

static int teardown(void **state)
{
    struct setup *s = *state;
    void *dir = s->dir;
    provider_done(&s->p);
    free(s);
    return test_dir_teardown(&dir);
}

static struct json_tok tok[256];

static struct json_doc parsed(struct bytes text)
{
    struct json_doc d;
    assert_int_equal(json_parse(text, tok, 256, &d), HSM_OK);
    return d;
}

static void expect_text(const struct json_doc *d, const char *name, const char *want)
{
    char text[1024];
    size_t n = 0;
    uint32_t v = json_get(d, 0, name);
    assert_int_not_equal(v, JSON_NONE);
    assert_int_equal(json_string(d, v, text, sizeof text - 1, &n), HSM_OK);
    text[n] = 0;
    assert_string_equal(text, want);
}

static void expect_number(const struct json_doc *d, const char *name, int64_t want)
{
    int64_t v = 0;
    assert_int_not_equal(json_get(d, 0, name), JSON_NONE);
    assert_int_equal(json_int(d, json_get(d, 0, name), &v), HSM_OK);
    assert_int_equal(v, want);
}

static struct bytes member(const struct json_doc *d, const char *name)
{
    struct bytes v;
    assert_int_not_equal(json_get(d, 0, name), JSON_NONE);
    assert_int_equal(json_plain(d, json_get(d, 0, name), &v), HSM_OK);
    return v;
}

/* As a stranger would: with the published key set only. */
static void open_with_key_set(const struct provider *p, struct bytes jwt, uint8_t *buf, size_t cap,
                              struct jws *ret)
{
    char text[2048];
    struct jwks set;
    struct wr w = wr_of(text, sizeof text);
    struct json_wr j = json_wr_of(&w);
    signing_put_jwks(&p->key, &j);
    assert_int_equal(wr_ok(&w), HSM_OK);
    assert_int_equal(jwks_parse(wr_view(&w), &set), HSM_OK);
    assert_int_equal(jws_parse(jwt, buf, cap, ret), HSM_OK);
    assert_int_equal(ret->alg, JWS_RS256);
    const struct jwk_public *k = jwks_find(&set, ret->kid);
    assert_non_null(k);
    assert_int_equal(jws_verify(ret, k->key), HSM_OK);
    jwks_done(&set);
}

static uint8_t answer[TOKEN_ANSWER_MAX];

static enum token_fault ask_token(struct provider *p, const struct token_request *q,
                                  const char *id_issuer, struct wr *w)
{
    const struct token_context c = {
        .id_issuer = id_issuer, .origin = "https://h", .address = "127.0.0.1", .now_s = NOW_S};
    return provider_token(p, q, &c, w);
}

static enum token_fault ask_managed(struct provider *p, struct bytes header, struct bytes resource,
                                    struct bytes client_id, struct wr *w)
{
    const struct managed_selector which = {.client_id = client_id};
    return provider_managed_token(p, header, resource, &which, NOW_S, w);
}

static void app_gets_an_access_token(void **state)
{
    struct setup *s = *state;
    const struct directory *d = &s->p.dir;
    struct token_request q = {.grant = GRANT_CLIENT_CREDENTIALS,
                              .client_id = bytes_str(d->admin.client_id),
                              .client_secret = bytes_str(d->admin.secret),
                              .resource = bytes_str("https://localhost:8443/")};
    struct wr w = wr_of(answer, sizeof answer);
    assert_int_equal(ask_token(&s->p, &q, "iss", &w), TOKEN_OK);
    struct json_doc doc = parsed(wr_view(&w));
    expect_text(&doc, "token_type", "Bearer");
    expect_number(&doc, "expires_in", TOKEN_LIFETIME_S);
    assert_int_equal(json_get(&doc, 0, "refresh_token"), JSON_NONE);
    assert_int_equal(json_get(&doc, 0, "id_token"), JSON_NONE);
    static uint8_t buf[JWS_TEXT_MAX];
    struct jws j;
    open_with_key_set(&s->p, member(&doc, "access_token"), buf, sizeof buf, &j);
    doc = parsed(j.payload);
    char issuer[TOKEN_ISSUER_MAX];
    snprintf(issuer, sizeof issuer, "https://sts.windows.net/%s/", d->tenant);
    expect_text(&doc, "aud", "https://localhost:8443/");
    expect_text(&doc, "iss", issuer);
    expect_text(&doc, "oid", d->admin.oid);
    expect_text(&doc, "sub", d->admin.oid);
    expect_text(&doc, "appid", d->admin.client_id);
    expect_text(&doc, "tid", d->tenant);
    expect_text(&doc, "idtyp", "app");
    expect_text(&doc, "ver", "1.0");
    expect_number(&doc, "nbf", NOW_S);
    expect_number(&doc, "exp", NOW_S + TOKEN_LIFETIME_S);
    assert_int_equal(json_get(&doc, 0, "groups"), JSON_NONE);
    assert_int_equal(json_get(&doc, 0, "upn"), JSON_NONE);
}

static struct token_request person(const struct directory *d)
{
    return (struct token_request){.grant = GRANT_PASSWORD,
                                  .client_id = bytes_str(AZ_CLI),
                                  .username = bytes_str(d->user.upn),
                                  .password = bytes_str(d->user.secret),
                                  .resource = bytes_str("https://h"),
                                  .scope = bytes_str("https://h/.default openid offline_access"),
                                  .wants_openid = true,
                                  .wants_refresh = true};
}

static void user_gets_everything(void **state)
{
    struct setup *s = *state;
    const struct directory *d = &s->p.dir;
    struct token_request q = person(d);
    struct wr w = wr_of(answer, sizeof answer);
    assert_int_equal(ask_token(&s->p, &q, "https://h/adfs", &w), TOKEN_OK);
    struct json_doc doc = parsed(wr_view(&w));
    char info[256], want[256];
    uint8_t raw[256];
    size_t n = 0;
    struct bytes client_info = member(&doc, "client_info");
    assert_int_equal(b64u_decode(raw, client_info, &n), HSM_OK);
    snprintf(info, sizeof info, "%.*s", (int)n, (const char *)raw);
    snprintf(want, sizeof want, "{\"uid\":\"%s\",\"utid\":\"%s\"}", d->user.oid, d->tenant);
    assert_string_equal(info, want);
    struct bytes id = member(&doc, "id_token"), access = member(&doc, "access_token");
    static uint8_t buf[JWS_TEXT_MAX];
    struct jws j;
    open_with_key_set(&s->p, id, buf, sizeof buf, &j);
    doc = parsed(j.payload);
    expect_text(&doc, "aud", AZ_CLI);
    expect_text(&doc, "iss", "https://h/adfs");
    expect_text(&doc, "preferred_username", d->user.upn);
    open_with_key_set(&s->p, access, buf, sizeof buf, &j);
    doc = parsed(j.payload);
    expect_text(&doc, "idtyp", "user");
    expect_text(&doc, "upn", d->user.upn);
    uint32_t groups = json_get(&doc, 0, "groups");
    assert_int_not_equal(groups, JSON_NONE);
    assert_int_equal(json_count(&doc, groups), 1);
}

static void wrong_credentials(void **state)
{
    struct setup *s = *state;
    const struct directory *d = &s->p.dir;
    struct token_request app = {.grant = GRANT_CLIENT_CREDENTIALS,
                                .client_id = bytes_str(d->admin.client_id),
                                .client_secret = bytes_str(d->guest.secret),
                                .resource = bytes_str("https://h")};
    struct wr w = wr_of(answer, sizeof answer);
    assert_int_equal(ask_token(&s->p, &app, "i", &w), TOKEN_SECRET);
    app.client_secret = (struct bytes){0};
    assert_int_equal(ask_token(&s->p, &app, "i", &w), TOKEN_SECRET_MISSING);
    app.client_id = bytes_str(AZ_CLI); /* a public client is nobody by itself */
    assert_int_equal(ask_token(&s->p, &app, "i", &w), TOKEN_APP);
    app.client_id = bytes_str(d->managed.client_id);
    app.client_secret = bytes_str("");
    assert_int_equal(ask_token(&s->p, &app, "i", &w), TOKEN_APP);

    struct token_request q = person(d);
    q.password = bytes_str("wrong");
    assert_int_equal(ask_token(&s->p, &q, "i", &w), TOKEN_PASSWORD);
    q = person(d);
    q.username = bytes_str("someone@keyhold.localhost");
    assert_int_equal(ask_token(&s->p, &q, "i", &w), TOKEN_PASSWORD);
    q = person(d);
    q.client_id = bytes_str("99999999-0000-0000-0000-000000000000");
    assert_int_equal(ask_token(&s->p, &q, "i", &w), TOKEN_APP);
    assert_int_equal(w.n, 0);
}

static void refresh_tokens(void **state)
{
    struct setup *s = *state;
    char text[512];
    struct principal who;
    struct wr w = wr_of(text, sizeof text);
    assert_int_equal(refresh_token_make(&s->p, &s->p.dir.user, bytes_str(AZ_CLI), NOW_S, &w),
                     HSM_OK);
    struct bytes t = wr_view(&w), client = bytes_str(AZ_CLI);
    assert_int_equal(refresh_token_open(&s->p, t, client, NOW_S + 10, &who), TOKEN_OK);
    assert_string_equal(who.oid, s->p.dir.user.oid);
    assert_int_equal(refresh_token_open(&s->p, t, bytes_str(s->p.dir.guest.client_id), NOW_S, &who),
                     TOKEN_REFRESH);
    assert_int_equal(
        refresh_token_open(&s->p, t, client, NOW_S + TOKEN_REFRESH_LIFETIME_S + 1, &who),
        TOKEN_REFRESH_EXPIRED);
    uint8_t raw[128];
    size_t n = 0;
    assert_int_equal(b64u_decode(raw, t, &n), HSM_OK);
    for (size_t bit = 0; bit < n * 8; bit++) {
        char bad[256];
        raw[bit / 8] ^= (uint8_t)(1u << bit % 8);
        size_t k = b64u_encode(bad, raw, n);
        raw[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(refresh_token_open(&s->p, bytes_of(bad, k), client, NOW_S, &who),
                         TOKEN_REFRESH);
    }
    for (size_t k = 0; k < t.n; k++)
        assert_int_equal(refresh_token_open(&s->p, bytes_of(t.p, k), client, NOW_S, &who),
                         TOKEN_REFRESH);
    s->p.dir.user.secret[0] ^= 1; /* another password */
    assert_int_equal(refresh_token_open(&s->p, t, client, NOW_S, &who), TOKEN_REFRESH);
}

static void refresh_grant_gives_tokens(void **state)
{
    struct setup *s = *state;
    char text[512];
    struct wr t = wr_of(text, sizeof text);
    assert_int_equal(refresh_token_make(&s->p, &s->p.dir.user, bytes_str(AZ_CLI), NOW_S, &t),
                     HSM_OK);
    struct token_request q = {.grant = GRANT_REFRESH_TOKEN,
                              .client_id = bytes_str(AZ_CLI),
                              .refresh_token = wr_view(&t),
                              .resource = bytes_str("https://h"),
                              .wants_refresh = true};
    struct wr w = wr_of(answer, sizeof answer);
    assert_int_equal(ask_token(&s->p, &q, "i", &w), TOKEN_OK);
    struct json_doc doc = parsed(wr_view(&w));
    assert_int_not_equal(json_get(&doc, 0, "refresh_token"), JSON_NONE);
    assert_int_not_equal(json_get(&doc, 0, "access_token"), JSON_NONE);
}

static void managed_identity(void **state)
{
    struct setup *s = *state;
    const struct directory *d = &s->p.dir;
    struct bytes header = bytes_str(d->identity_header), none = {0};
    struct bytes resource = bytes_str("https://managedhsm.localhost:8443");
    struct wr w = wr_of(answer, sizeof answer);
    assert_int_equal(ask_managed(&s->p, none, resource, none, &w), TOKEN_IDENTITY_HEADER);
    assert_int_equal(ask_managed(&s->p, header, none, none, &w), TOKEN_RESOURCE);
    assert_int_equal(ask_managed(&s->p, header, resource, bytes_str(d->admin.client_id), &w),
                     TOKEN_IDENTITY);
    assert_int_equal(ask_managed(&s->p, header, resource, bytes_str(d->managed.client_id), &w),
                     TOKEN_OK);
    struct json_doc doc = parsed(wr_view(&w));
    char want[24];
    snprintf(want, sizeof want, "%u", NOW_S + TOKEN_LIFETIME_S);
    expect_text(&doc, "expires_on", want);
    expect_text(&doc, "client_id", d->managed.client_id);
    struct principal who;
    char audience[TOKEN_RESOURCE_MAX + 1];
    assert_int_equal(provider_verify(&s->p, member(&doc, "access_token"), NOW_S, &who, audience),
                     HSM_OK);
    assert_string_equal(who.oid, s->p.dir.managed.oid);
}

static void verification(void **state)
{
    struct setup *s = *state;
    const struct directory *d = &s->p.dir;
    struct principal who;
    char audience[TOKEN_RESOURCE_MAX + 1];
    static char text[8192];
    struct wr w = wr_of(text, sizeof text);
    assert_int_equal(provider_access_token(&s->p, &d->guest, bytes_str("https://h/"),
                                           bytes_str(d->guest.client_id), NOW_S, &w),
                     HSM_OK);
    struct bytes t = wr_view(&w);
    assert_int_equal(provider_verify(&s->p, t, NOW_S, &who, audience), HSM_OK);
    assert_string_equal(who.oid, d->guest.oid);
    assert_string_equal(audience, "https://h/");
    assert_int_equal(provider_verify(&s->p, t, NOW_S + TOKEN_LIFETIME_S, &who, audience),
                     HSM_E_TOKEN_EXPIRED);
    assert_int_equal(provider_verify(&s->p, t, NOW_S - 3600, &who, audience), HSM_E_TOKEN_NOT_YET);
    assert_int_equal(provider_verify(&s->p, (struct bytes){0}, NOW_S, &who, audience),
                     HSM_E_TOKEN_MISSING);
    for (size_t i = 0; i < t.n; i += 7) {
        char old = text[i];
        text[i] = old == 'A' ? 'B' : 'A';
        assert_int_not_equal(provider_verify(&s->p, t, NOW_S, &who, audience), HSM_OK);
        text[i] = old;
    }
    s->p.dir.tenant[0] = s->p.dir.tenant[0] == 'a' ? 'b' : 'a';
    assert_int_equal(provider_verify(&s->p, t, NOW_S, &who, audience), HSM_E_TOKEN_ISSUER);
}

static void key_survives_a_restart(void **state)
{
    struct setup *s = *state;
    struct principal who;
    char audience[TOKEN_RESOURCE_MAX + 1], path[160];
    static char text[8192];
    struct wr w = wr_of(text, sizeof text);
    struct provider again;
    struct stat st;
    assert_int_equal(provider_access_token(&s->p, &s->p.dir.admin, bytes_str("https://h"),
                                           bytes_str(s->p.dir.admin.client_id), NOW_S, &w),
                     HSM_OK);
    assert_int_equal(provider_load(s->dir->path, NOW_MS + 1, &again), HSM_OK);
    assert_string_equal(again.key.kid, s->p.key.kid);
    assert_int_equal(strlen(again.key.kid), SIGNING_KID_LEN);
    assert_int_equal(provider_verify(&again, wr_view(&w), NOW_S, &who, audience), HSM_OK);
    provider_done(&again);
    snprintf(path, sizeof path, "%s/signing.key", s->dir->path);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(file_replace(path, bytes_str("no key"), 0600), HSM_OK);
    assert_int_equal(provider_load(s->dir->path, NOW_MS, &again), HSM_E_CORRUPT);
}

static void fault_document(void **state)
{
    (void)state;
    char text[2048];
    for (enum token_fault f = TOKEN_BODY; f < TOKEN_FAULT__COUNT; f++) {
        struct wr w = wr_of(text, sizeof text);
        token_fault_write(f, "c0ffee00-0000-0000-0000-000000000000", NOW_MS, &w);
        assert_int_equal(wr_ok(&w), HSM_OK);
        struct json_doc d = parsed(wr_view(&w));
        expect_text(&d, "error", token_fault_oauth(f));
        char start[32];
        snprintf(start, sizeof start, "AADSTS%u: ", token_fault_number(f));
        struct bytes description = member(&d, "error_description");
        assert_memory_equal(description.p, start, strlen(start));
        assert_int_equal(json_count(&d, json_get(&d, 0, "error_codes")), 1);
        assert_true(token_fault_http(f) >= 400);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(app_gets_an_access_token),
        TEST(user_gets_everything),
        TEST(wrong_credentials),
        TEST(refresh_tokens),
        TEST(refresh_grant_gives_tokens),
        TEST(managed_identity),
        TEST(verification),
        TEST(key_survives_a_restart),
        cmocka_unit_test(fault_document),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
