/* Which of its names the client used for this server, and so how the answers spell URLs: the local
 * control origin, or the names of the public service ("Azure names"). Pure. */
#ifndef FABRIC_FACE_H
#define FABRIC_FACE_H

#include "base/bytes.h"

#define FACE_URL_MAX 300

struct face {
    bool azure;
    /* Origins without a trailing slash; equal to each other on the local face. */
    char login[FACE_URL_MAX], arm[FACE_URL_MAX], graph[FACE_URL_MAX];
    char hsm_suffix[FACE_URL_MAX]; /* "managedhsm.localhost:8443" */
};

/* origin: "https://HOST[:PORT]" of the configuration; any port is accepted for its host and for the
 * loopback names, because tests and tunnels change it. HSM_E_MISDIRECTED for every other name. */
HSM_MUST_USE hsm_err face_of(const char *origin, const char *hsm_suffix, struct bytes host,
                             struct face *ret);

#endif
