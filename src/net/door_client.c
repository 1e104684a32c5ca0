#include "net/door_client.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int door_connect(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    size_t n = strlen(path);
    if (n == 0 || n >= sizeof(a.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(a.sun_path, path, n + 1);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (connect(fd, (const struct sockaddr *)&a, sizeof(a)) != 0 ||
        fcntl(fd, F_SETFL, O_NONBLOCK) != 0) {
        int e = errno;
        close(fd);
        errno = e;
        return -1;
    }
    return fd;
}

int door_connect_pool(const char *path, const char *pool)
{
    size_t n = strlen(pool);
    int fd = door_connect(path);
    if (fd < 0 || send(fd, pool, n, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)n)
        return fd;
    int e = errno;
    close(fd);
    errno = e;
    return -1;
}
