/* What the directory keeps of passwords and client secrets. Passwords are chosen by people, so they
 * go through scrypt (RFC 7914); client secrets are drawn here from 40 random letters, so a salted
 * digest does. Pure but for the random salt; thread-safe. */
#ifndef FABRIC_IDENTITY_SECRET_HASH_H
#define FABRIC_IDENTITY_SECRET_HASH_H

#include "base/bytes.h"
#include "base/err.h"

#define SECRET_HASH_MAX 128 /* with its terminator: letters, digits, '-', '_', '$' */

HSM_MUST_USE hsm_err secret_hash_password(struct bytes password, char dst[SECRET_HASH_MAX]);
HSM_MUST_USE hsm_err secret_hash_random(struct bytes secret, char dst[SECRET_HASH_MAX]);
/* false also for a text that is no such hash. A hash of either kind; the work does not depend on
 * whether it fits. */
bool secret_hash_fits(struct bytes hash, struct bytes given);
/* The work of one password, for names that are not there. */
void secret_hash_waste(struct bytes given);

/* n random letters and digits and a terminator: safe in any shell, URL and form. HSM_E_INTERNAL */
HSM_MUST_USE hsm_err secret_text_random(char *dst, size_t n);

#endif
