/* Tokens: what is accepted, what is refused and with which words, and the cache. The issuer's keys
 * arrive the way they do in production, over TLS from a server in this process. */
#include "boundary/auth_testing.h"

#include <pthread.h>
#include "codec/json.h"

struct env {
    struct net net;
    struct auth *auth;
    struct auth_memo *memo;
    EVP_PKEY *rsa, *ec, *stranger, *ca_key;
    X509 *ca, *leaf;
    char jwks[4096];
    char token[TOKEN_CAP];
    char detail[1024];
};

static void write_jwks(struct env *e)
{
    char rsa[1200];
    char rsa_bound[1200];
    char ec[1200];
    jwk_text(rsa, sizeof rsa, e->rsa, "rsa-1", ",\"use\":\"sig\"");
    jwk_text(rsa_bound, sizeof rsa_bound, e->rsa, "rsa-ps", ",\"alg\":\"PS256\"");
    jwk_text(ec, sizeof ec, e->ec, "ec-1", "");
    snprintf(e->jwks, sizeof e->jwks, "{\"keys\":[%s,%s,%s]}", rsa, rsa_bound, ec);
}

static int setup(void **state)
{
    static struct env e;
    memset(&e, 0, sizeof e);
    e.rsa = make_rsa();
    e.stranger = make_rsa();
    e.ec = make_ec();
    e.ca_key = make_ec();
    e.ca = make_cert(e.ca_key, "test root", NULL, NULL, NULL, 86400);
    e.leaf = make_cert(e.ec, "localhost", "DNS:localhost", e.ca, e.ca_key, 86400);
    net_use_cert(&e.net, e.leaf, e.ec);
    write_jwks(&e);
    serve(&e.net, e.jwks);
    char *pem = pem_of(e.ca);
    struct auth_config c = make_config("localhost", pem);
    free(pem);
    e.auth = make_auth(&e.net, &c);
    assert_null(c.issuer[0].roots_pem); /* taken over */
    auth_tick(e.auth, NOW_MS);
    net_pump(&e.net);
    *state = &e;
    return e.net.changed == 1 ? 0 : -1;
}

static int setup_memo(void **state)
{
    if (setup(state) != 0)
        return -1;
    struct env *e = *state;
    return auth_memo_new(&e->memo) == HSM_OK ? 0 : -1;
}

static int teardown(void **state)
{
    struct env *e = *state;
    auth_memo_free(e->memo);
    auth_free(e->auth);
    net_done(&e->net);
    EVP_PKEY_free(e->rsa);
    EVP_PKEY_free(e->stranger);
    EVP_PKEY_free(e->ec);
    EVP_PKEY_free(e->ca_key);
    X509_free(e->ca);
    X509_free(e->leaf);
    return 0;
}

#define RS256 "{\"alg\":\"RS256\",\"kid\":\"rsa-1\",\"typ\":\"JWT\"}"

static hsm_err check_at(struct env *e, struct bytes token, uint64_t now_ms, struct identity **ret)
{
    snprintf(e->detail, sizeof e->detail, "unset");
    return auth_check(e->auth, e->memo, token, now_ms, ret, e->detail, sizeof e->detail);
}

static hsm_err check_payload(struct env *e, const char *payload, struct identity **ret)
{
    return check_at(e, token_of(e->token, RS256, payload, e->rsa, false), NOW_MS, ret);
}

static void assert_ok(struct env *e, const char *header, const char *payload, EVP_PKEY *k, bool pss)
{
    struct identity *who = NULL;
    hsm_err err = check_at(e, token_of(e->token, header, payload, k, pss), NOW_MS, &who);
    if (err != HSM_OK)
        fail_msg("%s: %s %s", payload, hsm_err_name(err), e->detail);
    assert_string_equal(who->oid, OID);
    identity_unref(who);
}

static void assert_refused(struct env *e, const char *header, const char *payload, EVP_PKEY *k,
                           bool pss, hsm_err want)
{
    struct identity *who = NULL;
    hsm_err err = check_at(e, token_of(e->token, header, payload, k, pss), NOW_MS, &who);
    if (err != want)
        fail_msg("%s %s: %s, expected %s", header, payload, hsm_err_name(err), hsm_err_name(want));
    assert_null(who);
}

