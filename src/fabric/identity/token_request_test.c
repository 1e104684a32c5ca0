#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "codec/base64url.h"
#include "fabric/identity/token_request.h"

#define FORM "application/x-www-form-urlencoded"

static uint8_t buf[TOKEN_REQUEST_BUF(TOKEN_REQUEST_BODY_MAX, 4096)];

static enum token_fault parse(const char *type, const char *authorization, const char *body,
                              struct token_request *ret)
{
    struct bytes a = authorization == NULL ? (struct bytes){0} : bytes_str(authorization);
    memset(buf, 0, sizeof buf);
    return token_request_parse(bytes_str(type), a, bytes_str(body), buf, sizeof buf, ret);
}

#define CC "grant_type=client_credentials&client_id=app&client_secret=s&"

static void refusals(void **state)
{
    (void)state;
    static const struct {
        const char *type, *authorization, *body;
        enum token_fault want;
    } rows[] = {
        {"application/json", NULL, CC "scope=https://h/.default", TOKEN_BODY},
        {FORM "x", NULL, CC "scope=https://h/.default", TOKEN_BODY},
        {FORM, NULL, CC "scope=%zz", TOKEN_BODY},
        {FORM, NULL, CC "scope=https://h/.default&client_id=app", TOKEN_BODY},
        {FORM, NULL, "", TOKEN_NO_GRANT},
        {FORM, NULL, "grant_type=", TOKEN_NO_GRANT},
        {FORM, NULL, "grant_type=saml&client_id=app", TOKEN_GRANT},
        {FORM, NULL, "grant_type=device_code&client_id=app", TOKEN_NO_DEVICE_CODE},
        {FORM, NULL, "grant_type=authorization_code&client_id=app&code=x", TOKEN_NO_CODE},
        {FORM, NULL, "grant_type=client_credentials", TOKEN_NO_CLIENT},
        {FORM, NULL, CC, TOKEN_NO_SCOPE},
        {FORM, NULL, CC "scope=https://h", TOKEN_SCOPE},
        {FORM, NULL, CC "scope=/.default", TOKEN_SCOPE},
        {FORM, NULL, CC "scope=ftp://h/.default", TOKEN_SCOPE},
        {FORM, NULL, CC "scope=openid", TOKEN_SCOPE},
        {FORM, NULL, CC "scope=https://a/.default+https://b/.default", TOKEN_SCOPE},
        {FORM, NULL, CC "scope=https://a%22b/.default", TOKEN_SCOPE},
        {FORM, NULL, CC "resource=nonsense", TOKEN_RESOURCE},
        {FORM, NULL,
         "grant_type=client_credentials&client_id=app&client_assertion=x&scope=https://h/.default",
         TOKEN_ASSERTION},
        {FORM, NULL, "grant_type=password&client_id=app&username=u", TOKEN_NO_USER},
        {FORM, NULL, "grant_type=refresh_token&client_id=app", TOKEN_NO_REFRESH},
        {FORM, "Bearer x", CC "scope=https://h/.default", TOKEN_BODY},
        {FORM, "Basic !", CC "scope=https://h/.default", TOKEN_BODY},
        {FORM, "Basic YXBw", CC "scope=https://h/.default", TOKEN_BODY}, /* no colon */
        {FORM, "Basic YXBwOnM=", CC "scope=https://h/.default", TOKEN_TWO_CLIENTS},
        {FORM, "Basic YTomcz14", "grant_type=client_credentials&scope=https://h/.default",
         TOKEN_BODY}, /* "a:&s=x" */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct token_request q = {.client_id = bytes_str("untouched")};
        assert_int_equal(parse(rows[i].type, rows[i].authorization, rows[i].body, &q),
                         rows[i].want);
        assert_true(bytes_eq_str(q.client_id, "untouched"));
    }
}

static void resources_keep_their_slash(void **state)
{
    (void)state;
    static const struct {
        const char *body, *resource;
    } rows[] = {
        {CC "scope=https%3A%2F%2Flocalhost%3A8443%2F%2F.default", "https://localhost:8443/"},
        {CC "scope=https://managedhsm.localhost:8443/.default",
         "https://managedhsm.localhost:8443"},
        {CC "scope=00000003-0000-0000-c000-000000000000/.default",
         "00000003-0000-0000-c000-000000000000"},
        {CC "resource=https://management.azure.com/", "https://management.azure.com/"},
        {"grant_type=password&client_id=a&username=u&password=p&"
         "scope=https://h//.default+offline_access+openid+profile",
         "https://h/"},
        {"grant_type=password&client_id=a&username=u&password=p&scope=https://h/user_impersonation",
         "https://h"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct token_request q;
        assert_int_equal(parse(FORM, NULL, rows[i].body, &q), TOKEN_OK);
        assert_true(bytes_eq_str(q.resource, rows[i].resource));
    }
}

static void extras_are_ignored_and_flags_set(void **state)
{
    (void)state;
    struct token_request q;
    assert_int_equal(parse(FORM "; charset=utf-8", NULL,
                           "client_info=1&x-client-sku=MSAL.Python&claims=%7B%22a%22%3A1%7D&"
                           "grant_type=password&client_id=a&username=u%40h&password=p+%2B%26&"
                           "scope=https://h/.default+offline_access+openid+profile",
                           &q),
                     TOKEN_OK);
    assert_int_equal(q.grant, GRANT_PASSWORD);
    assert_true(bytes_eq_str(q.username, "u@h"));
    assert_true(bytes_eq_str(q.password, "p +&"));
    assert_true(q.wants_openid && q.wants_refresh);
    assert_int_equal(parse(FORM, NULL, CC "scope=https://h/.default", &q), TOKEN_OK);
    assert_false(q.wants_openid || q.wants_refresh);
}

static void basic_credentials_are_form_decoded(void **state)
{
    (void)state;
    struct token_request q;
    char header[128] = "Basic ";
    static const char pair[] = "app:a%3Ab=c";
    size_t n = b64_encode(header + 6, (const uint8_t *)pair, sizeof pair - 1);
    header[6 + n] = 0;
    assert_int_equal(
        parse(FORM, header, "grant_type=client_credentials&scope=https://h/.default", &q),
        TOKEN_OK);
    assert_true(bytes_eq_str(q.client_id, "app"));
    assert_true(bytes_eq_str(q.client_secret, "a:b=c"));
}

/* Each flipped bit and each cut of a good request: no crash, and never another client. */
static void mutations(void **state)
{
    (void)state;
    static const char good[] = CC "scope=https://managedhsm.localhost:8443/.default";
    char text[sizeof good];
    struct token_request q;
    for (size_t bit = 0; bit < (sizeof good - 1) * 8; bit++) {
        memcpy(text, good, sizeof good);
        text[bit / 8] = (char)(text[bit / 8] ^ 1 << bit % 8);
        enum token_fault e =
            token_request_parse(bytes_str(FORM), (struct bytes){0}, bytes_of(text, sizeof good - 1),
                                buf, sizeof buf, &q);
        if (e == TOKEN_OK)
            assert_true(q.client_id.n > 0 && token_resource_is_valid(q.resource));
    }
    for (size_t n = 0; n < sizeof good - 1; n++) {
        enum token_fault e = token_request_parse(bytes_str(FORM), (struct bytes){0},
                                                 bytes_of(good, n), buf, sizeof buf, &q);
        assert_int_not_equal(e, TOKEN_OK);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refusals),
        cmocka_unit_test(resources_keep_their_slash),
        cmocka_unit_test(extras_are_ignored_and_flags_set),
        cmocka_unit_test(basic_credentials_are_form_decoded),
        cmocka_unit_test(mutations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
