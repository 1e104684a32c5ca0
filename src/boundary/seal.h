/* Where the root secrets lie between two runs of a boundary. PATH holds them under AES-256-GCM with
 * a 32-byte key (KEK); a provider protects that key and nothing else:
 *
 *   file     PATH.key, 0600: development                                    level "software"
 *   tpm2     PATH.tpm2: sealed to this machine's TPM and to values of PCRs   level "tpm2"
 *   pkcs11   PATH.pkcs11: encrypted by a key that cannot leave a token       level "pkcs11"
 *
 * The last two work in a process of their own that ends before the boundary reads its first frame
 * (seal_helper.h): neither their libraries nor a token's module are ever in the boundary's process.
 *
 * A boundary that joins a pool learns the root secrets after its sandbox closed. It makes and
 * protects the KEK before (seal_join_begin), and afterwards writes to a descriptor of PATH.new
 * (seal_join_finish). The next seal_load finds PATH.new, and makes it PATH if it is complete.
 *
 * text[cap], everywhere: what happened and what to do, for the log, after an error. */
#ifndef BOUNDARY_SEAL_H
#define BOUNDARY_SEAL_H

#include "boundary/roots.h"

struct seal;

/* provider: see docs/boundary.md; NULL is "file". Before secret_init(), before there are threads.
 * HSM_E_BAD_PARAMETER: the text says what is wrong with provider. */
HSM_MUST_USE hsm_err seal_begin(const char *provider, const char *path, struct seal **ret,
                                char *text, size_t cap);
/* Wipes what is left of the KEK; NULL is fine. Before the sandbox closes. */
void seal_end(struct seal *s);
/* "software", "tpm2" or "pkcs11"; static. */
const char *seal_protection(const struct seal *s);

/* HSM_E_NOT_FOUND: nothing was sealed here yet (a PATH.new that is not complete was removed). Then
 * one of the two below may follow, the KEK is wiped otherwise. */
HSM_MUST_USE hsm_err seal_load(struct seal *s, struct roots *ret, char *text, size_t cap);
HSM_MUST_USE hsm_err seal_store(struct seal *s, const struct roots *r, char *text, size_t cap);

/* fd stays open over the sandbox (keep it out of what sandbox_prepare closes). */
struct seal_sink {
    int fd;
    struct secret_buf kek;
};
HSM_MUST_USE hsm_err seal_join_begin(struct seal *s, struct seal_sink *ret, char *text, size_t cap);
/* Inside the sandbox, once: it only calls write(). HSM_OK: the next start finds the seal. After an
 * error that start finds none. The KEK is wiped in both cases. */
HSM_MUST_USE hsm_err seal_join_finish(struct seal_sink *s, const struct roots *r);
/* When nothing came of it. Wipes the KEK; the descriptor is closed. */
void seal_sink_done(struct seal_sink *s);

#endif
