/* Server name of a TLS ClientHello (RFC 8446 §4.1.2, RFC 6066 §3), for routing only. Pure. */
#ifndef CODEC_TLS_HELLO_H
#define CODEC_TLS_HELLO_H

#include "base/bytes.h"

/* in: the first bytes of a connection. HSM_OK: host[] is the lower-cased server name, "" when the
 * client sent none. HSM_E_AGAIN: more bytes needed (at most 16 KiB). HSM_E_MALFORMED otherwise. */
HSM_MUST_USE hsm_err tls_hello_server_name(struct bytes in, char host[256]);

#endif
