/* Rules of the network at the gateway: what is refused, how, and what is written down; the file. */
#include <sys/stat.h>
#include "base/file.h"
#include "gateway/front_kit.h"

#define ONE   "11111111-1111-4111-8111-111111111111"
#define OTHER "22222222-2222-4222-8222-222222222222"
#define WAY                                                                                        \
    "Public network access is disabled and request is not from a trusted service nor via an "      \
    "approved private link."

static char path[128];

static hsm_err rules(struct kit *k, const char *text)
{
    if (k->shared.firewall == NULL || path[0] == '\0') {
        (void)snprintf(path, sizeof path, "%s/network.json", k->dir);
        firewall_free(k->shared.firewall);
        assert_int_equal(firewall_new(path, &k->shared.firewall), HSM_OK);
    }
    if (text != NULL)
        assert_int_equal(file_replace(path, bytes_str(text), 0600), HSM_OK);
    return firewall_load(k->shared.firewall);
}

static int setup_path(void **state)
{
    path[0] = '\0';
    return setup(state);
}

static int teardown_path(void **state)
{
    if (path[0] != '\0')
        (void)unlink(path);
    return teardown(state);
}

static void token_of(char *dst, const char *claims)
{
    memcpy(dst, "e30.", 4);
    size_t n = b64u_encode(dst + 4, (const uint8_t *)claims, strlen(claims));
    memcpy(dst + 4 + n, ".c2ln", 6);
}

static void ask(struct kit *k, const char *line, const char *claims)
{
    char token[1024], text[2048];
    token_of(token, claims);
    (void)snprintf(text, sizeof text,
                   "%s HTTP/1.1\r\nHost: " HOST "\r\nAuthorization: Bearer %s\r\n\r\n", line,
                   token);
    request(k, text);
}

static void expect_refused(struct kit *k, const char *message, const char *inner, unsigned op,
                           hsm_err err)
{
    char want[1024], id[UUID_TEXT_LEN + 1];
    receive(k, OP_REFUSED);
    BODY(k, refused, m);
    assert_int_equal(m.op, op);
    assert_int_equal(m.err, err);
    assert_int_equal(m.status, 403);
    assert_true(k->caller.token.n > 0); /* the record names its owner */
    assert_true(bytes_eq_str(k->caller.client_ip, "203.0.113.7"));
    answer(k, HSM_OK, "", false);
    request_id(k, id);
    (void)snprintf(want, sizeof want,
                   "{\"error\":{\"code\":\"Forbidden\",\"message\":\"%s (Activity ID: %s)\","
                   "\"innererror\":{\"code\":\"%s\"}}}",
                   message, id, inner);
    assert_int_equal(k->x.answers, 1);
    assert_int_equal(k->x.status, 403);
    assert_string_equal(k->x.body, want);
    assert_false(has_name(k, "www-authenticate"));
}

static void refused_way(struct kit *k)
{
    ask(k, "GET /keys/k1?api-version=7.6", "{\"oid\":\"" OTHER "\"}");
    expect_refused(k, WAY, "ForbiddenByConnection", OP_KEY_GET, HSM_E_FIREWALL_WAY);
}

static void passes(struct kit *k, const char *claims)
{
    ask(k, "GET /keys/k1?api-version=7.6", claims);
    receive(k, OP_KEY_GET);
    answer(k, HSM_E_KEY_NOT_FOUND, "", false);
    assert_int_equal(k->x.status, 404);
}

