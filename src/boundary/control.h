/* Commands of the control lane; see the table in commands.c. Control thread only. They return false
 * when the boundary has ended. */
#ifndef BOUNDARY_CONTROL_H
#define BOUNDARY_CONTROL_H

#include "boundary/boundary.h"

bool control_hello(struct boundary *b, const struct ring_frame *f);
bool control_load_begin(struct boundary *b, const struct ring_frame *f);
bool control_load_records(struct boundary *b, const struct ring_frame *f);
bool control_load_end(struct boundary *b, const struct ring_frame *f);
bool control_audit_resume(struct boundary *b, const struct ring_frame *f);
bool control_apply(struct boundary *b, const struct ring_frame *f);
bool control_txn_failed(struct boundary *b, const struct ring_frame *f);
bool control_net_data(struct boundary *b, const struct ring_frame *f);
bool control_net_close(struct boundary *b, const struct ring_frame *f);
bool control_status(struct boundary *b, const struct ring_frame *f); /* status.c */
bool control_quiesce(struct boundary *b, const struct ring_frame *f);

/* The gateway broke the protocol: ends the boundary, returns false. */
bool control_undecodable(struct boundary *b, const struct ring_frame *f);

/* ---- own.c: the boundary's own transactions ---- */
/* Propose the pool record and the administrators' roles. */
void own_genesis(struct boundary *b);
/* Propose the audit position when it moved since the last mark. */
void own_audit_mark(struct boundary *b);
/* The same with the position at the call before: those lines are in the file by now. A mark ahead
 * of the file would look like lines removed if everything were killed at that moment. */
void own_audit_mark_settled(struct boundary *b);
/* Propose the purge of one key whose retention is over by the wall clock, if there is one. */
void own_purge(struct boundary *b);
/* An own transaction was committed or given up; frees j. */
void own_end(struct boundary *b, struct job *j, bool committed);
/* Make the token verifier once the pool record is there. false: the boundary ended. */
bool own_start_auth(struct boundary *b);

#endif
