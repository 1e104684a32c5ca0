/* A pool of several partitions, as the gateways see it: who may answer until when (leases), which
 * writes may be told to clients, and bytes of boundaries that join. The rules are in wire/lease.h
 * and docs/boundary.md; boundaries check leases, gateways only carry them. On the control loop. */
#ifndef GATEWAY_PEERS_H
#define GATEWAY_PEERS_H

#include "gateway/control.h"
#include "store/store.h"

struct peers;

HSM_MUST_USE hsm_err peers_new(uv_loop_t *loop, struct control *c, uint64_t self,
                               struct peers **ret);
/* Once the store is open. */
void peers_set_store(struct peers *p, struct store *s);
void peers_stop(struct peers *p); /* closes all handles */
void peers_free(struct peers *p); /* after the loop has closed them */

/* From the boundary. */
void peers_lease_want(struct peers *p, const struct uuid *nonce);
void peers_lease_proof(struct peers *p, const struct wire_lease_proof *m);
void peers_applied(struct peers *p, uint64_t index);
void peers_net_data(struct peers *p, const struct wire_net_data *m);
void peers_net_close(struct peers *p, const struct wire_net_close *m);

/* From the store. */
void peers_message(struct peers *p, uint64_t from, uint16_t type, struct bytes payload);
void peers_link(struct peers *p, uint64_t id, bool up);

/* Every write up to this index may be told. */
uint64_t peers_released(const struct peers *p);

/* What a joining boundary's connection is called on a link; payloads begin with u32 conn. */
enum peers_message {
    PEERS_LEASE_ASK = STORE_MESSAGE_MIN, /* id nonce */
    PEERS_LEASE_PROOF,                   /* WIRE_LEASE_PROOF */
    PEERS_APPLIED,                       /* u64 index */
    PEERS_RELEASED,                      /* u64 index */
    PEERS_JOIN_OPEN,                     /* u32 conn */
    PEERS_JOIN_DATA,                     /* WIRE_NET_DATA */
    PEERS_JOIN_CLOSE,                    /* WIRE_NET_CLOSE */
};

#endif
