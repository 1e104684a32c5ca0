/* The local certificate authority and the server certificate of one installation, in one directory:
 *   ca.pem      certificate to trust ("Keyhold development CA", EC P-256, 10 years)
 *   ca.key      its key, 0600
 *   server.pem  server certificate (EC P-256, 825 days) followed by the CA certificate
 *   server.key  its key, 0600
 * Thread-safe; processes are serialised by a lock on the directory. */
#ifndef FABRIC_IDENTITY_PKI_H
#define FABRIC_IDENTITY_PKI_H

#include "base/bytes.h"

#define PKI_CA_CERT     "ca.pem"
#define PKI_CA_KEY      "ca.key"
#define PKI_SERVER_CERT "server.pem"
#define PKI_SERVER_KEY  "server.key"
#define PKI_PEER_CERT   "peer.pem"
#define PKI_PEER_KEY    "peer.key"
#define PKI_NAMES_MAX   64

/* Names every installation serves: the local ones and, for the Azure-names mode, those of the
 * service. */
extern const char *const pki_default_names[];
extern const size_t pki_default_names_n;

/* Create what is missing. names: DNS names (a leading "*." is fine) and IP addresses; 1 to
 * PKI_NAMES_MAX. The server certificate is issued anew when it is missing or damaged, expires
 * within 30 days, was not issued by this CA, does not fit its key, or names something else than
 * names. The CA is created only when its certificate is missing or expired: clients trust it.
 *   HSM_E_CORRUPT  the CA is damaged or incomplete; why[cap] says which file to look at
 *   HSM_E_BAD_PARAMETER  a name is neither a DNS name nor an address
 * *ret_issued (may be NULL): a new server certificate was written. now_ms: wall clock. */
HSM_MUST_USE hsm_err pki_ensure(const char *dir, const char *const *names, size_t n,
                                uint64_t now_ms, bool *ret_issued, char *why, size_t cap);

/* For a further pool of an installation, in a directory of its own: a CA that only its partitions'
 * links know (dir/ca.pem, ca.key), and a server certificate for names that the installation's CA in
 * ca_dir issues, as above. Results as of pki_ensure(). */
HSM_MUST_USE hsm_err pki_ensure_pool(const char *ca_dir, const char *dir, const char *const *names,
                                     size_t n, uint64_t now_ms, char *why, size_t cap);

/* The certificate of one partition for its links with the others, in its own directory dir, which
 * exists: peer.pem (followed by the CA certificate) and peer.key. Subject CN "partition P", URI
 * keyhold:POOL:P, for both ends of TLS. Issued anew when it is missing or damaged, expires within
 * 30 days or was not issued by the CA in ca_dir; only then the CA's key is needed.
 *   HSM_E_NOT_FOUND, HSM_E_CORRUPT  it would be needed and is not there; why[cap] says so */
HSM_MUST_USE hsm_err pki_ensure_peer(const char *ca_dir, const char *dir, const char *pool,
                                     unsigned partition, uint64_t now_ms, char *why, size_t cap);

/* The same for a key that was made elsewhere: a certificate for spki (SubjectPublicKeyInfo, EC
 * P-256), and the CA's after it, as PEM appended to out. HSM_E_BAD_PARAMETER: not such a key. */
HSM_MUST_USE hsm_err pki_issue_peer(const char *ca_dir, struct bytes spki, const char *pool,
                                    unsigned number, uint64_t now_ms, struct wr *out);
/* SHA-256 of the CA's certificate, hex: what a joining node knows it by. */
HSM_MUST_USE hsm_err pki_ca_fingerprint(const char *ca_dir, char ret[65]);

#endif
