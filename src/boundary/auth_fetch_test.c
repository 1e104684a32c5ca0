/* Fetching an issuer's keys: the TLS peer, the HTTP answer in all its forms, time-outs and retries,
 * and what a token check says meanwhile. Time is virtual. */
#include "boundary/auth_testing.h"

#include "boundary/jwks_client.h"
#include "boundary/jwks_http.h"

struct env {
    struct net net;
    struct auth *auth;
    EVP_PKEY *rsa, *ca_key, *leaf_key, *other_ca_key;
    X509 *ca, *other_ca;
    char *roots;
    char jwks[2048];
    char token[TOKEN_CAP];
    char detail[512];
    uint64_t now_ms;
};

static void use_leaf(struct env *e, const char *san, X509 *ca, EVP_PKEY *ca_key, long not_after_s)
{
    X509 *leaf = make_cert(e->leaf_key, "leaf", san, ca, ca_key, not_after_s);
    net_use_cert(&e->net, leaf, e->leaf_key);
    X509_free(leaf);
}

static void restart(struct env *e, const char *host)
{
    auth_free(e->auth);
    struct auth_config c = make_config(host, e->roots);
    e->auth = make_auth(&e->net, &c);
    e->now_ms = NOW_MS;
    e->net.opened = e->net.closed = e->net.changed = 0;
}

static int setup(void **state)
{
    static struct env e;
    memset(&e, 0, sizeof e);
    e.rsa = make_rsa();
    e.ca_key = make_ec();
    e.leaf_key = make_ec();
    e.other_ca_key = make_ec();
    e.ca = make_cert(e.ca_key, "test root", NULL, NULL, NULL, 30 * 86400);
    e.other_ca = make_cert(e.other_ca_key, "test root", NULL, NULL, NULL, 86400);
    e.roots = pem_of(e.ca);
    char jwk[1200];
    jwk_text(jwk, sizeof jwk, e.rsa, "k1", "");
    snprintf(e.jwks, sizeof e.jwks, "{\"keys\":[%s]}", jwk);
    use_leaf(&e, "DNS:localhost,IP:127.0.0.1", e.ca, e.ca_key, 3 * 86400);
    serve(&e.net, e.jwks);
    restart(&e, "localhost");
    *state = &e;
    return 0;
}

static int teardown(void **state)
{
    struct env *e = *state;
    auth_free(e->auth);
    net_done(&e->net);
    EVP_PKEY_free(e->rsa);
    EVP_PKEY_free(e->ca_key);
    EVP_PKEY_free(e->leaf_key);
    EVP_PKEY_free(e->other_ca_key);
    X509_free(e->ca);
    X509_free(e->other_ca);
    free(e->roots);
    return 0;
}

static void step(struct env *e, uint64_t ms)
{
    e->now_ms += ms;
    auth_tick(e->auth, e->now_ms);
    net_pump(&e->net);
}

static hsm_err check(struct env *e, const char *kid)
{
    char header[100];
    struct identity *who = NULL;
    snprintf(header, sizeof header, "{\"alg\":\"RS256\",\"kid\":\"%s\"}", kid);
    struct bytes t = token_of(e->token, header, claims_text(ISSUER, AUDIENCE, ""), e->rsa, false);
    hsm_err err = auth_check(e->auth, NULL, t, e->now_ms, &who, e->detail, sizeof e->detail);
    identity_unref(who);
    return err;
}

#define assert_err(got, want) assert_string_equal(hsm_err_name(got), hsm_err_name(want))

/* One fetch at the start; the first token waits for it. */
static void first_fetch(void **state)
{
    struct env *e = *state;
    assert_err(check(e, "k1"), HSM_E_AGAIN);
    auth_tick(e->auth, e->now_ms);
    assert_err(check(e, "k1"), HSM_E_AGAIN);
    assert_int_equal(e->net.opened, 1);
    assert_string_equal(e->net.host, "localhost");
    assert_int_equal(e->net.port, 8443);
    net_pump(&e->net);
    assert_int_equal(e->net.changed, 1);
    assert_int_equal(e->net.closed, 1);
    assert_err(check(e, "k1"), HSM_OK);
    assert_non_null(strstr(e->net.request, "GET /" TENANT "/discovery/v2.0/keys HTTP/1.1\r\n"));
    assert_non_null(strstr(e->net.request, "\r\nHost: localhost:8443\r\n"));
    step(e, 1000);
    step(e, 598000);
    assert_int_equal(e->net.opened, 1);
    step(e, 1000); /* ten minutes: refreshed */
    assert_int_equal(e->net.opened, 2);
    assert_int_equal(e->net.changed, 2);
}

