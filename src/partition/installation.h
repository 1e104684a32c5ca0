/* One installation: its configuration, and what is taken before anything starts. */
#ifndef PARTITION_INSTALLATION_H
#define PARTITION_INSTALLATION_H

#include <limits.h>
#include "partition/config.h"

#define LISTEN_MAX 3

/* Who opens it. */
enum installation_role {
    INSTALLATION_NODE, /* door, fabric and the pools' supervisors: node.c */
    INSTALLATION_POOL, /* the partitions of one pool, below a node: supervisor.c */
    INSTALLATION_ALONE /* the partition of a host without a fabric */
};

struct installation {
    enum installation_role role;
    char home[PATH_MAX];
    char bindir[PATH_MAX];
    struct partition_config config;
    int lock_fd;
    int listen_fd[LISTEN_MAX]; /* 127.0.0.1, ::1 when the host has IPv6, config.listen */
    unsigned listen_n;
    int door_control;    /* the door's end of the node's messages for it, while it is started */
    int metrics_fd;      /* -1: none */
    char door[PATH_MAX]; /* socket of the door for the gateways of a pool */
};

/* Read the configuration, take the lock, bind the public port (a node: it survives a crash of the
 * door) or that of monitoring (the others: it survives a crash of the gateway).
 * text[cap]: what failed and what to do. */
HSM_MUST_USE hsm_err installation_open(struct installation *in, enum installation_role role,
                                       const char *home, const char *bindir, char *text,
                                       size_t cap);
void installation_close(struct installation *in);

/* HOME/ and the rest into dst. */
HSM_MUST_USE hsm_err installation_path(const struct installation *in, char dst[PATH_MAX],
                                       const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Logs what is wrong. */
HSM_MUST_USE hsm_err installation_store_config(const struct installation *in);
HSM_MUST_USE hsm_err installation_make_directory(const struct installation *in, unsigned number);
/* Is there NAME in the directory of that partition? */
bool installation_has(const struct installation *in, unsigned number, const char *name);

#endif
