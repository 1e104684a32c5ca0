/* Principals of issuers that are no directory of ours: their subjects are texts, not object ids. */
#ifndef MODEL_FOREIGN_H
#define MODEL_FOREIGN_H

#include "base/bytes.h"
#include "base/uuid.h"

/* The object id that stands for subject at issuer, for role assignments: a UUID of version 8
 * (RFC 9562 §5.8) made of SHA-256. Two issuers never share one. HSM_E_INTERNAL */
HSM_MUST_USE hsm_err foreign_principal(struct bytes issuer, struct bytes subject,
                                       char ret[UUID_TEXT_LEN + 1]);

#endif
