/* Microsoft.Network as far as private endpoints need it: virtual networks, subnets, private DNS
 * zones with their links and records, private endpoints and their zone groups. What they lead to:
 * listeners at a node's door ("endpoints"), connections of managed HSMs (hsm.h), zone files. */
#ifndef FABRIC_NETWORK_H
#define FABRIC_NETWORK_H

#include "fabric/hsm.h"
#include "model/dns_zone.h"

#define NETWORK_NS          "Microsoft.Network/"
#define NETWORK_RECORDS_MAX 4096
#define NETWORK_OP_ENDPOINT "network.endpoint" /* a private endpoint is made */
#define NETWORK_OP_DOOR     "network.door"     /* the node's listeners */

extern const struct arm_type network_vnet_type, network_subnet_type, network_zone_type,
    network_link_type, network_record_type, network_endpoint_type, network_zone_group_type;

/* ---- network_vnet.c ---- */
/* The subnet's first prefix. false: there is no such subnet. */
bool network_subnet_prefix(struct fabric *f, struct bytes subnet_id, struct network_cidr *ret);
/* A tag of the subnet, else of its virtual network; false, and "" in dst: none. */
bool network_subnet_tag(struct fabric *f, struct bytes subnet_id, const char *name, char *dst,
                        size_t cap);

/* ---- endpoint.c ---- */
/* What is stored of a private endpoint. */
struct endpoint {
    char id[ARM_ID_MAX + 1], name[ARM_NAME_MAX + 1];
    char subnet[ARM_ID_MAX + 1];
    char hsm[ARM_ID_MAX + 1];              /* id of the managed HSM */
    char connection[ARM_NAME_MAX + 1];     /* name that the client gave it */
    char hsm_connection[ARM_NAME_MAX + 1]; /* its name at the HSM */
    char address[NETWORK_CIDR_TEXT_MAX];
    char state[32]; /* provisioningState */
    bool manual;
};
bool endpoint_read(const struct json_doc *d, struct endpoint *ret);
/* Status of its connection at the HSM; "Disconnected" when that is gone. */
void endpoint_status(struct fabric *f, const struct endpoint *e, char *status, size_t status_n,
                     char *description, size_t description_n);
/* A tag of the endpoint, its subnet or the virtual network, the first that there is. */
bool endpoint_tag(struct fabric *f, const struct json_doc *d, const struct endpoint *e,
                  const char *name, char *dst, size_t cap);

/* ---- endpoint_address.c ---- */
/* Where it is reached: as the client or a tag says, else the first free address of the subnet. */
bool endpoint_address(struct fabric *f, const struct arm_put *p, const char *subnet,
                      char dst[NETWORK_CIDR_TEXT_MAX], struct answer *a);

/* ---- endpoint_zone.c ---- */
/* The endpoint goes: so do the records that its zone groups made. */
void network_endpoint_end_groups(struct fabric *f, const struct request *rq,
                                 const struct endpoint *e);

/* ---- endpoint_node.c ---- */
/* Kinds of operations, watcher, what is looked at; and, when the state is there, all is told to the
 * node once. */
HSM_MUST_USE hsm_err network_open(struct fabric *f);
void network_ready(struct fabric *f);
/* {"op":"endpoints","list":[...]} for a node. false: does not fit. */
bool network_node_line(struct fabric *f, const char *node, struct wr *w);

/* ---- network_dns.c ---- */
/* Files below HOME/dns are as the state is. */
void network_dns_write(struct fabric *f, uint64_t now_ms);

#endif
