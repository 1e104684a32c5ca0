#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include "store/peer_internal.h"

#define BUF_FIRST ((size_t)16 << 10)
#define BUF_KEEP  ((size_t)1 << 20) /* larger ones are given back when empty */

/* ---- buffers ---- */

bool peer_buf_reserve(struct peer_buf *b, size_t n)
{
    size_t live = peer_buf_len(b);
    if (live == 0)
        b->off = b->n = 0;
    if (b->cap - b->n >= n)
        return true;
    if (b->off >= live && b->cap - live >= n) {
        memcpy(b->p, b->p + b->off, live);
        b->off = 0;
        b->n = live;
        return true;
    }
    size_t cap = b->cap > 0 ? b->cap : BUF_FIRST;
    while (cap - live < n)
        cap *= 2;
    uint8_t *fresh = malloc(cap);
    if (fresh == NULL)
        return false;
    if (live > 0)
        memcpy(fresh, b->p + b->off, live);
    free(b->p);
    *b = (struct peer_buf){.p = fresh, .cap = cap, .n = live};
    return true;
}

static void buf_free(struct peer_buf *b)
{
    free(b->p);
    *b = (struct peer_buf){0};
}

void peer_buf_take(struct peer_buf *b, size_t n)
{
    b->off += n;
    if (b->off == b->n)
        b->off = b->n = 0;
}

static void buf_trim(struct peer_buf *b)
{
    if (b->off == b->n && b->cap > BUF_KEEP)
        buf_free(b);
}

/* ---- TLS ---- */

static void tls_failed(struct peer_conn *c, int error)
{
    char text[PEER_REASON_CAP] = "the other side closed the connection";
    bool told = ERR_peek_last_error() != 0;
    if (told)
        peer_tls_reason("TLS", text, sizeof text);
    else if (errno != 0)
        (void)snprintf(text, sizeof text, "connection: %s", strerror(errno));
    peer_conn_close(c, text, (told && error == SSL_ERROR_SSL) || c->state == PEER_LINK);
}

/* Whether it is to be tried again later. */
static bool tls_wants(struct peer_conn *c, int error)
{
    if (error == SSL_ERROR_WANT_READ)
        c->readable = false;
    else if (error == SSL_ERROR_WANT_WRITE)
        c->writable = false;
    else
        return false;
    return true;
}

size_t peer_conn_read(struct peer_conn *c, size_t max)
{
    size_t room = c->in.cap - c->in.n;
    if (room > max)
        room = max;
    if (room == 0)
        return 0;
    ERR_clear_error();
    errno = 0;
    int r = SSL_read(c->ssl, c->in.p + c->in.n, (int)room);
    if (r > 0) {
        c->in.n += (size_t)r;
        c->heard_at = peer_now();
        return (size_t)r;
    }
    int error = SSL_get_error(c->ssl, r);
    if (error == SSL_ERROR_ZERO_RETURN) {
        c->remote_eof = true;
        c->readable = false;
    } else if (tls_wants(c, error)) {
        c->readable = false;
    } else {
        tls_failed(c, error);
    }
    return 0;
}

/* AES-GCM keys are good for a limited number of records (RFC 8446 5.5). Not while a record waits to
 * be written again. */
static void renew_keys(struct peer_conn *c)
{
    if (c->records < c->net->rekey_records || SSL_want_write(c->ssl))
        return;
    if (SSL_key_update(c->ssl, SSL_KEY_UPDATE_NOT_REQUESTED) == 1)
        c->records = 0;
}

size_t peer_conn_write(struct peer_conn *c)
{
    size_t n = peer_buf_len(&c->out);
    if (n == 0 || !c->writable)
        return 0;
    renew_keys(c);
    ERR_clear_error();
    errno = 0;
    int r = SSL_write(c->ssl, c->out.p + c->out.off, n > INT_MAX ? INT_MAX : (int)n);
    if (r > 0) {
        c->records++;
        peer_buf_take(&c->out, (size_t)r);
        c->sent_at = peer_now();
        return (size_t)r;
    }
    int error = SSL_get_error(c->ssl, r);
    if (!tls_wants(c, error))
        tls_failed(c, error);
    return 0;
}

