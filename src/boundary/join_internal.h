/* Between join.c and join_self.c only. */
#ifndef BOUNDARY_JOIN_INTERNAL_H
#define BOUNDARY_JOIN_INTERNAL_H

#include <openssl/ssl.h>
#include "boundary/join.h"

struct join_self {
    struct peer_identity id;
    struct peer_policy policy;
    struct secret_buf secret_admission;
    SSL_CTX *ctx[2]; /* by enum join_role */
};

/* The peer's certificate, the only one of chain_n. */
bool join_verify(struct join *j, X509 *cert, int chain_n);

#endif
