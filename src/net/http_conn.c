/* One connection: its life, TLS in and out, what it waits for. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/secret.h"
#include "net/http_internal.h"

#define LINGER_MS    2000
#define LINGER_BYTES (4U << 20)
#define TRIM_MS      5000

static void on_poll(uv_poll_t *h, int status, int events);

#define TO(s) (1U << CONN_##s)
static const unsigned moves[] = {
    [CONN_HANDSHAKE] = TO(IDLE) | TO(CLOSED),
    [CONN_IDLE] = TO(HEAD) | TO(CLOSED),
    [CONN_HEAD] = TO(BODY) | TO(WAITING) | TO(WRITING) | TO(CLOSED),
    [CONN_BODY] = TO(WAITING) | TO(WRITING) | TO(CLOSED),
    [CONN_WAITING] = TO(WRITING) | TO(CLOSED),
    [CONN_WRITING] = TO(IDLE) | TO(LINGER) | TO(CLOSED),
    [CONN_LINGER] = TO(CLOSED),
    [CONN_CLOSED] = 0,
};

void conn_move(struct conn *c, enum conn_state to)
{
    HSM_ASSERT(moves[c->state] & 1U << to);
    c->state = to;
}

void conn_deadline(struct conn *c, unsigned ms)
{
    c->deadline = uv_now(c->s->loop) + ms;
}

static bool has_out(const struct conn *c)
{
    return c->out_off < c->out_n;
}

/* ---- life ---- */

static void conn_release(struct conn *c)
{
    if (!c->handle_closed || c->x.open)
        return;
    conn_input_free(c);
    if (c->s != NULL)
        server_conn_gone(c->s, c);
    free(c->endpoint);
    free(c);
}

static void on_closed(uv_handle_t *h)
{
    struct conn *c = h->data;
    struct http_server *s = c->s;

    c->handle_closed = true;
    conn_release(c);
    server_handle_closed(s);
}

static void out_free(struct conn *c)
{
    if (c->out != NULL && c->out_secret)
        secret_wipe(c->out, c->out_n);
    free(c->out);
    c->out = NULL;
    c->out_cap = c->out_off = c->out_n = 0;
    c->out_secret = false;
}

void conn_close(struct conn *c, bool notify)
{
    if (c->state == CONN_CLOSED)
        return;
    if (c->ssl != NULL) {
        if (notify && !c->broken && c->state != CONN_HANDSHAKE && !has_out(c))
            SSL_shutdown(c->ssl);
        ERR_clear_error();
        SSL_free(c->ssl);
        c->ssl = NULL;
    }
    conn_move(c, CONN_CLOSED);
    uv_close((uv_handle_t *)&c->poll, on_closed);
    close(c->fd);
    c->fd = -1;
    c->deadline = UINT64_MAX;
    out_free(c);
    server_sock_closed(c->s);
}

static void peer_text(struct conn *c, const struct sockaddr_storage *peer)
{
    if (peer->ss_family == AF_INET) {
        struct sockaddr_in a;
        memcpy(&a, peer, sizeof(a));
        inet_ntop(AF_INET, &a.sin_addr, c->client_ip, sizeof(c->client_ip));
    } else if (peer->ss_family == AF_INET6) {
        struct sockaddr_in6 a;
        memcpy(&a, peer, sizeof(a));
        c->client_is_v6 = !IN6_IS_ADDR_V4MAPPED(&a.sin6_addr);
        if (c->client_is_v6) {
            inet_ntop(AF_INET6, &a.sin6_addr, c->client_ip, sizeof(c->client_ip));
        } else {
            inet_ntop(AF_INET, a.sin6_addr.s6_addr + 12, c->client_ip, sizeof(c->client_ip));
        }
    }
}

static bool address_is_full(const struct http_server *s, const struct conn *c)
{
    unsigned n = 0;
    if (s->cfg.per_address_max == 0)
        return false;
    for (const struct conn *o = s->conns; o != NULL; o = o->next)
        n += o->state != CONN_CLOSED && strcmp(o->client_ip, c->client_ip) == 0;
    return n >= s->cfg.per_address_max;
}

