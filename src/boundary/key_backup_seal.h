/* Backups of single keys: keys and seals. All keys come from the pool's backup key, which the
 * security domain carries, and from nothing else: another pool of the same domain opens them.
 *   envelope       compact JWE, alg dir, enc A256CBC-HS512, kid backup-protection-key
 *   private part   nonce[12] tag[16] ciphertext: AES-256-GCM under a key of this backup alone (its
 *                  salt), AAD = version id */
#ifndef BOUNDARY_KEY_BACKUP_SEAL_H
#define BOUNDARY_KEY_BACKUP_SEAL_H

#include "base/secret.h"
#include "boundary/key_backup.h"
#include "boundary/roots.h"

#define KEY_BACKUP_TEXT_MAX 890000u /* characters of the envelope */

/* buf holds a backup of n bytes and has room for 16 more; it is overwritten. */
HSM_MUST_USE hsm_err key_backup_close(const struct roots *roots, uint8_t *buf, size_t n,
                                      struct wr *out);
/* *ret lies in buf[cap], cap >= b64_decoded_max(text.n). HSM_E_BACKUP_BLOB, whatever is wrong. */
HSM_MUST_USE hsm_err key_backup_open(const struct roots *roots, struct bytes text, uint8_t *buf,
                                     size_t cap, struct key_backup *ret);

/* Seals private parts of one backup. */
struct key_backup_sealer {
    struct secret_buf key;
};
HSM_MUST_USE hsm_err key_backup_sealer_init(const struct roots *roots,
                                            const uint8_t salt[KEY_BACKUP_SALT_LEN],
                                            struct key_backup_sealer *ret);
void key_backup_sealer_done(struct key_backup_sealer *s);
/* out has room for SEAL_PRIVATE_OVERHEAD more than the plaintext. */
HSM_MUST_USE hsm_err key_backup_seal_private(const struct key_backup_sealer *s,
                                             const struct uuid *id, struct bytes secret_plain,
                                             uint8_t *out);
/* HSM_E_BACKUP_BLOB when it is not authentic. */
HSM_MUST_USE hsm_err key_backup_open_private(const struct key_backup_sealer *s,
                                             const struct uuid *id, struct bytes sealed,
                                             struct secret_buf *ret);

#endif
