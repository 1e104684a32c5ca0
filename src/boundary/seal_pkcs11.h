/* A token behind a PKCS#11 module, for seal_pkcs11.c: one session, logged in. */
#ifndef BOUNDARY_SEAL_PKCS11_H
#define BOUNDARY_SEAL_PKCS11_H

#define CRYPTOKI_GNU 1
#include <p11-kit/pkcs11.h>
#include "boundary/seal_internal.h"

struct token {
    void *module; /* dlopen() */
    struct ck_function_list *f;
    bool initialized;
    ck_session_handle_t session; /* 0: none */
    char *text;
    size_t cap;
};
/* writable: objects can be made. path: of the seal; beside it lies a note of a PIN that the token
 * refused. */
HSM_MUST_USE hsm_err token_open(struct token *t, const struct seal_spec *spec, const char *path,
                                bool writable);
void token_done(struct token *t);
hsm_err token_failed(const struct token *t, const char *what, ck_rv_t rv);

#endif
