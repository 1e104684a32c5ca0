/* Quotes, and what is no quote, without a TPM. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/mutate.h"
#include "boundary/quote_testing.h"

static struct fake_tpm tpm, other;
static const uint8_t spki[32] = {9, 8, 7};
static struct evidence shown;
static struct peer_policy policy;

static int make(void **state)
{
    (void)state;
    fake_tpm_init(&tpm);
    fake_tpm_init(&other);
    policy = (struct peer_policy){0};
    policy_accept(&policy, other.ak);
    policy_accept(&policy, tpm.ak);
    shown = peer_evidence(&(struct peer_options){.partition = 4, .provider = EVIDENCE_TPM2});
    assert_int_equal(fake_vouch(&tpm, spki, &shown), HSM_OK);
    return 0;
}

static int unmake(void **state)
{
    (void)state;
    fake_tpm_done(&tpm);
    fake_tpm_done(&other);
    return 0;
}

static void is_accepted(void)
{
    const char *why = NULL;
    hsm_err err = quote_check(&shown, spki, &policy, &why);
    if (err != HSM_OK)
        fail_msg("%s", why);
    assert_string_equal(why, "");
}

static void is_refused(const char *because)
{
    const char *why = NULL;
    assert_int_equal(quote_check(&shown, spki, &policy, &why), HSM_E_DENIED);
    if (strstr(why, because) == NULL)
        fail_msg("%s", why);
}

static void remake(void)
{
    assert_int_equal(fake_vouch(&tpm, spki, &shown), HSM_OK);
}

static void accepted(void **state)
{
    (void)state;
    struct quote q;
    is_accepted();
    assert_int_equal(quote_decode(bytes_of(shown.platform, shown.platform_n), &q), HSM_OK);
    assert_int_equal(q.pcrs, 1u << 7);
    assert_memory_equal(q.pcr_digest.p, tpm.pcr_digest, 32);
    policy.pcr_digest_n = 2;
    memcpy(policy.pcr_digest[1], tpm.pcr_digest, 32);
    is_accepted();
}

static void keys(void **state)
{
    (void)state;
    policy.ak_n = 1; /* the other one's only */
    is_refused("peers.aks");
    policy.ak_n = 0;
    is_refused("peers.aks");
    /* Says that it is the other key. */
    policy.ak_n = 2;
    memcpy(tpm.public, other.public, sizeof tpm.public);
    memcpy(tpm.ak, other.ak, sizeof tpm.ak);
    remake();
    is_refused("not signed by its attestation key");
}

static void not_a_primary_key(void **state)
{
    (void)state;
    tpm.hierarchy = 0x40000001u; /* owner */
    remake();
    is_refused("not signed by its attestation key");
}

/* Each part of the evidence, and the certificate. */
static void other_evidence(void **state)
{
    (void)state;
    const char *why;
    const struct evidence good = shown;
    const uint8_t other_spki[32] = {9, 8, 8};
    assert_int_equal(quote_check(&shown, other_spki, &policy, &why), HSM_E_DENIED);
    assert_non_null(strstr(why, "another certificate"));
    shown.measurement[31] ^= 1;
    is_refused("another certificate");
    shown = good;
    shown.pool[0] = 'D';
    is_refused("another certificate");
    shown = good;
    shown.partition++;
    is_refused("another certificate");
    shown = good;
    snprintf(shown.protection, sizeof shown.protection, "tpm2");
    is_refused("another certificate");
    shown = good;
    is_accepted();
}

static void pcrs(void **state)
{
    (void)state;
    policy.pcrs = 1u << 7 | 1u << 4;
    is_refused("peers.pcrs.select");
    tpm.pcrs = policy.pcrs;
    remake();
    is_accepted();
    tpm.pcrs = 0; /* no such bank */
    remake();
    is_refused("peers.pcrs.select");
    tpm.pcrs = policy.pcrs;
    remake();
    policy.pcr_digest_n = 1;
    is_refused("peers.pcrs.digests");
    memcpy(policy.pcr_digest[0], tpm.pcr_digest, 32);
    is_accepted();
    tpm.pcr_digest[31]++;
    remake();
    is_refused("peers.pcrs.digests");
}

/* A key that signs this is not a restricted one. */
static void not_a_quote(void **state)
{
    (void)state;
    tpm.magic++;
    remake();
    is_refused("no quote");
    tpm.magic--;
    tpm.type = 0x8017; /* TPM_ST_ATTEST_CERTIFY */
    remake();
    is_refused("no quote");
    tpm.type = 0x8018;
    remake();
    is_accepted();
    shown.platform[shown.platform_n++] = 0;
    is_refused("no quote");
    shown.platform_n = 0;
    is_refused("no quote");
}

/* Nothing but itself is accepted, and what is read is written back the same. */
static void changed(struct bytes b, void *arg)
{
    struct quote q;
    uint8_t again[EVIDENCE_PLATFORM_MAX];
    unsigned *read = (unsigned *)arg;
    shown.platform_n = b.n;
    memcpy(shown.platform, b.p, b.n);
    is_refused("");
    if (quote_decode(b, &q) != HSM_OK)
        return;
    (*read)++;
    const uint8_t *sign = q.attest.p + q.attest.n + 4;
    struct wr w = wr_of(again, sizeof again);
    quote_encode(q.attest, bytes_of(sign, (size_t)(q.public.p - 4 - sign)), q.public, &w);
    assert_true(bytes_eq(wr_view(&w), b));
}

static void every_change(void **state)
{
    (void)state;
    unsigned read = 0;
    uint8_t good[EVIDENCE_PLATFORM_MAX];
    size_t n = shown.platform_n;
    memcpy(good, shown.platform, n);
    mutate_each(bytes_of(good, n), changed, &read);
    assert_true(read > 1000);
}

/* Zeros in front, left out by the TPM. */
static void short_numbers(void **state)
{
    (void)state;
    struct quote q;
    unsigned i = 0;
    do {
        remake();
        assert_int_equal(quote_decode(bytes_of(shown.platform, shown.platform_n), &q), HSM_OK);
    } while (q.r.n == 32 && q.s.n == 32 && i++ < 20000);
    assert_true(q.r.n < 32 || q.s.n < 32);
    is_accepted();
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, make, unmake)
    const struct CMUnitTest tests[] = {
        T(accepted), T(keys),        T(not_a_primary_key), T(other_evidence),
        T(pcrs),     T(not_a_quote), T(every_change),      T(short_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
