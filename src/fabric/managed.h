/* Managed identities of resources: a service principal of the directory that nobody has a secret
 * of. For the handlers of resource types: they stage it with the resource's own document, so that
 * both exist or neither. Tokens for it come from the managed identity endpoint, or from
 * managed_token() for a service that this program plays itself. */
#ifndef FABRIC_MANAGED_H
#define FABRIC_MANAGED_H

#include "base/bytes.h"
#include "base/err.h"
#include "base/uuid.h"

struct fabric;
struct changes;

/* Borrowed texts. */
struct managed_want {
    struct bytes name;        /* display name: that of the resource; 1 to 128 bytes */
    struct bytes resource_id; /* ARM id of the resource, or of the user-assigned identity itself */
    bool user_assigned;       /* false: it lives and dies with the resource */
};
struct managed_identity {
    char principal_id[UUID_TEXT_LEN + 1]; /* object id: what roles are assigned to; lower case */
    char client_id[UUID_TEXT_LEN + 1];
    bool user_assigned;
};

/* Stages a new identity with fresh ids. HSM_E_BAD_PARAMETER: name or resource id do not fit.
 * HSM_E_NOMEM. */
HSM_MUST_USE hsm_err identity_create_managed(struct fabric *f, struct changes *c,
                                             const struct managed_want *want, uint64_t now_ms,
                                             struct managed_identity *ret);
/* Stages its end; tokens for it are refused from the commit on. Unknown ids are fine: the end may
 * be asked for twice. Role assignments stay behind without a principal, as the service does it. */
HSM_MUST_USE hsm_err identity_delete(struct fabric *f, struct changes *c,
                                     struct bytes principal_id);
/* HSM_E_NOT_FOUND also when that principal is no managed identity. */
HSM_MUST_USE hsm_err identity_find_managed(struct fabric *f, struct bytes principal_id,
                                           struct managed_identity *ret);
/* An access token of that identity for audience resource, appended to out; the caller wipes it. */
HSM_MUST_USE hsm_err managed_token(struct fabric *f, struct bytes principal_id,
                                   struct bytes resource, uint64_t now_ms, struct wr *out);

#endif
