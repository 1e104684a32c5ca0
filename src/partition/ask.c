#include "partition/ask.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "partition/unit.h"

void ask_init(struct ask *a)
{
    *a = (struct ask){.fd = -1};
}

void ask_end(struct ask *a)
{
    if (a->fd >= 0)
        (void)close(a->fd);
    a->fd = -1;
}

bool ask_start(struct ask *a, const char *path, const char *line, unsigned timeout_ms)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    size_t n = strlen(line);
    ask_end(a);
    ask_init(a);
    if (strlen(path) >= sizeof to.sun_path || n + 1 > sizeof a->line)
        return false;
    memcpy(to.sun_path, path, strlen(path) + 1);
    memcpy(a->line, line, n);
    a->line[n++] = '\n';
    a->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool sent = a->fd >= 0 && connect(a->fd, (const struct sockaddr *)&to, sizeof to) == 0 &&
                send(a->fd, a->line, n, MSG_NOSIGNAL) == (ssize_t)n;
    if (!sent)
        ask_end(a);
    a->deadline = unit_now_ms() + timeout_ms;
    return sent;
}

enum ask_result ask_step(struct ask *a)
{
    if (a->fd < 0)
        return ASK_FAILED;
    ssize_t m = recv(a->fd, a->line + a->n, sizeof a->line - 1 - a->n, MSG_DONTWAIT);
    if (m < 0 && (errno == EAGAIN || errno == EINTR))
        m = unit_now_ms() < a->deadline ? -2 : -1;
    if (m == -2)
        return ASK_WAITS;
    a->n += m > 0 ? (size_t)m : 0;
    a->line[a->n] = '\0';
    char *end = strchr(a->line, '\n');
    if (end == NULL && m > 0 && a->n < sizeof a->line - 1)
        return ASK_WAITS;
    ask_end(a);
    if (end != NULL)
        *end = '\0';
    return a->n > 0 ? ASK_ANSWERED : ASK_FAILED;
}
