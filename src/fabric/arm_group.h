/* Resource groups, for the parts of the control plane that make one. */
#ifndef FABRIC_ARM_GROUP_H
#define FABRIC_ARM_GROUP_H

#include "fabric/fabric.h"

/* Stage a new one. */
void arm_group_make(struct fabric *f, struct changes *c, const char *name, const char *location);
HSM_MUST_USE hsm_err arm_group_operations(struct operations *o);

#endif
