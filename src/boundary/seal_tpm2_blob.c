#include <tss2/tss2_mu.h>
#include "boundary/seal_tpm2.h"

#define PART_MAX 1024u

static const uint8_t head[8] = {'K', 'H', 'T', 'P', 'M', '2', 0, 1}; /* with the version */

hsm_err tpm2_blob_encode(const struct tpm2_blob *b, uint8_t *buf, size_t *ret_n)
{
    uint8_t pub[PART_MAX];
    uint8_t priv[PART_MAX];
    size_t pub_n = 0;
    size_t priv_n = 0;
    if (Tss2_MU_TPM2B_PUBLIC_Marshal(&b->pub, pub, sizeof pub, &pub_n) != TSS2_RC_SUCCESS ||
        Tss2_MU_TPM2B_PRIVATE_Marshal(&b->priv, priv, sizeof priv, &priv_n) != TSS2_RC_SUCCESS)
        return HSM_E_INTERNAL;
    HSM_ASSERT(buf != NULL); /* gcc 14 sees a path without it */
    struct wr w = wr_of(buf, TPM2_BLOB_MAX);
    wr_bytes(&w, head, sizeof head);
    wr_u32(&w, b->pcrs);
    wr_bytes(&w, b->policy, sizeof b->policy);
    wr_lv(&w, bytes_of(b->primary.name, b->primary.size));
    wr_lv(&w, bytes_of(pub, pub_n));
    wr_lv(&w, bytes_of(priv, priv_n));
    TRY(wr_ok(&w));
    uint8_t sum[SEAL_SUM_LEN];
    if (!seal_sum(wr_view(&w), sum))
        return HSM_E_INTERNAL;
    wr_bytes(&w, sum, sizeof sum);
    *ret_n = w.n;
    return wr_ok(&w);
}

hsm_err tpm2_blob_decode(struct bytes in, struct tpm2_blob *ret)
{
    struct tpm2_blob b = {0};
    TRY(seal_sum_check(&in));
    struct rd r = rd_of(in);
    struct bytes start, name, pub, priv;
    TRY(rd_bytes(&r, sizeof head, &start));
    TRY(rd_u32(&r, &b.pcrs));
    TRY(rd_copy(&r, b.policy, sizeof b.policy));
    TRY(rd_lv(&r, sizeof b.primary.name, &name));
    TRY(rd_lv(&r, PART_MAX, &pub));
    TRY(rd_lv(&r, PART_MAX, &priv));
    TRY(rd_end(&r));
    size_t pub_n = 0;
    size_t priv_n = 0;
    if (!bytes_eq(start, bytes_of(head, sizeof head)) || b.pcrs == 0 || b.pcrs >> 24 != 0 ||
        Tss2_MU_TPM2B_PUBLIC_Unmarshal(pub.p, pub.n, &pub_n, &b.pub) != TSS2_RC_SUCCESS ||
        Tss2_MU_TPM2B_PRIVATE_Unmarshal(priv.p, priv.n, &priv_n, &b.priv) != TSS2_RC_SUCCESS ||
        pub_n != pub.n || priv_n != priv.n)
        return HSM_E_CORRUPT;
    b.primary.size = (UINT16)name.n;
    memcpy(b.primary.name, name.p, name.n);
    *ret = b;
    return HSM_OK;
}
