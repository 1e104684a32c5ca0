/* An HTTP/1.1 server over TLS 1.2/1.3 on one libuv loop. Several servers (one per loop and thread)
 * can listen on the same address (SO_REUSEPORT) or receive accepted sockets from the front door.
 * The parser is strict (codec/http1.h); limits and timeouts below. A request is handed over whole;
 * the answer may come later, from the loop's thread. Responses keep the order of requests
 * (no concurrency within a connection: the next request is read after the answer was written).
 *
 * Not thread-safe: everything on the loop's thread. */
#ifndef NET_HTTP_SERVER_H
#define NET_HTTP_SERVER_H

#include <openssl/ssl.h>
#include <uv.h>
#include "base/bytes.h"
#include "codec/http1.h"

struct http_server;
struct http_exchange; /* one request waiting for its answer */

struct http_request {
    const struct http1_head *head;
    struct bytes body;     /* complete; chunked bodies are already joined */
    const char *client_ip; /* text */
    bool client_is_v6;
    const char *endpoint; /* id of the private endpoint it came by; NULL: the public way */
    uint64_t received_us; /* monotonic, when the head was complete */
};

struct http_server_handlers {
    void *ctx;
    /* Largest body for this head; 0: use the default. Called before the body is read. */
    size_t (*body_limit)(void *ctx, const struct http1_head *head);
    /* A complete request. Views are valid until http_respond(x, ...) returns. Must lead to exactly
     * one http_respond(), now or later, also when the client has gone (x stays valid until then).
     */
    void (*request)(void *ctx, struct http_exchange *x, const struct http_request *rq);
    /* The server refused the bytes itself (err: MALFORMED, TIMEOUT, TOO_LARGE,
     * HEADERS_TOO_LARGE). Fill the body of the error answer into out (JSON) and, if wanted, extra
     * headers; the connection is closed after it. May be NULL. client_ip is text. */
    void (*refused)(void *ctx, hsm_err err, const char *client_ip, struct wr *headers,
                    struct wr *out);
    /* After a loop turn in which requests were delivered (batching point). May be NULL. */
    void (*batch_end)(void *ctx);
    /* The front door has closed its end of http_server_from_door(): no more sockets come from it;
     * a new door can be given. May be NULL. */
    void (*door_closed)(void *ctx);
};

struct http_server_config {
    SSL_CTX *tls;             /* shared, referenced */
    size_t body_max;          /* default limit */
    unsigned connections_max; /* in total, 0: 4096 */
    unsigned per_address_max; /* connections of one client address, 0: no limit of its own */
    unsigned handshake_timeout_ms, head_timeout_ms, body_timeout_ms, idle_timeout_ms,
        write_timeout_ms; /* 0: 5000, 10000, 30000, 180000, 30000 */
};

/* TLS context for servers: TLS 1.2 and 1.3, ALPN http/1.1 only, no renegotiation, no early data,
 * no compression. NULL on failure; text[cap] says why. */
SSL_CTX *http_tls_context(const char *cert_file, const char *key_file, char *text, size_t cap);

HSM_MUST_USE hsm_err http_server_new(uv_loop_t *loop, const struct http_server_config *cfg,
                                     const struct http_server_handlers *h,
                                     struct http_server **ret);
/* Listen with SO_REUSEPORT and TCP_NODELAY. addr: "127.0.0.1" or "::1"; port 0: any.
 * *ret_port: the port in use. */
HSM_MUST_USE hsm_err http_server_listen(struct http_server *s, const char *addr, uint16_t port,
                                        uint16_t *ret_port);
/* Take an accepted TCP socket whose first unread byte is the TLS ClientHello. The descriptor is
 * owned from now on, also on failure (it is closed then). */
HSM_MUST_USE hsm_err http_server_adopt(struct http_server *s, int fd);
/* Receive accepted sockets as SCM_RIGHTS messages (net/door_message.h, one descriptor each) on a
 * connected unix SOCK_SEQPACKET or SOCK_DGRAM descriptor. The descriptor is owned from now on. */
HSM_MUST_USE hsm_err http_server_from_door(struct http_server *s, int door_fd);
/* No new connections; idle ones close, busy ones get "Connection: close"; done after the last one
 * or after the deadline. */
void http_server_drain(struct http_server *s, unsigned deadline_ms, void (*done)(void *ctx),
                       void *ctx);
/* After drain's done (also from within it): everything is released at once. Without a drain all
 * connections are cut and the memory goes when the loop has run the close callbacks. Exchanges that
 * are still unanswered stay valid until their http_respond(). NULL is fine. */
void http_server_free(struct http_server *s);
/* New connections use this context (certificate reload); old ones keep theirs. */
void http_server_set_tls(struct http_server *s, SSL_CTX *tls);

struct http_server_stats {
    unsigned connections; /* open now */
    uint64_t accepted;
    uint64_t handshakes; /* completed */
    uint64_t requests;   /* delivered */
    uint64_t refused;    /* answered by the server itself: 400, 408, 413, 431 */
};
struct http_server_stats http_server_stats(const struct http_server *s);

/* headers: complete lines "name: value\r\n" (no Content-Length, Connection, Date needed: the
 * server adds Content-Length and Connection); body may be empty. status 204 sends no body.
 * One TLS record for small answers. secret: the buffers that held the body are wiped after
 * sending. */
void http_respond(struct http_exchange *x, unsigned status, struct bytes headers, struct bytes body,
                  bool secret);
/* Before http_respond(): the answer says "Connection: close" and the connection ends with it. */
void http_exchange_last(struct http_exchange *x);
/* The request given with x, and a place for the owner. */
const struct http_request *http_exchange_request(const struct http_exchange *x);
void http_exchange_set_user(struct http_exchange *x, void *user);
void *http_exchange_user(const struct http_exchange *x);
/* The client is gone; an answer will be dropped. */
bool http_exchange_gone(const struct http_exchange *x);
/* The connection's TLS state (client certificate, exporter); borrowed, NULL when the client is
 * gone. Not for reading or writing. */
SSL *http_exchange_tls(const struct http_exchange *x);

#endif