void peer_conn_flush(struct peer_conn *c)
{
    while (c->state != PEER_CLOSED && peer_conn_write(c) > 0)
        ;
    if (c->state == PEER_CLOSED)
        return;
    buf_trim(&c->out);
    buf_trim(&c->in);
    peer_conn_interest(c);
}

/* ---- life ---- */

struct peer_conn *peer_conn_new(struct peer_net *net, bool dialled)
{
    struct peer_conn *c = calloc(1, sizeof *c);
    if (c == NULL)
        return NULL;
    c->net = net;
    c->dialled = dialled;
    c->fd = c->local_fd = -1;
    c->state = PEER_RESOLVING;
    c->heard_at = c->sent_at = peer_now();
    c->deadline = c->heard_at + (dialled ? PEER_DIAL_MS : PEER_ACCEPT_MS);
    c->next = net->conns;
    if (c->next != NULL)
        c->next->prev = c;
    net->conns = c;
    net->new_n += !dialled;
    peer_net_wake(net, c->deadline);
    return c;
}

static void on_poll_closed(uv_handle_t *h)
{
    struct peer_conn *c = h->data;
    c->pending--;
    peer_net_soon(c->net);
}

static void ended(struct peer_conn *c)
{
    struct peer_net *net = c->net;
    struct peer *p = c->peer;
    if (p == NULL)
        return;
    if (p->dial == c) {
        p->dial = NULL;
        p->fails++;
        peer_dial_later(net, p);
    }
    if (p->link == c) {
        p->link = NULL;
        p->fails = 0;
        if (peer_now() - p->up_at >= PEER_SILENCE_MS)
            p->backoff_ms = 0;
        peer_dial_later(net, p);
        if (!net->closing)
            net->h.down(net->h.ctx, p->id);
    }
}

static bool has_other_link(const struct peer_conn *c)
{
    return c->peer != NULL && c->peer->link != NULL && c->peer->link != c;
}

void peer_conn_close(struct peer_conn *c, const char *reason, bool certain)
{
    struct peer_net *net = c->net;
    if (c->state == PEER_CLOSED)
        return;
    if (!c->dialled && c->state < PEER_LINK)
        net->new_n--;
    if (c->state == PEER_RESOLVING && c->pending > 0)
        (void)uv_cancel((uv_req_t *)&c->resolve);
    if (c->state == PEER_CONNECTING)
        c->peer->turn++;
    c->state = PEER_CLOSED;
    if (c->fd >= 0) {
        uv_close((uv_handle_t *)&c->poll, on_poll_closed);
        close(c->fd);
        c->fd = -1;
    }
    SSL_free(c->ssl);
    c->ssl = NULL;
    peer_stream_close(c);
    if (reason != NULL && (certain || !c->is_raft) && !has_other_link(c))
        peer_note(net, c->peer, reason, certain);
    peer_net_soon(net);
    ended(c);
}

void peer_conn_free(struct peer_conn *c)
{
    struct peer_net *net = c->net;
    if (c->prev != NULL)
        c->prev->next = c->next;
    else
        net->conns = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
    peer_stream_answer(c);
    buf_free(&c->in);
    buf_free(&c->out);
    free(c);
}

/* ---- events ---- */

static bool is_permitted(struct peer_conn *c, uint64_t id)
{
    struct peer_net *net = c->net;
    char text[PEER_REASON_CAP];
    if (c->dialled) {
        if (id == c->peer->id)
            return true;
        (void)snprintf(text, sizeof text, "partition %llu answers at its address",
                       (unsigned long long)id - 1);
        peer_conn_close(c, text, true);
        return false;
    }
    if (id == net->self) {
        peer_conn_close(c, "it has our own number", true);
        return false;
    }
    c->peer = peer_find_or_add(net, id);
    if (c->peer == NULL)
        peer_conn_close(c, "no room for another member", true);
    else if (c->peer->forgotten)
        peer_conn_close(c, "it was removed from the pool", true);
    return c->state != PEER_CLOSED;
}

