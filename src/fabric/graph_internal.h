/* Internal to graph*.c. Static work memory: one thread, one request at a time. */
#ifndef FABRIC_GRAPH_INTERNAL_H
#define FABRIC_GRAPH_INTERNAL_H

#include "fabric/graph_draft.h"

/* The object that a path means: "users", "groups", "applications", "servicePrincipals" or
 * "directoryObjects" in segment 1, an id (users: or a name) in segment 2. 404 when false. */
HSM_MUST_USE bool graph_target(const struct fabric *f, const struct request *rq,
                               struct people_object *ret, struct answer *a);
HSM_MUST_USE bool graph_by_id(const struct fabric *f, struct bytes oid, struct people_object *ret);
/* The body parsed; 400 when false. */
HSM_MUST_USE bool graph_body(const struct request *rq, struct json_doc *ret, struct answer *a);
/* 403 when false. */
HSM_MUST_USE bool graph_may_write(const struct fabric *f, const struct request *rq,
                                  struct answer *a);
void graph_bad_request(struct answer *a, const char *text);
void graph_not_found(struct answer *a);
void graph_denied(struct answer *a, const char *text);
/* With "@odata.type". */
void graph_put(struct json_wr *j, const struct people_object *o);
void graph_new_id(char dst[UUID_TEXT_LEN + 1]);

/* graph_credential.c: "keyCredentials" of a body. *ret_list is raw JSON, *ret_certificates the
 * members of secret.certificates. p == NULL: the body has none. false: 400. */
HSM_MUST_USE bool graph_take_keys(const struct json_doc *body, const struct people_object *old,
                                  struct bytes *ret_list, struct bytes *ret_certificates,
                                  struct answer *a);
/* {"secrets":{secrets},"certificates":{certificates}} where p == NULL keeps the old. */
struct bytes graph_secret(const struct people_object *old, struct bytes secrets,
                          struct bytes certificates);

#endif
