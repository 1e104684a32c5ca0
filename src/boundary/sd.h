/* Security domain: the file that a quorum of custodians can open. Formats: Shamir over GF(257),
 * SP 800-108 counter KDF with HMAC-SHA-512, JWE. */
#ifndef BOUNDARY_SD_H
#define BOUNDARY_SD_H

#include <openssl/evp.h>
#include "base/bytes.h"
#include "base/secret.h"
#include "boundary/roots.h"
#include "wire/wire.h"

#define SD_CUSTODIANS_MIN 3
#define SD_CUSTODIANS_MAX 10

/* Check a download request (WIRE_SD_DOWNLOAD fields): 3..10 distinct certificates with distinct RSA
 * keys of 2048..4096 bits, n/e equal to the certificate's when present, 2 <= required <= N (0 means
 * 2). HSM_E_BAD_PARAMETER with *why. Writes the JSON text of the file to out. Every call makes a
 * new master key; the items are the pool's root secrets. thumbprints: base64url SHA-256 of each
 * certificate, comma separated, for the audit record. */
HSM_MUST_USE hsm_err sd_download(const struct wire_sd_download *req, const struct roots *roots,
                                 const char *pool_name, uint64_t created_s, struct wr *out,
                                 char *thumbprints, size_t thumbprints_cap, const char **why);

/* Plaintext items of the file, in its order. Binary, big-endian, lengths are u32:
 *   sd_header     "KHSD" u32 format, pool id (16), u64 creation time, lv pool name at creation,
 *                 u32 count, then per other item: lv tag, SHA-256 of its plaintext (32)
 *   sd_owner      "KHSO" u32 format, lv owner key, lv audit key (PKCS#8), lv owner certificate
 *   sd_root_keys  "KHSK" u32 format, lv data encryption key, lv backup protection key */
#define SD_FORMAT        1u
#define SD_TAG_HEADER    "sd_header"
#define SD_TAG_OWNER     "sd_owner"
#define SD_TAG_ROOT_KEYS "sd_root_keys"

/* A custodian's certificate. */
struct sd_cert {
    EVP_PKEY *key;       /* owned */
    uint8_t sha256[32];  /* of the DER as received */
    char thumbprint[44]; /* base64url of it, without padding */
};
/* der must be one certificate and nothing else, with an RSA key of 2048..4096 bits. Dates, issuer
 * and usages do not matter: custodians use self-signed and expired ones. HSM_E_BAD_PARAMETER. */
HSM_MUST_USE hsm_err sd_cert_parse(struct bytes der, struct sd_cert *ret, const char **why);
void sd_cert_done(struct sd_cert *c);

/* Building blocks, exported for their tests. */
void sd_kdf(const uint8_t *key, size_t key_n, const char *label, const char *context, uint32_t bits,
            uint8_t out[64]); /* bits <= 512 */
/* secret[n] into shares[count], each 2n bytes (little-endian words x<<9|y); 2 <= required <= count
 * <= 126. Constant time in the secret. */
HSM_MUST_USE hsm_err sd_shamir_split(const uint8_t *secret, size_t n, unsigned count,
                                     unsigned required, uint8_t *const shares[]);
/* HSM_E_CRYPTO for shares that are malformed, not distinct or do not belong together. */
HSM_MUST_USE hsm_err sd_shamir_join(const uint8_t *const shares[], unsigned required, size_t n,
                                    uint8_t *secret);

#endif
