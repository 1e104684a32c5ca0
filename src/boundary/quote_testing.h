/* A TPM as far as a quote goes, made of a key of libcrypto: with it a test can say anything. */
#ifndef BOUNDARY_QUOTE_TESTING_H
#define BOUNDARY_QUOTE_TESTING_H

#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include "boundary/peer_testing.h"
#include "boundary/quote.h"

struct fake_tpm {
    EVP_PKEY *key;
    uint8_t public[QUOTE_PUBLIC_MAX];
    size_t public_n;
    uint8_t ak[32];
    uint8_t pcr_digest[32];
    uint32_t pcrs;
    uint32_t hierarchy, magic;
    uint16_t type;
    /* The last quote; is_stuck: it is given again instead of a new one. */
    uint8_t platform[EVIDENCE_PLATFORM_MAX];
    size_t platform_n;
    bool is_stuck;
};

static inline void fake_tpm_init(struct fake_tpm *t)
{
    uint8_t point[65];
    size_t n = 0;
    *t = (struct fake_tpm){.key = EVP_EC_gen("P-256"),
                           .pcrs = 1u << 7,
                           .hierarchy = QUOTE_AK_HIERARCHY,
                           .magic = 0xff544347u,
                           .type = 0x8018};
    struct wr w = wr_of(t->public, sizeof t->public);
    HSM_ASSERT(t->key != NULL && EVP_PKEY_get_octet_string_param(t->key, OSSL_PKEY_PARAM_PUB_KEY,
                                                                 point, sizeof point, &n) == 1);
    wr_u16(&w, 0x23);
    wr_u16(&w, 0x0b);
    wr_u32(&w, QUOTE_AK_ATTRIBUTES);
    wr_u16(&w, 0);
    wr_u16(&w, 0x10);
    wr_u16(&w, 0x18);
    wr_u16(&w, 0x0b);
    wr_u16(&w, 3);
    wr_u16(&w, 0x10);
    wr_u16(&w, 32);
    wr_bytes(&w, point + 1, 32);
    wr_u16(&w, 32);
    wr_bytes(&w, point + 33, 32);
    HSM_ASSERT(wr_ok(&w) == HSM_OK);
    t->public_n = w.n;
    HSM_ASSERT(EVP_Digest(t->public, w.n, t->ak, NULL, EVP_sha256(), NULL) == 1);
    memset(t->pcr_digest, 0x77, sizeof t->pcr_digest);
}

static inline void fake_tpm_done(struct fake_tpm *t)
{
    EVP_PKEY_free(t->key);
}

/* A TPM2B without zeros in front, as some TPMs write it. */
static inline void fake_number(const BIGNUM *n, struct wr *w)
{
    uint8_t buf[32];
    int len = BN_bn2bin(n, buf);
    wr_u16(w, (uint16_t)len);
    wr_bytes(w, buf, (size_t)len);
}

static inline void fake_sign(const struct fake_tpm *t, struct bytes text, struct wr *w)
{
    uint8_t der[80];
    const uint8_t *p = der;
    size_t n = sizeof der;
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    HSM_ASSERT(EVP_DigestSignInit(md, NULL, EVP_sha256(), NULL, t->key) == 1 &&
               EVP_DigestSign(md, der, &n, text.p, text.n) == 1);
    EVP_MD_CTX_free(md);
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &p, (long)n);
    HSM_ASSERT(sig != NULL);
    wr_u16(w, 0x18);
    wr_u16(w, 0x0b);
    fake_number(ECDSA_SIG_get0_r(sig), w);
    fake_number(ECDSA_SIG_get0_s(sig), w);
    ECDSA_SIG_free(sig);
}

static inline void fake_attest(const struct fake_tpm *t, const uint8_t qualifying[32], struct wr *w)
{
    uint8_t buf[4 + 2 + 32], name[32];
    struct wr of = wr_of(buf, sizeof buf);
    wr_u32(&of, t->hierarchy);
    wr_u16(&of, 0x0b);
    wr_bytes(&of, t->ak, 32);
    HSM_ASSERT(EVP_Digest(buf, of.n, name, NULL, EVP_sha256(), NULL) == 1);
    wr_u32(w, t->magic);
    wr_u16(w, t->type);
    wr_u16(w, 34);
    wr_u16(w, 0x0b);
    wr_bytes(w, name, 32);
    wr_u16(w, 32);
    wr_bytes(w, qualifying, 32);
    wr_u64(w, 1234567); /* clock */
    wr_u32(w, 3);
    wr_u32(w, 0);
    wr_u8(w, 1);
    wr_u64(w, 0x2022); /* firmware */
    wr_u32(w, 1);
    wr_u16(w, 0x0b);
    wr_u8(w, 3);
    wr_u8(w, (uint8_t)t->pcrs);
    wr_u8(w, (uint8_t)(t->pcrs >> 8));
    wr_u8(w, (uint8_t)(t->pcrs >> 16));
    wr_u16(w, 32);
    wr_bytes(w, t->pcr_digest, 32);
}

/* A peer_voucher. */
static inline hsm_err fake_vouch(void *ctx, const uint8_t spki[32], struct evidence *e)
{
    struct fake_tpm *t = (struct fake_tpm *)ctx;
    uint8_t qualifying[32], attest[QUOTE_ATTEST_MAX], sign[QUOTE_SIGN_MAX];
    if (!t->is_stuck || t->platform_n == 0) {
        struct wr a = wr_of(attest, sizeof attest), s = wr_of(sign, sizeof sign);
        struct wr w = wr_of(t->platform, sizeof t->platform);
        TRY(quote_qualify(e, spki, qualifying));
        fake_attest(t, qualifying, &a);
        fake_sign(t, wr_view(&a), &s);
        quote_encode(wr_view(&a), wr_view(&s), bytes_of(t->public, t->public_n), &w);
        HSM_ASSERT(wr_ok(&a) == HSM_OK && wr_ok(&s) == HSM_OK && wr_ok(&w) == HSM_OK);
        t->platform_n = w.n;
    }
    memcpy(e->platform, t->platform, t->platform_n);
    e->platform_n = t->platform_n;
    return HSM_OK;
}

static inline void policy_accept(struct peer_policy *p, const uint8_t ak[32])
{
    memcpy(p->ak[p->ak_n++], ak, 32);
}

#endif
