/* The types of resources that this control plane has. */
#include "fabric/arm_internal.h"
#include "fabric/hsm.h"

const struct arm_type *const arm_types[] = {
    &hsm_type,
    &hsm_connection_type,
};
const size_t arm_types_n = sizeof arm_types / sizeof *arm_types;
