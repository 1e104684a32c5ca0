#include "cli/billing.h"

const struct cli_command cli_billing_commands[] = {
    {"plan", cmd_plan, "how many pools, and what they cost a month"},
    {"bill", cmd_bill, "hours, keys and operations of a month, with prices"},
    {"subscription show", cmd_subscription_show, "state of the subscription"},
    {"subscription set-state", cmd_subscription_set_state,
     "development: enable it, disable it, ..."},
    {NULL, NULL, NULL},
};
