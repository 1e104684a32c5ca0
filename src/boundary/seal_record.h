/* Sealing of records: what the store and everything outside the boundary sees of them.
 *
 *   rid     HMAC-SHA-256(index key, kind || name): names are not visible outside
 *   sealed  format | nonce[12] | tag[16] | u32 n | ciphertext[n] | tail
 *           AES-256-GCM, fresh nonce; AAD = pool id, rid, revision, format, tail;
 *           plaintext = kind | u32-prefixed name | body
 *   tail    empty, or a key version's private part, sealed on its own under another key with
 *           AAD = pool id, rid: it never changes, so that an update of attributes copies it and no
 *           private byte is opened for it. Bound to the revision by being AAD of the record.
 *
 * struct sealer holds the derived keys (secret memory) and is shared; struct seal_ctx holds cipher
 * contexts and belongs to one thread. */
#ifndef BOUNDARY_SEAL_RECORD_H
#define BOUNDARY_SEAL_RECORD_H

#include "base/bytes.h"
#include "base/secret.h"
#include "base/uuid.h"
#include "boundary/handler.h"
#include "boundary/roots.h"

#define RID_LEN         32u
#define SEAL_MAC_LEN    32u
#define SEAL_TAG_LEN    16u
#define RECORD_NAME_MAX 128u
/* Bytes that sealing adds in front of kind, name and body; tail not counted. */
#define SEAL_OVERHEAD (1u + 12u + SEAL_TAG_LEN + 4u + 1u + 4u)
/* Bytes that seal_private adds. */
#define SEAL_PRIVATE_OVERHEAD (12u + SEAL_TAG_LEN)

struct sealer;
HSM_MUST_USE hsm_err sealer_new(const struct roots *roots, struct sealer **ret);
void sealer_free(struct sealer *s);

struct seal_ctx;
/* s must outlive the context. */
HSM_MUST_USE hsm_err seal_ctx_new(const struct sealer *s, struct seal_ctx **ret);
void seal_ctx_free(struct seal_ctx *c);

HSM_MUST_USE hsm_err seal_rid(struct seal_ctx *c, enum record_kind kind, struct bytes name,
                              uint8_t rid[RID_LEN]);

/* Appends to out; overflow of out is HSM_E_TOO_LARGE. */
HSM_MUST_USE hsm_err seal_record(struct seal_ctx *c, const uint8_t rid[RID_LEN], uint64_t revision,
                                 enum record_kind kind, struct bytes name, struct bytes body,
                                 struct bytes tail, struct wr *out);

struct opened_record {
    enum record_kind kind;
    struct bytes name; /* views into buf */
    struct bytes body;
    struct bytes tail;         /* view into sealed */
    uint8_t tag[SEAL_TAG_LEN]; /* identifies these bytes in the digest */
};
/* buf[cap]: cap >= sealed.n. HSM_E_CORRUPT unless it authenticates as this record at this revision
 * of this pool, and its rid is that of its kind and name. */
HSM_MUST_USE hsm_err open_record(struct seal_ctx *c, const uint8_t rid[RID_LEN], uint64_t revision,
                                 struct bytes sealed, uint8_t *buf, size_t cap,
                                 struct opened_record *ret);

/* Private part of the key version with that rid; out has room for n + SEAL_PRIVATE_OVERHEAD. */
HSM_MUST_USE hsm_err seal_private(struct seal_ctx *c, const uint8_t rid[RID_LEN],
                                  struct bytes secret_plain, uint8_t *out);
HSM_MUST_USE hsm_err open_private(struct seal_ctx *c, const uint8_t rid[RID_LEN],
                                  struct bytes sealed, struct secret_buf *ret);

/* MAC over a transaction's id, the past it was made in, and its operations. */
HSM_MUST_USE hsm_err seal_txn_mac(struct seal_ctx *c, const struct uuid *id, uint64_t seen,
                                  const uint8_t past[SEAL_MAC_LEN], struct bytes ops,
                                  uint8_t mac[SEAL_MAC_LEN]);
/* MAC with which one boundary of the pool tells another one how far the pool's history goes. */
HSM_MUST_USE hsm_err seal_lease_mac(struct seal_ctx *c, const struct uuid *nonce, uint64_t index,
                                    const uint8_t past[SEAL_MAC_LEN], uint8_t mac[SEAL_MAC_LEN]);
/* past := hash of the past and one more transaction, of which mac and verdict are given. */
HSM_MUST_USE hsm_err seal_past_add(struct seal_ctx *c, uint8_t past[SEAL_MAC_LEN],
                                   const uint8_t mac[SEAL_MAC_LEN], bool accepted);
/* Element of the state digest: HMAC(digest key, rid || revision || tag). */
HSM_MUST_USE hsm_err seal_digest_element(struct seal_ctx *c, const uint8_t rid[RID_LEN],
                                         uint64_t revision, const uint8_t tag[SEAL_TAG_LEN],
                                         uint8_t element[SEAL_MAC_LEN]);
/* MAC over the digest's own serialised form. */
HSM_MUST_USE hsm_err seal_digest_mac(struct seal_ctx *c, struct bytes text,
                                     uint8_t mac[SEAL_MAC_LEN]);

#endif
