/* A transaction as an entry of the raft log: a head, the bytes, zeros up to a multiple of eight
 * (libraft wants that). The head names the newest index that its maker knew to be durable: it lets
 * logscan.c tell a torn tail (never acknowledged) from damage. Pure. */
#ifndef STORE_LOGENTRY_H
#define STORE_LOGENTRY_H

#include "base/bytes.h"

#define LOGENTRY_HEAD  16u
#define LOGENTRY_MAGIC 0x4b485431u /* "KHT1" */

static inline size_t logentry_size(size_t txn_len)
{
    return (LOGENTRY_HEAD + txn_len + 7) & ~(size_t)7;
}

/* dst has logentry_size(txn.n) bytes. */
static inline void logentry_encode(uint8_t *dst, struct bytes txn)
{
    memset(dst, 0, logentry_size(txn.n));
    be64_put(dst, (uint64_t)LOGENTRY_MAGIC << 32 | txn.n);
    memcpy(dst + LOGENTRY_HEAD, txn.p, txn.n);
}

static inline void logentry_set_durable(uint8_t *dst, uint64_t index)
{
    be64_put(dst + 8, index);
}

HSM_MUST_USE static inline hsm_err logentry_decode(struct bytes in, uint64_t *ret_durable,
                                                   struct bytes *ret_txn)
{
    if (in.n < LOGENTRY_HEAD)
        return HSM_E_MALFORMED;
    uint64_t head = be64_get(in.p);
    size_t len = (size_t)(head & UINT32_MAX);
    if (head >> 32 != LOGENTRY_MAGIC || len > in.n || logentry_size(len) != in.n)
        return HSM_E_MALFORMED;
    *ret_durable = be64_get(in.p + 8);
    *ret_txn = bytes_of(in.p + LOGENTRY_HEAD, len);
    return HSM_OK;
}

#endif
