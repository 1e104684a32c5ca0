/* The host names a pool is served under, and the challenge each of them answers. */
#ifndef GATEWAY_FACE_H
#define GATEWAY_FACE_H

#include "base/bytes.h"

#define FACES_MAX          8
#define FACE_CHALLENGE_MAX 900

struct face {
    char suffix[200];                   /* "managedhsm.localhost" */
    uint16_t port;                      /* as clients address it */
    char authority[256];                /* login authority, "https://localhost:8443" */
    char host[256];                     /* pool name and suffix, lower case; set by faces_bind() */
    char challenge[FACE_CHALLENGE_MAX]; /* value of WWW-Authenticate; set by faces_bind() */
};
struct faces {
    struct face face[FACES_MAX];
    size_t n;
};

/* "suffix=S,port=P,authority=A" is added. HSM_E_BAD_PARAMETER. */
HSM_MUST_USE hsm_err faces_add(struct faces *f, const char *text);
/* The pool is known now. */
HSM_MUST_USE hsm_err faces_bind(struct faces *f, struct bytes pool_name, struct bytes tenant);
/* By host name in lower case, without port; NULL: not ours. */
const struct face *faces_find(const struct faces *f, const char *host);

#endif
