/* Shared by the parts of the seal, and by what else talks to a TPM in a process of its own. */
#ifndef BOUNDARY_SEAL_INTERNAL_H
#define BOUNDARY_SEAL_INTERNAL_H

#include "boundary/seal.h"

#define KEK_LEN       32u
#define SEAL_FILE_MAX (64u * 1024u)
#define SEAL_PATH_MAX 1024u /* of PATH with its longest suffix */

enum seal_provider {
    SEAL_FILE,
    SEAL_TPM2,
    SEAL_PKCS11
};

/* What the provider's text says; see seal_spec.c. */
struct seal_spec {
    enum seal_provider provider;
    uint32_t pcrs; /* bit i: PCR i of the SHA-256 bank */
    char tcti[256];
    char module[SEAL_PATH_MAX];
    char token[32 + 1];
    char pin_file[SEAL_PATH_MAX];
};
HSM_MUST_USE hsm_err seal_spec_parse(const char *text, struct seal_spec *ret, char *why,
                                     size_t cap);
/* false: not what may reach a TPM, or too long. */
HSM_MUST_USE bool seal_tcti_take(struct bytes value, char *dst, size_t cap);
#define SEAL_TCTI_DEFAULT "device:/dev/tpmrm0"

/* A provider's work: the KEK that PATH + suffix protects into kek[32], or a new one and that file,
 * if there is none and make. HSM_E_NOT_FOUND: there is none. */
typedef hsm_err seal_kek_fn(const struct seal_spec *spec, const char *path, bool make, uint8_t *kek,
                            char *text, size_t cap);
seal_kek_fn seal_file_kek, seal_tpm2_kek, seal_pkcs11_kek;
const char *seal_suffix(enum seal_provider p); /* ".key", ".tpm2", ".pkcs11" */

/* ---- seal_box.c: files, and the root secrets under the KEK ---- */

hsm_err seal_say(hsm_err err, char *text, size_t cap, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* PATH + suffix; HSM_E_RANGE with a text when it is too long. */
HSM_MUST_USE hsm_err seal_path(const char *path, const char *suffix, char dst[SEAL_PATH_MAX],
                               char *text, size_t cap);
/* A regular file of at most SEAL_FILE_MAX bytes. HSM_E_NOT_FOUND: none; HSM_E_CORRUPT: no such
 * file, or an empty one; HSM_E_DENIED: private_only, and others may read it. */
HSM_MUST_USE hsm_err seal_file_read(const char *path, bool private_only, struct secret_buf *ret,
                                    char *text, size_t cap);
HSM_MUST_USE hsm_err seal_file_write(const char *path, struct bytes content, char *text,
                                     size_t cap);
/* SHA-256 at the end of a provider's file: tells damage from another device. seal_sum_check takes
 * it off, or says HSM_E_CORRUPT. */
#define SEAL_SUM_LEN 32u
HSM_MUST_USE bool seal_sum(struct bytes b, uint8_t sum[SEAL_SUM_LEN]);
HSM_MUST_USE hsm_err seal_sum_check(struct bytes *b);
/* The whole content of PATH for these roots, and back. HSM_E_CORRUPT: another key, or damage. */
HSM_MUST_USE hsm_err seal_box_close(const struct secret_buf *kek, const struct roots *r,
                                    struct secret_buf *ret);
HSM_MUST_USE hsm_err seal_box_open(const struct secret_buf *kek, const struct secret_buf *file,
                                   struct roots *ret);

#endif
