/* One boundary gives the pool's root secrets to another one: TLS 1.3 that ends in both, relayed by
 * gateways that see ciphertext. A state machine without I/O of its own, for either role; one
 * connection at a time; one thread.
 *
 * Both show evidence (peer_cert.h). As evidence without a platform behind it can be claimed by
 * anybody, both then prove that they have the pool's admission key, before anything else is said:
 *   proof = HMAC-SHA-256(admission key, role || exporter || own SPKI hash || peer's SPKI hash)
 * with the exporter of this very TLS connection (RFC 8446 section 7.5), so that a proof is worth
 * nothing on any other one. The joiner proves first. */
#ifndef BOUNDARY_JOIN_H
#define BOUNDARY_JOIN_H

#include "boundary/join_msg.h"
#include "boundary/peer_cert.h"
#include "base/secret.h"

#define JOIN_TIMEOUT_MS    5000u
#define JOIN_RECEIVED_MAX  (64u * 1024u) /* of one connection, TLS framing included */
#define JOIN_ADMISSION_LEN 32u

enum join_role {
    JOIN_MEMBER,
    JOIN_JOINER
};

/* What this process shows and asks for; made before the sandbox closes. */
struct join_self;
/* admission: JOIN_ADMISSION_LEN bytes, copied into secret memory. by: see peer_identity_new(). */
HSM_MUST_USE hsm_err join_self_new(const struct evidence *e, const struct peer_voucher *by,
                                   const struct peer_policy *policy, struct bytes admission,
                                   struct join_self **ret);
void join_self_free(struct join_self *s);
const struct evidence *join_self_evidence(const struct join_self *s);
struct join_options {
    const char *admission_path, *pool, *protection;
    uint32_t partition;
    const struct peer_policy *policy;
    enum evidence_provider provider;
    const struct peer_voucher *by; /* NULL: nobody */
};
/* From the boundary's own program and the file of the admission key; text[cap]: what is wrong. */
HSM_MUST_USE hsm_err join_self_load(const struct join_options *o, struct join_self **ret,
                                    char *text, size_t cap);

struct join_hooks {
    void *ctx;
    void (*data)(void *ctx, uint32_t conn, struct bytes b);
    void (*close)(void *ctx, uint32_t conn);
    /* Member: the peer has shown and proved everything. HSM_OK: the secrets to send and the pool's
     * id; nothing was sent yet. Else: the reason to give. */
    hsm_err (*grant)(void *ctx, const struct evidence *peer, struct uuid *ret_pool,
                     struct secret_buf *ret_roots, enum join_reason *reason);
    /* Joiner: the secrets of a member that proved to be one. HSM_OK: they are sealed; else *why,
     * static. */
    hsm_err (*take)(void *ctx, const struct uuid *pool, struct bytes roots, const char **why);
    /* The connection is over. HSM_OK: the joiner has sealed the secrets. why: static. */
    void (*ended)(void *ctx, hsm_err err, const char *why);
};

struct join;
/* self must outlive it. */
HSM_MUST_USE hsm_err join_new(const struct join_self *self, enum join_role role,
                              const struct join_hooks *hooks, struct join **ret);
void join_free(struct join *j);
bool join_is_busy(const struct join *j);
uint32_t join_conn(const struct join *j);
/* Evidence of the connection's peer, also after its end; NULL: it has shown none. */
const struct evidence *join_peer(const struct join *j);

/* A new connection; none may be under way. mono_ms: any clock, the same as for join_tick(). */
void join_start(struct join *j, uint32_t conn, uint64_t mono_ms, uint64_t wall_s);
/* Bytes for, or the end of, that connection. */
void join_data(struct join *j, struct bytes b);
void join_closed(struct join *j);
/* Gives up after JOIN_TIMEOUT_MS. */
void join_tick(struct join *j, uint64_t mono_ms);

#endif