/* Bytes that come late, twice or for somebody else change nothing. */
static void stray_events(void **state)
{
    struct env *e = *state;
    auth_net_data(e->auth, 1, bytes_str("x"));
    auth_net_closed(e->auth, 1);
    step(e, 0);
    assert_err(check(e, "k1"), HSM_OK);
    auth_net_data(e->auth, e->net.conn, bytes_str("x"));
    auth_net_closed(e->auth, e->net.conn);
    auth_net_data(e->auth, e->net.conn + 1, bytes_str("x"));
    assert_int_equal(e->net.changed, 1);
    assert_err(check(e, "k1"), HSM_OK);
}

static void by_address(void **state)
{
    struct env *e = *state;
    restart(e, "127.0.0.1");
    step(e, 0);
    assert_err(check(e, "k1"), HSM_OK);
    restart(e, "127.0.0.2");
    step(e, 0);
    assert_err(check(e, "k1"), HSM_E_UNAVAILABLE);
}

static void byte_by_byte(void **state)
{
    struct env *e = *state;
    e->net.piece = 1;
    step(e, 0);
    assert_err(check(e, "k1"), HSM_OK);
}

/* ---- peers that are not the issuer ---- */

static void expect_failure(struct env *e)
{
    restart(e, "localhost");
    step(e, 0);
    assert_int_equal(e->net.opened, 1);
    assert_int_equal(e->net.changed, 1);
    assert_err(check(e, "k1"), HSM_E_UNAVAILABLE);
}

static void wrong_peers(void **state)
{
    struct env *e = *state;
    use_leaf(e, "DNS:example.com", e->ca, e->ca_key, 86400);
    expect_failure(e);
    assert_int_equal(e->net.request_n, 0); /* nothing was asked of it */
    use_leaf(e, NULL, e->ca, e->ca_key, 86400);
    expect_failure(e);
    use_leaf(e, "DNS:localhost", e->other_ca, e->other_ca_key, 86400); /* same name, other key */
    expect_failure(e);
    use_leaf(e, "DNS:localhost", NULL, NULL, 86400);
    expect_failure(e);
    use_leaf(e, "DNS:localhost", e->ca, e->ca_key, -3600); /* expired */
    expect_failure(e);
    use_leaf(e, "DNS:localhost", e->ca, e->ca_key, 86400);
    SSL_CTX_set_max_proto_version(e->net.ctx, TLS1_1_VERSION);
    SSL_CTX_set_security_level(e->net.ctx, 0);
    expect_failure(e);
    SSL_CTX_set_max_proto_version(e->net.ctx, TLS1_2_VERSION);
    restart(e, "localhost");
    step(e, 0);
    assert_err(check(e, "k1"), HSM_OK);
    e->net.mode = SERVER_GARBAGE;
    expect_failure(e);
    e->net.mode = SERVER_REFUSES;
    expect_failure(e);
}

/* ---- answers ---- */

