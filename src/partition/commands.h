/* The command lines of the programs of one installation, and what they inherit. */
#ifndef PARTITION_COMMANDS_H
#define PARTITION_COMMANDS_H

#include <limits.h>
#include "partition/config.h"
#include "partition/process.h"

enum unit_id {
    UNIT_DOOR,
    UNIT_FABRIC,
    UNIT_BOUNDARY,
    UNIT_GATEWAY,
    UNIT__COUNT
};

struct installation {
    char home[PATH_MAX];
    char bindir[PATH_MAX];
    struct partition_config config;
    int lock_fd;
    int listen_fd[2]; /* 127.0.0.1 and ::1 (-1 when the host has no IPv6) */
    int metrics_fd;   /* -1: none */
};

/* Read the configuration, take the lock, bind the public port (it survives a crash of the door)
 * and that of monitoring (it survives a crash of the gateway).
 * text[cap]: what failed and what to do. */
HSM_MUST_USE hsm_err installation_open(struct installation *in, const char *home,
                                       const char *bindir, char *text, size_t cap);
void installation_close(struct installation *in);
unsigned installation_loops(const struct installation *in);
HSM_MUST_USE hsm_err installation_start(const struct installation *in, enum unit_id id,
                                        int ready_fd, const struct ring_fds *rings, pid_t *ret);

#endif
