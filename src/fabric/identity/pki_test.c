#include "fabric/identity/test_dir.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/stat.h>
#include "base/file.h"
#include "fabric/identity/pki.h"
#include "fabric/identity/pki_internal.h"

#define NOW_MS 1795307240499u
#define DAY_MS 86400000ull

static X509 *read_cert(const char *dir, const char *name)
{
    char path[160];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    X509 *c = PEM_read_X509(f, NULL, NULL, NULL);
    fclose(f);
    assert_non_null(c);
    return c;
}

static bool ensure(const char *dir, const char *const *names, size_t n, uint64_t now_ms)
{
    char why[256] = "?";
    bool issued = false;
    assert_int_equal(pki_ensure(dir, names, n, now_ms, &issued, why, sizeof why), HSM_OK);
    assert_string_equal(why, "");
    return issued;
}

static bool ensure_default(const char *dir, uint64_t now_ms)
{
    return ensure(dir, pki_default_names, pki_default_names_n, now_ms);
}

static int verify(const char *dir, uint64_t now_ms)
{
    X509 *ca = read_cert(dir, PKI_CA_CERT), *server = read_cert(dir, PKI_SERVER_CERT);
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    assert_int_equal(X509_STORE_add_cert(store, ca), 1);
    assert_int_equal(X509_STORE_CTX_init(ctx, store, server, NULL), 1);
    X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);
    X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_X509_STRICT);
    X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_SSL_SERVER);
    X509_VERIFY_PARAM_set_time(param, (time_t)(now_ms / 1000));
    (void)X509_verify_cert(ctx);
    int result = X509_STORE_CTX_get_error(ctx);
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    X509_free(server);
    X509_free(ca);
    return result;
}

static void chain_is_strictly_valid(void **state)
{
    struct test_dir *t = *state;
    assert_true(ensure_default(t->path, NOW_MS));
    assert_int_equal(verify(t->path, NOW_MS), X509_V_OK);
    assert_int_equal(verify(t->path, NOW_MS + 800 * DAY_MS), X509_V_OK);
    assert_int_equal(verify(t->path, NOW_MS + 830 * DAY_MS), X509_V_ERR_CERT_HAS_EXPIRED);
    static const struct {
        const char *name;
        unsigned mode;
    } files[] = {
        {PKI_CA_CERT, 0644}, {PKI_CA_KEY, 0600}, {PKI_SERVER_CERT, 0644}, {PKI_SERVER_KEY, 0600}};
    for (size_t i = 0; i < 4; i++) {
        char path[160];
        struct stat st;
        snprintf(path, sizeof path, "%s/%s", t->path, files[i].name);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, files[i].mode);
    }
}

