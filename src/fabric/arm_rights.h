/* Rights of the control plane: roles of Resource Manager, assigned to principals and groups at a
 * subscription, group or resource. They give no right on keys. */
#ifndef FABRIC_ARM_RIGHTS_H
#define FABRIC_ARM_RIGHTS_H

#include "base/bytes.h"
#include "base/uuid.h"

struct arm_role {
    const char *id; /* GUID */
    const char *name, *description;
    const char *const *actions;     /* ended by NULL */
    const char *const *not_actions; /* ended by NULL */
};
extern const struct arm_role arm_roles[];
extern const size_t arm_roles_n;

#define ARM_ROLE_OWNER "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"

/* By GUID or by the id of a definition that ends in it, any case; NULL: unknown. */
const struct arm_role *arm_role_find(struct bytes id);
/* Does the role allow the action? '*' in a role stands for anything; any case. */
bool arm_role_allows(const struct arm_role *r, struct bytes action);

#endif
