/* Unix sockets that only the user of this process may use. */
#ifndef PARTITION_PRIVATE_SOCKET_H
#define PARTITION_PRIVATE_SOCKET_H

#include <stdbool.h>

/* fd: a new socket, stays with the caller. What is at path goes. */
bool listen_private(int fd, const char *path, int backlog);
/* Of an accepted connection. */
bool private_peer_is_own(int fd);

#endif
