/* Long-running operations: OPERATION documents that are stepped until they end, also across
 * restarts of the fabric. A step function is called with the operation as it is stored, does one
 * thing (which must be harmless to do twice), and says how it goes on. Loop's thread; time is a
 * parameter. */
#ifndef FABRIC_OPERATION_H
#define FABRIC_OPERATION_H

#include "base/uuid.h"
#include "fabric/node_client.h"
#include "fabric/state.h"

#define OPERATION_KIND_MAX   31
#define OPERATION_STEP_MAX   31
#define OPERATION_CODE_MAX   63
#define OPERATION_TEXT_MAX   511
#define OPERATION_KEEP_MS    86400000ull /* how long an ended one can be asked for */
#define OPERATION_KINDS_MAX  32
#define OPERATION_LOOKS_MAX  8
#define OPERATION_DATA_EMPTY "{}"

enum operation_state {
    OPERATION_RUNNING,
    OPERATION_SUCCEEDED,
    OPERATION_FAILED
};

struct operation {
    char id[UUID_TEXT_LEN + 1];
    char kind[OPERATION_KIND_MAX + 1]; /* "hsm.create" */
    char step[OPERATION_STEP_MAX + 1]; /* "" at first, then what step_next() said */
    enum operation_state state;
    char error_code[OPERATION_CODE_MAX + 1], error_text[OPERATION_TEXT_MAX + 1];
    uint64_t created_ms, ended_ms;
    char target[STATE_KEY_MAX + 1]; /* usually the lower-case ARM id */
    struct bytes data; /* a JSON object of the kind's own; borrowed from the document */
};

/* For the answers about it. HSM_E_NOT_FOUND. *ret borrows as long as a document lives. */
HSM_MUST_USE hsm_err operation_find(const struct state *s, struct bytes id, struct operation *ret);
/* HSM_E_CORRUPT: not the document of an operation. */
HSM_MUST_USE hsm_err operation_read(const struct document *d, struct operation *ret);
/* Stage a new one in a handler or a step; its first step follows the commit. data: a JSON object or
 * OPERATION_DATA_EMPTY. */
void operation_start(struct changes *c, const char *kind, struct bytes target, struct bytes data,
                     uint64_t now_ms, char ret_id[UUID_TEXT_LEN + 1]);

struct fabric;
/* One call of a step function. What it stages in changes is committed together with its end, which
 * is exactly one of step_next/again/done/failed/ask. After a conflict the same step is called
 * again. */
struct step {
    const struct operation *op;
    struct changes *changes;
    uint64_t now_ms;
};
typedef void operation_step_fn(struct fabric *f, struct step *s);

/* Call this kind's function again at once, with that step / with the same step in delay_ms. */
void step_next(struct step *s, const char *step);
void step_again(struct step *s, uint64_t delay_ms);
void step_done(struct step *s);
/* code and text are shown to the client. */
void step_failed(struct step *s, const char *code, const char *text);
/* With one of the above: replaces op->data. */
void step_set_data(struct step *s, struct bytes json);
/* Ask a node, then go on in then (which ends as a step function does). Nothing may be staged
 * before; changes are new in then. */
typedef void step_answer_fn(struct fabric *f, struct step *s, const struct node_answer *a);
void step_ask(struct step *s, const char *node, struct bytes request, step_answer_fn *then);

struct operations;
HSM_MUST_USE hsm_err operations_new(struct fabric *f, struct operations **ret);
/* Nothing is under way any more: after state and nodes were closed. NULL is fine. */
void operations_free(struct operations *o);
/* HSM_E_RANGE: too many. kind is static. */
HSM_MUST_USE hsm_err operations_add(struct operations *o, const char *kind, operation_step_fn *fn);
/* Something to look at every period_ms (purges that are due, the meter): fn stages what follows,
 * usually by operation_start(). After a conflict it is called again. */
typedef void operations_look_fn(struct fabric *f, struct changes *c, uint64_t now_ms);
HSM_MUST_USE hsm_err operations_add_look(struct operations *o, uint64_t period_ms,
                                         operations_look_fn *fn);
/* Take up whatever runs according to the state: after it was loaded, and by the leading fabric
 * only. Before, and after operations_pause(), nothing is stepped. */
void operations_resume(struct operations *o);
void operations_pause(struct operations *o);
/* Do what is due. Returns the time in ms until something is due again (UINT64_MAX: nothing is), if
 * wake is not called before. */
uint64_t operations_run(struct operations *o, uint64_t now_ms);
/* wake: operations_run() should be called soon; called from anywhere, so it must not do it itself.
 * clock: the time when a step goes on after an answer; NULL: that of the last operations_run(). */
void operations_hooks(struct operations *o, void (*wake)(void *ctx), void *ctx,
                      uint64_t (*clock)(void));

#endif
