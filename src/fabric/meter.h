/* Asks the nodes now and then what their pools hold and do, and keeps it in the meter's documents.
 * What happens between the last question and the stop of a pool is not seen. */
#ifndef FABRIC_METER_H
#define FABRIC_METER_H

#include "fabric/fabric.h"

#define METER_PERIOD_MS 10000
#define METER_LOOK_MS   2000
#define METER_POOLS_MAX 256 /* asked in one period; with more, the others come next */

struct meter;
/* A part of the control plane (life.c): after operations_new(). */
HSM_MUST_USE hsm_err meter_open(struct fabric *f);
/* After nodes_close(). NULL is fine. */
void meter_free(struct meter *m);

#endif
