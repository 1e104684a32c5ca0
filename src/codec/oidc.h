/* Issuers of tokens by their URL (OpenID Connect Discovery 1.0). Pure. */
#ifndef CODEC_OIDC_H
#define CODEC_OIDC_H

#include "base/bytes.h"

#define OIDC_PATH_MAX 300

/* "https://HOST[:PORT][/PATH]", nothing behind the path, into host (lower case), port (443 when
 * absent) and the path of its metadata, "[/PATH]/.well-known/openid-configuration".
 * HSM_E_MALFORMED */
HSM_MUST_USE hsm_err oidc_issuer_parse(struct bytes url, char host[256], uint16_t *ret_port,
                                       char path[OIDC_PATH_MAX]);
/* The metadata of exactly that issuer: the path of its key set, which must be on the issuer's own
 * host and port. HSM_E_MALFORMED: no metadata, or of another issuer; HSM_E_MISDIRECTED: keys of
 * another host. */
HSM_MUST_USE hsm_err oidc_metadata_parse(struct bytes json, const char *issuer,
                                         char path[OIDC_PATH_MAX]);

#endif