static void algorithms(void **state)
{
    struct env *e = *state;
    const char *p = claims_text(ISSUER, AUDIENCE, "");
    assert_ok(e, RS256, p, e->rsa, false);
    assert_ok(e, "{\"alg\":\"PS256\",\"kid\":\"rsa-1\"}", p, e->rsa, true);
    assert_ok(e, "{\"alg\":\"PS256\",\"kid\":\"rsa-ps\"}", p, e->rsa, true);
    assert_ok(e, "{\"alg\":\"ES256\",\"kid\":\"ec-1\"}", p, e->ec, false);
    /* key and algorithm must belong together */
    assert_refused(e, "{\"alg\":\"RS256\",\"kid\":\"rsa-ps\"}", p, e->rsa, false,
                   HSM_E_TOKEN_SIGNATURE);
    assert_refused(e, "{\"alg\":\"ES256\",\"kid\":\"rsa-1\"}", p, e->ec, false,
                   HSM_E_TOKEN_SIGNATURE);
    assert_refused(e, "{\"alg\":\"RS256\",\"kid\":\"ec-1\"}", p, e->rsa, false,
                   HSM_E_TOKEN_SIGNATURE);
    assert_refused(e, "{\"alg\":\"PS256\",\"kid\":\"rsa-1\"}", p, e->rsa, false,
                   HSM_E_TOKEN_SIGNATURE);
    assert_refused(e, RS256, p, e->stranger, false, HSM_E_TOKEN_SIGNATURE);
    assert_string_equal(e->detail, "Signature validation failed");
    /* a key that the set, fetched just now, does not have */
    assert_refused(e, "{\"alg\":\"RS256\",\"kid\":\"rsa-2\"}", p, e->rsa, false,
                   HSM_E_TOKEN_SIGNATURE);
    assert_refused(e, "{\"alg\":\"RS256\"}", p, e->rsa, false, HSM_E_TOKEN_SIGNATURE);
}

static void unsigned_and_symmetric(void **state)
{
    struct env *e = *state;
    static const char *const headers[] = {
        "{\"alg\":\"none\",\"kid\":\"rsa-1\"}",
        "{\"alg\":\"None\",\"kid\":\"rsa-1\"}",
        "{\"alg\":\"HS256\",\"kid\":\"rsa-1\"}",
        "{\"alg\":\"RS256\",\"alg\":\"RS256\",\"kid\":\"rsa-1\"}",
        "{\"alg\":\"RS256\",\"kid\":\"rsa-1\",\"crit\":[\"exp\"]}",
        "{\"kid\":\"rsa-1\"}",
        "[]",
        "",
    };
    const char *p = claims_text(ISSUER, AUDIENCE, "");
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        assert_refused(e, headers[i], p, e->rsa, false, HSM_E_TOKEN_MALFORMED);
        assert_string_equal(e->detail, "Error decoding or parsing JWT components");
    }
    /* HS256 with the public key as the secret, in both of its usual spellings */
    char *pem = NULL;
    uint8_t *der = NULL;
    BIO *b = BIO_new(BIO_s_mem());
    PEM_write_bio_PUBKEY(b, e->rsa);
    long pem_n = BIO_get_mem_data(b, &pem);
    int der_n = i2d_PUBKEY(e->rsa, &der);
    for (int i = 0; i < 2; i++) {
        uint8_t mac[32];
        size_t mac_n;
        const void *secret = i == 0 ? (const void *)pem : (const void *)der;
        size_t n = b64u_encode(e->token, (const uint8_t *)headers[2], strlen(headers[2]));
        e->token[n++] = '.';
        n += b64u_encode(e->token + n, (const uint8_t *)p, strlen(p));
        assert_non_null(EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, secret,
                                  i == 0 ? (size_t)pem_n : (size_t)der_n, (uint8_t *)e->token, n,
                                  mac, sizeof mac, &mac_n));
        e->token[n++] = '.';
        n += b64u_encode(e->token + n, mac, mac_n);
        struct identity *who = NULL;
        assert_int_equal(check_at(e, bytes_of(e->token, n), NOW_MS, &who), HSM_E_TOKEN_MALFORMED);
    }
    OPENSSL_free(der);
    BIO_free(b);
    /* no signature at all */
    struct bytes t = token_of(e->token, RS256, p, e->rsa, false);
    struct identity *who = NULL;
    while (t.p[t.n - 1] != '.')
        t.n--;
    assert_int_equal(check_at(e, t, NOW_MS, &who), HSM_E_TOKEN_MALFORMED);
    assert_int_equal(check_at(e, bytes_of(t.p, t.n - 1), NOW_MS, &who), HSM_E_TOKEN_MALFORMED);
    assert_int_equal(check_at(e, bytes_of(NULL, 0), NOW_MS, &who), HSM_E_TOKEN_MISSING);
    memset(e->token, 'A', sizeof e->token);
    assert_int_equal(check_at(e, bytes_of(e->token, JWS_TEXT_MAX + 1), NOW_MS, &who),
                     HSM_E_TOKEN_MALFORMED);
}

