/* Challenges, refusals and errors: golden transcripts; the lane and the audit file. */
#include "gateway/front_kit.h"

/* ---- challenge ---- */

#define CHALLENGE                                                                                  \
    "www-authenticate: Bearer authorization=\"https://localhost:8443/" TENANT                      \
    "\", resource=\"https://managedhsm.localhost:8443\""

static void test_first_contact(void **state)
{
    struct kit *k = *state;
    request(k, "POST /keys/k1/create?api-version=7.6 HTTP/1.1\r\nHost: " HOST
               "\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n");
    assert_int_equal(k->x.answers, 1);
    assert_int_equal(k->x.status, 401);
    assert_int_equal(k->x.body_n, 0);
    assert_true(has_line(k, CHALLENGE));
    expect_plain_headers(k);
    assert_false(has_name(k, "x-ms-build-version"));
    assert_false(has_name(k, "x-ms-keyvault-region"));
    assert_false(has_name(k, "x-ms-keyvault-network-info"));
    receive(k, OP_REFUSED);
    BODY(k, refused, m);
    assert_int_equal(k->got.id, 0);
    assert_int_equal(m.err, HSM_E_TOKEN_MISSING);
    assert_int_equal(m.status, 401);
    assert_int_equal(k->caller.token.n, 0);
    assert_true(bytes_eq_str(k->caller.client_ip, "203.0.113.7"));
    assert_true(bytes_eq_str(k->caller.uri, "/keys/k1/create?api-version=7.6"));
    char id[UUID_TEXT_LEN + 1], shown[UUID_TEXT_LEN + 1];
    uuid_format(&k->caller.activity, id);
    request_id(k, shown);
    assert_string_equal(id, shown);
    assert_int_equal(shown[14], '1'); /* time based */
    audit_line(k, "{\"a\":1}");
    answer(k, HSM_E_TOKEN_MISSING, "", false);
    assert_int_equal(k->x.answers, 1);
}

/* Every method, every path, known or not, is challenged before anything is looked at. */
static void test_challenge_first(void **state)
{
    struct kit *k = *state;
    static const char *const lines[] = {"GET /keys", "GET /nowhere",   "GET /keys/bad_name",
                                        "PUT /%zz",  "DELETE /keys/k", "PATCH /keys/k/x",
                                        "HEAD /",    "OPTIONS /keys"};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        char text[512];
        bool is_get = strncmp(lines[i], "GET", 3) == 0;
        (void)snprintf(text, sizeof text,
                       "%s HTTP/1.1\r\nhost: DEV.managedhsm.localhost:8443\r\n\r\n", lines[i]);
        request(k, text);
        assert_int_equal(k->x.status, 401);
        assert_string_equal(k->x.body, is_get ? "OK" : "");
        assert_int_equal(has_name(k, "x-ms-build-version"), is_get);
        assert_true(has_line(k, CHALLENGE));
        receive(k, OP_REFUSED);
    }
    request(k, "GET /keys HTTP/1.1\r\nHost: " HOST "\r\nAuthorization: Basic YTpi\r\n\r\n");
    assert_int_equal(k->x.status, 401);
    assert_string_equal(k->x.body, "OK");
    receive(k, OP_REFUSED);
    request(k, "GET /keys HTTP/1.1\r\nHost: " HOST "\r\nauthorization: bearer \r\n\r\n");
    assert_int_equal(k->x.status, 401);
    receive(k, OP_REFUSED);
    request(k, "GET /keys HTTP/1.1\r\nHost: dev.managedhsm.azure.net\r\n\r\n");
    assert_true(has_line(k, "www-authenticate: Bearer authorization=\"https://login."
                            "microsoftonline.com/" TENANT
                            "\", resource=\"https://managedhsm.azure.net\""));
    receive(k, OP_REFUSED);
}

