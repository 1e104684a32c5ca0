/* Partitions of a pool: commands, and what they share. */
#ifndef CLI_PARTITION_H
#define CLI_PARTITION_H

#include "cli/cli.h"

/* Directory and certificate of a partition, as far as they are missing. Prints what is wrong. */
int partition_certificate(const struct cli *c, const struct partition_config *cfg, unsigned number);

/* HOME/admission.key, made when it is missing. Prints what is wrong. */
bool admission_ensure(const struct cli *c);

/* One partition, as far as it and the supervisor answer. */
struct partition_view {
    struct partition_entry entry;
    char state[16];                    /* by the supervisor */
    char reason[96];                   /* why it has failed */
    int64_t boundary_pid, gateway_pid; /* 0: does not run here */
    bool answers;
    char role[16];
    char pool_state[32], protection[64];
    int64_t leader; /* number of the partition that leads, as this one knows; -1: none */
    int64_t term, applied, released, lease_ms;
};
struct pool_view {
    char operation[16];
    struct partition_view partition[PARTITIONS_MAX];
    unsigned n;
    int64_t leader; /* -1: none */
    int64_t applied;
};
/* false: the error was printed. */
bool pool_view_read(const struct cli *c, struct pool_view *ret);
struct partition_view *pool_view_find(struct pool_view *v, unsigned number);

/* A line to the supervisor; it may take its time. "ok" or what follows it in ret->text; otherwise
 * the error was printed. */
bool supervisor_ask(const struct cli *c, const char *line, struct cli_status *ret);

/* The one that leads hands over to that partition (-1: any), asked again until it has done so.
 * *ret is the pool afterwards. Prints the error. */
bool leader_transfer(const struct cli *c, int64_t to, struct pool_view *ret);

/* What several partitions need to know each other: admission key, certificates. */
int partitions_prepare(struct cli *c, const struct partition_config *cfg);

int cmd_pool_list(struct cli *c);
int cmd_pool_prepare(struct cli *c);
int cmd_pool_status(struct cli *c);
int cmd_pool_roll(struct cli *c);

#endif
