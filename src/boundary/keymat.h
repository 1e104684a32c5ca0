/* Key material: generation, the serialised private part, and every cryptographic operation on it.
 * Private bytes are in secret memory only; libcrypto's own allocations are there as well
 * (secret_take_over_openssl). Thread-safe: a struct keymat may be used by several threads. */
#ifndef BOUNDARY_KEYMAT_H
#define BOUNDARY_KEYMAT_H

#include <stdatomic.h>
#include "base/bytes.h"
#include "base/secret.h"
#include "codec/key_numbers.h"
#include "model/alg.h"
#include "wire/wire.h"

struct keymat_spec {
    enum key_type kty;
    enum key_curve crv;
    uint32_t bits;            /* RSA 2048/3072/4096, oct 128/192/256 (imported: 8 to 512) */
    uint64_t public_exponent; /* RSA: 3 or 65537; imported: unused */
};
/* What a client may ask for: fill defaults (RSA 2048/65537, EC P-256, oct 256) and check;
 * HSM_E_BAD_PARAMETER with *why. */
HSM_MUST_USE hsm_err keymat_spec_check(struct keymat_spec *spec, const char **why);

/* Public part, fixed buffers. oct: everything empty. */
struct keymat_public {
    uint8_t n[512], e[8], x[66], y[66];
    size_t n_len, e_len, x_len, y_len;
};

/* New key, also like one that came from elsewhere: oct of 8 to 512 bits, any odd exponent from 3
 * on. Serialised private part (own versioned format) in secret memory. Slow for RSA. */
HSM_MUST_USE hsm_err keymat_generate(const struct keymat_spec *spec, struct secret_buf *ret_private,
                                     struct keymat_public *ret_public);
/* The same, given up soon after *stop became true: HSM_E_UNAVAILABLE. */
HSM_MUST_USE hsm_err keymat_generate_until(const struct keymat_spec *spec, atomic_bool *stop,
                                           struct secret_buf *ret_private,
                                           struct keymat_public *ret_public);

/* A key that somebody else made: RSA needs n, e, d, p, q and may have dp, dq, qi; EC needs d and
 * may have x and y; oct has k. This is the cheap part of the check: sizes, and which numbers are
 * there. spec->kty and crv say what it is to be; bits is set. HSM_E_BAD_PARAMETER with *why. */
HSM_MUST_USE hsm_err keymat_import_size(const struct key_numbers *given, struct keymat_spec *spec,
                                        const char **why);
/* The key that the numbers make, if all of them belong together; in the form of keymat_generate().
 * spec: of keymat_import_size(). Slow for RSA. HSM_E_BAD_PARAMETER with *why. */
HSM_MUST_USE hsm_err keymat_import(const struct key_numbers *given, const struct keymat_spec *spec,
                                   struct secret_buf *ret_private, struct keymat_public *ret_public,
                                   const char **why);

struct keymat;
/* What a key transfer blob wraps for kek: RSA-OAEP (SHA-1) of an AES key, then the target under
 * AES-KWP (CKM_RSA_AES_KEY_WRAP). spec->kty says what the target is (RSA, EC: PKCS#8; oct: its
 * bytes), spec->crv is compared with the target's when set, else taken from it. *ret_numbers are
 * views into *ret_plain. One error whatever is wrong with the wrapped bytes or the target's form,
 * so that nobody learns of the padding: HSM_E_BAD_PARAMETER with *why. As slow as an RSA
 * decryption. */
HSM_MUST_USE hsm_err keymat_transfer_open(struct keymat *kek, struct bytes wrapped,
                                          struct keymat_spec *spec, struct secret_buf *ret_plain,
                                          struct key_numbers *ret_numbers, const char **why);
/* What a serialised private part is, and its public half. HSM_E_CORRUPT. */
HSM_MUST_USE hsm_err keymat_describe(struct bytes private_part, struct keymat_spec *ret_spec,
                                     struct keymat_public *ret_public);
/* Make a usable key of the serialised private part. Checks consistency (RSA: lengths; the bytes
 * come from our own seal). *ret is reference counted: starts with one. */
HSM_MUST_USE hsm_err keymat_open(struct bytes private_part, struct keymat **ret);
struct keymat *keymat_ref(struct keymat *k);
void keymat_unref(struct keymat *k); /* NULL is fine; the last one wipes */
/* Estimate of the secret memory that an opened key in use takes, in bytes. */
size_t keymat_cost(const struct keymat *k);

/* One operation; op is one KEY_OP bit out of encrypt, decrypt, wrap, unwrap, sign, verify. The
 * algorithm was checked with crypto_alg_fits() already; lengths are checked here:
 * HSM_E_BAD_PARAMETER with *why, HSM_E_CRYPTO for every decryption or integrity failure (uniform).
 * Results go to out->value etc., which point into buf[cap] (cap >= in->value.n + 1024); only an
 * echoed out->aad is the view given in in->aad. A signature that does not verify is HSM_OK with
 * verified 0. */
HSM_MUST_USE hsm_err keymat_crypto(struct keymat *k, uint32_t op, const struct wire_crypto *in,
                                   uint8_t *buf, size_t cap, struct wire_crypto_result *out,
                                   const char **why);

/* Opened keys by version id, least recently used goes first when limit bytes of secret memory (as
 * estimated) are exceeded or secret memory runs out. */
struct keycache;
HSM_MUST_USE hsm_err keycache_new(size_t limit, struct keycache **ret);
void keycache_free(struct keycache *c);
/* *ret is a reference for the caller. open is called (without the cache's lock) on a miss and gives
 * the serialised private part. */
typedef hsm_err (*keycache_open_fn)(void *ctx, struct secret_buf *ret_private);
HSM_MUST_USE hsm_err keycache_get(struct keycache *c, const struct uuid *version,
                                  keycache_open_fn open, void *ctx, struct keymat **ret);
void keycache_drop(struct keycache *c, const struct uuid *version);
/* Close about a quarter of the keys, the least recently used ones, after an operation met
 * HSM_E_NOMEM; false when there was none to close. keycache_get does so by itself. */
bool keycache_shed(struct keycache *c);
/* Set once: what gives secret memory back before a key has to be closed. */
void keycache_set_spare(struct keycache *c, bool (*shed)(void *ctx), void *ctx);

#endif
