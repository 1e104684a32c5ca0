/* The pool's root secrets: made by the first boundary of a pool, kept sealed locally by a seal
 * provider, carried by the security domain, and nowhere else. All of it in secret memory. */
#ifndef BOUNDARY_ROOTS_H
#define BOUNDARY_ROOTS_H

#include "base/bytes.h"
#include "base/secret.h"
#include "base/uuid.h"

#define ROOT_KEY_LEN 32

struct roots {
    struct uuid pool; /* pool id (also the security domain id) */
    uint8_t *dek;     /* 32: data encryption key; record keys, index key, txn key derive */
    uint8_t *backup;  /* 64: backup protection key */
    struct secret_buf owner_key; /* PKCS#8 DER of the partition-owner EC P-384 key */
    struct secret_buf audit_key; /* PKCS#8 DER of the EC P-256 key that signs audit checkpoints */
    uint8_t *owner_cert;         /* DER of the self-signed owner certificate (public) */
    size_t owner_cert_n;
    struct secret_buf mem; /* backing of dek and backup */
};
/* Fresh secrets; pool name goes into the owner certificate's subject. */
HSM_MUST_USE hsm_err roots_generate(const char *pool_name, struct roots *ret);
/* Versioned serialisation (secret) and back; strict. */
HSM_MUST_USE hsm_err roots_encode(const struct roots *r, struct secret_buf *ret);
HSM_MUST_USE hsm_err roots_decode(struct bytes b, struct roots *ret);
void roots_done(struct roots *r);

/* 32 bytes = HKDF-SHA-256(dek, salt = pool id, info = label || context). out in secret memory or
 * wiped by the caller. */
HSM_MUST_USE hsm_err roots_derive(const struct roots *r, const char *label, struct bytes context,
                                  uint8_t out[32]);

/* n bytes = HKDF-SHA-256(backup key, no salt, info = label || context): nothing of them is of this
 * pool alone, another one of the same security domain derives the same. */
HSM_MUST_USE hsm_err roots_derive_backup(const struct roots *r, const char *label,
                                         struct bytes context, uint8_t *out, size_t n);

#endif
