/* Memory for key bytes: one arena per process, memfd_secret where the kernel has it (the pages are
 * then absent from every other process, from /proc/PID/mem, from core dumps and from the kernel's
 * own map), otherwise anonymous locked memory that is left out of core dumps; guard pages around
 * it, and every freed block is wiped. All of libcrypto can be put on it (secret_take_over_openssl),
 * so that no BIGNUM, EVP_PKEY or cipher context of the process lies elsewhere.
 *
 * Thread-safe. Blocks are 16-byte aligned. Exhaustion returns NULL, never other memory. */
#ifndef BASE_SECRET_H
#define BASE_SECRET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/bytes.h"
#include "base/err.h"

enum secret_level {
    SECRET_NONE = 0,  /* arena not set up: secret_alloc works on ordinary memory (tools, tests) */
    SECRET_ANONYMOUS, /* mlock + MADV_DONTDUMP + MADV_WIPEONFORK; the fallback, reported */
    SECRET_MEMFD,     /* memfd_secret */
};

/* Set up the arena once, before the first OpenSSL call of the process. size is rounded up to pages;
 * 0 means: as much as RLIMIT_MEMLOCK allows, at most 64 MiB, at least 2 MiB.
 * HSM_E_NOMEM when not even locked anonymous memory can be had. */
HSM_MUST_USE hsm_err secret_init(size_t size);
enum secret_level secret_level(void);
const char *secret_level_name(void); /* "memfd_secret", "locked", "none" */
size_t secret_used(void);            /* bytes handed out now */
size_t secret_size(void);

/* Route CRYPTO_malloc/realloc/free of the process into the arena. Must precede any other use of
 * libcrypto. HSM_E_INTERNAL when OpenSSL has already allocated. */
HSM_MUST_USE hsm_err secret_take_over_openssl(void);

void *secret_alloc(size_t n); /* zeroed; NULL when exhausted */
void secret_free(void *p);    /* wipes; NULL is fine */

/* An owned block with its length. secret_buf_done wipes and frees; usable with DEFER. */
struct secret_buf {
    uint8_t *p;
    size_t n;
};
HSM_MUST_USE hsm_err secret_buf_new(struct secret_buf *ret, size_t n);
void secret_buf_done(struct secret_buf *b);

/* Wipe that the compiler keeps. */
void secret_wipe(void *p, size_t n);

#endif
