/* The command table: everything the boundary accepts, when, and from whom. What is not in it, or
 * arrives in another state or on another lane, ends the connection. docs/boundary.md describes
 * each command. */
#ifndef BOUNDARY_COMMANDS_H
#define BOUNDARY_COMMANDS_H

#include "boundary/boundary.h"

enum command_lane {
    LANE_CONTROL,
    LANE_REQUEST
};
enum command_scope {
    SCOPED_NONE,  /* no right needed beyond a good token */
    SCOPED_ROOT,  /* "/" */
    SCOPED_KEYS,  /* "/keys" */
    SCOPED_KEY,   /* "/keys/NAME", NAME is the first field */
    SCOPED_FIELD, /* the first field is the scope */
};
struct command {
    enum command_lane lane;
    unsigned phases; /* enum phase bits */
    bool needs_activation;
    enum data_action action;
    enum command_scope scope;
    handler_fn handler;                                              /* requests */
    bool (*control)(struct boundary *b, const struct ring_frame *f); /* control lane */
    hsm_err (*check)(struct bytes body);                             /* the body must decode */
};
/* NULL: no such command. */
const struct command *command_find(unsigned type);

/* Run a request to its answer, or hand it to whatever it waits for. j is consumed. */
void job_run(struct worker *w, struct job *j);
/* The same for a caller who is known already (the fuzzer's way past the token). */
void job_run_as(struct worker *w, struct job *j, struct identity *who);
/* Audit line and answer. err HSM_OK: the result lies in w->out (fresh jobs) or j->result. */
void job_finish(struct worker *w, struct job *j, hsm_err err, bool challenge);
/* Start of a frame's life: false when the envelope or body does not decode. */
bool job_begin(struct worker *w, struct job *j, const struct ring_frame *f);

#endif
