/* Where the listener of a private endpoint stands: an address in one network only. A socket that is
 * bound to an address alone is also reached through every other interface of the machine (weak host
 * model); so it is bound to the device that has the address as well, or made inside a network
 * namespace. */
#ifndef DOOR_PLACE_H
#define DOOR_PLACE_H

#include "base/bytes.h"
#include "net/door_message.h"

#define PLACE_ADDRESS_MAX 45
#define PLACE_DEVICE_MAX  15
#define PLACE_NETNS_MAX   63
#define PLACE_POOL_MAX    24

struct place {
    char address[PLACE_ADDRESS_MAX + 1];
    uint16_t port;
    char device[PLACE_DEVICE_MAX + 1]; /* "": that which has the address; any inside a namespace */
    char netns[PLACE_NETNS_MAX + 1];   /* name below /run/netns; "": our own */
};
struct place_endpoint {
    char id[DOOR_ENDPOINT_MAX + 1];
    char pool[PLACE_POOL_MAX + 1]; /* lower case */
    struct place place;
};

/* "ID POOL ADDRESS PORT DEVICE NETNS"; "-" for no device, no namespace. Pure. HSM_E_MALFORMED. */
HSM_MUST_USE hsm_err place_parse(struct bytes text, struct place_endpoint *ret);
/* The same text; returns its length, 0 when it does not fit or is not a valid one. Pure. */
size_t place_format(const struct place_endpoint *e, char *dst, size_t cap);
bool place_equal(const struct place *a, const struct place *b);

#define PLACE_TEXT_MAX 640
/* A listening TCP socket there, or -1 with the reason for people in why[cap]. While it is made
 * inside another namespace, the calling thread is there; other threads are not. */
int place_listen(const struct place *p, char *why, size_t cap);

#endif
