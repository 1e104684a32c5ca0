#include "codec/transfer_blob.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "codec/base64url.h"

#define VERSION "0123456789abcdef0123456789abcdef"
#define KID     "https://pool.example/keys/kek/" VERSION
#define HEAD    "\"alg\":\"dir\",\"enc\":\"CKM_RSA_AES_KEY_WRAP\""

static uint8_t buf[TRANSFER_CIPHERTEXT_MAX + 4];
static struct transfer_blob blob;

static const char *why_of(const char *text)
{
    const char *why = NULL;
    blob = (struct transfer_blob){0};
    hsm_err err = transfer_blob_parse(bytes_str(text), buf, &blob, &why);
    assert_int_equal(err, why == NULL ? HSM_OK : HSM_E_MALFORMED);
    return why;
}

static void good(void **state)
{
    (void)state;
    assert_null(why_of("{\"schema_version\":\"1.0.0\",\"header\":{\"kid\":\"" KID "\"," HEAD
                       "},\"ciphertext\":\"AQID\",\"generator\":\"any\"}"));
    assert_true(bytes_eq_str(blob.kek_name, "kek") && bytes_eq_str(blob.kek_version, VERSION));
    assert_true(bytes_eq(blob.ciphertext, bytes_of("\x01\x02\x03", 3)));
    assert_null(
        why_of("{\"schema_version\":\"1.0\",\"header\":{\"kid\":\"HTTPS://h:8443/Keys/K\"," HEAD
               "},\n\"ciphertext\":\"AQI=\"}"));
    assert_true(bytes_eq_str(blob.kek_name, "K") && blob.kek_version.n == 0);
}

static void bad(void **state)
{
    static const struct {
        const char *text, *why;
    } rows[] = {
        {"", "valid JSON"},
        {"[]", "valid JSON"},
        {"{}", "schema_version"},
        {"{\"schema_version\":\"2.0.0\"}", "schema_version"},
        {"{\"schema_version\":1}", "schema_version"},
        {"{\"schema_version\":\"1.0.0\"}", "header is"},
        {"{\"schema_version\":\"1.0.0\",\"header\":[]}", "header is"},
        {"{\"schema_version\":\"1.0.0\",\"header\":{}}", "header.alg"},
        {"{\"schema_version\":\"1.0.0\",\"header\":{\"alg\":\"dir\",\"enc\":\"RSA_AES_KEY_WRAP_"
         "256\"}}",
         "header.enc"},
        {"{\"schema_version\":\"1.0.0\",\"header\":{" HEAD "}}", "header.kid"},
        {"{\"schema_version\":\"1.0.0\",\"header\":{" HEAD ",\"kid\":\"kek\"}}", "header.kid"},
        {"{\"schema_version\":\"1.0.0\",\"header\":{" HEAD ",\"kid\":\"https:///keys/k\"}}",
         "header.kid"},
        {"{\"schema_version\":\"1.0.0\",\"header\":{" HEAD ",\"kid\":\"https://h/secrets/k\"}}",
         "header.kid"},
        {"{\"schema_version\":\"1.0.0\",\"header\":{" HEAD ",\"kid\":\"https://h/keys/k/12\"}}",
         "header.kid"},
        {"{\"schema_version\":\"1.0.0\",\"header\":{" HEAD ",\"kid\":\"" KID "/x\"}}",
         "header.kid"},
        {"{\"schema_version\":\"1.0.0\",\"header\":{" HEAD ",\"kid\":\"" KID "\"}}",
         "ciphertext is missing"},
        {"{\"schema_version\":\"1.0.0\",\"header\":{" HEAD ",\"kid\":\"" KID
         "\"},\"ciphertext\":\"A\"}",
         "not base64url"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *why = why_of(rows[i].text);
        if (why == NULL || strstr(why, rows[i].why) == NULL)
            fail_msg("%s: %s", rows[i].text, why == NULL ? "accepted" : why);
    }
}

static void file_text(void **state)
{
    static uint8_t file[TRANSFER_FILE_MAX + 8], raw[TRANSFER_FILE_MAX + 1];
    static char text[TRANSFER_FILE_MAX * 2];
    struct bytes got;
    (void)state;
    memset(raw, 0xfb, sizeof raw); /* has letters in which the two alphabets differ */
    for (size_t n = 0; n < 7; n++) {
        size_t url = b64u_encode(text, raw, n);
        assert_int_equal(transfer_file_decode(bytes_of(text, url), file, &got), HSM_OK);
        assert_true(bytes_eq(got, bytes_of(raw, n)));
        size_t std = b64_encode(text, raw, n);
        assert_int_equal(transfer_file_decode(bytes_of(text, std), file, &got), HSM_OK);
        assert_true(bytes_eq(got, bytes_of(raw, n)));
    }
    assert_int_equal(transfer_file_decode(bytes_str("-/AA"), file, &got), HSM_E_MALFORMED);
    size_t most = b64u_encode(text, raw, TRANSFER_FILE_MAX);
    assert_int_equal(transfer_file_decode(bytes_of(text, most), file, &got), HSM_OK);
    size_t over = b64u_encode(text, raw, TRANSFER_FILE_MAX + 1);
    assert_int_equal(transfer_file_decode(bytes_of(text, over), file, &got), HSM_E_RANGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good),
        cmocka_unit_test(bad),
        cmocka_unit_test(file_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
