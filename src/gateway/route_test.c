/* The routing table and the path rules: what clients really send, and what must not match. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "gateway/route.h"

#define V    "0123456789abcdef0123456789abcdef"
#define RA   "providers/Microsoft.Authorization/roleAssignments"
#define RD   "providers/Microsoft.Authorization/roleDefinitions"
#define TEN  "0123456789"
#define LONG TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN "01234567" /* 128 */
#define GUID "72f988bf-86f1-41af-91ab-2d7cd011db47"

struct parsed {
    struct route r;
    hsm_err err;
    char detail[ROUTE_DETAIL_MAX];
    uint8_t buf[4096];
    struct url_target t;
};

static struct parsed *parse(enum http1_method m, const char *target)
{
    static struct parsed p;
    memset(&p, 0, sizeof p);
    p.err = url_parse(bytes_str(target), p.buf, sizeof p.buf, &p.t);
    if (p.err == HSM_OK)
        p.err = route_parse(m, &p.t, &p.r, p.detail);
    return &p;
}

static void test_table(void **state)
{
    static const struct {
        enum http1_method m;
        const char *path;
        unsigned op;
        const char *name, *version;
    } c[] = {
        {HTTP1_POST, "/keys/k1/create", OP_KEY_CREATE, "k1", ""},
        {HTTP1_POST, "/keys/K1/CREATE", OP_KEY_CREATE, "K1", ""},
        {HTTP1_GET, "/keys/k1", OP_KEY_GET, "k1", ""},
        {HTTP1_GET, "/keys/k1/", OP_KEY_GET, "k1", ""},
        {HTTP1_GET, "/keys/k1//", OP_KEY_GET, "k1", ""},
        {HTTP1_GET, "/keys/k1/" V, OP_KEY_GET, "k1", V},
        {HTTP1_GET, "/keys/k1/0123456789ABCDEF0123456789ABCDEF", OP_KEY_GET, "k1", V},
        {HTTP1_GET, "/Keys", OP_KEY_LIST, "", ""},
        {HTTP1_GET, "/keys/", OP_KEY_LIST, "", ""},
        {HTTP1_GET, "/keys/k1/versions", OP_KEY_VERSIONS, "k1", ""},
        {HTTP1_PATCH, "/keys/k1/", OP_KEY_UPDATE, "k1", ""},
        {HTTP1_PATCH, "/keys/k1/" V, OP_KEY_UPDATE, "k1", V},
        {HTTP1_DELETE, "/keys/k1", OP_KEY_DELETE, "k1", ""},
        {HTTP1_GET, "/deletedkeys", OP_DELETED_LIST, "", ""},
        {HTTP1_GET, "/deletedkeys/k1", OP_DELETED_GET, "k1", ""},
        {HTTP1_DELETE, "/deletedKeys/k1", OP_KEY_PURGE, "k1", ""},
        {HTTP1_POST, "/deletedkeys/k1/recover", OP_KEY_RECOVER, "k1", ""},
        {HTTP1_POST, "/keys/k1/encrypt", OP_ENCRYPT, "k1", ""},
        {HTTP1_POST, "/keys/k1//encrypt", OP_ENCRYPT, "k1", ""},
        {HTTP1_POST, "/keys/k1/" V "/decrypt", OP_DECRYPT, "k1", V},
        {HTTP1_POST, "/keys/k1/" V "/wrapKey", OP_WRAP, "k1", V},
        {HTTP1_POST, "/keys/k1/unwrapKey", OP_UNWRAP, "k1", ""},
        {HTTP1_POST, "/keys/k1/" V "/sign", OP_SIGN, "k1", V},
        {HTTP1_POST, "/keys/k1/verify", OP_VERIFY, "k1", ""},
        {HTTP1_POST, "/securitydomain/download", OP_SD_DOWNLOAD, "", ""},
        {HTTP1_GET, "/securitydomain/download/pending", OP_SD_DOWNLOAD_STATUS, "", ""},
        {HTTP1_GET, "/securitydomain/upload/pending", OP_SD_UPLOAD_STATUS, "", ""},
        {HTTP1_POST, "/keys/k1/rotate", OP_KEY_ROTATE, "k1", ""},
        {HTTP1_GET, "/keys/k1/rotationPolicy", OP_ROTATION_GET, "k1", ""},
        {HTTP1_PUT, "/keys/k1/rotationpolicy/", OP_ROTATION_PUT, "k1", ""},
        {HTTP1_POST, "/rng", OP_RNG, "", ""},
        {HTTP1_GET, "/Settings/", OP_SETTING_LIST, "", ""},
        {HTTP1_GET, "/settings/any", OP_SETTING_GET, "", ""},
        {HTTP1_PATCH, "/settings/any", OP_SETTING_UPDATE, "", ""},
        /* a key may be called like anything else in the tree */
        {HTTP1_GET, "/keys/providers", OP_KEY_GET, "providers", ""},
        {HTTP1_POST, "/keys/restore/create", OP_KEY_CREATE, "restore", ""},
        {HTTP1_POST, "/keys/k1/backup", OP_KEY_BACKUP, "k1", ""},
        {HTTP1_POST, "/keys/restore", OP_KEY_RESTORE, "", ""},
        {HTTP1_POST, "/keys//restore/", OP_KEY_RESTORE, "", ""},
        {HTTP1_PUT, "/keys/restore", OP_KEY_IMPORT, "restore", ""},
        {HTTP1_GET, "/keys/restore", OP_KEY_GET, "restore", ""},
        {HTTP1_GET, "/keys/versions/versions", OP_KEY_VERSIONS, "versions", ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        char target[256];
        (void)snprintf(target, sizeof target, "%s?api-version=7.4", c[i].path);
        struct parsed *p = parse(c[i].m, target);
        if (p->err != HSM_OK || p->r.op != c[i].op)
            fail_msg("%s: err %s op %u", c[i].path, hsm_err_name(p->err), p->r.op);
        assert_true(bytes_eq_str(p->r.name, c[i].name));
        assert_string_equal(p->r.version, c[i].version);
    }
}

static void test_roles(void **state)
{
    static const struct {
        const char *path, *scope;
        unsigned op;
    } c[] = {
        {"/" RD, "/", OP_ROLE_DEFINITION_LIST},
        {"///" RD, "/", OP_ROLE_DEFINITION_LIST},
        {"//" RA, "/", OP_ROLE_ASSIGNMENT_LIST},
        {"/%2F/" RA, "/", OP_ROLE_ASSIGNMENT_LIST},
        {"/keys/" RD, "/keys", OP_ROLE_DEFINITION_LIST},
        {"/%2Fkeys/" RA, "/keys", OP_ROLE_ASSIGNMENT_LIST},
        {"/keys/MyKey/" RA, "/keys/MyKey", OP_ROLE_ASSIGNMENT_LIST},
        {"/keys%2FMyKey/" RA "/" GUID, "/keys/MyKey", OP_ROLE_ASSIGNMENT_GET},
        {"/KEYS/PROVIDERS/microsoft.authorization/ROLEASSIGNMENTS/" GUID, "/keys",
         OP_ROLE_ASSIGNMENT_GET},
        {"/" RD "/not-a-guid", "/", OP_ROLE_DEFINITION_GET},
    };
    (void)state;
    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        char target[256];
        (void)snprintf(target, sizeof target, "%s?api-version=7.4", c[i].path);
        struct parsed *p = parse(HTTP1_GET, target);
        if (p->err != HSM_OK || p->r.op != c[i].op)
            fail_msg("%s: err %s op %u", c[i].path, hsm_err_name(p->err), p->r.op);
        assert_string_equal(p->r.scope, c[i].scope);
    }
    assert_int_equal(parse(HTTP1_PUT, "/keys/" RA "/" GUID "?api-version=7.4")->r.op,
                     OP_ROLE_ASSIGNMENT_PUT);
    assert_int_equal(parse(HTTP1_DELETE, "/" RD "/" GUID "?api-version=7.4")->r.op,
                     OP_ROLE_DEFINITION_DELETE);
}

