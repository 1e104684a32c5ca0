/* What the front door says with each socket that it hands over: how the connection came.
 *   public   one byte, DOOR_PUBLIC
 *   private  DOOR_PRIVATE, then the id of the endpoint, printable ASCII without spaces
 * Pure. */
#ifndef NET_DOOR_MESSAGE_H
#define NET_DOOR_MESSAGE_H

#include "base/bytes.h"

#define DOOR_ENDPOINT_MAX 200
#define DOOR_MESSAGE_MAX  (1 + DOOR_ENDPOINT_MAX)

enum door_way {
    DOOR_PUBLIC = 0,
    DOOR_PRIVATE = 1,
};

/* Printable ASCII without spaces, 1 to DOOR_ENDPOINT_MAX. */
bool door_endpoint_valid(struct bytes id);
/* endpoint: NULL or "" for the public way, else a valid id. Returns the length. */
size_t door_message_write(const char *endpoint, uint8_t dst[DOOR_MESSAGE_MAX]);
/* id[0] is 0 for the public way. HSM_E_MALFORMED: nothing else was said, refuse the socket. */
HSM_MUST_USE hsm_err door_message_parse(struct bytes in, char id[DOOR_ENDPOINT_MAX + 1]);

#endif
