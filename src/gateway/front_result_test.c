/* Results of the boundary as clients see them: golden transcripts. */
#include "gateway/front_kit.h"
#include "model/rotation.h"

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

/* Whatever becomes of an import, its request is wiped. */
static void test_import_is_secret(void **state)
{
    struct kit *k = *state;
    struct wire_key key = sample_key(KTY_EC);
    static const char good[] = "{\"key\":{\"kty\":\"EC\",\"d\":\"AA\"}}";
    key.crv = CRV_P256;
    with_token(k, "PUT /keys/k1?api-version=7.6", good);
    receive(k, OP_KEY_IMPORT);
    BODY(k, key_import, m);
    assert_true(bytes_eq_str(m.key, "{\"kty\":\"EC\",\"d\":\"AA\"}"));
    wire_key_put(result(k), &key);
    answer(k, HSM_OK, "", false);
    assert_int_equal(k->x.status, 200);
    assert_true(k->x.secret);
    with_token(k, "PUT /keys/k1?api-version=7.6", good);
    receive(k, OP_KEY_IMPORT);
    answer(k, HSM_E_BAD_PARAMETER, "no", false);
    expect_error(k, 400, "BadParameter", "no");
    assert_true(k->x.secret);
    with_token(k, "PUT /keys/k1?api-version=7.6", "{\"key\":[\"AA\"]}");
    receive(k, OP_REFUSED);
    answer(k, HSM_OK, "", false);
    assert_int_equal(k->x.status, 400);
    assert_true(k->x.secret);
    with_token(k, "POST /keys/k1?api-version=7.6", good); /* the wrong method */
    receive(k, OP_REFUSED);
    answer(k, HSM_OK, "", false);
    assert_int_equal(k->x.status, 405);
    assert_true(k->x.secret);
}

