/* The first bytes of a connection at the front door: TLS, a CONNECT request, or neither. Pure. */
#ifndef DOOR_CONNECT_H
#define DOOR_CONNECT_H

#include "base/bytes.h"

#define CONNECT_HEAD_MAX 4096

enum first_kind {
    FIRST_MORE, /* not decidable yet */
    FIRST_TLS,
    FIRST_CONNECT,
    FIRST_OTHER,
};
enum first_kind first_kind_of(struct bytes in);

/* "CONNECT host:port HTTP/1.x", header lines, empty line. Host is not required among them: common
 * clients send HTTP/1.0 without one.
 *   HSM_OK     host[] lower-cased, *ret_port, *ret_used = bytes up to and including the empty line
 *   HSM_E_AGAIN, HSM_E_MALFORMED, HSM_E_HEADERS_TOO_LARGE (more than CONNECT_HEAD_MAX) */
HSM_MUST_USE hsm_err connect_parse(struct bytes in, char host[256], uint16_t *ret_port,
                                   size_t *ret_used);

#endif
