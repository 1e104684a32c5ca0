/* The command lines of the programs of one installation, and what they inherit. */
#ifndef PARTITION_COMMANDS_H
#define PARTITION_COMMANDS_H

#include "partition/installation.h"
#include "partition/process.h"

enum program {
    PROGRAM_DOOR,
    PROGRAM_FABRIC,
    PROGRAM_BOUNDARY,
    PROGRAM_GATEWAY,
    PROGRAM__COUNT
};

/* Name of its log: "door", "boundary", "boundary-1", ... */
void program_log_name(enum program program, unsigned partition, char *dst, size_t cap);
/* Lanes of a partition: its share of the CPUs. */
unsigned installation_loops(const struct installation *in);
/* "0,2": the CPUs of the index-th partition here; "" when none are known. */
void installation_cpus(const struct installation *in, unsigned index, char *dst, size_t cap);
/* partition and rings: of a boundary or gateway; NULL for the others. */
HSM_MUST_USE hsm_err installation_start(const struct installation *in, enum program program,
                                        const struct partition_entry *partition, int ready_fd,
                                        const struct ring_fds *rings, pid_t *ret);
/* The supervisor of the pool in home. log_path NULL: it logs where this process does. */
HSM_MUST_USE hsm_err installation_start_pool(const struct installation *in, const char *home,
                                             const char *log_path, int ready_fd, pid_t *ret);
/* `keyhold pool prepare NAME`, which has the CA's key while it runs. */
HSM_MUST_USE hsm_err installation_start_prepare(const struct installation *in, const char *name,
                                                const char *log_path, pid_t *ret);
/* `keyhold partition certificate N`, which has the CA's key while it runs. */
HSM_MUST_USE hsm_err installation_start_certificate(const struct installation *in, unsigned number,
                                                    pid_t *ret);

#endif
