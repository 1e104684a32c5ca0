/* Golden transcripts: request bytes in, frame on the lane; answer on the lane, response bytes out.
 * The HTTP server is replaced by the two functions of it that the front calls; the rings and the
 * audit file are real. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "codec/base64url.h"
#include "gateway/front.h"
#include "gateway/front_internal.h"
#include "model/alg.h"

#define HOST   "dev.managedhsm.localhost:8443"
#define TENANT "72f988bf-86f1-41af-91ab-2d7cd011db47"
#define TEXT_N (1u << 20)

/* ---- the HTTP side ---- */

struct http_exchange {
    struct http_request rq;
    struct http1_head head;
    unsigned status;
    unsigned answers;
    bool secret;
    size_t headers_n, body_n;
    char headers[8192];
    char body[TEXT_N];
};

void http_respond(struct http_exchange *x, unsigned status, struct bytes headers, struct bytes body,
                  bool secret)
{
    x->status = status;
    x->secret = secret;
    x->answers++;
    x->headers_n = headers.n;
    x->body_n = body.n;
    assert_true(headers.n < sizeof x->headers && body.n < sizeof x->body);
    memcpy(x->headers, headers.p, headers.n);
    x->headers[headers.n] = '\0';
    if (body.n > 0)
        memcpy(x->body, body.p, body.n);
    x->body[body.n] = '\0';
}

const struct http_request *http_exchange_request(const struct http_exchange *x)
{
    return &x->rq;
}

/* ---- the boundary's side ---- */

struct kit {
    struct ring_fds fds;
    struct ring_set gateway, boundary;
    struct front_shared shared;
    struct front *front;
    struct http_server_handlers h;
    char dir[64];
    struct http_exchange x;
    uint8_t frame[RING_FRAME_MAX];
    struct ring_frame got;
    struct wire_caller caller;
    struct rd body;
    uint8_t out[RING_FRAME_MAX];
    uint8_t result[RING_FRAME_MAX];
    struct wr w; /* over result */
};

static int setup(void **state)
{
    struct kit *k = calloc(1, sizeof *k);
    char text[256];
    assert_non_null(k);
    (void)snprintf(k->dir, sizeof k->dir, "/tmp/kh-front-XXXXXX");
    assert_non_null(mkdtemp(k->dir));
    assert_int_equal(ring_fds_create(1, &k->fds), HSM_OK);
    assert_int_equal(ring_attach(&k->fds, RING_GATEWAY, &k->gateway), HSM_OK);
    assert_int_equal(ring_attach(&k->fds, RING_BOUNDARY, &k->boundary), HSM_OK);
    k->shared.rings = &k->gateway;
    (void)snprintf(k->shared.region, sizeof k->shared.region, "region1");
    assert_int_equal(audit_sink_open(k->dir, k->gateway.audit, &k->shared.audit, text, sizeof text),
                     HSM_OK);
    assert_int_equal(faces_add(&k->shared.faces, "suffix=managedhsm.localhost,port=8443,"
                                                 "authority=https://localhost:8443"),
                     HSM_OK);
    assert_int_equal(faces_add(&k->shared.faces, "suffix=managedhsm.azure.net,port=443,"
                                                 "authority=https://login.microsoftonline.com"),
                     HSM_OK);
    assert_int_equal(faces_bind(&k->shared.faces, bytes_str("dev"), bytes_str(TENANT)), HSM_OK);
    assert_int_equal(front_new(&k->shared, 1, &k->front), HSM_OK);
    k->h = front_handlers(k->front, NULL, NULL);
    *state = k;
    return 0;
}

static int teardown(void **state)
{
    struct kit *k = *state;
    char path[128];
    assert_int_equal(front_pending(k->front), 0);
    front_free(k->front);
    audit_sink_close(k->shared.audit);
    ring_detach(&k->gateway);
    ring_detach(&k->boundary);
    ring_fds_close(&k->fds);
    (void)snprintf(path, sizeof path, "%s/audit.jsonl", k->dir);
    (void)unlink(path);
    (void)rmdir(k->dir);
    free(k);
    return 0;
}

