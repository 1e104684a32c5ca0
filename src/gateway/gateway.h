/* The gateway process: everything between start and orderly stop. */
#ifndef GATEWAY_GATEWAY_H
#define GATEWAY_GATEWAY_H

#include "gateway/options.h"

/* Returns the exit code: 0 after an orderly stop, 1 otherwise. */
int gateway_run(const struct gateway_options *o);

#endif
