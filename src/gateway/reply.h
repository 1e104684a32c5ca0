/* Header blocks of answers, as the service sends them. Pure. */
#ifndef GATEWAY_REPLY_H
#define GATEWAY_REPLY_H

#include "base/bytes.h"

#define REPLY_HEADERS_MAX 3072

struct reply {
    bool is_get;   /* the build version is shown on answers to GET only */
    bool is_error; /* network info and region are left out then */
    bool client_is_v6;
    const char *client_ip;
    const char *region;
    const char *activity; /* request id */
    uint64_t latency_ms;
    const char *challenge;  /* NULL: none */
    uint64_t claims_nbf_s;  /* not 0: the claims form of the challenge with that time */
    const char *authority;  /* with async_path */
    const char *async_path; /* NULL: none; "/securitydomain/download/pending" */
    unsigned retry_after_s; /* 0: none */
};

void reply_headers(const struct reply *r, struct wr *out);

#endif
