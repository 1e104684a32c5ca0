/* Codecs of what boundaries show and say to each other; policy of pool.json; certificates. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>

#include "base/mutate.h"
#include "boundary/peer_testing.h"

static struct evidence sample(void)
{
    struct evidence e = peer_evidence(&(struct peer_options){.partition = 70000, .pool = "Pool-1"});
    memset(e.platform, 0xa5, 100);
    e.platform_n = 100;
    return e;
}

static size_t encoded(const struct evidence *e, uint8_t *buf, size_t cap)
{
    struct wr w = wr_of(buf, cap);
    evidence_encode(e, &w);
    assert_int_equal(wr_ok(&w), HSM_OK);
    return w.n;
}

/* Whatever is accepted is written back as the same bytes. */
static void strict_evidence(struct bytes b, void *arg)
{
    struct evidence e;
    uint8_t again[EVIDENCE_MAX];
    unsigned *accepted = (unsigned *)arg;
    if (evidence_decode(b, &e) != HSM_OK)
        return;
    (*accepted)++;
    size_t n = encoded(&e, again, sizeof again);
    assert_true(bytes_eq(bytes_of(again, n), b));
}

static void evidence(void **state)
{
    (void)state;
    struct evidence e = sample(), got;
    uint8_t buf[EVIDENCE_MAX];
    unsigned accepted = 0;
    size_t n = encoded(&e, buf, sizeof buf);
    assert_int_equal(evidence_decode(bytes_of(buf, n), &got), HSM_OK);
    assert_int_equal(got.provider, EVIDENCE_SOFTWARE);
    assert_int_equal(got.partition, 70000);
    assert_string_equal(got.pool, "Pool-1");
    assert_string_equal(got.protection, "software");
    assert_memory_equal(got.measurement, e.measurement, 32);
    assert_int_equal(got.platform_n, 100);
    assert_memory_equal(got.platform, e.platform, 100);
    mutate_each(bytes_of(buf, n), strict_evidence, &accepted);
    assert_true(accepted > 32 * 8);
    /* The largest of all fits, nothing fits behind it. */
    e.platform_n = sizeof e.platform;
    n = encoded(&e, buf, sizeof buf);
    assert_int_equal(evidence_decode(bytes_of(buf, n), &got), HSM_OK);
    assert_int_equal(evidence_decode(bytes_of(buf, n + 1), &got), HSM_E_MALFORMED);
    /* Names that would spoil a log line, and no names. */
    static const char *const bad[] = {"", "a b", "a\n", "x\"y"};
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        e = sample();
        snprintf(e.pool, sizeof e.pool, "%s", bad[i]);
        n = encoded(&e, buf, sizeof buf);
        assert_int_equal(evidence_decode(bytes_of(buf, n), &got), HSM_E_MALFORMED);
    }
}

static void strict_msg(struct bytes b, void *arg)
{
    struct join_msg m;
    uint8_t again[JOIN_FRAME_MAX];
    (void)arg;
    if (join_msg_decode(b, &m) != HSM_OK)
        return;
    struct wr w = wr_of(again, sizeof again);
    join_msg_encode(&m, &w);
    assert_true(bytes_eq(wr_view(&w), b));
}

static void messages(void **state)
{
    (void)state;
    static const uint8_t proof[JOIN_PROOF_LEN] = {1}, roots[JOIN_ROOTS_MAX + 1] = {2};
    const struct join_msg m[] = {
        {.type = JOIN_ASK, .proof = bytes_of(proof, 32), .partition = 3},
        {.type = JOIN_GIVE, .proof = bytes_of(proof, 32), .roots = bytes_of(roots, 60)},
        {.type = JOIN_GIVE, .proof = bytes_of(proof, 32), .roots = bytes_of(roots, JOIN_ROOTS_MAX)},
        {.type = JOIN_NO, .reason = JOIN_NO_MEMORY},
        {.type = JOIN_DONE},
    };
    uint8_t buf[JOIN_FRAME_MAX + 8] = {0};
    struct join_msg got;
    for (unsigned i = 0; i < sizeof m / sizeof m[0]; i++) {
        struct wr w = wr_of(buf, sizeof buf);
        join_msg_encode(&m[i], &w);
        assert_int_equal(wr_ok(&w), HSM_OK);
        assert_int_equal(join_msg_decode(wr_view(&w), &got), HSM_OK);
        assert_int_equal(got.type, m[i].type);
        assert_int_equal(got.partition, m[i].partition);
        assert_int_equal(got.reason, m[i].reason);
        assert_true(bytes_eq(got.proof, m[i].proof));
        assert_true(bytes_eq(got.roots, m[i].roots));
        for (size_t n = 0; n < w.n; n++)
            assert_int_equal(join_msg_decode(bytes_of(buf, n), &got), HSM_E_AGAIN);
        assert_int_equal(join_msg_decode(bytes_of(buf, w.n + 1), &got), HSM_E_MALFORMED);
        if (w.n < 200)
            mutate_each(wr_view(&w), strict_msg, NULL);
    }
    /* One byte more of secrets than anybody has; none. */
    for (unsigned i = 0; i < 2; i++) {
        struct wr w = wr_of(buf, sizeof buf);
        struct join_msg bad = m[1];
        bad.roots.n = i == 0 ? JOIN_ROOTS_MAX + 1 : 0;
        join_msg_encode(&bad, &w);
        assert_int_equal(join_msg_decode(wr_view(&w), &got), HSM_E_MALFORMED);
    }
}