static void chunked(struct env *e, size_t size)
{
    static char body[70000];
    size_t n = 0;
    size_t len = strlen(e->jwks);
    for (size_t at = 0; at < len; at += size) {
        size_t k = len - at < size ? len - at : size;
        n +=
            (size_t)snprintf(body + n, sizeof body - n, "%zx\r\n%.*s\r\n", k, (int)k, e->jwks + at);
    }
    n += (size_t)snprintf(body + n, sizeof body - n, "0\r\n\r\n");
    set_response(&e->net, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", body, n);
}

static void answers_taken(void **state)
{
    struct env *e = *state;
    for (size_t size = 1; size < 2000; size = size * 3 + 1) {
        chunked(e, size);
        restart(e, "localhost");
        step(e, 0);
        assert_err(check(e, "k1"), HSM_OK);
    }
    /* no length: until close_notify */
    set_response(&e->net, "HTTP/1.0 200 OK\r\nServer: x\r\n\r\n", e->jwks, strlen(e->jwks));
    e->net.mode = SERVER_ENDS;
    restart(e, "localhost");
    step(e, 0);
    assert_err(check(e, "k1"), HSM_OK);
    /* the same without close_notify may have been cut by anybody on the way */
    e->net.mode = SERVER_CUTS;
    expect_failure(e);
    /* with a length that does not matter */
    serve(&e->net, e->jwks);
    restart(e, "localhost");
    step(e, 0);
    assert_err(check(e, "k1"), HSM_OK);
}

static void answers_refused(void **state)
{
    struct env *e = *state;
    static const char *const heads[] = {
        "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}",
        "HTTP/1.1 302 Found\r\nLocation: https://evil.example/\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/2 200 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}",
        "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Encoding: gzip\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\nx",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\nName : x\r\n\r\n",
        "HTTP/1.1 200 OK\r\n folded\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",             /* no key set */
        "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{\"keys\":[]}", /* no key in it */
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}{}",
    };
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        set_response(&e->net, heads[i], "", 0);
        restart(e, "localhost");
        step(e, 0);
        if (e->net.changed != 1 || check(e, "k1") != HSM_E_UNAVAILABLE)
            fail_msg("accepted: %s", heads[i]);
    }
    /* too long a head, too long a body without a length */
    static char much[80000];
    memset(much, 'a', sizeof much);
    set_response(&e->net, "HTTP/1.1 200 OK\r\nX: ", much, 20000);
    expect_failure(e);
    set_response(&e->net, "HTTP/1.1 200 OK\r\n\r\n", much, sizeof much);
    expect_failure(e);
}

static void http_pieces(void **state)
{
    (void)state;
    static const char text[] = "HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 5\r\n\r\nhello";
    static uint8_t body[64];
    static struct jwks_http h;
    for (size_t cut = 0; cut < sizeof text - 1; cut++) {
        jwks_http_init(&h, body, sizeof body);
        assert_err(jwks_http_feed(&h, bytes_of(text, cut)), HSM_E_AGAIN);
        assert_err(jwks_http_end(&h), HSM_E_MALFORMED);
        assert_err(jwks_http_feed(&h, bytes_of(text + cut, sizeof text - 1 - cut)), HSM_OK);
        assert_true(bytes_eq_str(wr_view(&h.body), "hello"));
    }
    jwks_http_init(&h, body, sizeof body);
    assert_err(jwks_http_feed(&h, bytes_str("HTTP/1.1 200 OK\r\n\r\nabc")), HSM_E_AGAIN);
    assert_err(jwks_http_end(&h), HSM_OK);
    jwks_http_init(&h, body, 2);
    assert_err(jwks_http_feed(&h, bytes_str("HTTP/1.1 200 OK\r\n\r\nabc")), HSM_E_TOO_LARGE);
}

/* ---- time ---- */

static void slow_server(void **state)
{
    struct env *e = *state;
    e->net.mode = SERVER_SILENT;
    step(e, 0);
    for (unsigned i = 0; i < 19; i++) {
        step(e, 250);
        assert_err(check(e, "k1"), HSM_E_AGAIN);
        assert_int_equal(e->net.changed, 0);
    }
    step(e, 250); /* five seconds */
    assert_int_equal(e->net.changed, 1);
    assert_int_equal(e->net.closed, 1);
    assert_err(check(e, "k1"), HSM_E_UNAVAILABLE);
    e->net.mode = SERVER_NORMAL;
    step(e, 1000);
    assert_err(check(e, "k1"), HSM_OK);
}

static void backs_off(void **state)
{
    struct env *e = *state;
    static const unsigned want_s[] = {0, 1, 2, 4, 8, 16, 30, 30};
    uint64_t last = e->now_ms;
    e->net.mode = SERVER_REFUSES;
    for (unsigned i = 0; i < sizeof want_s / sizeof want_s[0]; i++) {
        while (e->net.opened == i)
            step(e, i == 0 ? 0 : 250);
        assert_int_equal((e->now_ms - last) / 1000, want_s[i]);
        last = e->now_ms;
    }
    /* a waiting request makes the next attempt come sooner, not at once */
    e->net.mode = SERVER_NORMAL;
    assert_err(check(e, "k1"), HSM_E_UNAVAILABLE);
    step(e, 1000);
    assert_err(check(e, "k1"), HSM_E_AGAIN);
    unsigned opened = e->net.opened;
    step(e, 3000);
    assert_int_equal(e->net.opened, opened);
    step(e, 1000);
    assert_int_equal(e->net.opened, opened + 1);
    assert_err(check(e, "k1"), HSM_OK);
}

