/* Amounts of money in millionths of the currency's unit, whole numbers only: no rounding but where
 * a price is divided, and there to the nearest millionth, halves upwards. Pure. */
#ifndef MODEL_MONEY_H
#define MODEL_MONEY_H

#include "base/bytes.h"

typedef int64_t money;           /* never negative */
#define MONEY_UNIT     1000000   /* one dollar */
#define MONEY_MAX      INT64_MAX /* sums end there instead of overflowing */
#define PRICE_MAX      ((money)1000000 * MONEY_UNIT)
#define MONEY_TEXT_MAX 24

/* "3.20": up to seven digits, and up to six after a point; at most PRICE_MAX. HSM_E_BAD_PARAMETER.
 */
HSM_MUST_USE hsm_err money_parse(struct bytes text, money *ret);
/* At least two digits after the point: "2304.00", "0.000003". */
void money_format(money m, char dst[MONEY_TEXT_MAX]);
/* price * n / per; per > 0. */
money money_times(money price, uint64_t n, uint64_t per);
money money_sum(money a, money b);

#endif
