/* What the files of the peer links share. Not for others. All on the loop's thread.
 *
 *   peer.c         the net: listener, table of members, clock, the end of connections
 *   peer_conn.c    one connection: TLS, its buffers, what it waits for
 *   peer_dial.c    from an address to a connected socket; when to try again
 *   peer_link.c    hello, which connection becomes the link, messages, pings
 *   peer_stream.c  libraft's streams: bytes between TLS and a socket pair
 *   peer_tls.c     context and identity */
#ifndef STORE_PEER_INTERNAL_H
#define STORE_PEER_INTERNAL_H

#include <openssl/ssl.h>
#include <raft/uv.h>
#include "store/peer.h"
#include "store/peer_frame.h"

#define PEER_REASON_CAP  160
#define PEER_STREAM_BUF  ((size_t)256 << 10) /* each way */
#define PEER_TURN_BYTES  ((size_t)512 << 10) /* read from one connection in a turn of the loop */
#define PEER_MEMBERS_MAX 1024                /* also former ones */
#define PEER_NEW_MAX     64 /* incoming connections that are not a link or stream yet */
#define PEER_DIAL_MS     1000
#define PEER_ACCEPT_MS   2000

struct peer_buf {
    uint8_t *p;
    size_t cap, off, n; /* [off, n) is in use */
};

enum peer_state {
    PEER_RESOLVING,
    PEER_CONNECTING,
    PEER_HANDSHAKE,
    PEER_HELLO,   /* incoming: the hello is awaited */
    PEER_OFFERED, /* WELCOME or CONFIRM is awaited */
    PEER_LINK,
    PEER_STREAM,
    PEER_CLOSED, /* socket gone; memory goes when libuv has let go */
};

struct peer_conn {
    struct peer_net *net;
    struct peer_conn *prev, *next;
    struct peer *peer; /* NULL: incoming, certificate not seen yet */
    enum peer_state state;
    bool dialled;
    bool is_raft;
    bool readable; /* the socket may have bytes, or TLS has */
    bool writable; /* not known to be full */
    bool kick;     /* more to do than fits one turn of the loop */
    bool dirty;    /* something was queued in this turn */
    bool remote_eof;
    unsigned pending; /* handles and requests of libuv that refer to this */

    uv_poll_t poll;
    int fd, events;
    SSL *ssl;
    uint64_t deadline; /* ms; 0: none */
    uint64_t heard_at, sent_at;
    uint64_t records; /* written with the present keys */
    struct peer_buf in, out;

    uv_getaddrinfo_t resolve;

    /* streams */
    struct raft_uv_connect *req; /* not answered yet */
    uv_poll_t local_poll;
    int local_fd, local_events;
    bool local_open, local_readable, local_writable, local_eof;
};

struct peer {
    struct peer *next;
    uint64_t id;
    char address[PEER_ADDRESS_CAP]; /* "": none */
    bool forgotten;
    struct peer_conn *link; /* up */
    struct peer_conn *dial; /* ours, not up yet */
    unsigned backoff_ms;
    unsigned fails;   /* dials in a row */
    unsigned turn;    /* which of the addresses of its name is next */
    uint64_t dial_at; /* not before */
    uint64_t up_at;
    char reason[PEER_REASON_CAP];
    bool logged;
};

struct peer_net {
    uv_loop_t *loop;
    uint64_t self;
    char pool[PEER_POOL_MAX + 1];
    struct peer_handlers h;
    SSL_CTX *tls;
    uint64_t rekey_records; /* new keys for what is sent after so many records */
    uint16_t port;

    uv_poll_t listener;
    int listen_fd;
    bool listening;     /* listener is a handle of the loop */
    uint64_t listen_at; /* the listener rests until then; 0: it does not */
    uv_timer_t timer;
    uint64_t timer_at; /* UINT64_MAX: not running */
    uv_prepare_t prepare;
    bool todo; /* for prepare, which runs then */
    unsigned handles;

