/* Unencrypted PKCS#8 private keys (RFC 5208) that hold an RSAPrivateKey (RFC 8017 A.1.2) or an
 * ECPrivateKey (RFC 5915), in strict DER: definite lengths, shortest forms, no leftovers. Bytes to
 * numbers only; whether they make a key is decided by whoever takes them. Pure, no allocation. */
#ifndef CODEC_PKCS8_H
#define CODEC_PKCS8_H

#include <stdbool.h>
#include "codec/key_numbers.h"

/* Views into the DER. x, y: of an uncompressed public key. */
struct pkcs8_key {
    bool is_ec;
    struct key_numbers num;
    struct bytes curve; /* EC: content of the curve's object identifier */
};
/* HSM_E_MALFORMED for everything else, other algorithms included. */
HSM_MUST_USE hsm_err pkcs8_parse(struct bytes der, struct pkcs8_key *ret);

#endif
