/* Commands about the local installation. */
#ifndef CLI_LOCAL_H
#define CLI_LOCAL_H

#include "cli/cli.h"

int local_up(struct cli *c);
int local_down(struct cli *c);
int local_status(struct cli *c);
int local_env(struct cli *c);

#endif
