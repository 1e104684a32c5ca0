/* Content of the backup of one key: its record and those of all its versions, each with its private
 * part sealed on its own (key_backup_seal.h), so that the whole is no secret. Pure.
 *   "KHKB" u8 format=1, salt[32], u32-prefixed body of REC_KEY, u16 number of versions,
 *   then per version: id[16], u32-prefixed body of REC_KEY_VERSION, u32-prefixed sealed private
 * part Nothing may follow. */
#ifndef BOUNDARY_KEY_BACKUP_H
#define BOUNDARY_KEY_BACKUP_H

#include "boundary/key_record.h"

#define KEY_BACKUP_SALT_LEN    32u
#define KEY_BACKUP_MAX         660000u /* bytes; what fits into one transaction at the restore */
#define KEY_BACKUP_PRIVATE_MAX 4096u

struct key_backup {
    struct bytes salt;
    struct key_fields key;
    unsigned n;
    struct bytes versions; /* those that key_backup_next() has not given yet */
};
struct key_backup_version {
    struct uuid id;
    struct version_fields f;
    struct bytes sealed_private;
};

/* Overflow shows in wr_ok(). k must not be deleted. */
void key_backup_put_head(struct wr *w, const uint8_t salt[KEY_BACKUP_SALT_LEN],
                         const struct key_fields *k, unsigned n);
void key_backup_put_version(struct wr *w, const struct uuid *id, const struct version_fields *f,
                            struct bytes sealed_private);

/* The whole text, checked: every version belongs to the key and is one that this program could have
 * made. Views into text. HSM_E_MALFORMED. */
HSM_MUST_USE hsm_err key_backup_parse(struct bytes text, struct key_backup *ret);
/* The next version of a backup that was parsed; false at the end. */
bool key_backup_next(struct key_backup *b, struct key_backup_version *ret);

#endif
