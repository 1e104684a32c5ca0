#include <errno.h>
#include <raft.h>
#include <sys/socket.h>
#include <unistd.h>
#include "store/peer_internal.h"

static void pipe_free(uv_handle_t *h)
{
    raft_free(h);
}

static void on_local_closed(uv_handle_t *h)
{
    struct peer_conn *c = h->data;
    c->pending--;
    peer_net_soon(c->net);
}

void peer_stream_close(struct peer_conn *c)
{
    if (!c->local_open)
        return;
    c->local_open = false;
    uv_close((uv_handle_t *)&c->local_poll, on_local_closed);
    close(c->local_fd);
    c->local_fd = -1;
}

void peer_stream_answer(struct peer_conn *c)
{
    struct raft_uv_connect *req = c->req;
    c->req = NULL;
    if (req != NULL)
        req->cb(req, NULL, c->net->transport == NULL ? RAFT_CANCELED : RAFT_NOCONNECTION);
}

bool peer_stream_any(const struct peer_net *net)
{
    for (const struct peer_conn *c = net->conns; c != NULL; c = c->next)
        if (c->is_raft)
            return true;
    return false;
}

void peer_stream_close_all(struct peer_net *net, const struct peer *p)
{
    for (struct peer_conn *c = net->conns; c != NULL; c = c->next)
        if (c->is_raft && (p == NULL || c->peer == p))
            peer_conn_close(c, NULL, false);
}

/* libraft has one stream to us: a second one is its successor. */
static void close_former(struct peer_conn *c)
{
    for (struct peer_conn *o = c->net->conns; o != NULL; o = o->next)
        if (o != c && o->is_raft && !o->dialled && o->peer == c->peer)
            peer_conn_close(o, NULL, false);
}

static void on_local(uv_poll_t *h, int status, int events)
{
    struct peer_conn *c = h->data;
    if (status < 0) {
        /* libuv has stopped the handle; libraft's end is gone */
        c->local_events = 0;
        c->local_eof = true;
        c->local_readable = false;
    }
    if (events & UV_READABLE)
        c->local_readable = true;
    if (events & UV_WRITABLE)
        c->local_writable = true;
    peer_stream_pump(c);
}

/* Both ends of a socket pair: ours in c, libraft's as a handle of its heap. */
static uv_stream_t *make_pair(struct peer_conn *c)
{
    int fds[2];
    uv_pipe_t *pipe;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) != 0)
        return NULL;
    if (uv_poll_init(c->net->loop, &c->local_poll, fds[0]) != 0) {
        close(fds[0]);
        close(fds[1]);
        return NULL;
    }
    c->local_poll.data = c;
    c->local_fd = fds[0];
    c->local_open = c->local_writable = true;
    c->pending++;
    pipe = raft_malloc(sizeof *pipe);
    if (pipe == NULL || uv_pipe_init(c->net->loop, pipe, 0) != 0) {
        raft_free(pipe);
        close(fds[1]);
        return NULL;
    }
    if (uv_pipe_open(pipe, fds[1]) != 0) {
        close(fds[1]);
        uv_close((uv_handle_t *)pipe, pipe_free);
        return NULL;
    }
    return (uv_stream_t *)pipe;
}

void peer_stream_open(struct peer_conn *c, const char *address)
{
    struct peer_net *net = c->net;
    uv_stream_t *stream = NULL;
    if (peer_buf_reserve(&c->in, PEER_STREAM_BUF - peer_buf_len(&c->in)) &&
        peer_buf_reserve(&c->out, PEER_STREAM_BUF - peer_buf_len(&c->out)))
        stream = make_pair(c);
    if (stream == NULL) {
        peer_conn_close(c, "cannot make a stream for it", true);
        return;
    }
    net->new_n -= !c->dialled;
    c->state = PEER_STREAM;
    c->deadline = 0;
    if (c->dialled) {
        struct raft_uv_connect *req = c->req;
        c->req = NULL;
        req->cb(req, stream, 0);
    } else {
        close_former(c);
        net->accept_cb(net->transport, c->peer->id, address, stream);
    }
}

/* ---- bytes ---- */

static size_t room(struct peer_buf *b)
{
    size_t live = peer_buf_len(b);
    if (b->n == b->cap && b->off >= live && b->off > 0) {
        memcpy(b->p, b->p + b->off, live);
        b->off = 0;
        b->n = live;
    }
    return b->cap - b->n;
}

static bool to_local(struct peer_conn *c)
{
    size_t n = peer_buf_len(&c->in);
    if (n == 0 || !c->local_writable)
        return false;
    ssize_t r = send(c->local_fd, c->in.p + c->in.off, n, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (r > 0) {
        peer_buf_take(&c->in, (size_t)r);
        return true;
    }
    if (r < 0 && (errno == EAGAIN || errno == EINTR))
        c->local_writable = false;
    else
        peer_conn_close(c, NULL, false);
    return false;
}

static bool from_local(struct peer_conn *c)
{
    size_t n = room(&c->out);
    if (n == 0 || !c->local_readable)
        return false;
    ssize_t r = recv(c->local_fd, c->out.p + c->out.n, n, MSG_DONTWAIT);
    if (r > 0) {
        c->out.n += (size_t)r;
        c->local_readable = (size_t)r == n;
        return true;
    }
    c->local_readable = false;
    if (r == 0 || (errno != EAGAIN && errno != EINTR))
        c->local_eof = true;
    return false;
}

static bool step(struct peer_conn *c)
{
    bool moved = false;
    if (c->readable && room(&c->in) > 0)
        moved = peer_conn_read(c, PEER_STREAM_BUF) > 0;
    if (c->state == PEER_STREAM)
        moved |= to_local(c);
    if (c->state == PEER_STREAM && !c->local_eof)
        moved |= from_local(c);
    if (c->state == PEER_STREAM)
        moved |= peer_conn_write(c) > 0;
    return moved && c->state == PEER_STREAM;
}

static void local_interest(struct peer_conn *c)
{
    int ev = !c->local_eof && c->out.n < c->out.cap ? UV_READABLE : 0;
    if (!c->local_writable && peer_buf_len(&c->in) > 0)
        ev |= UV_WRITABLE;
    if (!c->local_open || ev == c->local_events)
        return;
    c->local_events = ev;
    if (ev == 0)
        (void)uv_poll_stop(&c->local_poll);
    else if (uv_poll_start(&c->local_poll, ev, on_local) != 0)
        peer_conn_close(c, "cannot wait for a stream", true);
}

void peer_stream_pump(struct peer_conn *c)
{
    unsigned turns = (unsigned)(PEER_TURN_BYTES / (16 << 10));
    bool moved = c->state == PEER_STREAM;
    while (moved && turns-- > 0)
        moved = step(c);
    if (c->state != PEER_STREAM)
        return;
    if ((c->remote_eof && peer_buf_len(&c->in) == 0) ||
        (c->local_eof && peer_buf_len(&c->out) == 0)) {
        peer_conn_close(c, NULL, false);
        return;
    }
    c->kick = moved;
    local_interest(c);
    if (c->state == PEER_STREAM)
        peer_conn_interest(c);
}
