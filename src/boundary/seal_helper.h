/* The process that talks to a TPM or a token. It is forked before the boundary has secret memory,
 * threads or rings mapped, gets no descriptor but standard error, leaves 32 bytes and a text in a
 * locked page that both share, and ends. Whatever the libraries, and the module of a token, keep
 * of the key, of the PIN or of threads ends with it. */
#ifndef BOUNDARY_SEAL_HELPER_H
#define BOUNDARY_SEAL_HELPER_H

#include <sys/types.h>
#include "boundary/seal_internal.h"

struct seal_page;

struct seal_helper {
    pid_t pid; /* 0: none, or waited for */
    int lock;  /* of the directory of PATH */
    struct seal_page *page;
};
/* Nothing else opens a seal in that directory until seal_helper_done(). If there is no PATH, the
 * work may make a new key. */
HSM_MUST_USE hsm_err seal_helper_start(seal_kek_fn *work, const struct seal_spec *spec,
                                       const char *path, struct seal_helper *ret, char *text,
                                       size_t cap);
/* Waits for its end; the result is there once. */
HSM_MUST_USE hsm_err seal_helper_wait(struct seal_helper *h, uint8_t *kek, char *text, size_t cap);
/* Waits for its end if nobody did. */
void seal_helper_done(struct seal_helper *h);

/* In such a process: no core dump, no other process that looks in, no signals of a terminal or a
 * supervisor, no descriptors but the first three and keep, as 3. Ends it when that fails. */
void seal_helper_be_private(int keep);

#endif
