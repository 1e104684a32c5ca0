/* What is taken for a quote is written back as the same bytes, and its parts lie within it. */
#include "boundary/quote.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void inside(struct bytes whole, struct bytes part, size_t min, size_t max)
{
    HSM_ASSERT(part.n >= min && part.n <= max);
    HSM_ASSERT(part.p >= whole.p && part.p + part.n <= whole.p + whole.n);
}

/* Of a policy that accepts its key, so that its signature is looked at: nobody can make one. */
static void check(struct bytes in, const struct quote *q)
{
    static struct evidence e;
    static const uint8_t spki[QUOTE_DIGEST_LEN] = {1};
    struct peer_policy p = {.ak_n = 1};
    const char *why = NULL;
    HSM_ASSERT(quote_ak(q, p.ak[0]) == HSM_OK);
    memcpy(e.platform, in.p, in.n);
    e.platform_n = in.n;
    HSM_ASSERT(quote_check(&e, spki, &p, &why) == HSM_E_DENIED && why[0] != '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t again[EVIDENCE_PLATFORM_MAX];
    struct bytes in = bytes_of(data, size);
    struct quote q;
    if (quote_decode(in, &q) != HSM_OK)
        return 0;
    inside(in, q.attest, 1, QUOTE_ATTEST_MAX);
    inside(q.attest, q.signer, 32, 32);
    inside(q.attest, q.qualifying, 32, 32);
    inside(q.attest, q.pcr_digest, 32, 32);
    inside(in, q.r, 1, 32);
    inside(in, q.s, 1, 32);
    inside(q.public, q.x, 1, 32);
    inside(q.public, q.y, 1, 32);
    HSM_ASSERT(q.pcrs >> 24 == 0);
    /* The signature ends where the public area's length begins. */
    struct bytes attest = q.attest, public = q.public;
    const uint8_t *start = attest.p + attest.n + 4;
    struct wr w = wr_of(again, sizeof again);
    quote_encode(attest, bytes_of(start, (size_t)(public.p - 4 - start)), public, &w);
    HSM_ASSERT(wr_ok(&w) == HSM_OK && bytes_eq(wr_view(&w), in));
    check(in, &q);
    return 0;
}