/* One request, as it comes from the wire. */
static void request(struct kit *k, const char *text)
{
    size_t used;
    memset(&k->x, 0, offsetof(struct http_exchange, headers));
    assert_int_equal(http1_parse(bytes_str(text), &k->x.head, &used), HSM_OK);
    k->x.rq = (struct http_request){
        .head = &k->x.head,
        .body = bytes_of(text + used, strlen(text) - used),
        .client_ip = "203.0.113.7",
        .received_us = clock_mono_us(),
    };
    k->h.request(k->h.ctx, &k->x, &k->x.rq);
    k->h.batch_end(k->h.ctx);
}

static void with_token(struct kit *k, const char *line, const char *body)
{
    static char text[TEXT_N];
    (void)snprintf(text, sizeof text,
                   "%s HTTP/1.1\r\nHost: " HOST "\r\nAuthorization: Bearer t.o.k\r\n"
                   "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                   line, strlen(body), body);
    request(k, text);
}

/* The frame that the boundary sees next. */
static void receive(struct kit *k, unsigned type)
{
    assert_int_equal(ring_read(k->boundary.in[1], k->frame, sizeof k->frame, &k->got), HSM_OK);
    if (k->got.type != type)
        fail_msg("%s instead of %s", wire_type_name(k->got.type), wire_type_name(type));
    k->body = rd_of(k->got.payload);
    assert_int_equal(wire_caller_get(&k->body, &k->caller), HSM_OK);
}

#define BODY(k, type, m)                                                                           \
    struct wire_##type m;                                                                          \
    assert_int_equal(wire_##type##_decode(bytes_of((k)->body.p, (k)->body.n), &m), HSM_OK)

static void audit_line(struct kit *k, const char *text)
{
    struct ring_frame f = {.payload = bytes_str(text)};
    assert_int_equal(ring_write(k->boundary.audit, &f, 0), HSM_OK);
}

static void answer(struct kit *k, unsigned err, const char *detail, bool challenge)
{
    struct wr w = wr_of(k->out, sizeof k->out);
    struct wire_result r = {
        .err = (uint16_t)err,
        .challenge = challenge,
        .detail = bytes_str(detail),
        .body = wr_view(&k->w),
    };
    wire_result_put(&w, &r);
    struct ring_frame f = {.type = WIRE_ANSWER, .id = k->got.id, .payload = wr_view(&w)};
    assert_int_equal(ring_write(k->boundary.out[1], &f, 0), HSM_OK);
    assert_int_equal(front_answers(k->front), HSM_OK);
    k->w.n = 0;
}

static struct wr *result(struct kit *k)
{
    k->w = wr_of(k->result, sizeof k->result);
    return &k->w;
}

/* ---- what is compared ---- */

static bool has_line(const struct kit *k, const char *line)
{
    const char *at = strstr(k->x.headers, line);
    return at != NULL && (at == k->x.headers || at[-1] == '\n') &&
           strncmp(at + strlen(line), "\r\n", 2) == 0;
}

static bool has_name(const struct kit *k, const char *name)
{
    const char *at = strstr(k->x.headers, name);
    return at != NULL && (at == k->x.headers || at[-1] == '\n');
}

static void request_id(const struct kit *k, char id[UUID_TEXT_LEN + 1])
{
    const char *at = strstr(k->x.headers, "x-ms-request-id: ");
    assert_non_null(at);
    memcpy(id, at + 17, UUID_TEXT_LEN);
    id[UUID_TEXT_LEN] = '\0';
}

static void expect_error(struct kit *k, unsigned status, const char *code, const char *message)
{
    char want[2048], id[UUID_TEXT_LEN + 1];
    request_id(k, id);
    (void)snprintf(want, sizeof want,
                   "{\"error\":{\"code\":\"%s\",\"message\":\"%s (Activity ID: %s)\"}}", code,
                   message, id);
    assert_int_equal(k->x.answers, 1);
    assert_string_equal(k->x.body, want);
    assert_int_equal(k->x.status, status);
}

static void expect_ok(struct kit *k, unsigned status, const char *body)
{
    assert_int_equal(k->x.answers, 1);
    assert_string_equal(k->x.body, body);
    assert_int_equal(k->x.status, status);
    assert_true(has_line(k, "x-ms-keyvault-network-info: "
                            "conn_type=Ipv4;addr=203.0.113.7;act_addr_fam=Ipv4;"));
    assert_true(has_line(k, "x-ms-keyvault-region: region1"));
}

static void expect_plain_headers(struct kit *k)
{
    assert_true(has_line(k, "cache-control: no-cache"));
    assert_true(has_line(k, "content-security-policy: default-src 'self'"));
    assert_true(has_line(k, "content-type: application/json; charset=utf-8"));
    assert_true(has_line(k, "strict-transport-security: max-age=31536000; includeSubDomains"));
    assert_true(has_line(k, "x-content-type-options: nosniff"));
    assert_true(has_line(k, "x-frame-options: SAMEORIGIN"));
    assert_true(has_name(k, "x-ms-server-latency: "));
}

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
    with_token(k, "PUT /keys/k1?api-version=7.4", "{\"key\":{}}");
    receive(k, OP_UNIMPLEMENTED);
    assert_int_equal(k->body.n, 0);
    answer(k, HSM_E_NOT_IMPLEMENTED, "", false);
    expect_error(k, 501, "NotImplemented",
                 "The operation 'Import key' is not implemented by this server version.");
    with_token(k, "POST /rng?api-version=7.4", "{\"count\":1}");
    receive(k, OP_UNIMPLEMENTED);
    answer(k, HSM_OK, "", false);
    expect_error(k, 501, "NotImplemented",
                 "The operation 'Get random bytes' is not implemented by this server version.");
    with_token(k, "POST /rng?api-version=7.4", "{\"count\":1}");
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

/* ---- results ---- */

static const uint8_t version[16] = {0xa7, 0xfc, 0xa4, 0xbf, 0xe4, 0x28, 0x46, 0xba,
                                    0x24, 0x94, 0xfc, 0x4b, 0x76, 0x2e, 0xdb, 0x3a};
#define VERSION "a7fca4bfe42846ba2494fc4b762edb3a"
#define KID     "https://" HOST "/keys/k1/" VERSION

static struct wire_key sample_key(unsigned kty)
{
    struct wire_key key = {
        .name = bytes_str("k1"),
        .kty = (uint8_t)kty,
        .attr_set = ATTR_ENABLED | ATTR_EXPORTABLE,
        .attr_flags = ATTR_ENABLED,
        .created = 1667424222,
        .updated = 1667424223,
        .recoverable_days = 7,
        .recovery_level = RECOVERY_CUSTOM_PURGEABLE,
    };
    memcpy(key.version.b, version, 16);
    return key;
}

#define ATTRS_TEXT                                                                                 \
    "\"attributes\":{\"created\":1667424222,\"enabled\":true,\"exportable\":false,"                \
    "\"recoverableDays\":7,\"recoveryLevel\":\"CustomizedRecoverable+Purgeable\","                 \
    "\"updated\":1667424223}"

static void test_key_bundles(void **state)
{
    struct kit *k = *state;
    struct wire_key key = sample_key(KTY_RSA);
    key.n = bytes_str("\xff\xfe");
    key.e = bytes_of("\x01\x00\x01", 3);
    key.key_ops = KEY_OP_SIGN | KEY_OP_VERIFY;
    with_token(k, "POST /keys/k1/create?api-version=7.6", "{\"kty\":\"RSA\"}");
    receive(k, OP_KEY_CREATE);
    wire_key_put(result(k), &key);
    answer(k, HSM_OK, "", false);
    expect_ok(k, 200,
              "{" ATTRS_TEXT ",\"key\":{\"e\":\"AQAB\",\"key_ops\":[\"sign\",\"verify\"],"
              "\"kid\":\"" KID "\",\"kty\":\"RSA-HSM\",\"n\":\"__4\"}}");
    assert_false(has_name(k, "x-ms-build-version"));
    assert_false(k->x.secret);
    expect_plain_headers(k);
    key = sample_key(KTY_EC);
    key.crv = CRV_P256;
    key.x = bytes_of("\x00\x01", 2);
    key.y = bytes_of("\x02\x03", 2);
    key.key_ops = KEY_OP_SIGN;
    key.attr_set |= ATTR_EXP | ATTR_NBF;
    key.nbf = 5;
    key.exp = 6;
    key.release_policy = bytes_str("{}");
    key.policy_immutable = 1;
    with_token(k, "GET /keys/k1/?api-version=7.6", "");
    receive(k, OP_KEY_GET);
    BODY(k, key_ref, ref);
    assert_int_equal(ref.version.n, 0);
    wire_key_put(result(k), &key);
    answer(k, HSM_OK, "", false);
    expect_ok(k, 200,
              "{\"attributes\":{\"created\":1667424222,\"enabled\":true,\"exp\":6,"
              "\"exportable\":false,\"nbf\":5,\"recoverableDays\":7,\"recoveryLevel\":"
              "\"CustomizedRecoverable+Purgeable\",\"updated\":1667424223},"
              "\"key\":{\"crv\":\"P-256\",\"key_ops\":[\"sign\"],\"kid\":\"" KID "\","
              "\"kty\":\"EC-HSM\",\"x\":\"AAE\",\"y\":\"AgM\"},"
              "\"release_policy\":{\"contentType\":\"application/json; charset=utf-8\","
              "\"data\":\"e30\",\"immutable\":true}}");
    assert_true(has_name(k, "x-ms-build-version: "));
}

static size_t put_tag(uint8_t *dst, size_t cap, const char *name, const char *value)
{
    struct wr w = wr_of(dst, cap);
    struct wire_tag t = {.name = bytes_str(name), .value = bytes_str(value)};
    size_t at = wr_lv_open(&w);
    wire_tag_put(&w, &t);
    wr_lv_close(&w, at);
    return w.n;
}

/* oct keys show neither size nor material; deleted keys carry their recoveryId. */
static void test_oct_and_deleted(void **state)
{
    struct kit *k = *state;
    uint8_t tags[128];
    struct wire_key key = sample_key(KTY_OCT);
    key.key_size = 256;
    key.key_ops = KEY_OP_WRAP | KEY_OP_UNWRAP;
    key.tags = bytes_of(tags, put_tag(tags, sizeof tags, "a\"b", "\xc3\xa9"));
    with_token(k, "GET /keys/k1?api-version=7.6", "");
    receive(k, OP_KEY_GET);
    wire_key_put(result(k), &key);
    answer(k, HSM_OK, "", false);
    expect_ok(k, 200,
              "{" ATTRS_TEXT ",\"key\":{\"key_ops\":[\"wrapKey\",\"unwrapKey\"],\"kid\":\"" KID
              "\",\"kty\":\"oct-HSM\"},\"tags\":{\"a\\\"b\":\"\xc3\xa9\"}}");
    key.tags = bytes_of(NULL, 0);
    key.deleted_date = 1648058900;
    key.purge_date = 1648663700;
    with_token(k, "DELETE /keys/k1?api-version=7.6", "");
    receive(k, OP_KEY_DELETE);
    wire_key_put(result(k), &key);
    answer(k, HSM_OK, "", false);
    expect_ok(k, 200,
              "{" ATTRS_TEXT ",\"deletedDate\":1648058900,"
              "\"key\":{\"key_ops\":[\"wrapKey\",\"unwrapKey\"],\"kid\":\"" KID
              "\",\"kty\":\"oct-HSM\"},\"recoveryId\":\"https://" HOST "/deletedkeys/k1\","
              "\"scheduledPurgeDate\":1648663700}");
    with_token(k, "DELETE /deletedkeys/k1?api-version=7.6", "");
    receive(k, OP_KEY_PURGE);
    answer(k, HSM_OK, "", false);
    assert_int_equal(k->x.status, 204);
    assert_int_equal(k->x.body_n, 0);
}

static void put_page(struct kit *k, const struct wire_key *keys, size_t n, const char *skip)
{
    static uint8_t list[4096];
    struct wr w = wr_of(list, sizeof list);
    for (size_t i = 0; i < n; i++) {
        size_t at = wr_lv_open(&w);
        wire_key_put(&w, &keys[i]);
        wr_lv_close(&w, at);
    }
    struct wire_key_page page = {.items = wr_view(&w), .skip = bytes_str(skip)};
    wire_key_page_put(result(k), &page);
}

static void test_lists(void **state)
{
    struct kit *k = *state;
    struct wire_key key = sample_key(KTY_RSA);
    with_token(k, "GET /keys?api-version=7.4&maxresults=2", "");
    receive(k, OP_KEY_LIST);
    BODY(k, list, m);
    assert_int_equal(m.max, 2);
    put_page(k, &key, 1, "A/+=");
    answer(k, HSM_OK, "", false);
    expect_ok(k, 200,
              "{\"nextLink\":\"https://" HOST
              "/keys?api-version=7.4&$skiptoken=A%2F%2B%3D&maxresults=2\","
              "\"value\":[{" ATTRS_TEXT ",\"kid\":\"https://" HOST "/keys/k1\"}]}");
    with_token(k, "GET /keys/k1/versions?api-version=7.4", "");
    receive(k, OP_KEY_VERSIONS);
    BODY(k, list, versions);
    assert_true(bytes_eq_str(versions.name, "k1"));
    put_page(k, &key, 1, "s");
    answer(k, HSM_OK, "", false);
    expect_ok(k, 200,
              "{\"nextLink\":\"https://" HOST
              "/keys/k1/versions?api-version=7.4&$skiptoken=s&maxresults=25\","
              "\"value\":[{" ATTRS_TEXT ",\"kid\":\"" KID "\"}]}");
    /* nothing there: 200, and no nextLink on a last page */
    with_token(k, "GET /keys/none/versions?api-version=7.4", "");
    receive(k, OP_KEY_VERSIONS);
    put_page(k, &key, 0, "");
    answer(k, HSM_OK, "", false);
    expect_ok(k, 200, "{\"value\":[]}");
    key.deleted_date = 10;
    key.purge_date = 20;
    with_token(k, "GET /deletedkeys?api-version=7.4", "");
    receive(k, OP_DELETED_LIST);
    put_page(k, &key, 1, "");
    answer(k, HSM_OK, "", false);
    expect_ok(k, 200,
              "{\"value\":[{" ATTRS_TEXT ",\"deletedDate\":10,\"kid\":\"https://" HOST
              "/keys/k1\",\"recoveryId\":\"https://" HOST
              "/deletedkeys/k1\",\"scheduledPurgeDate\":20}]}");
}

static void test_crypto(void **state)
{
    struct kit *k = *state;
    struct wire_crypto_result r = {
        .name = bytes_str("k1"), .alg = ALG_A128KW, .value = bytes_of("\x01\x02\x03", 3)};
    memcpy(r.version.b, version, 16);
    with_token(k, "POST /keys/k1/wrapKey?api-version=7.4",
               "{\"alg\":\"A128KW\",\"value\":\"AAEC\"}");
    receive(k, OP_WRAP);
    BODY(k, crypto, m);
    assert_int_equal(m.value.n, 3);
    wire_crypto_result_put(result(k), &r);
    answer(k, HSM_OK, "", false);
    expect_ok(k, 200, "{\"alg\":\"A128KW\",\"kid\":\"" KID "\",\"value\":\"AQID\"}");
    assert_true(k->x.secret);
    r.alg = ALG_A256GCM;
    r.has = CRYPTO_HAS_IV | CRYPTO_HAS_AAD | CRYPTO_HAS_TAG;
    r.iv = bytes_of("\x01", 1);
    r.aad = bytes_of("\x02", 1);
    r.tag = bytes_of("\x03", 1);
    with_token(k, "POST /keys/k1//encrypt?api-version=7.4",
               "{\"alg\":\"A256GCM\",\"value\":\"AAEC\",\"aad\":\"Ag\"}");
    receive(k, OP_ENCRYPT);
    wire_crypto_result_put(result(k), &r);
    answer(k, HSM_OK, "", false);
    expect_ok(k, 200,
              "{\"aad\":\"Ag\",\"alg\":\"A256GCM\",\"iv\":\"AQ\",\"kid\":\"" KID
              "\",\"tag\":\"Aw\",\"value\":\"AQID\"}");
    r = (struct wire_crypto_result){.name = bytes_str("k1"), .alg = ALG_ES256, .verified = 1};
    memcpy(r.version.b, version, 16);
    for (unsigned good = 0; good < 2; good++) {
        r.verified = (uint8_t)good;
        with_token(k, "POST /keys/k1/" VERSION "/verify?api-version=7.4",
                   "{\"alg\":\"ES256\",\"digest\":\"AA\",\"value\":\"AA\"}");
        receive(k, OP_VERIFY);
        wire_crypto_result_put(result(k), &r);
        answer(k, HSM_OK, "", false);
        expect_ok(k, 200,
                  good ? "{\"alg\":\"ES256\",\"kid\":\"" KID "\",\"value\":true}"
                       : "{\"alg\":\"ES256\",\"kid\":\"" KID "\",\"value\":false}");
    }
}

#define ROLE_ID "Microsoft.KeyVault/providers/Microsoft.Authorization/roleDefinitions/"
#define ZERO_ID "00000000-0000-0000-0000-000000000000"

static void test_roles(void **state)
{
    struct kit *k = *state;
    uint8_t list[256], permission[256];
    struct wr w = wr_of(list, sizeof list);
    wr_lv(&w, bytes_str("Microsoft.KeyVault/managedHsm/keys/read/action"));
    struct wire_permission p = {.data_actions = wr_view(&w)};
    struct wr pw = wr_of(permission, sizeof permission);
    size_t at = wr_lv_open(&pw);
    wire_permission_put(&pw, &p);
    wr_lv_close(&pw, at);
    struct wire_role_definition d = {.role_name = bytes_str("My role"),
                                     .permissions = wr_view(&pw)};
    with_token(
        k, "PUT ///providers/Microsoft.Authorization/roleDefinitions/" ZERO_ID "?api-version=7.4",
        "{\"properties\":{\"roleName\":\"My role\"}}");
    receive(k, OP_ROLE_DEFINITION_PUT);
    wire_role_definition_put(result(k), &d);
    answer(k, HSM_OK, "", false);
    expect_ok(k, 201,
              "{\"id\":\"" ROLE_ID ZERO_ID "\",\"name\":\"" ZERO_ID
              "\",\"properties\":{\"assignableScopes\":[\"/\"],\"description\":\"\","
              "\"permissions\":[{\"actions\":[],\"dataActions\":[\"Microsoft.KeyVault/managedHsm/"
              "keys/read/action\"],\"notActions\":[],\"notDataActions\":[]}],"
              "\"roleName\":\"My role\",\"type\":\"CustomRole\"},"
              "\"type\":\"Microsoft.Authorization/roleDefinitions\"}");
    struct wire_role_assignment a = {.principal = bytes_str("oid"), .scope = bytes_str("/keys")};
    uint8_t items[512];
    struct wr iw = wr_of(items, sizeof items);
    at = wr_lv_open(&iw);
    wire_role_assignment_put(&iw, &a);
    wr_lv_close(&iw, at);
    struct wire_list_result all = {.items = wr_view(&iw)};
    with_token(k, "GET /keys/providers/Microsoft.Authorization/roleAssignments?api-version=7.4",
               "");
    receive(k, OP_ROLE_ASSIGNMENT_LIST);
    BODY(k, scope, scope);
    assert_true(bytes_eq_str(scope.scope, "/keys"));
    wire_list_result_put(result(k), &all);
    answer(k, HSM_OK, "", false);
    expect_ok(k, 200,
              "{\"value\":[{\"id\":\"/providers/Microsoft.Authorization/roleAssignments/" ZERO_ID
              "\",\"name\":\"" ZERO_ID "\",\"properties\":{\"principalId\":\"oid\","
              "\"roleDefinitionId\":\"" ROLE_ID ZERO_ID "\",\"scope\":\"/keys\"},"
              "\"type\":\"Microsoft.Authorization/roleAssignments\"}]}");
}

static void test_security_domain(void **state)
{
    struct kit *k = *state;
    struct wire_sd_file file = {.text = bytes_str("{\"EncData\":1}")};
    with_token(k, "POST /securitydomain/download?api-version=7.2", "{\"certificates\":[]}");
    receive(k, OP_SD_DOWNLOAD);
    wire_sd_file_put(result(k), &file);
    answer(k, HSM_OK, "", false);
    expect_ok(k, 202, "{\"value\":\"{\\\"EncData\\\":1}\"}");
    assert_true(
        has_line(k, "azure-asyncoperation: https://" HOST "/securitydomain/download/pending"));
    assert_true(has_line(k, "retry-after: 1"));
    static const char *const paths[] = {"GET /securitydomain/download/pending",
                                        "GET /securitydomain/upload/pending"};
    for (unsigned i = 0; i < 2; i++) {
        struct wire_sd_status s = {.status = SD_SUCCESS};
        with_token(k, paths[i], "");
        receive(k, i == 0 ? OP_SD_DOWNLOAD_STATUS : OP_SD_UPLOAD_STATUS);
        assert_int_equal(k->caller.api_version.n, 0);
        wire_sd_status_put(result(k), &s);
        answer(k, HSM_OK, "", false);
        expect_ok(k, 200,
                  "{\"status\":\"Success\",\"statusDetails\":\"The resource is active.\","
                  "\"status_details\":\"The resource is active.\"}");
        assert_true(has_name(k, "azure-asyncoperation: "));
        assert_false(has_name(k, "retry-after"));
        s.status = SD_IN_PROGRESS;
        with_token(k, paths[i], "");
        receive(k, i == 0 ? OP_SD_DOWNLOAD_STATUS : OP_SD_UPLOAD_STATUS);
        wire_sd_status_put(result(k), &s);
        answer(k, HSM_OK, "", false);
        assert_true(has_line(k, "retry-after: 1"));
        assert_non_null(strstr(k->x.body, "\"status\":\"InProgress\""));
    }
}

/* Key ids show the name the client used, with its port, and without the default one. */
static void test_kid_hosts(void **state)
{
    struct kit *k = *state;
    static const struct {
        const char *host, *shown;
    } c[] = {
        {"DEV.ManagedHSM.localhost:8443", "dev.managedhsm.localhost:8443"},
        {"dev.managedhsm.azure.net", "dev.managedhsm.azure.net"},
        {"dev.managedhsm.azure.net:443", "dev.managedhsm.azure.net"},
    };
    struct wire_key key = sample_key(KTY_OCT);
    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        char text[512], want[256];
        (void)snprintf(text, sizeof text,
                       "GET /keys/k1?api-version=7.4 HTTP/1.1\r\nHost: %s\r\n"
                       "Authorization: Bearer t\r\n\r\n",
                       c[i].host);
        request(k, text);
        receive(k, OP_KEY_GET);
        assert_true(bytes_eq_str(k->caller.host, c[i].shown));
        wire_key_put(result(k), &key);
        answer(k, HSM_OK, "", false);
        (void)snprintf(want, sizeof want, "\"kid\":\"https://%s/keys/k1/" VERSION "\"", c[i].shown);
        assert_non_null(strstr(k->x.body, want));
    }
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
        T(test_key_bundles),
        T(test_oct_and_deleted),
        T(test_lists),
        T(test_crypto),
        T(test_roles),
        T(test_security_domain),
        T(test_kid_hosts),
        T(test_audit_before_answer),
        T(test_unknown_answers_end_it),
        T(test_full_lane),
        T(test_refused_by_server),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