static void test_refusals(void **state)
{
    static const struct {
        enum http1_method m;
        const char *target;
        hsm_err err;
    } c[] = {
        {HTTP1_GET, "/?api-version=7.4", HSM_E_NOT_FOUND},
        {HTTP1_GET, "/secrets?api-version=7.4", HSM_E_NOT_FOUND},
        {HTTP1_GET, "/keys/k1/" V "/extra?api-version=7.4", HSM_E_NOT_FOUND},
        {HTTP1_POST, "/keys/k1/" V "/create?api-version=7.4", HSM_E_NOT_FOUND},
        {HTTP1_GET, "/keys/a/b/c/d/e?api-version=7.4", HSM_E_NOT_FOUND},
        {HTTP1_GET, "/foo/" RD "?api-version=7.4", HSM_E_NOT_FOUND},
        {HTTP1_GET, "/keys/a/b/" RD "?api-version=7.4", HSM_E_NOT_FOUND},
        {HTTP1_POST, "/keys/k1?api-version=7.4", HSM_E_METHOD},
        {HTTP1_HEAD, "/keys/k1?api-version=7.4", HSM_E_METHOD},
        {HTTP1_OPTIONS, "/keys?api-version=7.4", HSM_E_METHOD},
        {HTTP1_GET, "/keys/k1/create?api-version=7.4", HSM_E_METHOD},
        {HTTP1_DELETE, "/keys/k1/" V "?api-version=7.4", HSM_E_METHOD},
        {HTTP1_POST, "/" RA "?api-version=7.4", HSM_E_METHOD},
        {HTTP1_GET, "/securitydomain/download?api-version=7.4", HSM_E_METHOD},
        {HTTP1_GET, "/keys/bad_name?api-version=7.4", HSM_E_INVALID_KEY_ID},
        {HTTP1_GET, "/keys/k1/notaversion?api-version=7.4", HSM_E_INVALID_KEY_ID},
        {HTTP1_GET, "/keys/k1/0123456789abcdef0123456789abcdeg?api-version=7.4",
         HSM_E_INVALID_KEY_ID},
        {HTTP1_POST, "/keys/k1/short/sign?api-version=7.4", HSM_E_INVALID_KEY_ID},
        {HTTP1_POST, "/keys/a b/create?api-version=7.4", HSM_E_INVALID_KEY_ID},
        {HTTP1_GET, "/keys/bad_name/" RA "?api-version=7.4", HSM_E_INVALID_KEY_ID},
        {HTTP1_GET, "/settings/" LONG "?api-version=7.4", HSM_E_NOT_FOUND},
        {HTTP1_GET, "/settings/x/y?api-version=7.4", HSM_E_NOT_FOUND},
        {HTTP1_PUT, "/settings/x?api-version=7.4", HSM_E_METHOD},
        {HTTP1_GET, "/keys/k1", HSM_E_BAD_PARAMETER},
        {HTTP1_GET, "/keys/k1?api-version=", HSM_E_BAD_PARAMETER},
        {HTTP1_GET, "/keys/k1?api-version=6.0", HSM_E_BAD_PARAMETER},
        {HTTP1_GET, "/keys/k1?api-version=2016-10-01", HSM_E_BAD_PARAMETER},
        {HTTP1_GET, "/keys/k1?api-version=2025-07-01-beta", HSM_E_BAD_PARAMETER},
        {HTTP1_GET, "/keys?api-version=7.4&maxresults=0", HSM_E_BAD_PARAMETER},
        {HTTP1_GET, "/keys?api-version=7.4&maxresults=26", HSM_E_BAD_PARAMETER},
        {HTTP1_GET, "/keys?api-version=7.4&maxresults=1x", HSM_E_BAD_PARAMETER},
        {HTTP1_GET, "/keys?api-version=7.4&maxresults=-1", HSM_E_BAD_PARAMETER},
        {HTTP1_GET, "/" RA "?api-version=7.4&$filter=foo()", HSM_E_BAD_PARAMETER},
        {HTTP1_GET, "/" RA "?api-version=7.4&$filter=principalId%20eq%20'me'", HSM_E_BAD_PARAMETER},
    };
    (void)state;
    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        /* the blank would not survive the request line */
        char target[256];
        size_t n = 0;
        for (const char *s = c[i].target; *s != '\0'; s++)
            n += (size_t)snprintf(target + n, sizeof target - n, *s == ' ' ? "%%20" : "%c", *s);
        struct parsed *p = parse(c[i].m, target);
        if (p->err != c[i].err)
            fail_msg("%s: %s", target, hsm_err_name(p->err));
    }
}