/* Every changed byte of a token makes it another one. */
static void flipped_bits(void **state)
{
    struct env *e = *state;
    struct bytes t = token_of(e->token, "{\"alg\":\"ES256\",\"kid\":\"ec-1\"}",
                              claims_text(ISSUER, AUDIENCE, ""), e->ec, false);
    for (size_t i = 0; i < t.n; i++) {
        struct identity *who = NULL;
        e->token[i] ^= 4;
        assert_int_not_equal(check_at(e, t, NOW_MS, &who), HSM_OK);
        assert_int_not_equal(check_at(e, bytes_of(t.p, i), NOW_MS, &who), HSM_OK);
        e->token[i] ^= 4;
    }
    struct identity *who = NULL;
    assert_int_equal(check_at(e, t, NOW_MS, &who), HSM_OK);
    identity_unref(who);
}

static void audiences(void **state)
{
    struct env *e = *state;
    static const char *const good[] = {
        "https://managedhsm.localhost",       "https://managedhsm.localhost/",
        "https://managedhsm.localhost:8443/", "https://managedhsm.azure.net",
        "https://MANAGEDHSM.azure.net:443",
    };
    static const char *const bad[] = {
        "https://vault.azure.net",
        "http://managedhsm.azure.net",
        "managedhsm.azure.net",
        "https://managedhsm.azure.net//",
        "https://managedhsm.azure.net/x",
        "https://x.managedhsm.azure.net",
        "https://managedhsm.azure.net.evil.example",
        "https://managedhsm.azure.net@evil.example",
        "https://",
        "https:///",
        "",
        "https://managedhsm.azure.net?x",
        "https://managedhsm.azure.net:",
        "https://:443",
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_ok(e, RS256, claims_text(ISSUER, good[i], ""), e->rsa, false);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_refused(e, RS256, claims_text(ISSUER, bad[i], ""), e->rsa, false,
                       HSM_E_TOKEN_AUDIENCE);
    struct identity *who = NULL;
    assert_int_equal(check_payload(e, claims_text(ISSUER, bad[0], ""), &who), HSM_E_TOKEN_AUDIENCE);
    assert_string_equal(e->detail, "Found token with aud=https://vault.azure.net");
    static const char *const expected[][2] = {
        {"", "managedhsm.localhost"},
        {"dev.managedhsm.localhost:8443", "managedhsm.localhost:8443"},
        {"dev.managedhsm.localhost", "managedhsm.localhost"},
        {"dev.managedhsm.azure.net", "managedhsm.azure.net"},
        {"DEV.ManagedHSM.azure.net:444", "managedhsm.azure.net:444"},
        {"managedhsm.azure.net:444", "managedhsm.localhost"},
        {"evil.example:1", "managedhsm.localhost"},
    };
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        char text[300] = "x", want[300];
        snprintf(want, sizeof want, "x, but expected aud=https://%s", expected[i][1]);
        auth_expected(e->auth, bytes_str(expected[i][0]), text, sizeof text);
        assert_string_equal(text, want);
    }
    /* what a token says is shown without anything that could forge a line or a quote */
    assert_int_equal(check_payload(e, claims_text(ISSUER, "a\\u0022\\n\\u00e4'<b>\\\\", ""), &who),
                     HSM_E_TOKEN_AUDIENCE);
    assert_string_equal(e->detail, "Found token with aud=a?\?\?\?\?\?b?\?");
    char text[1200];
    const char *rest = "\"tid\":\"" TENANT "\",\"oid\":\"" OID "\",\"exp\":1800000000";
    snprintf(text, sizeof text, "{\"iss\":\"" ISSUER "\",\"aud\":[\"x\",\"%s\"],%s}", good[0],
             rest);
    assert_ok(e, RS256, text, e->rsa, false);
    snprintf(text, sizeof text, "{\"iss\":\"" ISSUER "\",\"aud\":[],%s}", rest);
    assert_refused(e, RS256, text, e->rsa, false, HSM_E_TOKEN_AUDIENCE);
    snprintf(text, sizeof text, "{\"iss\":\"" ISSUER "\",%s}", rest);
    assert_refused(e, RS256, text, e->rsa, false, HSM_E_TOKEN_AUDIENCE);
    snprintf(text, sizeof text, "{\"iss\":\"" ISSUER "\",\"aud\":[7],%s}", rest);
    assert_refused(e, RS256, text, e->rsa, false, HSM_E_TOKEN_MALFORMED);
}

