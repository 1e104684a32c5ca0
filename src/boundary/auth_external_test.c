/* Issuers of others: metadata first, then keys of the same host; their subjects are not our object
 * ids. */
#include "boundary/auth_testing.h"

#include "boundary/auth_internal.h"
#include "model/foreign.h"

#define OP       "https://op.example:9443/x"
#define OP_AUD   "api://keyhold"
#define METADATA "{\"issuer\":\"" OP "\",\"jwks_uri\":\"https://op.example:9443/x/jwks\"}"

struct env {
    struct net net;
    struct auth *auth;
    EVP_PKEY *rsa, *ca_key, *leaf_key;
    X509 *ca;
    char *roots;
    char jwks[2048];
    char token[TOKEN_CAP];
    char detail[512];
};

static const char *metadata;

static void choose(struct net *n)
{
    struct env *e = (struct env *)n; /* its first member */
    serve(n, strstr(n->request, "GET /x/.well-known/openid-configuration ") != NULL ? metadata
                                                                                    : e->jwks);
}

/* tenant: a member, or "". */
static void start(struct env *e, const char *tenant)
{
    static char json[8192];
    char pem[4096], why[256] = "";
    size_t n = 0;
    struct auth_config c;
    for (const char *p = e->roots; *p != 0; p++) {
        n += (size_t)snprintf(pem + n, sizeof pem - n, *p == '\n' ? "\\n" : "%c", *p);
    }
    snprintf(json, sizeof json,
             "{\"tenant\":\"" TENANT "\",\"audienceHosts\":[\"managedhsm.localhost\"],"
             "\"issuers\":[{\"issuer\":\"" OP "\",\"audience\":\"" OP_AUD
             "\",\"roots\":\"%s\"%s}]}",
             pem, tenant);
    assert_int_equal(auth_config_parse(bytes_str(json), &c, why, sizeof why), HSM_OK);
    assert_string_equal(c.issuer[0].host, "op.example");
    assert_int_equal(c.issuer[0].port, 9443);
    auth_free(e->auth);
    e->auth = make_auth(&e->net, &c);
    e->net.opened = e->net.changed = 0;
}

static int setup(void **state)
{
    static struct env e;
    char jwk[1200];
    memset(&e, 0, sizeof e);
    e.rsa = make_rsa();
    e.ca_key = make_ec();
    e.leaf_key = make_ec();
    e.ca = make_cert(e.ca_key, "test root", NULL, NULL, NULL, 30 * 86400);
    e.roots = pem_of(e.ca);
    jwk_text(jwk, sizeof jwk, e.rsa, "k1", "");
    snprintf(e.jwks, sizeof e.jwks, "{\"keys\":[%s]}", jwk);
    X509 *leaf = make_cert(e.leaf_key, "leaf", "DNS:op.example", e.ca, e.ca_key, 3 * 86400);
    net_use_cert(&e.net, leaf, e.leaf_key);
    X509_free(leaf);
    e.net.choose = choose;
    start(&e, "");
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
    X509_free(e->ca);
    free(e->roots);
    return 0;
}

static void fetch(struct env *e)
{
    metadata = METADATA;
    auth_tick(e->auth, NOW_MS);
    net_pump(&e->net);
}

static hsm_err check(struct env *e, const char *claims, struct identity **ret)
{
    struct bytes t =
        token_of(e->token, "{\"alg\":\"RS256\",\"kid\":\"k1\"}", claims, e->rsa, false);
    return auth_check(e->auth, NULL, t, NOW_MS, ret, e->detail, sizeof e->detail);
}

static void metadata_then_keys(void **state)
{
    struct env *e = *state;
    struct identity *who = NULL;
    metadata = METADATA;
    auth_tick(e->auth, NOW_MS);
    assert_int_equal(e->net.opened, 1);
    assert_string_equal(e->net.host, "op.example");
    assert_int_equal(e->net.port, 9443);
    e->net.piece = 100;
    net_pump(&e->net);
    e->net.piece = 0;
    assert_int_equal(e->net.opened, 2);
    assert_non_null(strstr(e->net.request, "GET /x/jwks HTTP/1.1\r\nHost: op.example:9443\r\n"));
    assert_int_equal(check(e, claims_text(OP, OP_AUD, ",\"sub\":\"robot\""), &who), HSM_OK);
    identity_unref(who);
}

