/* What a boundary shows to another one, for tests: the same program, pool and admission key unless
 * something else is asked for. */
#ifndef BOUNDARY_PEER_TESTING_H
#define BOUNDARY_PEER_TESTING_H

#include <stdio.h>
#include "boundary/join.h"

struct peer_options {
    uint32_t partition;
    uint8_t measurement; /* first byte of it */
    uint8_t admission;   /* first byte of the key */
    enum evidence_provider provider;
    const char *pool; /* NULL: "dev" */
    struct peer_policy policy;
    const struct peer_voucher *by; /* NULL: nobody */
};

static inline struct evidence peer_evidence(const struct peer_options *o)
{
    struct evidence e = {.provider = o->provider, .partition = o->partition};
    memset(e.measurement, 0x5a, sizeof e.measurement);
    e.measurement[0] = o->measurement;
    snprintf(e.pool, sizeof e.pool, "%s", o->pool == NULL ? "dev" : o->pool);
    snprintf(e.protection, sizeof e.protection, "software");
    return e;
}

static inline struct join_self *peer_self(const struct peer_options *o)
{
    uint8_t admission[JOIN_ADMISSION_LEN] = {o->admission};
    const struct evidence e = peer_evidence(o);
    struct join_self *s = NULL;
    HSM_ASSERT(join_self_new(&e, o->by, &o->policy, bytes_of(admission, sizeof admission), &s) ==
               HSM_OK);
    return s;
}

#endif
