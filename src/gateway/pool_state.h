/* The pool's state as one word in a file, "NotActivated" or "Active", for the other processes of
 * the installation: what the control origin says of the pool is read from there. */
#ifndef GATEWAY_POOL_STATE_H
#define GATEWAY_POOL_STATE_H

#include "gateway/control.h"

struct pool_state_file {
    const char *path; /* NULL: not wanted */
    struct control *control;
    unsigned written;    /* enum pool_state; POOL_NEW: nothing yet */
    uint64_t seen_index; /* of the log, when the state was asked for last */
    bool is_asking, has_failed;
};

/* What the boundary said; NULL: nothing. The file is replaced when the state is a new one. A file
 * that cannot be written is logged once and tried again; the pool is served all the same. */
void pool_state_take(struct pool_state_file *f, const struct wire_status *status);
/* "New", "NotActivated", "Active"; "Unknown" for other numbers. */
const char *pool_state_name(unsigned state);
/* Call it now and then with the last committed index: when something was committed since the last
 * call the boundary is asked. An active pool stays active, so that nothing is asked any more. */
void pool_state_look(struct pool_state_file *f, uint64_t committed);

#endif