static void test_addresses(void **state)
{
    struct kit *k = *state;
    assert_int_equal(rules(k, NULL), HSM_OK); /* no file */
    passes(k, "{}");
    assert_int_equal(rules(k, "{\"defaultAction\":\"Deny\",\"ipRules\":[\"198.51.100.0/24\"]}"),
                     HSM_OK);
    ask(k, "GET /keys/k1?api-version=7.6", "{\"oid\":\"" ONE "\"}");
    expect_refused(
        k, "Client address (203.0.113.7) is not authorized and caller is not a trusted service.",
        "ForbiddenByFirewall", OP_KEY_GET, HSM_E_FIREWALL_ADDRESS);
    ask(k, "GET /nowhere", "{}"); /* before anything else is told */
    expect_refused(
        k, "Client address (203.0.113.7) is not authorized and caller is not a trusted service.",
        "ForbiddenByFirewall", 0, HSM_E_FIREWALL_ADDRESS);
    assert_int_equal(rules(k, "{\"defaultAction\":\"Deny\",\"ipRules\":[\"203.0.113.0/28\"]}"),
                     HSM_OK);
    passes(k, "{}");
}

/* Nothing is told to those without a token but where to get one, as ever. */
static void test_challenge_stays(void **state)
{
    struct kit *k = *state;
    assert_int_equal(rules(k, "{\"publicNetworkAccess\":\"Disabled\"}"), HSM_OK);
    request(k, "GET /keys HTTP/1.1\r\nHost: " HOST "\r\n\r\n");
    assert_int_equal(k->x.status, 401);
    assert_string_equal(k->x.body, "OK");
    receive(k, OP_REFUSED);
    refused_way(k);
}

/* A claim opens the way to the boundary and no further. */
static void test_trusted_caller(void **state)
{
    struct kit *k = *state;
    static const char *const others[] = {
        "{\"oid\":\"" OTHER "\"}",
        "{\"appid\":\"" ONE "\"}",
        "{\"oid\":1}",
        "{\"oid\":\"" ONE "\",\"oid\":\"" ONE "\"}",
        "[\"oid\",\"" ONE "\"]",
        "{",
    };
    assert_int_equal(
        rules(k, "{\"publicNetworkAccess\":\"Disabled\",\"bypassCallers\":[\"" ONE "\"]}"), HSM_OK);
    passes(k, "{\"oid\":\"" ONE "\"}");
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        ask(k, "GET /keys/k1?api-version=7.6", others[i]);
        expect_refused(k, WAY, "ForbiddenByConnection", OP_KEY_GET, HSM_E_FIREWALL_WAY);
    }
    request(k, "GET /keys/k1?api-version=7.6 HTTP/1.1\r\nHost: " HOST
               "\r\nAuthorization: Bearer e30\r\n\r\n");
    expect_refused(k, WAY, "ForbiddenByConnection", OP_KEY_GET, HSM_E_FIREWALL_WAY);
}

static void test_endpoints(void **state)
{
    struct kit *k = *state;
    assert_int_equal(rules(k, "{\"publicNetworkAccess\":\"Disabled\",\"endpoints\":[{\"id\":\"a\","
                              "\"state\":\"Approved\"},{\"id\":\"b\",\"state\":\"Pending\"}]}"),
                     HSM_OK);
    refused_way(k);
    k->endpoint = "a";
    passes(k, "{}");
    k->endpoint = "b";
    refused_way(k);
    k->endpoint = "c";
    refused_way(k);
    assert_int_equal(rules(k, "{}"), HSM_OK); /* an open pool is not open to it */
    refused_way(k);
    k->endpoint = NULL;
    passes(k, "{}");
}

static void test_damaged_file(void **state)
{
    struct kit *k = *state;
    assert_int_equal(rules(k, "{\"endpoints\":[{\"id\":\"a\",\"state\":\"Approved\"}]}"), HSM_OK);
    passes(k, "{}");
    assert_int_equal(rules(k, "{\"publicNetworkAccess\":"), HSM_E_MALFORMED);
    refused_way(k);
    k->endpoint = "a";
    refused_way(k);
    k->endpoint = NULL;
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_not_equal(rules(k, NULL), HSM_OK);
    refused_way(k);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(rules(k, NULL), HSM_OK);
    passes(k, "{}");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup_path, teardown_path)
    const struct CMUnitTest tests[] = {
        T(test_addresses), T(test_challenge_stays), T(test_trusted_caller),
        T(test_endpoints), T(test_damaged_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