    struct peer_conn *conns;
    unsigned new_n;
    struct peer *peers;
    unsigned peer_n;
    char stranger[PEER_REASON_CAP]; /* why the last unknown one was refused */

    struct raft_uv_transport *transport; /* NULL: none */
    raft_uv_accept_cb accept_cb;
    struct raft_uv_transport *closed_transport;  /* it is closing ... */
    raft_uv_transport_close_cb transport_closed; /* ... and waits for this */
    char raft_address[PEER_ADDRESS_CAP];

    bool closing;
    void (*done)(void *ctx);
    void *done_ctx;
};

/* peer.c */
uint64_t peer_now(void); /* ms */
struct peer *peer_find(const struct peer_net *net, uint64_t id);
struct peer *peer_find_or_add(struct peer_net *net, uint64_t id); /* NULL: no memory, too many */
void peer_net_wake(struct peer_net *net, uint64_t at); /* the clock is due at that time */
void peer_net_soon(struct peer_net *net); /* flush and clear up before the loop waits */
/* Note why there is no link (p NULL: somebody unknown); certain ones are logged at once. */
void peer_note(struct peer_net *net, struct peer *p, const char *reason, bool certain);

/* peer_conn.c */
struct peer_conn *peer_conn_new(struct peer_net *net, bool dialled);
HSM_MUST_USE hsm_err peer_conn_start(struct peer_conn *c, int fd); /* takes fd */
/* reason NULL: nothing to be said. certain: a refusal, not a failure that may pass. */
void peer_conn_close(struct peer_conn *c, const char *reason, bool certain);
void peer_conn_free(struct peer_conn *c);
void peer_conn_flush(struct peer_conn *c);
void peer_conn_drive(struct peer_conn *c);
void peer_conn_interest(struct peer_conn *c);
/* Bytes read into c->in, at most max; 0: none now, or remote_eof, or closed. */
size_t peer_conn_read(struct peer_conn *c, size_t max);
/* Bytes of c->out given to the socket; 0: it is full, or closed. */
size_t peer_conn_write(struct peer_conn *c);
/* Room for n more bytes. */
HSM_MUST_USE bool peer_buf_reserve(struct peer_buf *b, size_t n);
void peer_buf_take(struct peer_buf *b, size_t n); /* the first n are done with */
static inline size_t peer_buf_len(const struct peer_buf *b)
{
    return b->n - b->off;
}

/* peer_dial.c */
HSM_MUST_USE hsm_err peer_dial(struct peer *p, const char *address, struct peer_conn *c);
void peer_dial_link(struct peer_net *net, struct peer *p);
void peer_dial_later(struct peer_net *net, struct peer *p);
void peer_socket_options(int fd);
bool peer_wants_dial(const struct peer_net *net, const struct peer *p);

/* peer_link.c */
void peer_link_hello(struct peer_conn *c); /* after the handshake of a dialled connection */
void peer_link_input(struct peer_conn *c);
void peer_link_tick(struct peer_conn *c, uint64_t now);
HSM_MUST_USE hsm_err peer_link_queue(struct peer_conn *c, uint16_t type, uint64_t seq,
                                     struct bytes payload);

/* peer_stream.c */
/* The connection is agreed on: make libraft's end. */
void peer_stream_open(struct peer_conn *c, const char *address);
void peer_stream_pump(struct peer_conn *c);
void peer_stream_close(struct peer_conn *c);
void peer_stream_answer(struct peer_conn *c); /* libraft's request, when it was not answered */
bool peer_stream_any(const struct peer_net *net);
void peer_stream_close_all(struct peer_net *net, const struct peer *p); /* p NULL: everybody's */

/* peer_tls.c */
SSL_CTX *peer_tls_context(const struct peer_config *cfg, char *text, size_t cap);
/* Raft id of the other side; text says why not. */
HSM_MUST_USE hsm_err peer_tls_identity(const SSL *ssl, const char *pool, uint64_t *ret_id,
                                       char *text, size_t cap);
void peer_tls_reason(const char *what, char *text, size_t cap); /* empties OpenSSL's queue */

#endif
