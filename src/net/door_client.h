/* The backend's end of the front door. Thread-safe. */
#ifndef NET_DOOR_CLIENT_H
#define NET_DOOR_CLIENT_H

/* Connect to the door's unix socket for one backend name; call it once per loop. Returns a
 * descriptor for http_server_from_door(), or -1 with errno (ENOENT, ECONNREFUSED: no door yet). */
int door_connect(const char *path);
/* The same, for a gateway of that pool: it says so. */
int door_connect_pool(const char *path, const char *pool);

#endif