static void test_bad_token(void **state)
{
    struct kit *k = *state;
    with_token(k, "GET /keys/k1?api-version=7.4", "");
    receive(k, OP_KEY_GET);
    uint64_t before = clock_now_ms() / 1000;
    answer(k, HSM_E_TOKEN_EXPIRED, "", true);
    expect_error(k, 401, "Unauthorized", "Token expired");
    const char *at = strstr(k->x.headers, "www-authenticate: ");
    assert_non_null(at);
    assert_memory_equal(at, CHALLENGE, sizeof CHALLENGE - 1);
    at += sizeof CHALLENGE - 1;
    const char *lead = ", error=\"insufficient_claims\", claims=\"";
    assert_memory_equal(at, lead, strlen(lead));
    at += strlen(lead);
    const char *end = strstr(at, "\"\r\n");
    assert_non_null(end);
    uint8_t claims[256];
    size_t n;
    assert_int_equal(b64_decode(claims, bytes_of(at, (size_t)(end - at)), &n), HSM_OK);
    claims[n] = '\0';
    unsigned long long nbf;
    int used = 0;
    assert_int_equal(
        sscanf((char *)claims,
               "{\"access_token\":{\"nbf\":{\"essential\":true,\"value\":\"%llu\"}}}%n", &nbf,
               &used),
        1);
    assert_int_equal(used, n);
    assert_true(nbf >= before && nbf <= before + 5);
}

static void test_token_too_long(void **state)
{
    struct kit *k = *state;
    static char text[32768];
    int n =
        snprintf(text, sizeof text,
                 "GET /keys?api-version=7.4 HTTP/1.1\r\nHost: " HOST "\r\nAuthorization: Bearer ");
    memset(text + n, 'a', 16385);
    memcpy(text + n + 16385, "\r\n\r\n", 5);
    request(k, text);
    expect_error(k, 401, "Unauthorized", "Error decoding or parsing JWT components");
    assert_non_null(strstr(k->x.headers, "insufficient_claims"));
    receive(k, OP_REFUSED);
    assert_int_equal(k->caller.token.n, 0);
}

static void test_unknown_host(void **state)
{
    struct kit *k = *state;
    static const char *const hosts[] = {"other.managedhsm.localhost:8443", "managedhsm.localhost",
                                        "dev.managedhsm.localhost.evil.example"};
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        char text[512];
        (void)snprintf(text, sizeof text,
                       "GET /keys HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer x\r\n\r\n",
                       hosts[i]);
        request(k, text);
        expect_error(k, 421, "MisdirectedRequest", "This server does not serve that host.");
        receive(k, OP_REFUSED);
        assert_int_equal(k->caller.token.n, 0); /* not ours to judge */
    }
}

/* ---- refusals that wait for the token's verdict ---- */

static void test_refusals_wait(void **state)
{
    struct kit *k = *state;
    static const struct {
        const char *line, *body;
        unsigned status, op;
        const char *code, *message;
    } c[] = {
        {"GET /secrets?api-version=7.4", "", 404, 0, "NotFound",
         "The requested resource does not exist."},
        {"POST /keys/k1?api-version=7.4", "", 405, 0, "MethodNotAllowed",
         "The method is not allowed on this resource."},
        {"GET /keys/k1/xyz?api-version=7.4", "", 400, OP_KEY_GET, "Invalidkeyidentifier",
         "Invalid key identifier"},
        {"GET /keys/k1", "", 400, OP_KEY_GET, "BadParameter",
         "Query parameter api-version is missing."},
        {"GET /keys?api-version=1.0", "", 400, OP_KEY_LIST, "BadParameter",
         "The api-version '1.0' is not supported."},
        {"GET /keys/%zz?api-version=7.4", "", 400, 0, "BadParameter",
         "The request path or query is malformed."},
        {"POST /keys/k1/create?api-version=7.4", "{", 400, OP_KEY_CREATE, "BadParameter",
         "The request body is not a valid JSON object."},
        {"POST /keys/k1/create?api-version=7.4", "", 400, OP_KEY_CREATE, "BadParameter",
         "The request body is not a valid JSON object."},
        {"POST /keys/k1/sign?api-version=7.4", "{\"alg\":\"XX\",\"value\":\"AA\"}", 400, OP_SIGN,
         "BadParameter", "Property 'alg' has an unknown value."},
    };
    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        with_token(k, c[i].line, c[i].body);
        assert_int_equal(k->x.answers, 0);
        receive(k, OP_REFUSED);
        BODY(k, refused, m);
        assert_true(bytes_eq_str(k->caller.token, "t.o.k"));
        assert_int_equal(m.op, c[i].op);
        assert_int_equal(m.status, c[i].status);
        answer(k, HSM_OK, "", false);
        expect_error(k, c[i].status, c[i].code, c[i].message);
        /* and with a bad token nothing of it is told */
        with_token(k, c[i].line, c[i].body);
        receive(k, OP_REFUSED);
        answer(k, HSM_E_TOKEN_SIGNATURE, "", true);
        expect_error(k, 401, "Unauthorized", "Signature validation failed");
        assert_true(has_name(k, "www-authenticate: "));
    }
}

