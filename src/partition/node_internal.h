/* What the parts of the node share: node.c (loop, door, fabric), node_pool.c (the pools'
 * supervisors), noded.c (the socket for commands). */
#ifndef PARTITION_NODE_INTERNAL_H
#define PARTITION_NODE_INTERNAL_H

#include "codec/json.h"
#include "partition/commands.h"
#include "partition/node.h"
#include "partition/unit.h"

#define NODE_POOLS_MAX   200
#define NODE_CLIENTS_MAX 8
#define NODE_LINE_MAX    65536
/* Below HOME/pools; no name of a pool begins so. */
#define NODE_FRESH  ".new-"
#define NODE_PURGED ".purge-"

struct node_pool {
    char name[25];
    bool is_first; /* its home is that of the installation */
    bool run;      /* wanted */
    bool gone;     /* the first one was destroyed; the installation is still there */
    pid_t helper;  /* makes what it starts with; 0: none */
    bool prepared;
    struct unit unit;
    unsigned ready, partitions; /* by its supervisor */
    char why[200];              /* it has failed; "": it has not */
};

#define NODE_ENDPOINTS_MAX 128
/* A private endpoint's listener. */
struct node_endpoint {
    char id[201];
    char text[640]; /* for the door */
};

struct node_client {
    int fd;     /* -1: free */
    char *line; /* NODE_LINE_MAX */
    uint64_t since;
    size_t n;
};

struct node {
    struct installation in;
    struct unit door, fabric;
    struct node_endpoint endpoint[NODE_ENDPOINTS_MAX];
    unsigned endpoint_n;
    int door_fd;                            /* messages for the door; -1: it does not run */
    struct node_pool *pool[NODE_POOLS_MAX]; /* the first one first */
    unsigned pool_n;
    int signals;
    int command_fd;
    struct node_client client[NODE_CLIENTS_MAX];
    int report_fd;
    bool reported, stopping;
    int status;
};

/* ---- node.c ---- */
/* The start fails: text, a line, goes to who waits for readiness. */
void node_give_up(struct node *n, const char *text);

/* A message for the door, when it runs. */
void node_send_door(struct node *n, const char *text);
/* The door is told that the pool is there for clients, or that it is not. */
void node_tell_door(struct node *n, const struct node_pool *p, bool is_there);

/* ---- node_pool.c ---- */
/* The pools on disk. text[cap]: what is wrong. */
bool node_pools_load(struct node *n, char *text, size_t cap);
void node_pools_free(struct node *n);
/* One that was made, and does not run; NULL: there is no room for it. */
struct node_pool *node_pool_add(struct node *n, const char *name);
void node_pool_drop(struct node *n, const struct node_pool *p);
/* NULL: there is none of that name. */
struct node_pool *node_pool_find(struct node *n, struct bytes name);
/* HOME/pools/NAME, or HOME of the first one; then /rest, when that is not "". */
HSM_MUST_USE hsm_err node_pool_path(const struct node *n, const struct node_pool *p,
                                    const char *rest, char dst[PATH_MAX]);
/* Start what is wanted, end what is not. */
void node_pool_step(struct node *n, struct node_pool *p);
void node_pool_report(struct node *n, struct node_pool *p);
void node_pool_on_exit(struct node *n, struct node_pool *p, int status);
void node_pool_prepared(struct node *n, struct node_pool *p, int status);
/* Kept on disk first. HSM_E_IO, HSM_E_DISK_FULL */
HSM_MUST_USE hsm_err node_pool_want(struct node *n, struct node_pool *p, bool run);
/* "stopped", "starting", "running", "stopping", "failed". */
const char *node_pool_state(const struct node_pool *p);
/* "Active", "NotActivated" or "Unknown", by what its gateways last wrote. */
const char *node_pool_activation(const struct node *n, const struct node_pool *p);

/* ---- node_ops.c ---- */
/* The answer to a line, with its end. */
void node_answer(struct node *n, struct bytes line, struct wr *ret);

/* ---- node_make.c, node_purge.c, node_configure.c: operations ---- */
/* NULL: it is done; else the code of the answer, and text says why. */
const char *node_make(struct node *n, const struct json_doc *d, struct bytes name, char *text,
                      size_t cap);
/* p NULL: there is none. */
const char *node_purge(struct node *n, struct node_pool *p, char *text, size_t cap);
/* What a crash left. */
void node_purge_rest(struct node *n);
const char *node_configure(struct node *n, const struct node_pool *p, const struct json_doc *d,
                           char *text, size_t cap);

/* ---- node_usage.c ---- */
const char *node_usage(struct node *n, const struct node_pool *p, struct json_wr *j, char *text,
                       size_t cap);

/* ---- node_endpoints.c ---- */
const char *node_endpoints(struct node *n, const struct json_doc *d, char *text, size_t cap);
void node_endpoints_load(struct node *n);
/* All of them, to a new door. */
void node_endpoints_tell(struct node *n);

/* ---- noded.c ---- */
bool noded_open(struct node *n);
void noded_accept(struct node *n);
void noded_read(struct node *n, struct node_client *c);
void noded_close(struct node *n);

#endif