static const char *with(const char *members)
{
    static char text[2048];
    snprintf(text, sizeof text, "{\"iss\":\"" ISSUER "\",\"aud\":\"" AUDIENCE "\",%s}", members);
    return text;
}
#define T_O "\"tid\":\"" TENANT "\",\"oid\":\"" OID "\""

static void times(void **state)
{
    struct env *e = *state;
    static const struct {
        const char *members; /* NOW_S is 1700000000 */
        hsm_err want;
    } cases[] = {
        {T_O ",\"exp\":1700000001", HSM_OK},
        {T_O ",\"exp\":1699999701", HSM_OK}, /* within the skew */
        {T_O ",\"exp\":1699999700", HSM_E_TOKEN_EXPIRED},
        {T_O ",\"exp\":1699999700.9", HSM_E_TOKEN_EXPIRED},
        {T_O ",\"exp\":1.7000001e9,\"nbf\":1699999999.5", HSM_OK},
        {T_O ",\"exp\":0", HSM_E_TOKEN_EXPIRED},
        {T_O ",\"exp\":-5", HSM_E_TOKEN_EXPIRED},
        {T_O ",\"exp\":9223372036854775807", HSM_OK},
        {T_O, HSM_E_TOKEN_EXPIRED}, /* a token that never ends is none */
        {T_O ",\"exp\":1700003600,\"nbf\":1700000300", HSM_OK},
        {T_O ",\"exp\":1700003600,\"nbf\":1700000301", HSM_E_TOKEN_NOT_YET},
        {T_O ",\"exp\":\"1700003600\"", HSM_E_TOKEN_MALFORMED},
        {T_O ",\"exp\":null", HSM_E_TOKEN_MALFORMED},
        {T_O ",\"exp\":1e99", HSM_E_TOKEN_MALFORMED},
        {T_O ",\"exp\":1700003600,\"exp\":1700003600", HSM_E_TOKEN_MALFORMED},
        {T_O ",\"exp\":1700003600,\"e\\u0078p\":1800003600", HSM_E_TOKEN_MALFORMED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (cases[i].want == HSM_OK)
            assert_ok(e, RS256, with(cases[i].members), e->rsa, false);
        else
            assert_refused(e, RS256, with(cases[i].members), e->rsa, false, cases[i].want);
    }
    struct identity *who = NULL;
    assert_int_equal(check_payload(e, with(T_O ",\"exp\":1"), &who), HSM_E_TOKEN_EXPIRED);
    assert_string_equal(e->detail, "Token expired");
    assert_int_equal(check_payload(e, with(T_O ",\"exp\":1800000000,\"nbf\":1800000000"), &who),
                     HSM_E_TOKEN_NOT_YET);
    assert_string_equal(e->detail, "Token not yet valid");
}

static void issuer_tenant_principal(void **state)
{
    struct env *e = *state;
    struct identity *who = NULL;
    assert_int_equal(check_payload(e, claims_text("https://evil.example/", AUDIENCE, ""), &who),
                     HSM_E_TOKEN_ISSUER);
    assert_string_equal(e->detail, "AKV10032: Invalid issuer. Expected one of " ISSUER
                                   ", found https://evil.example/.");
    /* the issuer is judged before its signature, exactly */
    assert_refused(e, RS256, claims_text("https://sts.windows.net/" TENANT, AUDIENCE, ""), e->rsa,
                   false, HSM_E_TOKEN_ISSUER);
    assert_refused(e, RS256, "{}", e->rsa, false, HSM_E_TOKEN_ISSUER);
    assert_refused(e, RS256, with("\"exp\":1800000000,\"oid\":\"" OID "\""), e->rsa, false,
                   HSM_E_TOKEN_ISSUER);
    assert_refused(e, RS256, with("\"exp\":1800000000,\"tid\":\"" OID "\",\"oid\":\"" OID "\""),
                   e->rsa, false, HSM_E_TOKEN_ISSUER);
    assert_non_null(strstr(e->detail, "Invalid tenant"));
    assert_refused(e, RS256, with("\"exp\":1800000000,\"tid\":\"" TENANT "\""), e->rsa, false,
                   HSM_E_TOKEN_MALFORMED);
    assert_refused(e, RS256, with("\"exp\":1800000000,\"tid\":\"" TENANT "\",\"oid\":\"alice\""),
                   e->rsa, false, HSM_E_TOKEN_MALFORMED);
    static const char *const bad[] = {"[]",
                                      "7",
                                      "",
                                      "{",
                                      "\"x\"",
                                      "{\"iss\":7}",
                                      "{\"iss\":\"a\",\"groups\":{}}",
                                      "{\"iss\":\"a\",\"groups\":[1]}",
                                      "{\"iss\":\"\xff\"}"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_refused(e, RS256, bad[i], e->rsa, false, HSM_E_TOKEN_MALFORMED);
}

/* The string in the record, unescaped. */
static void expect_audit(const struct identity *who, const char *want)
{
    struct json_tok toks[8];
    struct json_doc d;
    char text[2048];
    size_t n = 0;
    assert_int_equal(json_parse(bytes_str(who->audit_string), toks, 8, &d), HSM_OK);
    assert_int_equal(json_string(&d, 0, text, sizeof text, &n), HSM_OK);
    assert_int_equal(n, strlen(want));
    assert_memory_equal(text, want, n);
}

static void identity_of_a_token(void **state)
{
    struct env *e = *state;
    struct identity *who = NULL;
    assert_int_equal(check_payload(e,
                                   with("\"exp\":1800000000.5,\"tid\":\"" TENANT
                                        "\",\"oid\":\"AAAAAAAA-1111-4222-8333-BBBBBBBBBBBB\","
                                        "\"groups\":[\"CCCCCCCC-1111-4222-8333-BBBBBBBBBBBB\","
                                        "\"not a guid\"],\"idtyp\":\"app\","
                                        "\"appid\":\"my\\\"app\\n\",\"upn\":\"a@b\""),
                                   &who),
                     HSM_OK);
    assert_string_equal(who->oid, OID);
    assert_int_equal(who->group_n, 1);
    assert_string_equal(who->groups[0], "cccccccc-1111-4222-8333-bbbbbbbbbbbb");
    assert_true(who->is_app);
    assert_int_equal(who->exp, 1800000000u);
    expect_audit(who, "{\"claim\":{\"appid\":\"my\\\"app\\n\","
                      "\"http_schemas_microsoft_com_identity\":{\"claims\":{"
                      "\"objectidentifier\":\"" OID "\"}},"
                      "\"http_schemas_xmlsoap_org_ws_2005_05_identity\":{\"claims\":{"
                      "\"upn\":\"a@b\"}}}}");
    identity_unref(who);
    who = NULL;
    assert_int_equal(check_payload(e, with(T_O ",\"exp\":1800000000,\"azp\":\"z\""), &who), HSM_OK);
    expect_audit(who, "{\"claim\":{\"appid\":\"z\",\"http_schemas_microsoft_com_identity\":"
                      "{\"claims\":{\"objectidentifier\":\"" OID "\"}}}}");
    assert_false(who->is_app);
    assert_int_equal(who->group_n, 0);
    identity_unref(who);
    /* 200 groups are taken, the rest does not count; a token of that size works */
    char more[12000] = ",\"groups\":[";
    for (unsigned i = 0; i < 210; i++) {
        size_t n = strlen(more);
        snprintf(more + n, sizeof more - n, "%s\"dddddddd-1111-4222-8333-%012u\"",
                 i == 0 ? "" : ",", i);
    }
    size_t n = strlen(more);
    snprintf(more + n, sizeof more - n, "]");
    who = NULL;
    assert_int_equal(check_payload(e, claims_text(ISSUER, AUDIENCE, more), &who), HSM_OK);
    assert_int_equal(who->group_n, AUTH_GROUPS_MAX);
    assert_string_equal(who->groups[199], "dddddddd-1111-4222-8333-000000000199");
    identity_unref(who);
}

static uint64_t hits(struct env *e)
{
    struct auth_counts c = auth_counts(e->auth, NOW_MS);
    assert_int_equal(c.issuers, 1);
    assert_int_equal(c.known, 1);
    return c.hits;
}

static void cache(void **state)
{
    struct env *e = *state;
    char text[2048];
    snprintf(text, sizeof text, "%s", with(T_O ",\"exp\":1700000100"));
    struct bytes t = token_of(e->token, RS256, text, e->rsa, false);
    struct identity *first = NULL;
    struct identity *again = NULL;
    assert_int_equal(check_at(e, t, NOW_MS, &first), HSM_OK);
    assert_int_equal(hits(e), 0);
    assert_int_equal(check_at(e, t, NOW_MS + 1000, &again), HSM_OK);
    assert_int_equal(hits(e), 1);
    assert_ptr_equal(first, again);
    identity_unref(again);
    /* verified anew after five minutes */
    assert_int_equal(check_at(e, t, NOW_MS + 299999, &again), HSM_OK);
    assert_ptr_equal(first, again);
    identity_unref(again);
    assert_int_equal(check_at(e, t, NOW_MS + 300000, &again), HSM_OK);
    assert_ptr_not_equal(first, again);
    identity_unref(again);
    assert_int_equal(hits(e), 2);
    /* and not served past its end */
    again = NULL;
    assert_int_equal(check_at(e, t, NOW_MS + 399999, &again), HSM_OK);
    identity_unref(again);
    again = NULL;
    assert_int_equal(check_at(e, t, NOW_MS + 400000, &again), HSM_E_TOKEN_EXPIRED);
    assert_null(again);
    /* a clock that goes back far makes no old verdict valid again */
    uint64_t before = hits(e);
    assert_int_equal(check_at(e, t, NOW_MS, &again), HSM_OK);
    identity_unref(again);
    assert_int_equal(hits(e), before);
    identity_unref(first);
    /* a refused token stays out */
    t = token_of(e->token, RS256, text, e->stranger, false);
    for (int i = 0; i < 2; i++)
        assert_int_equal(check_at(e, t, NOW_MS, &again), HSM_E_TOKEN_SIGNATURE);
    assert_int_equal(hits(e), before);
}

/* The same keys again keep the cache; other ones void it. */
static void new_keys_flush(void **state)
{
    struct env *e = *state;
    char text[2048];
    snprintf(text, sizeof text, "%s", with(T_O ",\"exp\":1800000000"));
    struct bytes t = token_of(e->token, RS256, text, e->rsa, false);
    struct identity *who = NULL;
    assert_int_equal(check_at(e, t, NOW_MS + 600000, &who), HSM_OK);
    identity_unref(who);
    auth_tick(e->auth, NOW_MS + 600000);
    net_pump(&e->net);
    assert_int_equal(e->net.changed, 2);
    assert_int_equal(check_at(e, t, NOW_MS + 600001, &who), HSM_OK);
    identity_unref(who);
    assert_int_equal(hits(e), 1);
    /* the issuer has taken the key back */
    char ec[1200];
    char jwks[1400];
    jwk_text(ec, sizeof ec, e->ec, "ec-1", "");
    snprintf(jwks, sizeof jwks, "{\"keys\":[%s]}", ec);
    serve(&e->net, jwks);
    auth_tick(e->auth, NOW_MS + 1200000);
    net_pump(&e->net);
    assert_int_equal(e->net.changed, 3);
    who = NULL;
    assert_int_equal(check_at(e, t, NOW_MS + 600002, &who), HSM_E_TOKEN_SIGNATURE);
    assert_null(who);
}

/* ---- several workers at once, keys changing meanwhile (for ThreadSanitizer) ---- */

#define THREADS 4
#define ROUNDS  300

struct worker {
    struct auth *auth;
    struct bytes token[8];
    unsigned good, other;
    bool with_memo;
};

static void *worker_run(void *arg)
{
    struct worker *w = arg;
    struct auth_memo *memo = NULL;
    if (w->with_memo)
        assert_int_equal(auth_memo_new(&memo), HSM_OK);
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct identity *who = NULL;
        char detail[256];
        hsm_err err = auth_check(w->auth, memo, w->token[i % 8], NOW_MS + 600000, &who, detail,
                                 sizeof detail);
        if (err == HSM_OK && strcmp(who->oid, OID) == 0)
            w->good++;
        else
            w->other++;
        identity_unref(who);
    }
    auth_memo_free(memo);
    return NULL;
}

static void workers(void **state)
{
    struct env *e = *state;
    static char text[8][1200];
    struct worker w[THREADS];
    pthread_t t[THREADS];
    for (unsigned i = 0; i < 8; i++) {
        char more[200];
        snprintf(more, sizeof more, T_O ",\"exp\":180000000%u", i);
        struct bytes tok =
            token_of(e->token, "{\"alg\":\"ES256\",\"kid\":\"ec-1\"}", with(more), e->ec, false);
        assert_true(tok.n < sizeof text[0]);
        memcpy(text[i], tok.p, tok.n);
        for (unsigned k = 0; k < THREADS; k++)
            w[k].token[i] = bytes_of(text[i], tok.n);
    }
    for (unsigned k = 0; k < THREADS; k++) {
        w[k].auth = e->auth;
        w[k].good = 0;
        w[k].other = 0;
        w[k].with_memo = k % 2 == 1;
        assert_int_equal(pthread_create(&t[k], NULL, worker_run, &w[k]), 0);
    }
    char ec[1200];
    char jwks[1400];
    jwk_text(ec, sizeof ec, e->ec, "ec-1", "");
    for (unsigned i = 1; i <= 20; i++) {
        snprintf(jwks, sizeof jwks, "{\"round\":%u,\"keys\":[%s]}", i, ec);
        serve(&e->net, jwks);
        auth_tick(e->auth, NOW_MS + i * 600000u);
        net_pump(&e->net);
    }
    for (unsigned k = 0; k < THREADS; k++) {
        pthread_join(t[k], NULL);
        assert_int_equal(w[k].good, ROUNDS);
        assert_int_equal(w[k].other, 0);
    }
    assert_int_equal(e->net.changed, 21);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define M(name) cmocka_unit_test_setup_teardown(name, setup_memo, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(algorithms),
        T(unsigned_and_symmetric),
        T(flipped_bits),
        T(audiences),
        T(times),
        T(issuer_tenant_principal),
        T(identity_of_a_token),
        T(cache),
        T(new_keys_flush),
        T(workers),
        M(cache),
        M(new_keys_flush),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
