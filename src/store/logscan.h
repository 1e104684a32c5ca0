/* A look at libraft's files before libraft sees them. libraft takes any damage in an open segment
 * for a torn write and drops what follows; here the two are told apart, so that an acknowledged
 * transaction is never dropped in silence. A torn tail is zeroed. */
#ifndef STORE_LOGSCAN_H
#define STORE_LOGSCAN_H

#include "base/bytes.h"

struct logscan {
    bool pristine;     /* nothing was ever logged: bootstrap */
    uint64_t last;     /* index */
    uint64_t snapshot; /* index of the newest one, 0: none */
    uint64_t term;     /* largest one of an entry */
};

/* loaded: index of the applied state, which the log must reach. may_be_empty: a node that waits to
 * be added may have prepared segments and written nothing. */
HSM_MUST_USE hsm_err logscan_run(const char *dir, uint64_t loaded, bool may_be_empty,
                                 struct logscan *ret, char *text, size_t cap);

#endif