static void old_keys_stay(void **state)
{
    struct env *e = *state;
    step(e, 0);
    e->net.mode = SERVER_REFUSES;
    step(e, 600000);
    assert_int_equal(e->net.changed, 2);
    e->now_ms = NOW_MS;
    assert_err(check(e, "k1"), HSM_OK);
}

/* With a token of this moment: it is in no cache. */
static hsm_err check_anew(struct env *e, const char *kid)
{
    char header[100], claims[600];
    struct identity *who = NULL;
    long now_s = (long)(e->now_ms / 1000);
    snprintf(header, sizeof header, "{\"alg\":\"RS256\",\"kid\":\"%s\"}", kid);
    snprintf(claims, sizeof claims,
             "{\"iss\":\"" ISSUER "\",\"aud\":\"" AUDIENCE "\",\"tid\":\"" TENANT
             "\",\"oid\":\"" OID "\",\"nbf\":%ld,\"exp\":%ld}",
             now_s, now_s + 600);
    struct bytes t = token_of(e->token, header, claims, e->rsa, false);
    hsm_err err = auth_check(e->auth, NULL, t, e->now_ms, &who, e->detail, sizeof e->detail);
    identity_unref(who);
    return err;
}

/* Who keeps us from asking cannot keep a withdrawn key in use for ever. */
static void old_keys_end(void **state)
{
    struct env *e = *state;
    step(e, 0);
    e->net.mode = SERVER_REFUSES;
    uint64_t from = e->now_ms;
    while (e->now_ms - from < 86400000u) {
        step(e, 600000);
        assert_err(check_anew(e, "k1"), HSM_OK);
    }
    step(e, 600000);
    assert_err(check_anew(e, "k1"), HSM_E_UNAVAILABLE);
    e->net.mode = SERVER_NORMAL;
    step(e, 30000);
    assert_err(check_anew(e, "k1"), HSM_OK);
}

/* Unknown key ids: a new key is found, a made-up one costs one fetch in five seconds. */
static void unknown_kid(void **state)
{
    struct env *e = *state;
    step(e, 0);
    step(e, 10000);
    assert_int_equal(e->net.opened, 1);
    for (unsigned i = 0; i < 5; i++)
        assert_err(check(e, "k2"), HSM_E_AGAIN);
    assert_err(check(e, "k1"), HSM_OK);
    step(e, 250);
    assert_int_equal(e->net.opened, 2);
    assert_int_equal(e->net.changed, 2);
    assert_err(check(e, "k2"), HSM_E_TOKEN_SIGNATURE);
    for (unsigned i = 0; i < 19; i++) {
        step(e, 250);
        assert_err(check(e, "k2"), HSM_E_TOKEN_SIGNATURE);
    }
    assert_int_equal(e->net.opened, 2);
    /* the issuer has added the key meanwhile */
    char jwk[1200];
    char jwks[1400];
    jwk_text(jwk, sizeof jwk, e->rsa, "k2", "");
    snprintf(jwks, sizeof jwks, "{\"keys\":[%s]}", jwk);
    serve(&e->net, jwks);
    step(e, 250);
    assert_err(check(e, "k2"), HSM_E_AGAIN);
    step(e, 250);
    assert_int_equal(e->net.opened, 3);
    assert_err(check(e, "k2"), HSM_OK);
}

/* The server's certificate is judged at the time that the caller gives. */
static void certificate_ends(void **state)
{
    struct env *e = *state;
    step(e, 3 * 86400000u - 1000);
    assert_err(check_anew(e, "k1"), HSM_OK);
    unsigned changed = e->net.changed;
    step(e, 601000);
    assert_int_equal(e->net.changed, changed + 1);
    assert_err(check_anew(e, "k1"), HSM_OK); /* with the keys there are */
    step(e, 86400000);
    assert_err(check_anew(e, "k1"), HSM_E_UNAVAILABLE);
}

