/* URLs of keys as consumers store them: https://POOL.SUFFIX[:PORT]/keys/NAME[/VERSION]. Pure. */
#ifndef FABRIC_KEY_URL_H
#define FABRIC_KEY_URL_H

#include "base/bytes.h"

#define KEY_URL_MAX         1024
#define KEY_URL_VERSION_LEN 32

/* Views of the text. */
struct key_url {
    struct bytes authority; /* host, with its port if there is one */
    struct bytes pool;      /* first label of the host */
    struct bytes name;
    struct bytes version; /* n == 0: none */
};
/* HSM_E_INVALID_KEY_ID for anything else. */
HSM_MUST_USE hsm_err key_url_parse(struct bytes text, struct key_url *ret);
/* The same for the pool alone: https://POOL.SUFFIX[:PORT] with or without a final slash; name and
 * version are empty. */
HSM_MUST_USE hsm_err pool_url_parse(struct bytes text, struct key_url *ret);
bool key_version_valid(struct bytes v);

#endif