static void handshake(struct peer_conn *c)
{
    char text[PEER_REASON_CAP];
    uint64_t id;
    ERR_clear_error();
    errno = 0;
    int r = SSL_do_handshake(c->ssl);
    if (r != 1) {
        int error = SSL_get_error(c->ssl, r);
        if (!tls_wants(c, error))
            tls_failed(c, error);
        return;
    }
    c->heard_at = peer_now();
    if (peer_tls_identity(c->ssl, c->net->pool, &id, text, sizeof text) != HSM_OK) {
        peer_conn_close(c, text, true);
        return;
    }
    if (!is_permitted(c, id))
        return;
    if (!c->dialled) {
        c->state = PEER_HELLO;
        return;
    }
    c->state = PEER_OFFERED;
    peer_link_hello(c);
}

static void connected(struct peer_conn *c)
{
    char text[PEER_REASON_CAP];
    int error = 0;
    socklen_t n = sizeof error;
    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &n) != 0)
        error = errno;
    if (error == 0) {
        c->state = PEER_HANDSHAKE;
        return;
    }
    (void)snprintf(text, sizeof text, "connecting: %s", strerror(error));
    peer_conn_close(c, text, false);
}

void peer_conn_drive(struct peer_conn *c)
{
    c->kick = false;
    if (c->state == PEER_CONNECTING)
        connected(c);
    if (c->state == PEER_HANDSHAKE)
        handshake(c);
    if (c->state >= PEER_HELLO && c->state <= PEER_LINK)
        peer_link_input(c);
    if (c->state == PEER_STREAM)
        peer_stream_pump(c);
    else if (c->state != PEER_CLOSED && c->ssl != NULL)
        peer_conn_flush(c);
}

static void on_poll(uv_poll_t *h, int status, int events)
{
    struct peer_conn *c = h->data;
    if (status < 0) { /* the socket has an error; libuv has stopped the handle */
        c->events = 0;
        if (c->state == PEER_CONNECTING)
            connected(c);
        if (c->state != PEER_CLOSED)
            peer_conn_close(c, "connection lost", c->state == PEER_LINK);
        return;
    }
    if (events & UV_READABLE)
        c->readable = true;
    if (events & UV_WRITABLE)
        c->writable = true;
    peer_conn_drive(c);
}

static int wanted(const struct peer_conn *c)
{
    bool blocked = peer_buf_len(&c->out) > 0 && !c->writable;
    switch (c->state) {
    case PEER_CONNECTING:
        return UV_WRITABLE;
    case PEER_HANDSHAKE:
        return c->writable ? UV_READABLE : UV_READABLE | UV_WRITABLE;
    case PEER_HELLO:
    case PEER_OFFERED:
    case PEER_LINK:
        return blocked || c->kick ? UV_READABLE | UV_WRITABLE : UV_READABLE;
    case PEER_STREAM:
        return (c->in.n < c->in.cap && !c->remote_eof ? UV_READABLE : 0) |
               (blocked || c->kick ? UV_WRITABLE : 0);
    case PEER_RESOLVING:
    case PEER_CLOSED:
        break;
    }
    return 0;
}

void peer_conn_interest(struct peer_conn *c)
{
    int ev = wanted(c);
    if (c->fd < 0 || ev == c->events)
        return;
    c->events = ev;
    if (ev == 0)
        (void)uv_poll_stop(&c->poll);
    else if (uv_poll_start(&c->poll, ev, on_poll) != 0)
        peer_conn_close(c, "cannot wait for the socket", true);
}

hsm_err peer_conn_start(struct peer_conn *c, int fd)
{
    c->ssl = SSL_new(c->net->tls);
    if (c->ssl == NULL || SSL_set_fd(c->ssl, fd) != 1 ||
        uv_poll_init(c->net->loop, &c->poll, fd) != 0) {
        close(fd);
        return HSM_E_NOMEM;
    }
    c->poll.data = c;
    c->fd = fd;
    c->pending++;
    c->writable = true;
    if (c->dialled)
        SSL_set_connect_state(c->ssl);
    else
        SSL_set_accept_state(c->ssl);
    peer_conn_interest(c);
    return HSM_OK;
}
