/* Quotes of software TPMs (swtpm). */
#include "boundary/quote_helper.h"
#include "boundary/quote_testing.h"
#include "boundary/seal_tpm_testing.h"

static struct machine mine, other;
static const uint8_t spki[32] = {1, 2, 3};

static int setup_machines(void **state)
{
    (void)state;
    machine_new(&mine, 12000);
    machine_new(&other, 12100);
    return 0;
}

static int teardown_machines(void **state)
{
    (void)state;
    machine_free(&mine);
    machine_free(&other);
    return 0;
}

static void ak_of(const struct machine *m, uint8_t ak[32])
{
    char text[256] = "";
    if (quote_tpm2_ak(m->tcti, ak, text, sizeof text) != HSM_OK)
        fail_msg("%s", text);
}

/* As a boundary does: by a process of its own. */
static struct evidence quoted(const struct machine *m, uint32_t pcrs)
{
    struct quote_helper h;
    struct evidence e =
        peer_evidence(&(struct peer_options){.partition = 2, .provider = EVIDENCE_TPM2});
    assert_int_equal(quote_helper_start(m->tcti, &h), HSM_OK);
    h.pcrs = pcrs;
    if (quote_helper_vouch(&h, spki, &e) != HSM_OK)
        fail_msg("%s", h.text);
    quote_helper_done(&h);
    return e;
}

static const char *refusal(const struct evidence *e, const struct peer_policy *p)
{
    const char *why = NULL;
    hsm_err err = quote_check(e, spki, p, &why);
    assert_true((err == HSM_OK) == (why[0] == '\0'));
    return why;
}

static void vouched_for(void **state)
{
    (void)state;
    uint8_t ak[32];
    struct peer_policy p = {0};
    ak_of(&mine, ak);
    policy_accept(&p, ak);
    struct evidence e = quoted(&mine, 1u << 7);
    assert_string_equal(refusal(&e, &p), "");
    /* More PCRs, those at the ends too. */
    p.pcrs = 1u << 0 | 1u << 7 | 1u << 9 | 1u << 23;
    assert_non_null(strstr(refusal(&e, &p), "peers.pcrs.select"));
    e = quoted(&mine, p.pcrs);
    assert_string_equal(refusal(&e, &p), "");
    machine_is_clean(&mine);
}

static void same_key_always(void **state)
{
    (void)state;
    uint8_t a[32], b[32];
    ak_of(&mine, a);
    power_off(&mine);
    power_on(&mine);
    ak_of(&mine, b);
    assert_memory_equal(a, b, 32);
    ak_of(&other, b);
    assert_memory_not_equal(a, b, 32);
    machine_is_clean(&mine);
}

static void other_tpm(void **state)
{
    (void)state;
    uint8_t ak[32];
    struct peer_policy p = {0};
    ak_of(&mine, ak);
    policy_accept(&p, ak);
    struct evidence e = quoted(&other, 1u << 7);
    assert_non_null(strstr(refusal(&e, &p), "peers.aks"));
}

static void other_firmware(void **state)
{
    (void)state;
    struct quote q;
    struct peer_policy p = {.pcr_digest_n = 1};
    ak_of(&mine, p.ak[p.ak_n++]);
    struct evidence e = quoted(&mine, 1u << 7);
    assert_int_equal(quote_decode(bytes_of(e.platform, e.platform_n), &q), HSM_OK);
    memcpy(p.pcr_digest[0], q.pcr_digest.p, 32);
    machine_extend(&mine, ESYS_TR_PCR4); /* not among them */
    e = quoted(&mine, 1u << 7);
    assert_string_equal(refusal(&e, &p), "");
    machine_extend(&mine, ESYS_TR_PCR7);
    e = quoted(&mine, 1u << 7);
    assert_non_null(strstr(refusal(&e, &p), "peers.pcrs.digests"));
    p.pcr_digest_n = 0;
    assert_string_equal(refusal(&e, &p), "");
}

static void no_tpm(void **state)
{
    (void)state;
    struct quote_helper h;
    struct evidence e = peer_evidence(&(struct peer_options){.provider = EVIDENCE_TPM2});
    assert_int_equal(quote_helper_start("device:/nonexistent/tpm", &h), HSM_OK);
    h.pcrs = 1u << 7;
    assert_int_equal(quote_helper_vouch(&h, spki, &e), HSM_E_UNAVAILABLE);
    assert_non_null(strstr(h.text, "no TPM at device:/nonexistent/tpm"));
    assert_int_equal(e.platform_n, 0);
    /* A second time. */
    assert_int_equal(quote_helper_vouch(&h, spki, &e), HSM_E_INTERNAL);
    quote_helper_done(&h);
}

/* The boundary does not get so far, or its process of quotes is killed. */
static void unasked(void **state)
{
    (void)state;
    struct quote_helper h;
    struct evidence e = peer_evidence(&(struct peer_options){.provider = EVIDENCE_TPM2});
    assert_int_equal(quote_helper_start(mine.tcti, &h), HSM_OK);
    pid_t pid = h.pid;
    quote_helper_done(&h);
    assert_int_equal(kill(pid, 0), -1);
    assert_int_equal(quote_helper_start(mine.tcti, &h), HSM_OK);
    kill(h.pid, SIGKILL);
    assert_int_not_equal(quote_helper_vouch(&h, spki, &e), HSM_OK);
    assert_int_equal(e.platform_n, 0);
    quote_helper_done(&h);
}

static void options(void **state)
{
    (void)state;
    enum evidence_provider p;
    char tcti[QUOTE_TCTI_MAX];
    static const char *const bad[] = {"",        "tpm",        "tpm2:",        "tpm2:cmd:sh",
                                      "sev-snp", "software:x", "tpm2:/lib.so", "tpm2:device2"};
    assert_int_equal(quote_spec_parse("software", &p, tcti), HSM_OK);
    assert_int_equal(p, EVIDENCE_SOFTWARE);
    assert_string_equal(tcti, "");
    assert_int_equal(quote_spec_parse("tpm2", &p, tcti), HSM_OK);
    assert_int_equal(p, EVIDENCE_TPM2);
    assert_string_equal(tcti, "device:/dev/tpmrm0");
    assert_int_equal(quote_spec_parse("tpm2:swtpm:host=127.0.0.1,port=7", &p, tcti), HSM_OK);
    assert_string_equal(tcti, "swtpm:host=127.0.0.1,port=7");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (quote_spec_parse(bad[i], &p, tcti) != HSM_E_BAD_PARAMETER)
            fail_msg("%s", bad[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vouched_for), cmocka_unit_test(same_key_always),
        cmocka_unit_test(other_tpm),   cmocka_unit_test(other_firmware),
        cmocka_unit_test(no_tpm),      cmocka_unit_test(unasked),
        cmocka_unit_test(options),
    };
    (void)setenv("TSS2_LOG", "all+NONE", 0);
    return cmocka_run_group_tests(tests, setup_machines, teardown_machines);
}
