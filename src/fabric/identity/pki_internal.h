/* Internal to identity/: making and checking the certificates behind pki_ensure(). */
#ifndef FABRIC_IDENTITY_PKI_INTERNAL_H
#define FABRIC_IDENTITY_PKI_INTERNAL_H

#include <openssl/evp.h>
#include <openssl/x509.h>
#include "base/bytes.h"

struct pki_pair {
    X509 *cert;
    EVP_PKEY *key;
};
void pki_pair_done(struct pki_pair *p);

#define PKI_SAN_MAX 8192

/* "DNS:a,DNS:*.b,IP:127.0.0.1" of names, in the order given. HSM_E_BAD_PARAMETER. */
HSM_MUST_USE hsm_err pki_san_text(const char *const *names, size_t n, char dst[PKI_SAN_MAX]);

HSM_MUST_USE hsm_err pki_make_ca(uint64_t now_s, struct pki_pair *ret);
/* san: text of pki_san_text(). */
HSM_MUST_USE hsm_err pki_make_server(const struct pki_pair *ca, const char *san, uint64_t now_s,
                                     struct pki_pair *ret);

/* For both ends of a link between partitions. */
HSM_MUST_USE hsm_err pki_make_peer(const struct pki_pair *ca, const char *common_name,
                                   const char *san, uint64_t now_s, struct pki_pair *ret);

/* For a public key whose owner is elsewhere. */
HSM_MUST_USE hsm_err pki_make_peer_of(const struct pki_pair *ca, EVP_PKEY *pub,
                                      const char *common_name, const char *san, uint64_t now_s,
                                      X509 **ret);

/* Is the certificate's validity left for at least margin_s? */
bool pki_is_current(const X509 *cert, uint64_t now_s, uint64_t margin_s);
/* Does the pair belong together, issued by ca, with exactly the names of san? */
bool pki_leaf_fits(const struct pki_pair *leaf, X509 *ca, const char *san);

#endif
