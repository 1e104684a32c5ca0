/* A boundary joins the pool of another one, both driven in this thread, with evidence of software
 * TPMs (swtpm). */
#include "boundary/join_relay_testing.h"
#include "boundary/quote_testing.h"
#include "boundary/quote_tpm2.h"
#include "boundary/seal_tpm_testing.h"

static struct machine mine, other;

/* ---- the two of them ---- */

struct side {
    struct peer_options is;
    struct peer_voucher by;
    const struct machine *machine;
    bool replays; /* a quote of an earlier process of this partition */
};
static struct side member, joiner;

/* In this process, which has no keys of a pool that anybody wants. */
static hsm_err vouch(void *ctx, const uint8_t spki[32], struct evidence *e)
{
    const struct side *s = (const struct side *)ctx;
    uint8_t qualifying[32], of[32];
    char text[256] = "";
    memcpy(of, spki, sizeof of);
    of[0] ^= s->replays;
    TRY(quote_qualify(e, of, qualifying));
    hsm_err err = quote_tpm2_make(s->machine->tcti, qualifying, peer_policy_pcrs(&s->is.policy),
                                  e->platform, &e->platform_n, text, sizeof text);
    if (err != HSM_OK)
        fail_msg("%s", text);
    return err;
}

static void side_init(struct side *s, uint32_t partition)
{
    uint8_t ak[32];
    char text[256] = "";
    *s = (struct side){.by = {.vouch = vouch, .ctx = s}, .machine = &mine};
    s->is = (struct peer_options){.partition = partition, .provider = EVIDENCE_TPM2, .by = &s->by};
    if (quote_tpm2_ak(mine.tcti, ak, text, sizeof text) != HSM_OK)
        fail_msg("%s", text);
    policy_accept(&s->is.policy, ak);
}

static int reset(void **state)
{
    (void)state;
    side_init(&member, 0);
    side_init(&joiner, 1);
    return 0;
}

static hsm_err seal_into(void *ctx, const struct roots *r)
{
    (void)ctx;
    (void)r;
    return HSM_OK;
}

static void as_joiner(struct rig *r, struct boundary_config *c)
{
    (void)r;
    c->roots = NULL;
    c->fresh = false;
    c->joining = true;
    c->join_self = peer_self(&joiner.is);
    c->seal_roots = seal_into;
}

static void as_member(struct rig *r, struct boundary_config *c)
{
    (void)r;
    c->join_self = peer_self(&member.is);
}

static void run(void)
{
    relay_init();
    relay.member.configure = as_member;
    relay.joiner.configure = as_joiner;
    rig_start(&relay.member, true);
    rig_serve(&relay.member);
    assert_int_equal(relay.member.ended, 0);
    rig_start(&relay.joiner, false);
    relay_hello();
    relay_run();
    assert_int_equal(relay.opens, 1);
    assert_int_equal(relay_audits(), 1);
}

static void expect_joined(void)
{
    run();
    assert_int_equal(relay.joined, 1);
    assert_int_equal(relay.joiner.ended, EXIT_JOINED + 1);
    relay_audit_has("\"resultType\":\"Success\"");
    relay_saw_no_secret();
}

/* By the member, in its log; the joiner is told that it is so. */
static void expect_refused(const char *why)
{
    run();
    assert_int_equal(relay.joined, 0);
    assert_int_equal(relay.joiner.ended, 0);
    assert_int_equal(boundary_phase(relay.joiner.b), PHASE_JOIN);
    relay_audit_has("\"resultType\":\"Failure\"");
    relay_audit_has("\"httpStatusCode\":403");
    relay_audit_has(why);
    assert_non_null(strstr(relay.joiner.b->join.told[0], "refused the evidence"));
    relay_done();
}

/* By the joiner: nothing was asked. */
static void expect_member_refused(const char *why)
{
    run();
    assert_int_equal(relay.joined, 0);
    assert_int_equal(relay.joiner.ended, 0);
    relay_audit_has("refused the evidence of this one");
    assert_int_equal(relay.joiner.b->join.told_n, 1);
    if (strstr(relay.joiner.b->join.told[0], why) == NULL)
        fail_msg("%s", relay.joiner.b->join.told[0]);
    relay_done();
}

