/* The certificate that a boundary shows to another one: EC P-256, issued by itself, made anew for
 * each process, with its evidence in an extension. It says nothing but that the holder of the key
 * claims this evidence; who is believed is for peer_policy.h and the pool's admission key. */
#ifndef BOUNDARY_PEER_CERT_H
#define BOUNDARY_PEER_CERT_H

#include <openssl/evp.h>
#include <openssl/x509.h>
#include "boundary/peer_policy.h"

/* UUID fa14737d-7565-4034-b4ab-7ef34603370c as an object identifier (ITU-T X.667): it needs nobody
 * to register it. */
#define PEER_CERT_OID "2.25.332413187300356549864246012932358616844"

struct peer_identity {
    struct evidence evidence;
    EVP_PKEY *key;
    X509 *cert;
    uint8_t spki[32]; /* SHA-256 of the public key's SubjectPublicKeyInfo */
};
/* Makes the platform's part of e for a certificate of that public key. */
struct peer_voucher {
    hsm_err (*vouch)(void *ctx, const uint8_t spki[32], struct evidence *e);
    void *ctx;
};
/* by NULL: nobody, e is shown as it is. */
HSM_MUST_USE hsm_err peer_identity_new(const struct evidence *e, const struct peer_voucher *by,
                                       struct peer_identity *ret);
void peer_identity_done(struct peer_identity *i);

struct peer_seen {
    bool is_known; /* evidence was readable, whatever became of it */
    struct evidence evidence;
    uint8_t spki[32];
};
/* Everything about the certificate of a peer: form, signature, validity at now_s, evidence, policy.
 * HSM_E_DENIED: *why, static; ret is filled as far as it went. */
HSM_MUST_USE hsm_err peer_cert_check(X509 *cert, const struct evidence *own,
                                     const struct peer_policy *policy, uint64_t now_s,
                                     struct peer_seen *ret, const char **why);

/* SHA-256 of this process's program. HSM_E_IO without /proc. Before the sandbox. */
HSM_MUST_USE hsm_err peer_measure_self(uint8_t ret[EVIDENCE_MEASUREMENT_LEN]);

#endif
