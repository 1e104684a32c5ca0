/* What state_disk.c and state_load.c share. */
#ifndef FABRIC_STATE_DISK_H
#define FABRIC_STATE_DISK_H

#include "base/uuid.h"
#include "fabric/state_internal.h"
#include "fabric/state_seal.h"
#include "store/store.h"

#define STATE_TXN_BUF ((size_t)900000)

struct state_disk {
    struct state *state;
    struct store *store;
    struct state_handlers handlers;
    struct state_seal seal;
    struct state_sum sum;
    bool ready, proving, leads;
    bool has_peers; /* all that follows is for several instances */
    uv_timer_t timer;
    uint64_t self, applied; /* index of the last transaction that is in the state */
    uint64_t read_seq;
    struct state_read *reads;
    struct state_commit *current;
    struct uuid txn; /* of the current one */
    bool verdict_seen, accepted;
    void (*closed)(void *ctx);
    void *closed_ctx;
    uint8_t buf[STATE_TXN_BUF];
};

/* ---- state_peers.c: several instances ---- */

HSM_MUST_USE hsm_err state_peers_open(uv_loop_t *loop, struct state_disk *d);
/* The state has reached another index. */
void state_peers_applied(struct state_disk *d);
void state_peers_leader(struct state_disk *d, bool is_leader);
void state_peers_message(void *ctx, uint64_t from, uint16_t type, struct bytes payload);
/* Ends what waits; the timer is closed by the caller. */
void state_peers_end(struct state_disk *d);

/* ---- state_disk.c ---- */

void state_disk_ready(struct state_disk *d);

/* ---- state_load.c ---- */

/* The key of DIR; made when there is no state yet. text[cap] says why not. */
HSM_MUST_USE hsm_err state_key_load(const char *dir, bool may_make, struct state_seal *ret,
                                    char *text, size_t cap);
/* Every record of the last flush. */
HSM_MUST_USE hsm_err state_load(struct state_disk *d, char *text, size_t cap);
/* A document with what is counted of it. */
HSM_MUST_USE hsm_err state_put_record(struct state_disk *d, const struct state_record *r,
                                      uint64_t revision);

#endif
