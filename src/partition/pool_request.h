/* What a pool is made of: the "pool" of "make", checked. Pure.
 *   {"tenant":GUID,"administrators":[GUID,...],"retentionDays":90,"purgeProtection":false,
 *    "region":"local","partitions":[{"rack":"a"},...],"issuers":[{...},...]} */
#ifndef PARTITION_POOL_REQUEST_H
#define PARTITION_POOL_REQUEST_H

#include "codec/json.h"
#include "partition/config.h"
#include "partition/pool_file.h"

struct pool_request {
    char tenant[UUID_TEXT_LEN + 1];
    char region[33];
    char rack[PARTITIONS_MAX][33];
    unsigned partition_n;
    struct pool_file file; /* administrators, retention, purge protection, issuers */
};
/* v: the value of "pool". HSM_E_MALFORMED, text[cap] says what. Borrows from d's text. */
HSM_MUST_USE hsm_err pool_request_parse(const struct json_doc *d, uint32_t v,
                                        struct pool_request *ret, char *text, size_t cap);

#endif
