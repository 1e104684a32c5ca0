/* Commands about money: plan, bill, subscription. */
#ifndef CLI_BILLING_H
#define CLI_BILLING_H

#include "cli/cli.h"
#include "model/price_book.h"

extern const struct cli_command cli_billing_commands[]; /* plan, bill, subscription */

int cmd_plan(struct cli *c);
int cmd_bill(struct cli *c);
int cmd_subscription_show(struct cli *c);
int cmd_subscription_set_state(struct cli *c);

/* The book in that file, or the built-in one (NULL); prints what is wrong with it. text[cap] keeps
 * its JSON. */
bool price_book_load(const char *path, struct price_book *ret, uint8_t *text, size_t cap,
                     size_t *ret_n);

#endif
