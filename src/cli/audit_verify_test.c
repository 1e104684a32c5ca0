/* What the verification of an audit file finds, in a log that is made here. */
#include "cli/audit_verify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include "base/uuid.h"
#include "codec/base64url.h"
#include "codec/jws.h"

struct log {
    EVP_PKEY *key;
    struct audit_verifier v;
    uint64_t seq;
    uint8_t hash[32];
};

static void begin(struct log *l)
{
    *l = (struct log){.key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "prime256v1")};
    assert_non_null(l->key);
    audit_verifier_init(&l->v, l->key);
}

static void end(struct log *l)
{
    audit_verifier_done(&l->v);
    EVP_PKEY_free(l->key);
}

/* Chain text, a JSON object without its closing brace. */
static size_t chain(struct log *l, const char *text, char line[2000])
{
    char prev[65], hash[65];
    uint8_t number[8];
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    hex_encode(prev, l->hash, 32);
    be64_put(number, ++l->seq);
    assert_int_equal(EVP_DigestInit_ex(md, EVP_sha256(), NULL), 1);
    EVP_DigestUpdate(md, l->hash, 32);
    EVP_DigestUpdate(md, number, 8);
    EVP_DigestUpdate(md, text, strlen(text));
    assert_int_equal(EVP_DigestFinal_ex(md, l->hash, NULL), 1);
    EVP_MD_CTX_free(md);
    hex_encode(hash, l->hash, 32);
    int n = snprintf(line, 2000, "%s,\"chain\":{\"seq\":%llu,\"prev\":\"%s\",\"hash\":\"%s\"}}",
                     text, (unsigned long long)l->seq, prev, hash);
    assert_true(n > 0 && n < 2000);
    return (size_t)n;
}

static hsm_err add(struct log *l, const char *text)
{
    char line[2000];
    size_t n = chain(l, text, line);
    return audit_verify_line(&l->v, bytes_of(line, n));
}

static hsm_err checkpoint(struct log *l, const char *members)
{
    char text[1000], signature[100];
    uint8_t message[40], der[128], raw[64];
    size_t der_n = sizeof der;
    memcpy(message, l->hash, 32);
    be64_put(message + 32, l->seq + 1);
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestSignInit_ex(md, NULL, "SHA256", NULL, NULL, l->key, NULL), 1);
    assert_int_equal(EVP_DigestSign(md, der, &der_n, message, sizeof message), 1);
    EVP_MD_CTX_free(md);
    assert_int_equal(ecdsa_der_to_raw(bytes_of(der, der_n), 32, raw), HSM_OK);
    signature[b64u_encode(signature, raw, sizeof raw)] = 0;
    snprintf(text, sizeof text, "{\"checkpoint\":{%s,\"signature\":\"%s\"}", members, signature);
    return add(l, text);
}

static hsm_err mark(struct log *l, uint64_t seq, const uint8_t hash[32])
{
    char text[200], hex[65];
    hex_encode(hex, hash, 32);
    snprintf(text, sizeof text, "\"gap\":false,\"mark\":{\"seq\":%llu,\"hash\":\"%s\"}",
             (unsigned long long)seq, hex);
    return checkpoint(l, text);
}

static void whole(void **state)
{
    (void)state;
    struct log l;
    uint8_t at_two[32];
    begin(&l);
    assert_int_equal(checkpoint(&l, "\"partition\":2,\"gap\":false"), HSM_OK);
    assert_int_equal(add(&l, "{\"a\":1,\"properties\":{\"partition\":2}"), HSM_OK);
    memcpy(at_two, l.hash, 32);
    for (unsigned i = 0; i < 3000; i++)
        assert_int_equal(add(&l, "{\"a\":2"), HSM_OK);
    assert_int_equal(mark(&l, 2, at_two), HSM_OK);
    assert_int_equal(l.v.gaps, 0);
    assert_int_equal(l.v.lines, 3003);
    assert_int_equal(l.v.signed_seq, 3002);
    end(&l);
}

/* While the boundary was down, lines before the sealed position were replaced by others that chain
 * well: the signatures that follow do not make them right. */
static void replaced(void **state)
{
    (void)state;
    struct log l;
    const uint8_t sealed[32] = {1, 2, 3};
    begin(&l);
    assert_int_equal(checkpoint(&l, "\"gap\":false"), HSM_OK);
    assert_int_equal(add(&l, "{\"innocent\":1"), HSM_OK);
    assert_int_equal(add(&l, "{\"innocent\":2"), HSM_OK);
    assert_int_equal(mark(&l, 2, sealed), HSM_OK);
    assert_int_equal(l.v.gaps, 1);
    /* The same at the next start: known already. */
    assert_int_equal(mark(&l, 2, sealed), HSM_OK);
    assert_int_equal(l.v.gaps, 1);
    /* Beyond the file, and out of all bounds. */
    assert_int_equal(mark(&l, 100, sealed), HSM_OK);
    assert_int_equal(mark(&l, UINT64_MAX / 2, sealed), HSM_OK);
    assert_int_equal(l.v.gaps, 3);
    end(&l);
}

