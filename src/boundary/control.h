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
bool control_peer_open(struct boundary *b, const struct ring_frame *f);  /* own_join.c */
bool control_lease_sign(struct boundary *b, const struct ring_frame *f); /* lease.c */
bool control_lease_grant(struct boundary *b, const struct ring_frame *f);
bool control_released(struct boundary *b, const struct ring_frame *f);
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
/* An own transaction was committed; HSM_E_STALE: lost a race; else given up. Frees j. */
void own_end(struct boundary *b, struct job *j, hsm_err err);
/* For own_*.c: begin the control thread's transaction; send it, with j waiting for it. false:
 * nothing is on its way, j is freed. */
struct txn *own_begin(struct boundary *b);
HSM_MUST_USE bool own_send(struct boundary *b, struct job *j);
/* Make the token verifier once the pool record is there. false: the boundary ended. */
bool own_start_auth(struct boundary *b);

/* An audit line of something that nobody asked for by a request. rq: detail and audit_note. */
void own_record(struct boundary *b, struct request *rq, const char *operation, const char *uri,
                hsm_err err, uint64_t started_us);
/* Connections that the gateway makes; ctx is the boundary. */
void own_relay_open(void *ctx, uint32_t conn, const char *host, uint16_t port);
void own_relay_data(void *ctx, uint32_t conn, struct bytes b);
void own_relay_close(void *ctx, uint32_t conn);

/* ---- own_join.c: other boundaries ---- */
HSM_MUST_USE hsm_err own_join_init(struct boundary *b, const struct boundary_config *c);
void own_join_done(struct boundary *b);
/* Time-outs; a joiner begins, and begins again. */
void own_join_tick(struct boundary *b, uint64_t mono_us);
/* Bytes for, and the end of, a connection of another boundary. */
bool own_join_owns(const struct boundary *b, uint32_t conn);
void own_join_data(struct boundary *b, uint32_t conn, struct bytes data);
void own_join_closed(struct boundary *b, uint32_t conn);

/* ---- own_rotation.c ---- */
/* One step of what rotation policies want, if something is due by the wall clock. Every tick. */
void own_rotate(struct boundary *b, uint64_t mono_us);
void own_rotation_end(struct boundary *b, struct job *j, hsm_err err);

#endif
