/* Durations of ISO 8601 as rotation policies use them, PnYnMnWnD, and the calendar arithmetic with
 * them, in UTC. Pure. */
#ifndef MODEL_DURATION_H
#define MODEL_DURATION_H

#include "base/bytes.h"

#define DURATION_TEXT_MAX 32u
#define TIME_MAX_S        253402300799u /* 9999-12-31T23:59:59Z */

struct duration {
    uint32_t months, days; /* a year is 12 months, a week 7 days */
};

/* Whole numbers of at most seven digits, each unit at most once and in this order, at least one.
 * No times of day, fractions, signs, lower case. HSM_E_BAD_PARAMETER. */
HSM_MUST_USE hsm_err duration_parse(struct bytes text, struct duration *ret);

/* For comparisons: 365 days a year, 30 a month. */
uint64_t duration_nominal_days(struct duration d);

/* The same time of day, first so many months away, the day at most the last one of its month, then
 * so many days. Ends at TIME_MAX_S, or at 0. t <= TIME_MAX_S (more is taken for that). */
uint64_t duration_after(uint64_t t, struct duration d);
uint64_t duration_before(uint64_t t, struct duration d);

#endif