/* A gap that the boundary reported is not counted once more at its next start. */
static void reported(void **state)
{
    (void)state;
    struct log l;
    const uint8_t sealed[32] = {1};
    begin(&l);
    assert_int_equal(checkpoint(&l, "\"gap\":true,\"expected\":{\"seq\":3,\"hash\":\"00\"}"),
                     HSM_OK);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(add(&l, "{\"a\":1"), HSM_OK);
    assert_int_equal(mark(&l, 3, sealed), HSM_OK);
    assert_int_equal(l.v.gaps, 1);
    end(&l);
}

static void forged(void **state)
{
    (void)state;
    struct log l;
    begin(&l);
    assert_int_equal(checkpoint(&l, "\"gap\":false"), HSM_OK);
    l.hash[0] ^= 1;
    assert_int_equal(add(&l, "{\"a\":1"), HSM_E_CORRUPT);
    end(&l);
    begin(&l);
    l.v.key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "prime256v1");
    assert_int_equal(checkpoint(&l, "\"gap\":false"), HSM_E_CORRUPT);
    EVP_PKEY_free(l.v.key);
    end(&l);
}

enum damage {
    EDITED,
    REMOVED,
    REPEATED,
    REORDERED,
    HASH,
    PREV,
    RENUMBERED,
    CUT,
    NO_CHAIN,
    DAMAGES
};

static const char *replace(char line[2000], const char *what, const char *with)
{
    char *at = strstr(line, what);
    assert_non_null(at);
    assert_int_equal(strlen(what), strlen(with));
    memcpy(at, with, strlen(with));
    return line;
}

/* Three good lines, then a damaged end. */
static hsm_err damaged(struct log *l, enum damage d)
{
    char a[2000], b[2000];
    size_t an, bn;
    assert_int_equal(checkpoint(l, "\"gap\":false"), HSM_OK);
    assert_int_equal(add(l, "{\"httpStatusCode\":403"), HSM_OK);
    an = chain(l, "{\"httpStatusCode\":404", a);
    bn = chain(l, "{\"httpStatusCode\":405,\"note\":\"x\"", b);
    if (d == REMOVED)
        return audit_verify_line(&l->v, bytes_of(b, bn));
    if (d == REORDERED) {
        assert_int_equal(audit_verify_line(&l->v, bytes_of(b, bn)), HSM_E_CORRUPT);
        return audit_verify_line(&l->v, bytes_of(b, bn));
    }
    assert_int_equal(audit_verify_line(&l->v, bytes_of(a, an)), HSM_OK);
    if (d == EDITED)
        replace(b, "405", "200");
    else if (d == REPEATED)
        return audit_verify_line(&l->v, bytes_of(a, an));
    else if (d == HASH)
        b[bn - 5] = b[bn - 5] == '0' ? '1' : '0';
    else if (d == PREV)
        memcpy(strstr(b, "\"prev\":\"") + 8, strstr(b, "\"hash\":\"") + 8, 64);
    else if (d == RENUMBERED)
        replace(b, "\"seq\":4", "\"seq\":5");
    else if (d == CUT)
        bn -= 10;
    else if (d == NO_CHAIN)
        bn = (size_t)snprintf(b, sizeof b, "{\"httpStatusCode\":405}");
    return audit_verify_line(&l->v, bytes_of(b, bn));
}

static void damaged_lines(void **state)
{
    (void)state;
    for (int d = 0; d < DAMAGES; d++) {
        struct log l;
        begin(&l);
        if (damaged(&l, (enum damage)d) != HSM_E_CORRUPT)
            fail_msg("damage %d is not seen", d);
        /* the message names the line: the third is the last that can be good */
        const char *line = d == REMOVED || d == REORDERED ? "line 3: " : "line 4: ";
        if (strncmp(l.v.text, line, strlen(line)) != 0 || strlen(l.v.text) < 15)
            fail_msg("damage %d: '%s'", d, l.v.text);
        end(&l);
    }
}

/* What is no line of an audit log at all. */
static void other_texts(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "{",
        "[]",
        "{}",
        "null",
        "{\"chain\":5}",
        "{\"chain\":{\"seq\":1}}",
        "{\"a\":1,\"chain\":{\"seq\":0,\"prev\":\"\",\"hash\":\"\"}}",
        "{\"a\":1,\"chain\":{\"seq\":-1,\"prev\":\"00\",\"hash\":\"00\"}}",
        "{\"a\":\",\\\"chain\\\":{\\\"seq\\\":1\"}",
    };
    for (unsigned i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct log l;
        begin(&l);
        assert_int_equal(audit_verify_line(&l.v, bytes_str(texts[i])), HSM_E_CORRUPT);
        assert_int_equal(l.v.lines, 0);
        end(&l);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole),  cmocka_unit_test(replaced),      cmocka_unit_test(reported),
        cmocka_unit_test(forged), cmocka_unit_test(damaged_lines), cmocka_unit_test(other_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