static SSL *tls_new(struct http_server *s, int fd)
{
    ERR_clear_error();
    SSL *ssl = SSL_new(s->tls);
    if (ssl != NULL && SSL_set_fd(ssl, fd) == 1) {
        SSL_set_accept_state(ssl);
        return ssl;
    }
    ERR_clear_error();
    SSL_free(ssl);
    return NULL;
}

static void conn_enlist(struct http_server *s, struct conn *c)
{
    c->next = s->conns;
    if (c->next != NULL)
        c->next->prev = c;
    s->conns = c;
    s->conn_n++;
    s->sock_n++;
    s->handles_open++;
    s->stats.accepted++;
}

hsm_err conn_new(struct http_server *s, int fd, const struct sockaddr_storage *peer,
                 const char *endpoint)
{
    int one = 1;
    struct conn *c = calloc(1, sizeof(*c));
    char *way = c != NULL && endpoint != NULL ? strdup(endpoint) : NULL;
    if (c == NULL || (endpoint != NULL && way == NULL)) {
        free(c);
        close(fd);
        return HSM_E_NOMEM;
    }
    c->endpoint = way;
    c->s = s;
    c->fd = fd;
    c->fresh = true;
    c->state = CONN_HANDSHAKE;
    peer_text(c, peer);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (!address_is_full(s, c))
        c->ssl = tls_new(s, fd);
    if (c->ssl == NULL || uv_poll_init(s->loop, &c->poll, fd) != 0) {
        SSL_free(c->ssl);
        close(fd);
        free(c->endpoint);
        free(c);
        return HSM_E_UNAVAILABLE;
    }
    c->poll.data = c;
    conn_enlist(s, c);
    conn_deadline(c, s->cfg.handshake_timeout_ms);
    c->events = UV_READABLE;
    if (uv_poll_start(&c->poll, UV_READABLE, on_poll) != 0)
        conn_close(c, false);
    server_timer_start(s);
    return HSM_OK;
}

/* ---- TLS in and out ---- */

static void errors_clear(void)
{
    if (ERR_peek_error() != 0)
        ERR_clear_error();
}

size_t conn_tls_read(struct conn *c, uint8_t *p, size_t room)
{
    errors_clear();
    int n = SSL_read(c->ssl, p, room > INT_MAX ? INT_MAX : (int)room);
    c->sock_ready = false;
    if (n > 0)
        return (size_t)n;
    int e = SSL_get_error(c->ssl, n);
    if (e == SSL_ERROR_WANT_READ)
        return 0;
    if (e == SSL_ERROR_WANT_WRITE) {
        c->want_write = true;
        return 0;
    }
    c->broken = e != SSL_ERROR_ZERO_RETURN;
    conn_close(c, true);
    return 0;
}

/* Bytes taken; 0: the socket is full (or the connection was closed). */
static size_t tls_write(struct conn *c, const uint8_t *p, size_t n)
{
    errors_clear();
    int r = SSL_write(c->ssl, p, n > INT_MAX ? INT_MAX : (int)n);
    if (r > 0)
        return (size_t)r;
    if (SSL_get_error(c->ssl, r) == SSL_ERROR_WANT_WRITE)
        return 0;
    /* WANT_READ cannot happen: renegotiation is off */
    c->broken = true;
    conn_close(c, false);
    return 0;
}

static size_t write_now(struct conn *c, const uint8_t *p, size_t n)
{
    size_t off = 0;
    while (off < n && c->state != CONN_CLOSED) {
        size_t r = tls_write(c, p + off, n - off);
        if (r == 0)
            break;
        off += r;
    }
    return off;
}

static void out_append(struct conn *c, const uint8_t *p, size_t n, bool secret)
{
    size_t have = c->out_n - c->out_off;
    uint8_t *fresh = malloc(have + n);
    if (fresh == NULL) {
        c->broken = true;
        conn_close(c, false);
        return;
    }
    if (have > 0)
        memcpy(fresh, c->out + c->out_off, have);
    memcpy(fresh + have, p, n);
    secret = secret || c->out_secret;
    out_free(c);
    c->out = fresh;
    c->out_cap = c->out_n = have + n;
    c->out_secret = secret;
}

void conn_send(struct conn *c, const uint8_t *p, size_t n, bool secret)
{
    size_t off = has_out(c) ? 0 : write_now(c, p, n);
    if (off < n && c->state != CONN_CLOSED) {
        out_append(c, p + off, n - off, secret);
    }
}

