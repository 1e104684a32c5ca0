/* One installation: its configuration, and what is taken before anything starts. */
#ifndef PARTITION_INSTALLATION_H
#define PARTITION_INSTALLATION_H

#include <limits.h>
#include "partition/config.h"

#define LISTEN_MAX 3

struct installation {
    char home[PATH_MAX];
    char bindir[PATH_MAX];
    struct partition_config config;
    int lock_fd;
    int listen_fd[LISTEN_MAX]; /* 127.0.0.1, ::1 when the host has IPv6, config.listen */
    unsigned listen_n;
    int metrics_fd; /* -1: none */
};

/* Read the configuration, take the lock, bind the public port (it survives a crash of the door)
 * and that of monitoring (it survives a crash of the gateway).
 * text[cap]: what failed and what to do. */
HSM_MUST_USE hsm_err installation_open(struct installation *in, const char *home,
                                       const char *bindir, char *text, size_t cap);
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
