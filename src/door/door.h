/* The front door of a machine: one public port for several backends. It looks at the first bytes
 * of a connection (TLS server name, or the host of a CONNECT request), picks a backend and passes
 * the accepted socket to it as a descriptor (SCM_RIGHTS, one byte and one descriptor per message
 * on a unix SOCK_SEQPACKET connection). It holds no key and copies no data; of a connection it
 * reads away at most the head of a CONNECT request.
 *
 * Everything on the loop's thread. */
#ifndef DOOR_DOOR_H
#define DOOR_DOOR_H

#include <stdint.h>
#include <uv.h>
#include "base/bytes.h"

struct door;

struct door_config {
    unsigned visitors_max;     /* connections that are not handed over yet; 0: 1024 */
    unsigned per_address_max;  /* of them from one address, loopback excepted; 0: 64 */
    unsigned hello_timeout_ms; /* for CONNECT and for the ClientHello, each; 0: 5000 */
    unsigned backend_wait_ms;  /* for a backend to connect; 0: 2000 */
};

HSM_MUST_USE hsm_err door_new(uv_loop_t *loop, const struct door_config *cfg, struct door **ret);

/* Backends connect to the socket at path (made with mode 0600; a stale socket is replaced). Each of
 * their connections is one receiver; they take turns, and one that does not take what it got is
 * left out while others do. HSM_E_RANGE: name or path too long or too
 * many; HSM_E_CONFLICT: known name; HSM_E_IO. */
HSM_MUST_USE hsm_err door_add_backend(struct door *d, const char *name, const char *path);
/* pattern: a host name, or "*.suffix" for all names below suffix. Exact names win, then the longest
 * suffix. HSM_E_NOT_FOUND: no such backend. Known patterns are replaced. */
HSM_MUST_USE hsm_err door_add_route(struct door *d, const char *pattern, const char *backend);
/* For connections without or with an unknown server name. */
HSM_MUST_USE hsm_err door_set_default(struct door *d, const char *backend);

/* Pools come and go. Their gateways connect to the socket at path and say the name of their pool,
 * as the first message, within some seconds; then they are as the receivers of a backend.
 * HSM_E_RANGE, HSM_E_IO. */
HSM_MUST_USE hsm_err door_open_pools(struct door *d, const char *path);
/* NAME.suffix leads to pool NAME. Connections for a NAME that is no pool are ended at once. */
HSM_MUST_USE hsm_err door_add_pool_suffix(struct door *d, const char *suffix);
/* HSM_E_BAD_PARAMETER: not a name; HSM_E_RANGE: too many; known is fine. */
HSM_MUST_USE hsm_err door_add_pool(struct door *d, const char *name);
/* Whoever waits for it, or was given to it by the door and not taken, is sent away. */
void door_remove_pool(struct door *d, const char *name);
/* Messages on a SOCK_SEQPACKET connection, owned from now on: "pool NAME", "gone NAME",
 * "listen " and the text of an endpoint, "unlisten ID". Those that are there are taken before the
 * return. Its end is of no consequence. */
HSM_MUST_USE hsm_err door_control(struct door *d, int fd);

/* 127.0.0.1 and ::1 (where the machine has it) with the same port; 0: any. */
HSM_MUST_USE hsm_err door_listen(struct door *d, uint16_t port, uint16_t *ret_port);
/* A listening TCP socket; owned from now on. */
HSM_MUST_USE hsm_err door_listen_fd(struct door *d, int fd, uint16_t *ret_port);

/* Private endpoints. text: place.h; an endpoint of that id is moved. A listener that cannot be
 * opened is tried again until it can or is closed. HSM_E_MALFORMED, HSM_E_RANGE: too many. */
HSM_MUST_USE hsm_err door_open_endpoint(struct door *d, struct bytes text);
void door_close_endpoint(struct door *d, const char *id);

/* Closes everything and removes the backends' sockets; the memory goes once the loop has run the
 * close callbacks. NULL is fine. */
void door_free(struct door *d);

struct door_stats {
    unsigned visitors;
    uint64_t accepted, handed, refused, abandoned;
};
struct door_stats door_stats(const struct door *d);

#endif
