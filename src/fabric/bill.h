/* The bill of a month, as JSON. */
#ifndef FABRIC_BILL_H
#define FABRIC_BILL_H

#include "fabric/usage.h"

/* Every pool with any use in the month of p, in all regions, and the sums. At most BILL_POOLS_MAX
 * pools are listed; "omitted" says how many more are in the sums. */
#define BILL_POOLS_MAX 1000
void bill_write(const struct state *s, const struct price_book *b, struct period p, uint64_t now_ms,
                struct json_wr *j);

/* GET or POST (a price book as the body) .../providers/Keyhold.Control/bill[?month=YYYY-MM] */
fabric_handler bill_report;
/* GET or PUT ({"state":NAME}) .../providers/Keyhold.Control/subscription: a development control. */
fabric_handler subscription_show, subscription_change;

#endif
