/* Which hosts the boundary may be connected to besides the installation's own issuer: those of the
 * external issuers in pool.json. The boundary checks certificates itself; this list only keeps a
 * boundary from reaching anything else through its gateway. */
#ifndef GATEWAY_ISSUER_HOSTS_H
#define GATEWAY_ISSUER_HOSTS_H

#include "base/bytes.h"

#define ISSUER_HOSTS_MAX 4

struct issuer_hosts {
    struct {
        char host[256]; /* lower case */
        uint16_t port;
    } at[ISSUER_HOSTS_MAX];
    size_t n;
};

/* Of the text of pool.json; what is no external issuer is left out. HSM_E_MALFORMED */
HSM_MUST_USE hsm_err issuer_hosts_parse(struct bytes json, struct issuer_hosts *ret);
/* A file that is not there has none. HSM_E_IO, HSM_E_MALFORMED */
HSM_MUST_USE hsm_err issuer_hosts_read(const char *path, struct issuer_hosts *ret);
bool issuer_hosts_has(const struct issuer_hosts *h, const char *host, uint16_t port);

#endif