static hsm_err parse(const char *text, struct peer_policy *ret)
{
    struct json_tok toks[64];
    struct json_doc d;
    const char *why = NULL;
    assert_int_equal(json_parse(bytes_str(text), toks, 64, &d), HSM_OK);
    hsm_err err = peer_policy_parse(&d, 0, ret, &why);
    assert_true((err == HSM_OK) == (why[0] == '\0'));
    return err;
}

#define HEX64 "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
static void policy(void **state)
{
    (void)state;
    struct peer_policy p;
    static const char *const bad[] = {
        "[]",
        "{\"measurement\":[]}",
        "{\"measurements\":[]}",
        "{\"measurements\":[\"00\"]}",
        "{\"measurements\":[\"" HEX64 "00\"]}",
        "{\"measurements\":[7]}",
        "{\"measurements\":\"" HEX64 "\"}",
        "{\"providers\":[]}",
        "{\"providers\":[\"Software\"]}",
        "{\"providers\":\"software\"}",
        "{\"providers\":[\"software\"],\"aks\":[]}",
        "{\"aks\":\"" HEX64 "\"}",
        "{\"aks\":[\"" HEX64 "\",\"00\"]}",
        "{\"pcrs\":[7]}",
        "{\"pcrs\":{\"select\":[]}}",
        "{\"pcrs\":{\"select\":[7,7]}}",
        "{\"pcrs\":{\"select\":[24]}}",
        "{\"pcrs\":{\"select\":[-1]}}",
        "{\"pcrs\":{\"select\":[\"7\"]}}",
        "{\"pcrs\":{\"select\":[1.5]}}",
        "{\"pcrs\":{\"digests\":[]}}",
        "{\"pcrs\":{\"digest\":\"" HEX64 "\"}}",
    };
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (parse(bad[i], &p) != HSM_E_BAD_PARAMETER)
            fail_msg("%s", bad[i]);
    assert_int_equal(parse("{}", &p), HSM_OK);
    assert_int_equal(p.measurement_n + p.providers, 0);
    assert_int_equal(
        parse("{\"measurements\":[\"" HEX64 "\"],\"providers\":[\"software\",\"sev-snp\"]}", &p),
        HSM_OK);
    assert_int_equal(p.measurement_n, 1);
    assert_int_equal(p.measurement[0][1], 0x11);
    assert_int_equal(p.providers, 5);
}

static void policy_of_tpms(void **state)
{
    (void)state;
    struct peer_policy p;
    char text[2000] = "{\"aks\":[";
    assert_int_equal(parse("{\"aks\":[\"" HEX64 "\"]}", &p), HSM_OK);
    assert_int_equal(p.ak_n, 1);
    assert_int_equal(p.ak[0][31], 0xff);
    assert_int_equal(peer_policy_pcrs(&p), 1u << 7);
    assert_int_equal(p.pcr_digest_n, 0);
    assert_int_equal(
        parse("{\"pcrs\":{\"select\":[23,0,7],\"digests\":[\"" HEX64 "\",\"" HEX64 "\"]}}", &p),
        HSM_OK);
    assert_int_equal(peer_policy_pcrs(&p), 1u << 23 | 1u << 7 | 1u);
    assert_int_equal(p.pcr_digest_n, 2);
    assert_int_equal(p.pcr_digest[1][1], 0x11);
    /* As many as there is room for, and one more. */
    for (unsigned i = 0; i < PEER_AKS_MAX; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s\"" HEX64 "\"",
                 i == 0 ? "" : ",");
    snprintf(text + strlen(text), sizeof text - strlen(text), "]}");
    assert_int_equal(parse(text, &p), HSM_OK);
    assert_int_equal(p.ak_n, PEER_AKS_MAX);
    snprintf(text + strlen(text) - 2, 80, ",\"" HEX64 "\"]}");
    assert_int_equal(parse(text, &p), HSM_E_BAD_PARAMETER);
}

