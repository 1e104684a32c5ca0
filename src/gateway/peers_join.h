/* Connections of boundaries that join, at the gateway of a member: bytes between the link to the
 * other gateway and the own boundary, which calls them by numbers with the top bit set. */
#ifndef GATEWAY_PEERS_JOIN_H
#define GATEWAY_PEERS_JOIN_H

#include "gateway/control.h"
#include "store/store.h"

#define PEERS_JOIN_INBOUND 0x80000000u
#define PEERS_JOIN_MAX     8

struct peers_join;

HSM_MUST_USE hsm_err peers_join_new(struct control *c, struct peers_join **ret);
void peers_join_set_store(struct peers_join *j, struct store *s);
void peers_join_free(struct peers_join *j);

void peers_join_message(struct peers_join *j, uint64_t from, uint16_t type, struct bytes payload);
void peers_join_lost(struct peers_join *j, uint64_t node);
void peers_join_data(struct peers_join *j, const struct wire_net_data *m);
void peers_join_close(struct peers_join *j, const struct wire_net_close *m);

#endif
