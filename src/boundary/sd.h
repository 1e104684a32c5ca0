/* Security domain: the file that a quorum of custodians can open. Formats: Shamir over GF(257),
 * SP 800-108 counter KDF with HMAC-SHA-512, JWE. */
#ifndef BOUNDARY_SD_H
#define BOUNDARY_SD_H

#include "base/bytes.h"
#include "base/secret.h"
#include "boundary/roots.h"
#include "wire/wire.h"

#define SD_CUSTODIANS_MIN 3
#define SD_CUSTODIANS_MAX 10

/* Check a download request (WIRE_SD_DOWNLOAD fields): 3..10 distinct certificates with distinct RSA
 * keys of 2048..4096 bits, n/e equal to the certificate's when present, 2 <= required <= N (0 means
 * 2). HSM_E_BAD_PARAMETER with *why. Writes the JSON text of the file to out. Every call makes a new
 * master key; the items are the pool's root secrets. thumbprints: base64url SHA-256 of each
 * certificate, comma separated, for the audit record. */
HSM_MUST_USE hsm_err sd_download(const struct wire_sd_download *req, const struct roots *roots,
                                 const char *pool_name, uint64_t now_s, struct wr *out,
                                 char *thumbprints, size_t thumbprints_cap, const char **why);

/* Building blocks, exported for their tests. */
void sd_kdf(const uint8_t *key, size_t key_n, const char *label, const char *context,
            uint32_t bits, uint8_t out[64]); /* bits <= 512 */
/* secret[n] into shares[count], each 2n bytes (little-endian words x<<9|y). */
HSM_MUST_USE hsm_err sd_shamir_split(const uint8_t *secret, size_t n, unsigned count,
                                     unsigned required, uint8_t *const shares[]);
HSM_MUST_USE hsm_err sd_shamir_join(const uint8_t *const shares[], unsigned required, size_t n,
                                    uint8_t *secret);

#endif