static void order_of_providers(void **state)
{
    (void)state;
    for (unsigned own = 0; own < EVIDENCE__PROVIDERS; own++) {
        for (unsigned peer = 0; peer < EVIDENCE__PROVIDERS; peer++) {
            const char *why;
            const struct peer_policy p = {0};
            const struct evidence a =
                peer_evidence(&(struct peer_options){.provider = (enum evidence_provider)own});
            const struct evidence b =
                peer_evidence(&(struct peer_options){.provider = (enum evidence_provider)peer});
            assert_int_equal(peer_policy_check(&p, &a, &b, &why),
                             peer >= own ? HSM_OK : HSM_E_DENIED);
        }
    }
}

/* ---- certificates ---- */

static void certificate(void **state)
{
    (void)state;
    struct evidence e = peer_evidence(&(struct peer_options){.partition = 4});
    const struct peer_policy p = {0};
    struct peer_identity a, b;
    struct peer_seen seen;
    const char *why;
    uint64_t now = (uint64_t)time(NULL);
    assert_int_equal(peer_identity_new(&e, NULL, &a), HSM_OK);
    assert_int_equal(peer_identity_new(&e, NULL, &b), HSM_OK);
    assert_memory_not_equal(a.spki, b.spki, 32);
    assert_int_equal(peer_cert_check(a.cert, &e, &p, now, &seen, &why), HSM_OK);
    assert_true(seen.is_known);
    assert_int_equal(seen.evidence.partition, 4);
    assert_memory_equal(seen.spki, a.spki, 32);
    /* Ten years, from yesterday on. */
    assert_int_equal(peer_cert_check(a.cert, &e, &p, now - 2 * 86400, &seen, &why), HSM_E_DENIED);
    assert_int_equal(peer_cert_check(a.cert, &e, &p, now + 3651u * 86400u, &seen, &why),
                     HSM_E_DENIED);
    assert_true(seen.is_known);
    /* Signed by another key. */
    assert_true(X509_sign(a.cert, b.key, EVP_sha256()) > 0);
    assert_int_equal(peer_cert_check(a.cert, &e, &p, now, &seen, &why), HSM_E_DENIED);
    assert_false(seen.is_known);
    /* The evidence twice. */
    X509_EXTENSION *ext = X509_EXTENSION_dup(X509_get_ext(b.cert, 0));
    assert_int_equal(X509_add_ext(b.cert, ext, -1), 1);
    assert_true(X509_sign(b.cert, b.key, EVP_sha256()) > 0);
    assert_int_equal(peer_cert_check(b.cert, &e, &p, now, &seen, &why), HSM_E_DENIED);
    assert_false(seen.is_known);
    /* None. */
    X509_EXTENSION_free(X509_delete_ext(b.cert, 0));
    X509_EXTENSION_free(X509_delete_ext(b.cert, 0));
    assert_true(X509_sign(b.cert, b.key, EVP_sha256()) > 0);
    assert_int_equal(peer_cert_check(b.cert, &e, &p, now, &seen, &why), HSM_E_DENIED);
    X509_EXTENSION_free(ext);
    peer_identity_done(&a);
    peer_identity_done(&b);
}

static void other_curve(void **state)
{
    (void)state;
    struct evidence e = peer_evidence(&(struct peer_options){0});
    const struct peer_policy p = {0};
    struct peer_identity i;
    struct peer_seen seen;
    const char *why;
    EVP_PKEY *k = EVP_EC_gen("P-384");
    assert_int_equal(peer_identity_new(&e, NULL, &i), HSM_OK);
    assert_int_equal(X509_set_pubkey(i.cert, k), 1);
    assert_true(X509_sign(i.cert, k, EVP_sha256()) > 0);
    assert_int_equal(peer_cert_check(i.cert, &e, &p, (uint64_t)time(NULL), &seen, &why),
                     HSM_E_DENIED);
    EVP_PKEY_free(k);
    peer_identity_done(&i);
}

static void measurement(void **state)
{
    (void)state;
    uint8_t got[32], want[32], buf[4096];
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    FILE *f = fopen("/proc/self/exe", "r");
    size_t n;
    assert_non_null(f);
    assert_int_equal(EVP_DigestInit_ex2(c, EVP_sha256(), NULL), 1);
    while ((n = fread(buf, 1, sizeof buf, f)) > 0)
        assert_int_equal(EVP_DigestUpdate(c, buf, n), 1);
    assert_int_equal(EVP_DigestFinal_ex(c, want, NULL), 1);
    EVP_MD_CTX_free(c);
    fclose(f);
    assert_int_equal(peer_measure_self(got), HSM_OK);
    assert_memory_equal(got, want, 32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(evidence),    cmocka_unit_test(messages),
        cmocka_unit_test(policy),      cmocka_unit_test(order_of_providers),
        cmocka_unit_test(certificate), cmocka_unit_test(other_curve),
        cmocka_unit_test(measurement), cmocka_unit_test(policy_of_tpms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
