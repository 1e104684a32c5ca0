/* Internal to keymat*.c: the serialised private part, the opened key, and what is kept ready. */
#ifndef BOUNDARY_KEYMAT_IMPL_H
#define BOUNDARY_KEYMAT_IMPL_H

#include <openssl/evp.h>
#include <stdatomic.h>
#include "boundary/keymat.h"

#define KEYMAT_OCT_MAX     64  /* HMAC keys may be longer than AES keys */
#define KEYMAT_RSA_MAX     512 /* bytes of the modulus */
#define KEYMAT_PRIVATE_MAX 4096
#define KEYMAT_READY       4 /* contexts kept per key: about one per worker */

/* Serialised private part, big-endian:
 *   "KM" u8 version=2, u8 kty, u8 crv, u32 bits, then length-prefixed fields
 *   RSA  n e p q   n: bits/8 bytes; p, q: bits/16 bytes; e: 1..8 bytes; the rest is computed when
 *                  the key is opened, so that a key that is not in use takes half of the room
 *   EC   scalar x y           each as wide as the curve's coordinate
 *   oct  bytes                bits/8 bytes
 * Nothing may follow. */
enum {
    RSA_N,
    RSA_E,
    RSA_P,
    RSA_Q,
    RSA__FIELDS
};
struct keymat_parts {
    enum key_type kty;
    enum key_curve crv;
    uint32_t bits;
    struct bytes rsa[RSA__FIELDS];
    struct bytes scalar, x, y;
    struct bytes oct;
};
/* Views into b. HSM_E_CORRUPT. */
HSM_MUST_USE hsm_err keymat_parts_decode(struct bytes b, struct keymat_parts *ret);
void keymat_head_put(struct wr *w, enum key_type kty, enum key_curve crv, uint32_t bits);
/* keymat_rsa.c. HSM_E_CORRUPT: the numbers do not make a key. */
HSM_MUST_USE hsm_err keymat_rsa_open(const struct keymat_parts *p, EVP_PKEY **ret);
/* A key pair of libcrypto's type of that name. */
HSM_MUST_USE hsm_err keymat_from_params(const char *type, OSSL_PARAM *params, EVP_PKEY **ret);
const char *keymat_group_name(enum key_curve crv); /* libcrypto's name of the curve */
/* Read back the private part as it will be stored, and take its copy and its public half: a key
 * that could not be opened again is no key. */
HSM_MUST_USE hsm_err keymat_finish(const struct wr *w, struct secret_buf *ret_private,
                                   struct keymat_public *ret_public);

/* A context with key and algorithm set, used by one thread at a time. Exactly one of them is set.
 */
struct ready {
    unsigned alg;
    uint32_t op;
    EVP_PKEY_CTX *pkey;
    EVP_CIPHER_CTX *cipher;
    EVP_MAC_CTX *mac;
};
void ready_free(struct ready *r);

struct keymat {
    atomic_uint refs;
    enum key_type kty;
    enum key_curve crv;
    uint32_t bits;
    EVP_PKEY *pkey; /* RSA, EC */
    uint8_t oct[KEYMAT_OCT_MAX];
    size_t oct_n;
    _Atomic(struct ready *) ready[KEYMAT_READY];
};
/* A ready context of that algorithm, now the caller's; NULL when there is none. */
struct ready *keymat_ready_take(struct keymat *k, unsigned alg, uint32_t op);
void keymat_ready_put(struct keymat *k, struct ready *r);

/* Algorithm implementations, fetched once per process and never freed: fetching takes a lock and
 * costs more than a small operation. NULL when libcrypto has none. */
enum keymat_md {
    KM_SHA1,
    KM_SHA256,
    KM_SHA384,
    KM_SHA512,
    KM_MD__COUNT
};
enum keymat_mode {
    KM_GCM,
    KM_CBC,
    KM_ECB, /* single blocks, for key wrap */
    KM_MODE__COUNT
};
EVP_MD *keymat_md(enum keymat_md md);
EVP_CIPHER *keymat_cipher(enum keymat_mode mode, size_t key_n); /* key_n 16, 24 or 32 */
EVP_MAC *keymat_hmac(void);

/* Empty libcrypto's error queue; true when it told of missing memory. */
bool keymat_ran_out_of_memory(void);
/* The error for a call of libcrypto that failed: missing memory, or else otherwise. */
static inline hsm_err keymat_failed(hsm_err otherwise)
{
    return keymat_ran_out_of_memory() ? HSM_E_NOMEM : otherwise;
}

/* The test of a new key, RSA or EC, before anybody relies on it: what its private half in the form
 * that is stored signs, the public half accepts (pairwise consistency, FIPS 140-3). */
HSM_MUST_USE hsm_err keymat_pairwise(struct bytes private_part, const struct keymat_spec *spec);

/* One operation in progress. */
struct crypto_run {
    struct keymat *k;
    uint32_t op;
    const struct wire_crypto *in;
    struct wr w; /* the caller's buffer */
    struct wire_crypto_result res;
    const char *why;
};

/* keymat_wrap.c: aes is an ECB context of the direction. Lengths are the caller's to check: wrap
 * takes whole halves of 8 bytes, at least two (padded: any number of bytes but none); unwrap whole
 * halves, at least three (padded: two). HSM_E_CRYPTO: does not unwrap; nothing of it is left. */
HSM_MUST_USE hsm_err keywrap_wrap(EVP_CIPHER_CTX *aes, bool padded, struct bytes key,
                                  struct wr *out);
HSM_MUST_USE hsm_err keywrap_unwrap(EVP_CIPHER_CTX *aes, bool padded, struct bytes wrapped,
                                    struct wr *out);

HSM_MUST_USE hsm_err keymat_run_symmetric(struct crypto_run *r);
HSM_MUST_USE hsm_err keymat_run_asymmetric(struct crypto_run *r);
static inline hsm_err run_refuse(struct crypto_run *r, const char *why)
{
    r->why = why;
    return HSM_E_BAD_PARAMETER;
}

#endif
