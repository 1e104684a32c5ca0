/* "1=host:port,2=host:port": nodes by raft id and where their links are. Pure. */
#ifndef STORE_SEEDS_H
#define STORE_SEEDS_H

#include "base/bytes.h"

#define SEEDS_MAX 16

struct seed {
    uint64_t id;
    char address[128];
};
struct seeds {
    struct seed seed[SEEDS_MAX];
    size_t n;
};

/* "" is none. HSM_E_BAD_PARAMETER: another form, twice the same id, too many. */
HSM_MUST_USE hsm_err seeds_parse(const char *text, struct seeds *ret);

#endif