/* Whether nothing is left to write (and the connection lives). */
static bool flush_out(struct conn *c)
{
    if (has_out(c)) {
        size_t n = write_now(c, c->out + c->out_off, c->out_n - c->out_off);
        if (c->state == CONN_CLOSED)
            return false;
        c->out_off += n;
        if (n > 0 && c->state == CONN_WRITING)
            conn_deadline(c, c->s->cfg.write_timeout_ms);
        if (has_out(c))
            return false;
    }
    out_free(c);
    return true;
}

/* ---- answers ---- */

static void linger(struct conn *c)
{
    conn_move(c, CONN_LINGER);
    SSL_shutdown(c->ssl);
    ERR_clear_error();
    SSL_free(c->ssl);
    c->ssl = NULL;
    shutdown(c->fd, SHUT_WR);
    c->linger_left = LINGER_BYTES;
    conn_deadline(c, LINGER_MS);
}

/* Everything of the answer is with the socket. */
static void answered(struct conn *c)
{
    if (c->closing) {
        linger(c);
        return;
    }
    conn_move(c, CONN_IDLE);
    conn_deadline(c, c->s->cfg.idle_timeout_ms);
}

static void send_answer(struct conn *c, const struct answer_info *a, struct bytes body, bool secret)
{
    struct http_server *s = c->s;
    size_t need = ANSWER_HEAD_MAX(a->headers.n) + body.n;
    uint8_t *buf = need <= sizeof(s->scratch) ? s->scratch : malloc(need);
    if (buf == NULL) {
        conn_close(c, false);
        return;
    }
    struct wr w = wr_of(buf, need);
    answer_head(&w, a);
    size_t head_n = w.n;
    wr_bytes(&w, body.p, body.n);
    HSM_ASSERT(!w.overflow);
    conn_send(c, buf, w.n, secret);
    if (secret)
        secret_wipe(buf + head_n, body.n);
    if (buf != s->scratch)
        free(buf);
}

void conn_answer(struct conn *c, unsigned status, struct bytes headers, struct bytes body,
                 bool secret)
{
    struct answer_info a = {
        .status = status,
        .minor = c->closing ? 1 : c->head.minor,
        .close = c->closing,
        .headers = headers,
        .date = server_date(c->s),
        .body_n = body.n,
    };
    bool bodyless =
        !answer_has_body(status) || (c->state == CONN_WAITING && c->head.method == HTTP1_HEAD);

    conn_move(c, CONN_WRITING);
    conn_deadline(c, c->s->cfg.write_timeout_ms);
    send_answer(c, &a, bodyless ? bytes_of(NULL, 0) : body, secret);
    if (c->state == CONN_WRITING && !has_out(c))
        answered(c);
}

static void conn_interest(struct conn *c)
{
    int ev = UV_READABLE;

    if (c->state == CONN_CLOSED)
        return;
    switch (c->state) {
    case CONN_HANDSHAKE:
        ev = c->want_write ? UV_WRITABLE : UV_READABLE;
        break;
    case CONN_IDLE:
    case CONN_HEAD:
    case CONN_BODY:
        if (has_out(c) || c->want_write || c->kick)
            ev = UV_READABLE | UV_WRITABLE;
        break;
    case CONN_WAITING:
        /* a client that goes is noticed in both cases */
        ev = c->paused ? UV_DISCONNECT : UV_READABLE;
        if (has_out(c) || c->want_write)
            ev |= UV_WRITABLE;
        break;
    case CONN_WRITING:
        ev = UV_WRITABLE;
        break;
    case CONN_LINGER:
    case CONN_CLOSED:
        break;
    }
    if (ev == c->events)
        return;
    c->events = ev;
    if (uv_poll_start(&c->poll, ev, on_poll) != 0)
        conn_close(c, false);
}

void http_exchange_last(struct http_exchange *x)
{
    struct conn *c = (struct conn *)x;

    HSM_ASSERT(x->open);
    c->closing = true;
}

