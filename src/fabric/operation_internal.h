#ifndef FABRIC_OPERATION_INTERNAL_H
#define FABRIC_OPERATION_INTERNAL_H

#include "fabric/operation.h"

/* Stage the document. */
void operation_put(struct changes *c, const struct operation *o);

#endif
