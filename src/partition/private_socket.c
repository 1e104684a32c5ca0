#include "partition/private_socket.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

bool listen_private(int fd, const char *path, int backlog)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof a.sun_path)
        return false;
    memcpy(a.sun_path, path, strlen(path) + 1);
    (void)unlink(path);
    mode_t before = umask(0177);
    int r = bind(fd, (const struct sockaddr *)&a, sizeof a);
    (void)umask(before);
    return r == 0 && listen(fd, backlog) == 0;
}

bool private_peer_is_own(int fd)
{
    struct ucred cred = {0};
    socklen_t n = sizeof cred;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) == 0 && cred.uid == geteuid();
}
