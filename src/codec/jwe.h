/* JWE compact serialisation (RFC 7516) with A256CBC-HS512 (RFC 7518 §5.2.5), in the two forms the
 * security domain uses: alg dir and alg RSA-OAEP-256. Plaintexts and content keys are secrets. */
#ifndef CODEC_JWE_H
#define CODEC_JWE_H

#include <openssl/evp.h>
#include "base/bytes.h"
#include "base/secret.h"

#define JWE_CEK_LEN 64

/* Upper bound of the compact text for a plaintext of n bytes, kid of kid_len, RSA modulus bytes. */
size_t jwe_text_max(size_t n, size_t kid_len, size_t modulus);

/* header exactly {"alg":"dir","enc":"A256CBC-HS512","kid":"<kid>"}; fresh IV. */
HSM_MUST_USE hsm_err jwe_seal_dir(const uint8_t cek[JWE_CEK_LEN], const char *kid,
                                  struct bytes plaintext, struct wr *out);
/* header exactly {"alg":"RSA-OAEP-256","enc":"A256CBC-HS512","kid":"<kid>"}; fresh CEK and IV. */
HSM_MUST_USE hsm_err jwe_seal_rsa(EVP_PKEY *rsa_public, const char *kid, struct bytes plaintext,
                                  struct wr *out);
/* alg must be dir, kid must equal, IV 16, TAG 32; MAC before padding; one error HSM_E_CRYPTO. */
HSM_MUST_USE hsm_err jwe_open_dir(struct bytes text, const uint8_t cek[JWE_CEK_LEN],
                                  const char *kid, struct secret_buf *ret);
/* The same for plaintexts that are no secrets, without memory of their own. Sealing overwrites the
 * plaintext; buf[n + 16]. Opening needs b64_decoded_max(text.n) bytes; *ret lies in them, and on
 * error they hold nothing of meaning. */
HSM_MUST_USE hsm_err jwe_seal_dir_over(const uint8_t cek[JWE_CEK_LEN], const char *kid,
                                       uint8_t *buf, size_t n, struct wr *out);
HSM_MUST_USE hsm_err jwe_open_dir_into(struct bytes text, const uint8_t cek[JWE_CEK_LEN],
                                       const char *kid, uint8_t *buf, size_t cap,
                                       struct bytes *ret);
HSM_MUST_USE hsm_err jwe_open_rsa(struct bytes text, EVP_PKEY *rsa_private, struct secret_buf *ret);

#endif
