#include "cli/billing.h"

const struct cli_command cli_billing_commands[] = {
    {"plan", cmd_plan, "how many pools, and what they cost a month"},
    {NULL, NULL, NULL},
};
