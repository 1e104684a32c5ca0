/* Random bytes for clients. */
#ifndef BOUNDARY_RNG_H
#define BOUNDARY_RNG_H

#include "boundary/handler.h"

hsm_err rng_handle_bytes(struct request *rq);

#endif
