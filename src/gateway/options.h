/* The gateway's command line. */
#ifndef GATEWAY_OPTIONS_H
#define GATEWAY_OPTIONS_H

#include "gateway/face.h"
#include "wire/ring.h"

struct gateway_options {
    struct ring_fds rings;
    const char *store_dir;
    const char *audit_dir;
    const char *door;     /* NULL: none */
    char listen_addr[64]; /* "": none */
    uint16_t listen_port;
    const char *cert_file;
    const char *key_file;
    unsigned loops;
    int cpu[RING_LANES_MAX]; /* per loop; -1: not pinned */
    struct faces faces;
    const char *issuer_connect; /* NULL: none */
    const char *issuer_file;    /* pool.json, for external issuers; NULL: none */
    const char *region;
    const char *control;     /* NULL: none */
    const char *pool_state;  /* NULL: none */
    const char *network;     /* file of the network's rules; NULL: everybody may come */
    uint64_t node;           /* raft id, 1 more than the partition's number */
    bool join;               /* the pool is there already */
    const char *peer_listen; /* NULL: one partition, no links */
    const char *peer_cert, *peer_key, *peer_ca;
    const char *peers; /* "1=HOST:PORT,…" */
    int metrics_fd;    /* bound socket of monitoring; -1: none */
    int ready_fd;      /* -1: none */
};

/* HSM_E_BAD_PARAMETER with text[cap] saying which. Strings stay those of argv. */
HSM_MUST_USE hsm_err options_parse(int argc, char **argv, struct gateway_options *ret, char *text,
                                   size_t cap);
extern const char options_usage[];

#endif
