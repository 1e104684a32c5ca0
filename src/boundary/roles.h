/* Role definitions and assignments in memory: decisions and handlers. The tables are rebuilt from
 * sealed records; readers hold the state lock (state.h) shared, appliers exclusively. */
#ifndef BOUNDARY_ROLES_H
#define BOUNDARY_ROLES_H

#include "boundary/auth.h"
#include "boundary/handler.h"
#include "model/rbac.h"

struct roles;
HSM_MUST_USE hsm_err roles_new(struct roles **ret);
void roles_free(struct roles *r);

/* Record plaintexts of kinds REC_ROLE_DEFINITION and REC_ROLE_ASSIGNMENT are WIRE_ROLE_DEFINITION
 * and WIRE_ROLE_ASSIGNMENT messages; name of the record is the guid's text. Called by the state
 * with its lock held exclusively. removed: the record is gone. */
HSM_MUST_USE hsm_err roles_apply_definition(struct roles *r, struct bytes plain, bool removed);
HSM_MUST_USE hsm_err roles_apply_assignment(struct roles *r, struct bytes plain, bool removed);

/* May this identity (oid or one of its groups) do a at s? Per-principal look-up. */
bool roles_may(const struct roles *r, const struct identity *who, enum data_action a,
               const struct scope *s);

/* Handlers of the OP_ROLE_* commands (see handler.h); rules: limits 50 custom definitions, 50
 * assignments at "/" and "/keys", 10 per key scope; last-administrator guard. */
hsm_err roles_handle_definition_list(struct request *rq);
hsm_err roles_handle_definition_get(struct request *rq);
hsm_err roles_handle_definition_put(struct request *rq);
hsm_err roles_handle_definition_delete(struct request *rq);
hsm_err roles_handle_assignment_list(struct request *rq);
hsm_err roles_handle_assignment_get(struct request *rq);
hsm_err roles_handle_assignment_put(struct request *rq);
hsm_err roles_handle_assignment_delete(struct request *rq);

/* The record that makes principal (object id text) an Administrator at "/"; for the genesis. */
HSM_MUST_USE hsm_err roles_admin_assignment(struct bytes principal, struct uuid *ret_guid,
                                            struct wr *plain);

#endif