static void test_unimplemented(void **state)
{
    struct kit *k = *state;
    with_token(k, "POST /keys/k1/create?api-version=7.4", "{\"kty\":\"AKP\"}");
    receive(k, OP_UNIMPLEMENTED);
    assert_int_equal(k->body.n, 0);
    answer(k, HSM_E_NOT_IMPLEMENTED, "", false);
    expect_error(k, 501, "NotImplemented",
                 "ML-DSA keys (kty AKP) are not implemented by this server version.");
    with_token(k, "POST /backup?api-version=7.4", "{}");
    receive(k, OP_UNIMPLEMENTED);
    answer(k, HSM_OK, "", false);
    expect_error(k, 501, "NotImplemented",
                 "The operation 'Full backup' is not implemented by this server version.");
    with_token(k, "POST /backup?api-version=7.4", "{}");
    receive(k, OP_UNIMPLEMENTED);
    answer(k, HSM_E_TOKEN_AUDIENCE, "", true);
    assert_int_equal(k->x.status, 401);
    with_token(k, "POST /keys/k1/create?api-version=2026-05-01-preview",
               "{\"kty\":\"AKP\",\"alg\":\"ML-DSA-44\"}");
    receive(k, OP_UNIMPLEMENTED);
    assert_int_equal(k->body.n, 0);
    answer(k, HSM_OK, "", false);
    expect_error(k, 501, "NotImplemented",
                 "ML-DSA keys (kty AKP) are not implemented by this server version.");
}

static void test_errors(void **state)
{
    struct kit *k = *state;
    with_token(k, "GET /keys/nope/?api-version=7.4", "");
    receive(k, OP_KEY_GET);
    answer(k, HSM_E_KEY_NOT_FOUND, "Key not found: https://" HOST "/keys/nope", false);
    expect_error(k, 404, "KeyNotFound", "Key not found: https://" HOST "/keys/nope");
    assert_false(has_name(k, "x-ms-keyvault-region"));
    assert_false(has_name(k, "x-ms-keyvault-network-info"));
    assert_true(has_name(k, "x-ms-build-version"));
    assert_false(has_name(k, "www-authenticate"));
    with_token(k, "GET /deletedkeys/k?api-version=7.4", "");
    receive(k, OP_DELETED_GET);
    answer(k, HSM_E_DENIED,
           "Not authorized to access Microsoft.KeyVault/managedHsm/keys/deletedKeys/read/action on "
           "/keys/k",
           false);
    expect_error(k, 403, "AccessDenied",
                 "Not authorized to access Microsoft.KeyVault/managedHsm/keys/deletedKeys/read/"
                 "action on /keys/k");
    static const unsigned busy[] = {HSM_E_THROTTLED, HSM_E_UNAVAILABLE};
    for (size_t i = 0; i < 2; i++) {
        with_token(k, "GET /keys?api-version=7.4", "");
        receive(k, OP_KEY_LIST);
        answer(k, busy[i], "", false);
        assert_int_equal(k->x.status, hsm_err_http(busy[i]));
        assert_true(has_line(k, "retry-after: 1"));
    }
    /* numbers that are no errors of ours, and bodies that are no messages */
    with_token(k, "GET /keys?api-version=7.4", "");
    receive(k, OP_KEY_LIST);
    answer(k, 60000, "", false);
    assert_int_equal(k->x.status, 500);
    with_token(k, "GET /keys?api-version=7.4", "");
    receive(k, OP_KEY_LIST);
    wr_str(result(k), "junk");
    answer(k, HSM_OK, "", false);
    assert_int_equal(k->x.status, 500);
}

/* ---- lane and audit ---- */

static void test_audit_before_answer(void **state)
{
    struct kit *k = *state;
    char path[128], text[256];
    with_token(k, "GET /keys?api-version=7.4", "");
    receive(k, OP_KEY_LIST);
    audit_line(k, "{\"one\":1}");
    audit_line(k, "{\"two\":2}\n");
    answer(k, HSM_E_DENIED, "", false);
    assert_int_equal(k->x.status, 403);
    (void)snprintf(path, sizeof path, "%s/audit.jsonl", k->dir);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    size_t n = fread(text, 1, sizeof text - 1, f);
    text[n] = '\0';
    (void)fclose(f);
    assert_string_equal(text, "{\"one\":1}\n{\"two\":2}\n");
}