static void keys_elsewhere(void **state)
{
    struct env *e = *state;
    static const char *const bad[] = {
        "{\"issuer\":\"" OP "\",\"jwks_uri\":\"https://evil.example:9443/x/jwks\"}",
        "{\"issuer\":\"" OP "\",\"jwks_uri\":\"https://op.example/x/jwks\"}",
        "{\"issuer\":\"https://other.example\",\"jwks_uri\":\"https://op.example:9443/x/jwks\"}",
        "{}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct identity *who = NULL;
        start(e, "");
        auth_tick(e->auth, NOW_MS);
        metadata = bad[i];
        net_pump(&e->net);
        assert_int_equal(e->net.opened, 1);
        assert_int_equal(check(e, claims_text(OP, OP_AUD, ",\"sub\":\"robot\""), &who),
                         HSM_E_UNAVAILABLE);
    }
}

/* A subject becomes an object id of its own; "oid" and "groups" of such a token are not believed.
 */
static void subjects(void **state)
{
    struct env *e = *state;
    struct identity *who = NULL;
    char want[UUID_TEXT_LEN + 1], other[UUID_TEXT_LEN + 1];
    fetch(e);
    const char *more = ",\"sub\":\"robot\",\"groups\":[\"" OID "\"]";
    assert_int_equal(check(e, claims_text(OP, OP_AUD, more), &who), HSM_OK);
    assert_int_equal(foreign_principal(bytes_str(OP), bytes_str("robot"), want), HSM_OK);
    assert_string_equal(who->oid, want);
    assert_string_not_equal(who->oid, OID);
    assert_int_equal(who->group_n, 0);
    assert_non_null(strstr(who->audit_string, "robot"));
    assert_non_null(strstr(who->audit_string, OP));
    identity_unref(who);
    assert_int_equal(foreign_principal(bytes_str(OP "/"), bytes_str("robot"), other), HSM_OK);
    assert_string_not_equal(want, other);
    assert_int_equal(foreign_principal(bytes_str(OP "r"), bytes_str("obot"), other), HSM_OK);
    assert_string_not_equal(want, other);
}

static void refusals(void **state)
{
    struct env *e = *state;
    struct identity *who = NULL;
    fetch(e);
    const char *sub = ",\"sub\":\"robot\"";
    assert_int_equal(check(e, claims_text(OP, AUDIENCE, sub), &who), HSM_E_TOKEN_AUDIENCE);
    assert_int_equal(check(e, claims_text(OP, OP_AUD "/", sub), &who), HSM_E_TOKEN_AUDIENCE);
    assert_int_equal(check(e, claims_text(OP "/", OP_AUD, sub), &who), HSM_E_TOKEN_ISSUER);
    assert_int_equal(check(e, claims_text(OP, OP_AUD, ""), &who), HSM_E_TOKEN_MALFORMED);
    assert_int_equal(
        check(e, "{\"iss\":\"" OP "\",\"aud\":\"" OP_AUD "\",\"sub\":\"robot\"}", &who),
        HSM_E_TOKEN_EXPIRED);
}

/* With a tenant the issuer's object ids and groups count, in that tenant only. */
static void with_a_tenant(void **state)
{
    struct env *e = *state;
    struct identity *who = NULL;
    start(e, ",\"tenant\":\"" TENANT "\"");
    fetch(e);
    const char *more = ",\"sub\":\"x\",\"groups\":[\"" OID "\"]";
    assert_int_equal(check(e, claims_text(OP, OP_AUD, more), &who), HSM_OK);
    assert_string_equal(who->oid, OID);
    assert_int_equal(who->group_n, 1);
    identity_unref(who);
    start(e, ",\"tenant\":\"00000000-0000-4000-8000-000000000001\"");
    fetch(e);
    assert_int_equal(check(e, claims_text(OP, OP_AUD, more), &who), HSM_E_TOKEN_ISSUER);
}

static void configuration(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "\"issuer\":\"http://a\",\"audience\":\"a\",\"roots\":\"x\"",
        "\"issuer\":\"https://a?b\",\"audience\":\"a\",\"roots\":\"x\"",
        "\"issuer\":\"https://a\",\"audience\":\"\",\"roots\":\"x\"",
        "\"issuer\":\"https://a\",\"audience\":\"a\"",
        "\"issuer\":\"https://a\",\"audience\":\"a\",\"roots\":\"x\",\"tenant\":\"t\"",
        "\"issuer\":\"https://a\",\"audience\":\"a\",\"roots\":\"x\",\"host\":\"localhost\"",
        "\"issuer\":\"https://a\",\"audience\":\"a\",\"roots\":\"x\",\"tenant\":\"" TENANT
        "\",\"x\":1",
    };
    char json[1024], why[256];
    struct auth_config c;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(json, sizeof json, "{\"audienceHosts\":[\"a\"],\"issuers\":[{%s}]}", bad[i]);
        assert_int_equal(auth_config_parse(bytes_str(json), &c, why, sizeof why),
                         HSM_E_BAD_PARAMETER);
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(metadata_then_keys), T(keys_elsewhere), T(subjects),
        T(refusals),           T(with_a_tenant),  cmocka_unit_test(configuration),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
