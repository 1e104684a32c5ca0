/* Role assignments and definitions of the control plane as resources. */
#ifndef FABRIC_ARM_ROLES_H
#define FABRIC_ARM_ROLES_H

#include "fabric/fabric.h"

/* Answers when the path is .../providers/Microsoft.Authorization/role{Assignments,Definitions}. */
bool arm_roles_answer(struct fabric *f, const struct request *rq, struct answer *a);
/* Stage a role for a principal at the subscription. type: "User", "ServicePrincipal", "Group". */
void arm_role_give(struct fabric *f, struct changes *c, const char *role, const char *principal,
                   const char *type, uint64_t now_ms);

#endif