void http_respond(struct http_exchange *x, unsigned status, struct bytes headers, struct bytes body,
                  bool secret)
{
    struct conn *c = (struct conn *)x;

    HSM_ASSERT(x->open);
    x->open = false;
    if (c->state == CONN_CLOSED) {
        conn_release(c); /* wipes */
        return;
    }
    c->closing = c->closing || !c->head.keep_alive || c->s->draining;
    conn_answer(c, status, headers, body, secret);
    conn_request_done(c, secret);
    c->paused = false;
    if (c->in_drive)
        return;
    c->in_drive = true;
    if (c->state == CONN_IDLE)
        conn_input(c);
    c->in_drive = false;
    conn_interest(c);
}

/* ---- events ---- */

static void handshake(struct conn *c)
{
    errors_clear();
    c->want_write = false;
    int r = SSL_do_handshake(c->ssl);
    c->sock_ready = false;
    if (r == 1) {
        c->s->stats.handshakes++;
        conn_move(c, CONN_IDLE);
        conn_deadline(c, c->s->cfg.head_timeout_ms);
        conn_input(c);
        return;
    }
    int e = SSL_get_error(c->ssl, r);
    if (e == SSL_ERROR_WANT_WRITE) {
        c->want_write = true;
    } else if (e != SSL_ERROR_WANT_READ) {
        c->broken = true;
        conn_close(c, false);
    }
}

static void read_away(struct conn *c)
{
    ssize_t n = recv(c->fd, c->s->scratch, sizeof(c->s->scratch), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0 || (size_t)n > c->linger_left) {
        conn_close(c, false);
        return;
    }
    c->linger_left -= (size_t)n;
}

static void conn_drive(struct conn *c)
{
    bool flushed = c->state == CONN_HANDSHAKE || c->state == CONN_LINGER || flush_out(c);

    if (c->state == CONN_WRITING && flushed)
        answered(c);
    switch (c->state) {
    case CONN_HANDSHAKE:
        handshake(c);
        break;
    case CONN_IDLE:
    case CONN_HEAD:
    case CONN_BODY:
        conn_input(c);
        break;
    case CONN_WAITING:
        conn_input_early(c);
        break;
    case CONN_LINGER:
        read_away(c);
        break;
    case CONN_WRITING:
    case CONN_CLOSED:
        break;
    }
}

static void on_poll(uv_poll_t *h, int status, int events)
{
    struct conn *c = h->data;

    if (status < 0) { /* the socket has an error; libuv has stopped the handle */
        c->broken = true;
        conn_close(c, false);
        return;
    }
    if (events == UV_DISCONNECT) {
        conn_close(c, false);
        return;
    }
    c->sock_ready = true;
    c->want_write = c->kick = false;
    c->in_drive = true;
    conn_drive(c);
    c->in_drive = false;
    conn_interest(c);
}

void conn_tick(struct conn *c, uint64_t now)
{
    if (c->state == CONN_IDLE && !c->trimmed && !c->fresh &&
        now + c->s->cfg.idle_timeout_ms >= c->deadline + TRIM_MS) {
        c->trimmed = true;
        c->s->trimmed_n++;
        conn_input_trim(c);
        SSL_free_buffers(c->ssl);
    }
    if (now < c->deadline)
        return;
    switch (c->state) {
    case CONN_HEAD:
    case CONN_BODY:
        conn_refuse(c, HSM_E_TIMEOUT);
        conn_interest(c);
        break;
    case CONN_HANDSHAKE:
    case CONN_IDLE:
    case CONN_WAITING:
    case CONN_WRITING:
    case CONN_LINGER:
    case CONN_CLOSED:
        conn_close(c, true);
        break;
    }
}

void conn_drain(struct conn *c, uint64_t now)
{
    const uint64_t grace = 500; /* a new client's first request may be under way */

    if (c->state != CONN_IDLE)
        return;
    if (!c->fresh) {
        conn_close(c, true);
    } else if (c->deadline > now + grace) {
        c->deadline = now + grace;
    }
}

/* ---- the handler's view ---- */

const struct http_request *http_exchange_request(const struct http_exchange *x)
{
    return &x->rq;
}

void http_exchange_set_user(struct http_exchange *x, void *user)
{
    x->user = user;
}

void *http_exchange_user(const struct http_exchange *x)
{
    return x->user;
}

bool http_exchange_gone(const struct http_exchange *x)
{
    const struct conn *c = (const struct conn *)x;
    return c->state == CONN_CLOSED;
}

SSL *http_exchange_tls(const struct http_exchange *x)
{
    const struct conn *c = (const struct conn *)x;
    return c->ssl;
}