static void test_api_versions(void **state)
{
    static const char *const good[] = {
        "7.0",
        "7.1",
        "7.2-preview",
        "7.2",
        "7.3-preview",
        "7.3",
        "7.4-preview.1",
        "7.4",
        "7.5-preview.1",
        "7.5",
        "7.6-preview.2",
        "7.6",
        "2025-06-01-preview",
        "2025-07-01",
        "2026-01-01-preview",
        "2026-03-01-preview",
        "2026-04-01",
        "2026-05-01-preview",
        "2026-07-01-preview",
        "2031-12-24",
        "2031-12-24-preview",
    };
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        char target[128];
        (void)snprintf(target, sizeof target, "/keys/k?api-version=%s", good[i]);
        assert_int_equal(parse(HTTP1_GET, target)->err, HSM_OK);
        /* one client escapes the name as well */
        (void)snprintf(target, sizeof target, "/keys/k?api%%2Dversion=%s", good[i]);
        struct parsed *p = parse(HTTP1_GET, target);
        assert_int_equal(p->err, HSM_OK);
        assert_true(bytes_eq_str(p->r.api_version, good[i]));
    }
    /* poll addresses are called without a version */
    assert_int_equal(parse(HTTP1_GET, "/securitydomain/download/pending")->err, HSM_OK);
    assert_int_equal(parse(HTTP1_GET, "/securitydomain/upload/pending")->err, HSM_OK);
    assert_int_equal(parse(HTTP1_GET, "/backup/abc/pending")->err, HSM_OK);
    assert_int_equal(parse(HTTP1_GET, "/restore/abc/pending")->err, HSM_OK);
    assert_int_equal(parse(HTTP1_POST, "/securitydomain/upload")->err, HSM_OK);
    assert_int_equal(parse(HTTP1_POST, "/securitydomain/download")->err, HSM_E_BAD_PARAMETER);
    assert_int_equal(parse(HTTP1_GET, "/securitydomain/download/pending?api-version=1")->err,
                     HSM_E_BAD_PARAMETER);
}

