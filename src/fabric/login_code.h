/* A browser's login: what an app asks for, and the code that it gets. */
#ifndef FABRIC_LOGIN_CODE_H
#define FABRIC_LOGIN_CODE_H

#include "fabric/fabric.h"

/* The parameters of an authorization request (RFC 6749 §4.1.1, RFC 7636 §4.3). Borrowed. */
struct login_ask {
    struct bytes client_id, redirect_uri, state, challenge, hint;
    bool form_post; /* response_mode */
};
HSM_MUST_USE hsm_err code_make(const struct fabric *f, const struct login_ask *ask, const char *oid,
                               uint64_t now_s, struct wr *out);

#endif