/* While the audit file cannot be written, answers turn into 503 and new requests are not taken. */
static void test_audit_broken(void **state)
{
    struct kit *k = *state;
    struct rlimit before, none;
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void)sigaction(SIGXFSZ, &ignore, NULL);
    with_token(k, "DELETE /deletedkeys/k?api-version=7.4", "");
    receive(k, OP_KEY_PURGE);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    none = before;
    none.rlim_cur = 0;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    audit_line(k, "{\"line\":1}");
    k->w.n = 0;
    answer(k, HSM_OK, "", false);
    unsigned first = k->x.status;
    with_token(k, "GET /keys?api-version=7.4", "");
    unsigned second = k->x.status;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(first, 503);
    assert_int_equal(second, 503);
    assert_true(has_line(k, "retry-after: 1"));
    assert_int_equal(ring_read(k->boundary.in[1], k->frame, sizeof k->frame, &k->got), HSM_E_AGAIN);
    assert_int_equal(audit_sink_drain(k->shared.audit), HSM_OK);
    with_token(k, "DELETE /deletedkeys/k?api-version=7.4", "");
    receive(k, OP_KEY_PURGE);
    answer(k, HSM_OK, "", false);
    assert_int_equal(k->x.status, 204);
}

static void test_unknown_answers_end_it(void **state)
{
    struct kit *k = *state;
    with_token(k, "GET /keys?api-version=7.4", "");
    receive(k, OP_KEY_LIST);
    answer(k, HSM_E_DENIED, "", false);
    /* the same answer again */
    struct ring_frame f = {.type = WIRE_ANSWER, .id = k->got.id, .payload = bytes_of(k->out, 7)};
    assert_int_equal(ring_write(k->boundary.out[1], &f, 0), HSM_OK);
    assert_int_equal(front_answers(k->front), HSM_E_CORRUPT);
    f.type = OP_KEY_GET;
    assert_int_equal(ring_write(k->boundary.out[1], &f, 0), HSM_OK);
    assert_int_equal(front_answers(k->front), HSM_E_CORRUPT);
}

/* A full lane refuses with 503 at once; nobody waits, nothing goes unrecorded. */
static void test_full_lane(void **state)
{
    struct kit *k = *state;
    unsigned sent = 0;
    static uint8_t filler[1000];
    struct ring_frame f = {.type = OP_KEY_LIST, .payload = bytes_of(filler, sizeof filler)};
    while (ring_write(k->gateway.out[1], &f, 0) == HSM_OK)
        sent++;
    f.payload.n = 0;
    while (ring_write(k->gateway.out[1], &f, 0) == HSM_OK)
        sent++;
    assert_true(sent > 1000);
    with_token(k, "GET /keys?api-version=7.4", "");
    expect_error(k, 503, "ServiceUnavailable", "The service is unavailable; retry later.");
    assert_true(has_line(k, "retry-after: 1"));
    request(k, "GET /keys HTTP/1.1\r\nHost: " HOST "\r\n\r\n");
    assert_int_equal(k->x.status, 503);
}

static void test_refused_by_server(void **state)
{
    struct kit *k = *state;
    uint8_t headers[4096], body[1024];
    struct wr hw = wr_of(headers, sizeof headers), bw = wr_of(body, sizeof body);
    k->h.refused(k->h.ctx, HSM_E_HEADERS_TOO_LARGE, "198.51.100.1", &hw, &bw);
    assert_int_equal(wr_ok(&hw), HSM_OK);
    wr_u8(&bw, 0);
    assert_non_null(strstr((char *)body, "{\"error\":{\"code\":\"RequestHeadersTooLarge\""));
    receive(k, OP_REFUSED);
    BODY(k, refused, m);
    assert_int_equal(m.status, 431);
    assert_true(bytes_eq_str(k->caller.client_ip, "198.51.100.1"));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_first_contact),
        T(test_challenge_first),
        T(test_bad_token),
        T(test_token_too_long),
        T(test_unknown_host),
        T(test_refusals_wait),
        T(test_unimplemented),
        T(test_errors),
        T(test_audit_before_answer),
        T(test_audit_broken),
        T(test_unknown_answers_end_it),
        T(test_full_lane),
        T(test_refused_by_server),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