static void test_paging_and_filter(void **state)
{
    (void)state;
    struct parsed *p = parse(HTTP1_GET, "/keys?api-version=7.4");
    assert_int_equal(p->r.max, 25);
    assert_int_equal(p->r.skip.n, 0);
    p = parse(HTTP1_GET, "/keys?api-version=7.4&maxresults=1&$skiptoken=a%2Fb");
    assert_int_equal(p->r.max, 1);
    assert_true(bytes_eq_str(p->r.skip, "a/b"));
    p = parse(HTTP1_GET, "/deletedkeys?%24skiptoken=x&api-version=7.4");
    assert_true(bytes_eq_str(p->r.skip, "x"));
    p = parse(HTTP1_GET, "/" RA "?api-version=7.4&$filter=atScope()");
    assert_int_equal(p->r.filter, ROLE_FILTER_AT_SCOPE);
    p = parse(HTTP1_GET, "/" RA "?api-version=7.4&$filter=principalId+eq+'" GUID "'");
    assert_int_equal(p->err, HSM_OK);
    assert_int_equal(p->r.filter, ROLE_FILTER_PRINCIPAL);
    assert_true(bytes_eq_str(p->r.principal, GUID));
    p = parse(HTTP1_GET, "/" RA "?api-version=7.4&%24filter=principalId%20eq%20" GUID);
    assert_int_equal(p->r.filter, ROLE_FILTER_PRINCIPAL);
    p = parse(HTTP1_GET, "/" RD "?api-version=7.4&$filter=atScopeAndBelow()");
    assert_int_equal(p->err, HSM_OK);
    assert_int_equal(p->r.filter, ROLE_FILTER_NONE);
    p = parse(HTTP1_GET, "/" RD "?api-version=7.4&$filter=principalId%20eq%20" GUID);
    assert_int_equal(p->err, HSM_E_BAD_PARAMETER);
}

