/* The sizing questions on a terminal. */
#ifndef CLI_PLAN_ASK_H
#define CLI_PLAN_ASK_H

#include "cli/args.h"

/* Asks for what the table does not have yet and fills it in; an empty line takes the default.
 * false: standard input is no terminal, or it ended. */
bool plan_ask(struct arg *args);

#endif
