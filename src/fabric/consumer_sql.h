/* Microsoft.Sql: what its files share. Instances and servers have the same children. */
#ifndef FABRIC_CONSUMER_SQL_H
#define FABRIC_CONSUMER_SQL_H

#include "fabric/consumer.h"

#define SQL_SERVICE_KEY "ServiceManaged"
#define SQL_CURRENT     "current"

/* A key as instances name and show it. */
struct sql_key {
    char name[ARM_NAME_MAX + 1]; /* "ServiceManaged" or HSM_KEY_VERSION */
    char uri[KEY_URL_MAX + 1];   /* "" for the service's own */
    char thumbprint[41];
};
/* From a key's URL with version; HSM_E_INVALID_KEY_ID. */
HSM_MUST_USE hsm_err sql_key_of(const char *uri, struct sql_key *ret);
void sql_key_of_service(struct sql_key *ret);
/* The members of "properties" of a key, and of a protector. */
void sql_put_key(struct json_wr *j, const struct sql_key *k, uint64_t created_ms);
void sql_put_protector(struct json_wr *j, const struct sql_key *k, bool rotate);
/* Stage a child of an instance or server as a whole document. */
void sql_stage_key(struct fabric *f, const struct request *rq, const struct arm_put *p,
                   const struct sql_key *k);
void sql_stage_protector(struct fabric *f, const struct request *rq, const struct arm_put *p,
                         const struct sql_key *k, bool rotate);

#endif