static void test_backup_of_a_key(void **state)
{
    struct kit *k = *state;
    const struct wire_key_backup m = {.value = bytes_str("a.b.c")};
    struct wire_key key = sample_key(KTY_OCT);
    key.key_ops = KEY_OP_SIGN;
    with_token(k, "POST /keys/k1/backup?api-version=7.6", "");
    receive(k, OP_KEY_BACKUP);
    BODY(k, key_name, asked);
    assert_true(bytes_eq_str(asked.name, "k1"));
    wire_key_backup_put(result(k), &m);
    answer(k, HSM_OK, "", false);
    expect_ok(k, 200, "{\"value\":\"YS5iLmM\"}");
    with_token(k, "POST /keys/restore?api-version=7.6", "{\"value\":\"YS5iLmM\"}");
    receive(k, OP_KEY_RESTORE);
    BODY(k, key_backup, given);
    assert_true(bytes_eq_str(given.value, "a.b.c"));
    wire_key_put(result(k), &key);
    answer(k, HSM_OK, "", false);
    expect_ok(k, 200,
              "{" ATTRS_TEXT ",\"key\":{\"key_ops\":[\"sign\"],\"kid\":\"" KID
              "\",\"kty\":\"oct-HSM\"}}");
    with_token(k, "POST /keys/restore?api-version=7.6", "{\"value\":\"?\"}");
    receive(k, OP_KEY_RESTORE);
    answer(k, HSM_E_BACKUP_BLOB, "", false);
    expect_error(k, 400, "MalformedBackupBlob",
                 "Backup blob belongs to a different crypto domain and cannot be used with this "
                 "instance.");
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

static void test_rotation(void **state)
{
    struct kit *k = *state;
    uint8_t list[128];
    struct wr w = wr_of(list, sizeof list);
    struct wire_rotation_policy p = {.name = bytes_str("K1")};
    with_token(k, "GET /keys/k1/rotationpolicy?api-version=7.4", "");
    receive(k, OP_ROTATION_GET);
    BODY(k, key_name, name);
    assert_true(bytes_eq_str(name.name, "k1"));
    wire_rotation_policy_put(result(k), &p);
    answer(k, HSM_OK, "", false);
    expect_ok(k, 200,
              "{\"attributes\":{},\"id\":\"https://" HOST
              "/keys/K1/rotationpolicy\",\"lifetimeActions\":[]}");
    static const struct wire_lifetime_action actions[] = {{.type = ROTATION_ROTATE},
                                                          {.type = ROTATION_NOTIFY}};
    for (unsigned i = 0; i < 2; i++) {
        struct wire_lifetime_action a = actions[i];
        a.after_create = bytes_str(i == 0 ? "P18M" : "");
        a.before_expiry = bytes_str(i == 0 ? "" : "P30D");
        size_t item = wr_lv_open(&w);
        wire_lifetime_action_put(&w, &a);
        wr_lv_close(&w, item);
    }
    p.expiry = bytes_str("P2Y");
    p.actions = wr_view(&w);
    p.created = 1700000000;
    p.updated = 1700000001;
    with_token(k, "PUT /keys/k1/rotationpolicy?api-version=7.4", "{\"lifetimeActions\":[]}");
    receive(k, OP_ROTATION_PUT);
    wire_rotation_policy_put(result(k), &p);
    answer(k, HSM_OK, "", false);
    expect_ok(k, 200,
              "{\"attributes\":{\"created\":1700000000,\"expiryTime\":\"P2Y\","
              "\"updated\":1700000001},\"id\":\"https://" HOST
              "/keys/K1/rotationpolicy\",\"lifetimeActions\":["
              "{\"action\":{\"type\":\"Rotate\"},\"trigger\":{\"timeAfterCreate\":\"P18M\"}},"
              "{\"action\":{\"type\":\"Notify\"},\"trigger\":{\"timeBeforeExpiry\":\"P30D\"}}]}");
    const struct wire_key key = sample_key(KTY_OCT);
    with_token(k, "POST /keys/k1/rotate?api-version=7.4", "");
    receive(k, OP_KEY_ROTATE);
    wire_key_put(result(k), &key);
    answer(k, HSM_OK, "", false);
    expect_ok(k, 200,
              "{" ATTRS_TEXT ",\"key\":{\"key_ops\":[],\"kid\":\"" KID "\",\"kty\":\"oct-HSM\"}}");
}

/* Random bytes are wiped behind the answer; settings are text. */
static void test_rng_and_settings(void **state)
{
    struct kit *k = *state;
    const struct wire_rng_result rng = {.value = bytes_str("\xff\xfe\xfd")};
    const struct wire_setting on = {
        .name = bytes_str("Name"), .type = bytes_str("boolean"), .value = bytes_str("true")};
    uint8_t list[128];
    struct wr w = wr_of(list, sizeof list);
    with_token(k, "POST /rng?api-version=7.4", "{\"count\":3}");
    receive(k, OP_RNG);
    wire_rng_result_put(result(k), &rng);
    answer(k, HSM_OK, "", false);
    expect_ok(k, 200, "{\"value\":\"__79\"}");
    assert_true(k->x.secret);
    with_token(k, "PATCH /settings/Name?api-version=7.4", "{\"value\":\"true\"}");
    receive(k, OP_SETTING_UPDATE);
    BODY(k, setting_update, update);
    assert_true(bytes_eq_str(update.name, "Name"));
    wire_setting_put(result(k), &on);
    answer(k, HSM_OK, "", false);
    expect_ok(k, 200, "{\"name\":\"Name\",\"type\":\"boolean\",\"value\":\"true\"}");
    size_t item = wr_lv_open(&w);
    wire_setting_put(&w, &on);
    wr_lv_close(&w, item);
    const struct wire_list_result all = {.items = wr_view(&w)};
    with_token(k, "GET /settings?api-version=7.4", "");
    receive(k, OP_SETTING_LIST);
    wire_list_result_put(result(k), &all);
    answer(k, HSM_OK, "", false);
    expect_ok(k, 200,
              "{\"settings\":[{\"name\":\"Name\",\"type\":\"boolean\",\"value\":\"true\"}]}");
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

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_key_bundles),
        T(test_oct_and_deleted),
        T(test_lists),
        T(test_crypto),
        T(test_import_is_secret),
        T(test_backup_of_a_key),
        T(test_roles),
        T(test_security_domain),
        T(test_kid_hosts),
        T(test_rng_and_settings),
        T(test_rotation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
