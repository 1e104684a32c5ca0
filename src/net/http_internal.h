/* What http_server.c (listeners, limits, clock) and http_conn.c (one connection) share. Not for
 * other folders. Everything on the loop's thread. */
#ifndef NET_HTTP_INTERNAL_H
#define NET_HTTP_INTERNAL_H

#include <netinet/in.h>
#include "net/http_server.h"

enum conn_state {
    CONN_HANDSHAKE,
    CONN_IDLE, /* between requests, no byte of the next one */
    CONN_HEAD,
    CONN_BODY,
    CONN_WAITING, /* the request is with its handler */
    CONN_WRITING, /* part of the answer is still in out */
    CONN_LINGER,  /* answered and shut down; reads away what the client still sends */
    CONN_CLOSED,  /* socket gone; memory stays until the exchange is answered */
};

struct http_exchange {
    struct http_request rq;
    void *user;
    bool open; /* given to the handler, not answered yet */
};

struct conn {
    struct http_exchange x; /* first: an exchange is its connection */
    struct http_server *s;  /* NULL once the server was freed */
    struct conn *prev, *next;
    uv_poll_t poll;
    SSL *ssl;
    int fd;
    int events;        /* what poll is started with */
    uint64_t deadline; /* loop time in ms */
    enum conn_state state;
    bool in_drive;   /* inside conn_drive(): it looks after what follows */
    bool sock_ready; /* the socket was reported readable and not read since */
    bool want_write; /* TLS cannot go on before the socket is writable */
    bool kick;       /* more to do than fits one loop turn */
    bool paused;     /* in is full of early bytes */
    bool fresh;      /* no request so far */
    bool trimmed;    /* idle buffers were given back */
    bool closing;    /* close after the answer */
    bool broken;     /* TLS failed: no close_notify */
    bool handle_closed;
    bool client_is_v6;
    bool in_place; /* the body is in `in`, behind the head */
    bool out_secret;
    size_t linger_left;

    uint8_t *in; /* head, in-place body, early bytes: [in_off, in_n) is not consumed */
    size_t in_cap, in_off, in_n;
    size_t scanned; /* bytes from in_off that are known to hold no complete head */
    size_t head_n;  /* length of the head at in_off */
    size_t req_end; /* end of the request in `in` */
    size_t limit;   /* of the body */
    uint8_t *body;  /* bodies that are not in place */
    size_t body_cap, body_n;
    struct http1_chunks chunks;
    uint8_t *out; /* not yet accepted by the socket: [out_off, out_n) */
    size_t out_cap, out_off, out_n;
    char client_ip[INET6_ADDRSTRLEN];
    char *endpoint; /* NULL: the public way */
    struct http1_head head;
};

/* Where connections come from: a listening socket or a front door. */
struct feed {
    struct http_server *s;
    struct feed *next;
    uv_poll_t poll;
    int fd;
    bool is_door;
    bool paused;
    bool closed;
};

#define HTTP_SCRATCH (16384 + 1024)

struct http_server {
    uv_loop_t *loop;
    struct http_server_config cfg;
    struct http_server_handlers h;
    SSL_CTX *tls;
    uv_timer_t timer;
    uv_prepare_t prepare;
    uv_check_t check;
    struct feed *feeds;
    struct conn *conns;
    unsigned conn_n;       /* in the list, also closed ones whose exchange is open */
    unsigned sock_n;       /* with an open socket */
    unsigned handles_open; /* timer, prepare, check, feeds, connections */
    bool delivered;        /* requests since the last batch_end */
    bool timer_on, draining, stopping, stopped, freeing;
    unsigned trimmed_n; /* connections that gave buffers back since the last malloc_trim() */
    uint64_t trim_at;   /* not before then */
    uint64_t resume_at; /* feeds rest until then (descriptor limit) */
    uint64_t drain_at;
    void (*done)(void *ctx);
    void *done_ctx;
    uint64_t date_at;
    char date[40];
    struct http_server_stats stats;
    uint8_t scratch[HTTP_SCRATCH];
};

/* Takes fd; peer is its address; endpoint: a private one's id (copied), NULL: the public way. */
HSM_MUST_USE hsm_err conn_new(struct http_server *s, int fd, const struct sockaddr_storage *peer,
                              const char *endpoint);
void conn_close(struct conn *c, bool notify);
void conn_tick(struct conn *c, uint64_t now); /* deadline, trimming */
void conn_drain(struct conn *c, uint64_t now);
/* Moves to another state; an unknown move ends the process. */
void conn_move(struct conn *c, enum conn_state to);
void conn_deadline(struct conn *c, unsigned ms);
/* Take bytes for the client: written at once as far as possible, the rest is queued. */
void conn_send(struct conn *c, const uint8_t *p, size_t n, bool secret);
/* Answer the request or, for refusals, the bytes so far. */
void conn_answer(struct conn *c, unsigned status, struct bytes headers, struct bytes body,
                 bool secret);
/* One SSL_read: bytes received; 0: none now (or the connection was closed). */
size_t conn_tls_read(struct conn *c, uint8_t *p, size_t room);

/* http_input.c: from bytes to requests. */
void conn_input(struct conn *c);       /* read and parse until something is to be waited for */
void conn_input_early(struct conn *c); /* keep what comes while a request is with its handler */
void conn_request_done(struct conn *c, bool secret);
void conn_input_trim(struct conn *c); /* give buffers of an idle connection back */
void conn_input_free(struct conn *c);
void conn_refuse(struct conn *c, hsm_err err);

/* Called by a connection whose memory goes. */
void server_conn_gone(struct http_server *s, struct conn *c);
void server_handle_closed(struct http_server *s);
void server_sock_closed(struct http_server *s);
void server_timer_start(struct http_server *s);
/* "date: ...\r\n" */
struct bytes server_date(struct http_server *s);

/* http_answer.c: the first bytes of an answer up to and including the empty line. */
struct answer_info {
    unsigned status;
    unsigned minor;
    bool close;
    struct bytes headers;
    struct bytes date;
    size_t body_n;
};
#define ANSWER_HEAD_MAX(headers_n) ((headers_n) + 256)
void answer_head(struct wr *w, const struct answer_info *a);
bool answer_has_body(unsigned status);

#endif
