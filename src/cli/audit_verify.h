/* Verification of an audit file: the hash chain and the signed checkpoints (format:
 * docs/boundary.md). Works offline; needs only the file and the pool's audit key. */
#ifndef CLI_AUDIT_VERIFY_H
#define CLI_AUDIT_VERIFY_H

#include <openssl/evp.h>
#include "base/bytes.h"

struct audit_verifier {
    EVP_PKEY *key; /* borrowed; NULL: taken from the first start checkpoint */
    EVP_PKEY *own_key;
    uint64_t lines, checkpoints, gaps;
    uint64_t seq;        /* of the last line */
    uint64_t signed_seq; /* last line before which everything is under a signature */
    uint8_t hash[32];
    uint8_t (*hashes)[32]; /* of line 1, 2, ...: checkpoints tell what was at a position */
    size_t hashes_cap;
    uint64_t missed_seq; /* position of the last gap found by such a comparison */
    char text[300];      /* what is wrong, with the line number */
};
void audit_verifier_init(struct audit_verifier *v, EVP_PKEY *key);
void audit_verifier_done(struct audit_verifier *v);
/* Next line without its newline. HSM_E_CORRUPT: edited, removed, reordered or not of this key. */
HSM_MUST_USE hsm_err audit_verify_line(struct audit_verifier *v, struct bytes line);

#endif