static void host_names(void **state)
{
    struct test_dir *t = *state;
    ensure_default(t->path, NOW_MS);
    X509 *c = read_cert(t->path, PKI_SERVER_CERT);
    static const char *const good[] = {"localhost",
                                       "managedhsm.localhost",
                                       "dev.managedhsm.localhost",
                                       "kv-mhsm-prod.managedhsm.azure.net",
                                       "management.azure.com",
                                       "login.microsoftonline.com",
                                       "graph.microsoft.com"};
    static const char *const bad[] = {"example.com", "a.b.managedhsm.localhost", "azure.net",
                                      "x.localhost"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_int_equal(X509_check_host(c, good[i], 0, 0, NULL), 1);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(X509_check_host(c, bad[i], 0, 0, NULL), 0);
    assert_int_equal(X509_check_ip_asc(c, "127.0.0.1", 0), 1);
    assert_int_equal(X509_check_ip_asc(c, "::1", 0), 1);
    assert_int_equal(X509_check_ip_asc(c, "127.0.0.2", 0), 0);
    X509_free(c);
}

static void extensions(void **state)
{
    struct test_dir *t = *state;
    ensure_default(t->path, NOW_MS);
    X509 *ca = read_cert(t->path, PKI_CA_CERT), *server = read_cert(t->path, PKI_SERVER_CERT);
    X509 *both[] = {ca, server};
    for (size_t i = 0; i < 2; i++) {
        assert_true(X509_get_ext_by_NID(both[i], NID_subject_key_identifier, -1) >= 0);
        assert_true(X509_get_ext_by_NID(both[i], NID_authority_key_identifier, -1) >= 0);
        int at = X509_get_ext_by_NID(both[i], NID_basic_constraints, -1);
        assert_true(at >= 0 && X509_EXTENSION_get_critical(X509_get_ext(both[i], at)) == 1);
        at = X509_get_ext_by_NID(both[i], NID_key_usage, -1);
        assert_true(at >= 0 && X509_EXTENSION_get_critical(X509_get_ext(both[i], at)) == 1);
    }
    assert_true(X509_check_ca(ca) == 1);
    assert_true(X509_check_ca(server) == 0);
    assert_int_equal(X509_get_key_usage(ca), KU_KEY_CERT_SIGN | KU_CRL_SIGN);
    assert_int_equal(X509_get_key_usage(server), KU_DIGITAL_SIGNATURE);
    assert_int_equal(X509_get_extended_key_usage(server), XKU_SSL_SERVER);
    X509_free(ca);
    X509_free(server);
}

static void issued_again_only_when_needed(void **state)
{
    struct test_dir *t = *state;
    char path[160];
    static const char *const names[] = {"localhost", "*.hsm.example", "192.0.2.7"};
    assert_true(ensure_default(t->path, NOW_MS));
    assert_false(ensure_default(t->path, NOW_MS));
    assert_false(ensure_default(t->path, NOW_MS + 790 * DAY_MS));
    assert_true(ensure_default(t->path, NOW_MS + 800 * DAY_MS));
    assert_true(ensure(t->path, names, 3, NOW_MS));
    assert_false(ensure(t->path, names, 3, NOW_MS));
    assert_true(ensure(t->path, names, 2, NOW_MS));
    static const char *const files[] = {PKI_SERVER_CERT, PKI_SERVER_KEY};
    for (size_t i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", t->path, files[i]);
        assert_int_equal(file_replace(path, bytes_str("junk"), 0600), HSM_OK);
        assert_true(ensure(t->path, names, 2, NOW_MS));
        assert_int_equal(unlink(path), 0);
        assert_true(ensure(t->path, names, 2, NOW_MS));
        assert_int_equal(verify(t->path, NOW_MS), X509_V_OK);
    }
}

static void the_ca_is_kept(void **state)
{
    struct test_dir *t = *state;
    char path[160], why[256];
    ensure_default(t->path, NOW_MS);
    X509 *before = read_cert(t->path, PKI_CA_CERT);
    ensure_default(t->path, NOW_MS + 810 * DAY_MS);
    X509 *after = read_cert(t->path, PKI_CA_CERT);
    assert_int_equal(X509_cmp(before, after), 0);
    X509_free(before);
    X509_free(after);
    snprintf(path, sizeof path, "%s/%s", t->path, PKI_CA_KEY);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(
        pki_ensure(t->path, pki_default_names, pki_default_names_n, NOW_MS, NULL, why, sizeof why),
        HSM_E_CORRUPT);
    assert_non_null(strstr(why, PKI_CA_KEY));
}

static void names_are_checked(void **state)
{
    struct test_dir *t = *state;
    static const char *const bad[] = {"",   "a b", "a,DNS:b", "*",     "*.",   "a..b", ".a",
                                      "a.", "A.b", "a/b",     "*.*.a", "x\ny", "a:1",  "email:a"};
    char why[256];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(pki_ensure(t->path, &bad[i], 1, NOW_MS, NULL, why, sizeof why),
                         HSM_E_BAD_PARAMETER);
    }
    assert_int_equal(pki_ensure(t->path, bad, 0, NOW_MS, NULL, why, sizeof why),
                     HSM_E_BAD_PARAMETER);
}

