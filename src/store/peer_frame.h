/* What gateways say to each other, as bytes: frames, the first frame of a connection, and the name
 * in a member's certificate. Pure.
 *
 * A frame: u32 length of what follows | u16 type | u64 seq | payload. */
#ifndef STORE_PEER_FRAME_H
#define STORE_PEER_FRAME_H

#include "base/bytes.h"
#include "store/peer.h"

#define PEER_FRAME_HEAD  14
#define PEER_FRAME_MAX   (PEER_FRAME_HEAD + PEER_PAYLOAD_MAX)
#define PEER_POOL_MAX    24
#define PEER_ADDRESS_CAP 128 /* with its terminator */
#define PEER_HELLO_MAX   (1 + PEER_ADDRESS_CAP)

/* The link's own types; seq is 0. Only HELLOs have a payload. */
enum peer_control {
    PEER_HELLO_LINK = 0xff01, /* from the one who dialled: I want a message link */
    PEER_HELLO_RAFT = 0xff02, /* ... a stream for libraft */
    PEER_WELCOME = 0xff03,    /* larger id to smaller one: you may take this connection */
    PEER_CONFIRM = 0xff04,    /* this is the connection; what follows is messages or the stream */
    PEER_PING = 0xff05,
};

struct peer_frame {
    uint16_t type;
    uint64_t seq;
    struct bytes payload; /* in the input */
};

/* The frame at the start of in. ret_total is its length in all cases but HSM_E_MALFORMED.
 * HSM_E_AGAIN: in is only its beginning (ret_total is PEER_FRAME_HEAD while the head is not there);
 * HSM_E_MALFORMED: impossible length, unknown type of the link's own, a seq or payload there. */
HSM_MUST_USE hsm_err peer_frame_parse(struct bytes in, struct peer_frame *ret, size_t *ret_total);
void peer_frame_head(uint8_t dst[PEER_FRAME_HEAD], uint16_t type, uint64_t seq, size_t payload_n);

/* Payload of a HELLO: u8 version | address of the sender as libraft knows it (for a message link:
 * nothing). */
HSM_MUST_USE hsm_err peer_hello_parse(const struct peer_frame *f, char address[PEER_ADDRESS_CAP]);
size_t peer_hello_make(uint8_t dst[PEER_HELLO_MAX], const char *address);

/* "keyhold:POOL:P" of a certificate. ret_pool is a view of uri; ret_id is P + 1. */
#define PEER_NAME_SCHEME "keyhold:"
HSM_MUST_USE hsm_err peer_name_parse(struct bytes uri, struct bytes *ret_pool, uint64_t *ret_id);

#endif