static void test_missing_operations(void **state)
{
    static const struct {
        enum http1_method m;
        const char *path;
    } c[] = {
        {HTTP1_POST, "/keys/k1//release"},
        {HTTP1_POST, "/keys/k1/" V "/release"},
        {HTTP1_GET, "/keys/k1//attestation"},
        {HTTP1_POST, "/keys/k1/" V "/securewrapkey"},
        {HTTP1_POST, "/keys/k1/" V "/secureunwrapkey"},
        {HTTP1_PUT, "/keys/k1/restore"},
        {HTTP1_POST, "/backup"},
        {HTTP1_GET, "/backup/dd80c443f7554e75acb94f9f5787ff29/pending"},
        {HTTP1_PUT, "/restore"},
        {HTTP1_GET, "/securitydomain/upload"},
        {HTTP1_POST, "/securitydomain/upload"},
        {HTTP1_GET, "/ekm"},
        {HTTP1_POST, "/ekm/create"},
        {HTTP1_GET, "/ekm/privateendpoint/operations/1"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        char target[256];
        (void)snprintf(target, sizeof target, "%s?api-version=7.6", c[i].path);
        struct parsed *p = parse(c[i].m, target);
        if (p->err != HSM_OK || p->r.op != OP_UNIMPLEMENTED)
            fail_msg("%s: err %s op %u", c[i].path, hsm_err_name(p->err), p->r.op);
        assert_non_null(p->r.what);
    }
}

static void test_body_limits(void **state)
{
    (void)state;
    assert_int_equal(route_body_limit(bytes_str("/keys/k/create?api-version=7.4")), 64u << 10);
    assert_int_equal(route_body_limit(bytes_str("/keys/k/" V "/wrapKey?api-version=7.4")),
                     256u << 10);
    assert_int_equal(route_body_limit(bytes_str("/keys/k//encrypt/")), 256u << 10);
    assert_int_equal(route_body_limit(bytes_str("/keys/k/sign")), 64u << 10);
    assert_int_equal(route_body_limit(bytes_str("/securitydomain/download")), 256u << 10);
    assert_int_equal(route_body_limit(bytes_str("/keys/restore?api-version=7.4")), 1200u << 10);
    assert_int_equal(route_body_limit(bytes_str("/keys//restore/")), 1200u << 10);
    assert_int_equal(route_body_limit(bytes_str("/keys/k/restore")), 64u << 10);
    assert_int_equal(route_body_limit(bytes_str("/restore")), 64u << 10);
    assert_int_equal(route_body_limit(bytes_str("/keys/k?x=/encrypt")), 64u << 10);
    assert_int_equal(route_body_limit(bytes_str("/")), 64u << 10);
    assert_int_equal(route_body_limit(bytes_str("")), 64u << 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_roles),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_api_versions),
        cmocka_unit_test(test_paging_and_filter),
        cmocka_unit_test(test_missing_operations),
        cmocka_unit_test(test_body_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