/* As peer.c of the store looks at it: chain and purpose for both ends, one URI. */
static void peer_certificates(void **state)
{
    struct test_dir *t = *state;
    char dir[160], path[200], why[256];
    static const int purposes[] = {X509_PURPOSE_SSL_SERVER, X509_PURPOSE_SSL_CLIENT};
    ensure_default(t->path, NOW_MS);
    snprintf(dir, sizeof dir, "%s/p", t->path);
    assert_int_equal(dir_ensure(dir, 0700), HSM_OK);
    assert_int_equal(pki_ensure_peer(t->path, dir, "Pool-1", 12, NOW_MS, why, sizeof why), HSM_OK);
    assert_string_equal(why, "");
    X509 *ca = read_cert(t->path, PKI_CA_CERT), *peer = read_cert(dir, PKI_PEER_CERT);
    X509_STORE *store = X509_STORE_new();
    assert_int_equal(X509_STORE_add_cert(store, ca), 1);
    for (size_t i = 0; i < 2; i++) {
        X509_STORE_CTX *ctx = X509_STORE_CTX_new();
        assert_int_equal(X509_STORE_CTX_init(ctx, store, peer, NULL), 1);
        X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);
        X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_X509_STRICT);
        X509_VERIFY_PARAM_set_purpose(param, purposes[i]);
        X509_VERIFY_PARAM_set_time(param, (time_t)(NOW_MS / 1000));
        assert_int_equal(X509_verify_cert(ctx), 1);
        X509_STORE_CTX_free(ctx);
    }
    char name[64] = "";
    X509_NAME_get_text_by_NID(X509_get_subject_name(peer), NID_commonName, name, sizeof name);
    assert_string_equal(name, "partition 12");
    GENERAL_NAMES *names = X509_get_ext_d2i(peer, NID_subject_alt_name, NULL, NULL);
    assert_int_equal(sk_GENERAL_NAME_num(names), 1);
    const GENERAL_NAME *g = sk_GENERAL_NAME_value(names, 0);
    assert_int_equal(g->type, GEN_URI);
    assert_int_equal(ASN1_STRING_length(g->d.uniformResourceIdentifier), 17);
    assert_memory_equal(ASN1_STRING_get0_data(g->d.uniformResourceIdentifier), "keyhold:Pool-1:12",
                        17);
    GENERAL_NAMES_free(names);
    X509_STORE_free(store);
    X509_free(peer);
    X509_free(ca);
    snprintf(path, sizeof path, "%s/" PKI_PEER_KEY, dir);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static bool peer_issued(const struct test_dir *t, const char *dir, const char *pool, unsigned n,
                        uint64_t now_ms)
{
    char why[256];
    X509 *before = read_cert(dir, PKI_PEER_CERT);
    assert_int_equal(pki_ensure_peer(t->path, dir, pool, n, now_ms, why, sizeof why), HSM_OK);
    X509 *after = read_cert(dir, PKI_PEER_CERT);
    bool same = X509_cmp(before, after) == 0;
    X509_free(before);
    X509_free(after);
    return !same;
}

static void peer_issued_again_only_when_needed(void **state)
{
    struct test_dir *t = *state;
    char dir[160], path[200], why[256];
    snprintf(dir, sizeof dir, "%s/p", t->path);
    assert_int_equal(dir_ensure(dir, 0700), HSM_OK);
    assert_int_equal(pki_ensure_peer(t->path, dir, "dev", 0, NOW_MS, why, sizeof why),
                     HSM_E_NOT_FOUND);
    assert_non_null(strstr(why, "has no CA"));
    ensure_default(t->path, NOW_MS);
    assert_int_equal(pki_ensure_peer(t->path, dir, "dev", 0, NOW_MS, why, sizeof why), HSM_OK);
    assert_false(peer_issued(t, dir, "dev", 0, NOW_MS + 790 * DAY_MS));
    assert_true(peer_issued(t, dir, "dev", 0, NOW_MS + 800 * DAY_MS));
    assert_true(peer_issued(t, dir, "dev", 1, NOW_MS));
    assert_true(peer_issued(t, dir, "other", 1, NOW_MS));
    /* a host that has the CA's certificate only */
    snprintf(path, sizeof path, "%s/" PKI_CA_KEY, t->path);
    assert_int_equal(unlink(path), 0);
    assert_false(peer_issued(t, dir, "other", 1, NOW_MS));
    assert_int_not_equal(pki_ensure_peer(t->path, dir, "other", 2, NOW_MS, why, sizeof why),
                         HSM_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_WITH_DIR(chain_is_strictly_valid),
        TEST_WITH_DIR(host_names),
        TEST_WITH_DIR(extensions),
        TEST_WITH_DIR(issued_again_only_when_needed),
        TEST_WITH_DIR(the_ca_is_kept),
        TEST_WITH_DIR(names_are_checked),
        TEST_WITH_DIR(peer_certificates),
        TEST_WITH_DIR(peer_issued_again_only_when_needed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