/* A fetch under way neither fails because of a clock that was set, nor waits by the old one. */
static void clock_set_meanwhile(void **state)
{
    struct env *e = *state;
    static const int64_t jump[] = {86400000, -86400000};
    for (unsigned i = 0; i < 2; i++) {
        restart(e, "localhost");
        e->net.mode = SERVER_SILENT;
        step(e, 0);
        e->now_ms += (uint64_t)jump[i];
        for (unsigned k = 0; k < 19; k++)
            step(e, 250);
        assert_int_equal(e->net.changed, 0);
        step(e, 250);
        step(e, 250);
        assert_int_equal(e->net.changed, 1);
        e->net.mode = SERVER_NORMAL;
        step(e, 1000);
        assert_err(check_anew(e, "k1"), HSM_OK);
    }
}

static void clock_set_back(void **state)
{
    struct env *e = *state;
    step(e, 3600000);
    assert_int_equal(e->net.opened, 1);
    e->now_ms = NOW_MS;
    step(e, 0);
    assert_int_equal(e->net.opened, 2); /* not in an hour */
    assert_err(check(e, "k1"), HSM_OK);
}

static void bad_roots(void **state)
{
    struct env *e = *state;
    struct auth *a = NULL;
    struct auth_relay relay = {0};
    char *cut = strdup(e->roots);
    assert_non_null(cut);
    cut[strlen(cut) / 2] = '!';
    const char *const roots[] = {"", "no certificate", cut};
    for (size_t i = 0; i < 3; i++) {
        struct auth_config c = make_config("localhost", roots[i]);
        assert_err(auth_new(&c, &relay, &a), HSM_E_BAD_PARAMETER);
        assert_null(c.issuer[0].roots_pem);
    }
    free(cut);
    struct auth_config c = make_config("localhost", e->roots);
    c.tenant[0] = 0;
    assert_err(auth_new(&c, &relay, &a), HSM_E_BAD_PARAMETER);
    assert_null(a);
}

/* Two issuers, the first one away: each has its own keys and its own troubles. */
static void two_issuers(void **state)
{
    struct env *e = *state;
    auth_free(e->auth);
    struct auth_config c = make_config("localhost", e->roots);
    c.issuer[1] = c.issuer[0];
    c.issuer[1].roots_pem = strdup(e->roots);
    snprintf(c.issuer[1].issuer, sizeof c.issuer[1].issuer, "https://other.example/");
    c.issuer_n = 2;
    e->auth = make_auth(&e->net, &c);
    /* the stand-in serves one connection at a time: the second start displaces the first */
    auth_tick(e->auth, e->now_ms);
    net_pump(&e->net);
    assert_int_equal(e->net.opened, 2);
    struct identity *who = NULL;
    struct bytes t = token_of(e->token, "{\"alg\":\"RS256\",\"kid\":\"k1\"}",
                              claims_text("https://other.example/", AUDIENCE, ""), e->rsa, false);
    assert_err(auth_check(e->auth, NULL, t, e->now_ms, &who, e->detail, sizeof e->detail), HSM_OK);
    identity_unref(who);
    assert_err(check(e, "k1"), HSM_E_AGAIN);
    auth_net_closed(e->auth, 1);
    assert_err(check(e, "k1"), HSM_E_UNAVAILABLE);
    t = token_of(e->token, "{\"alg\":\"RS256\",\"kid\":\"k1\"}",
                 claims_text("https://third.example/", AUDIENCE, ""), e->rsa, false);
    assert_err(auth_check(e->auth, NULL, t, e->now_ms, &who, e->detail, sizeof e->detail),
               HSM_E_TOKEN_ISSUER);
    assert_string_equal(e->detail, "AKV10032: Invalid issuer. Expected one of " ISSUER
                                   " https://other.example/, found https://third.example/.");
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(first_fetch),     T(stray_events),        T(by_address),
        T(byte_by_byte),    T(wrong_peers),         T(answers_taken),
        T(answers_refused), T(slow_server),         T(backs_off),
        T(old_keys_stay),   T(old_keys_end),        T(unknown_kid),
        T(clock_set_back),  T(clock_set_meanwhile), T(certificate_ends),
        T(bad_roots),       T(two_issuers),         cmocka_unit_test(http_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