static void hex_of(char hex[65], const uint8_t digest[32])
{
    hex_encode(hex, digest, 32);
}

static void digest_now(uint8_t ret[32])
{
    struct quote q;
    struct evidence e = peer_evidence(&member.is);
    const uint8_t spki[32] = {0};
    assert_int_equal(vouch(&member, spki, &e), HSM_OK);
    assert_int_equal(quote_decode(bytes_of(e.platform, e.platform_n), &q), HSM_OK);
    memcpy(ret, q.pcr_digest.p, 32);
}

/* ---- tests ---- */

static void joins(void **state)
{
    (void)state;
    char ak[65], pcrs[65];
    uint8_t now[32];
    digest_now(now);
    hex_of(pcrs, now);
    hex_of(ak, member.is.policy.ak[0]);
    expect_joined();
    relay_audit_has("evidence tpm2 of pool dev");
    relay_audit_has(ak);
    relay_audit_has(pcrs);
    relay_done();
    machine_is_clean(&mine);
}

/* Each on a machine of its own; each accepts the other one's. */
static void two_machines(void **state)
{
    (void)state;
    uint8_t ak[32];
    char text[256];
    assert_int_equal(quote_tpm2_ak(other.tcti, ak, text, sizeof text), HSM_OK);
    joiner.machine = &other;
    policy_accept(&member.is.policy, ak);
    expect_joined();
    relay_done();
}

static void wrong_key(void **state)
{
    (void)state;
    joiner.machine = &other;
    expect_refused("peers.aks");
    joiner.machine = &mine;
    member.machine = &other;
    expect_member_refused("peers.aks");
}

static void replayed(void **state)
{
    (void)state;
    joiner.replays = true;
    expect_refused("another certificate");
    joiner.replays = false;
    member.replays = true;
    expect_member_refused("another certificate");
}

static void software_is_too_weak(void **state)
{
    (void)state;
    joiner.is.provider = EVIDENCE_SOFTWARE;
    joiner.is.by = NULL;
    expect_refused("peers.providers");
    /* Also when it is said, and when it only claims to be stronger. */
    member.is.policy.providers = 1u << EVIDENCE_TPM2;
    expect_refused("peers.providers");
    joiner.is.provider = EVIDENCE_TPM2;
    expect_refused("no quote of a TPM");
    joiner.is.provider = EVIDENCE_SEV_SNP;
    joiner.is.policy.providers = 1u << EVIDENCE_TPM2;
    expect_refused("peers.providers");
    member.is.policy.providers = 0;
    expect_refused("cannot be verified");
}

static void changed_pcr(void **state)
{
    (void)state;
    joiner.is.policy.pcrs = member.is.policy.pcrs = 1u << 4 | 1u << 7;
    digest_now(member.is.policy.pcr_digest[0]);
    member.is.policy.pcr_digest_n = 1;
    expect_joined();
    relay_done();
    machine_extend(&mine, ESYS_TR_PCR4);
    expect_refused("peers.pcrs.digests");
    memcpy(joiner.is.policy.pcr_digest, member.is.policy.pcr_digest, 32);
    joiner.is.policy.pcr_digest_n = 1;
    expect_member_refused("peers.pcrs.digests");
    /* Meant to be so. */
    joiner.is.policy.pcr_digest_n = 0;
    digest_now(member.is.policy.pcr_digest[member.is.policy.pcr_digest_n++]);
    expect_joined();
    relay_done();
}

static void other_selection(void **state)
{
    (void)state;
    joiner.is.policy.pcrs = 1u << 4;
    expect_member_refused("peers.pcrs.select");
}

static int setup_machines(void **state)
{
    (void)state;
    machine_new(&mine, 12400);
    machine_new(&other, 12500);
    return 0;
}

static int teardown_machines(void **state)
{
    (void)state;
    machine_free(&mine);
    machine_free(&other);
    return 0;
}

int main(void)
{
#define T(f) cmocka_unit_test_setup(f, reset)
    const struct CMUnitTest tests[] = {
        T(joins),       T(two_machines),    T(wrong_key), T(replayed), T(software_is_too_weak),
        T(changed_pcr), T(other_selection),
    };
    (void)setenv("TSS2_LOG", "all+NONE", 0);
    return cmocka_run_group_tests(tests, setup_machines, teardown_machines);
}
