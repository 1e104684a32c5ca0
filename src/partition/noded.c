/* HOME/run/node.sock: a line there, a line back, and the end; node_ops.c says what they are. Only
 * for processes of the same user. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "partition/private_socket.h"
#include "partition/node_internal.h"

#define PATIENCE_MS 2000u /* then a place may be taken by another client */

/* ---- clients ---- */

static void end(struct node_client *c)
{
    if (c->fd >= 0)
        (void)close(c->fd);
    free(c->line);
    *c = (struct node_client){.fd = -1};
}

bool noded_open(struct node *n)
{
    char path[PATH_MAX];
    for (unsigned i = 0; i < NODE_CLIENTS_MAX; i++)
        n->client[i] = (struct node_client){.fd = -1};
    n->command_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return n->command_fd >= 0 && installation_path(&n->in, path, HOME_NODE) == HSM_OK &&
           listen_private(n->command_fd, path, 32);
}

/* A free place, or that of a client which does not come to its end. */
static struct node_client *place(struct node *n)
{
    struct node_client *oldest = &n->client[0];
    for (unsigned i = 0; i < NODE_CLIENTS_MAX; i++) {
        if (n->client[i].fd < 0)
            return &n->client[i];
        if (n->client[i].since < oldest->since)
            oldest = &n->client[i];
    }
    if (unit_now_ms() - oldest->since < PATIENCE_MS)
        return NULL;
    end(oldest);
    return oldest;
}

void noded_accept(struct node *n)
{
    int fd = accept4(n->command_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    struct node_client *c = private_peer_is_own(fd) ? place(n) : NULL;
    char *line = c != NULL ? malloc(NODE_LINE_MAX) : NULL;
    if (line == NULL) {
        (void)close(fd);
        return;
    }
    *c = (struct node_client){.fd = fd, .line = line, .since = unit_now_ms()};
}

void noded_read(struct node *n, struct node_client *c)
{
    static uint8_t buf[NODE_LINE_MAX];
    ssize_t m = recv(c->fd, c->line + c->n, NODE_LINE_MAX - c->n, MSG_DONTWAIT);
    if (m < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (m <= 0) {
        end(c);
        return;
    }
    const char *eol = memchr(c->line + c->n, '\n', (size_t)m);
    c->n += (size_t)m;
    if (eol == NULL && c->n < NODE_LINE_MAX)
        return;
    struct wr w = wr_of(buf, sizeof buf);
    node_answer(n, bytes_of(c->line, eol != NULL ? (size_t)(eol - c->line) : c->n), &w);
    if (wr_ok(&w) != HSM_OK || send(c->fd, buf, w.n, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        log_warn("an answer of the node did not arrive");
    end(c);
}

void noded_close(struct node *n)
{
    char path[PATH_MAX];
    for (unsigned i = 0; i < NODE_CLIENTS_MAX; i++)
        end(&n->client[i]);
    if (n->command_fd < 0)
        return;
    (void)close(n->command_fd);
    n->command_fd = -1;
    if (installation_path(&n->in, path, HOME_NODE) == HSM_OK)
        (void)unlink(path);
}
