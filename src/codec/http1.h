/* HTTP/1.1 request head (RFC 9112), strict: exactly one of Content-Length and chunked, no obs-fold,
 * no bare CR or LF, no NUL, no blank before the colon, exactly one Host, no duplicate
 * Content-Length / Authorization / Content-Type. Pure: bytes in, views out. */
#ifndef CODEC_HTTP1_H
#define CODEC_HTTP1_H

#include <stdbool.h>
#include "base/bytes.h"

#define HTTP1_HEAD_MAX    24576
#define HTTP1_HEADERS_MAX 64

enum http1_method {
    HTTP1_GET,
    HTTP1_POST,
    HTTP1_PUT,
    HTTP1_PATCH,
    HTTP1_DELETE,
    HTTP1_HEAD,
    HTTP1_OPTIONS,
    HTTP1_CONNECT,
    HTTP1_OTHER,
};
struct http1_header {
    struct bytes name;
    struct bytes value; /* trimmed of blanks */
};
struct http1_head {
    enum http1_method method;
    struct bytes method_text;
    struct bytes target; /* as sent; absolute form "https://host/x" is reduced to "/x" after the
                          * host was compared with Host */
    unsigned minor;      /* HTTP/1.minor: 0 or 1 */
    struct bytes host;   /* Host value */
    struct bytes authorization;
    struct bytes content_type;
    struct bytes user_agent;
    struct bytes client_request_id; /* x-ms-client-request-id */
    bool has_length;
    uint64_t content_length;
    bool chunked;
    bool keep_alive;
    bool expect_continue;
    struct http1_header header[HTTP1_HEADERS_MAX];
    size_t header_n;
};

/* Parse one head at the start of in.
 *   HSM_OK            *ret_used = bytes of the head including the empty line
 *   HSM_E_AGAIN       the head is not complete yet
 *   HSM_E_HEADERS_TOO_LARGE, HSM_E_MALFORMED  answer 431 / 400 and close
 * *ret holds nothing of use unless HSM_OK. */
HSM_MUST_USE hsm_err http1_parse(struct bytes in, struct http1_head *ret, size_t *ret_used);
struct bytes http1_header_get(const struct http1_head *h, const char *lower_name);

/* Chunked body decoder; feed bytes in any pieces. */
struct http1_chunks {
    uint64_t left; /* of the current chunk */
    unsigned state;
    uint64_t total;
    size_t line_n;
};
/* Consume from in, append body bytes to out (overflow of out = HSM_E_TOO_LARGE).
 * HSM_OK: body complete, *ret_used consumed. HSM_E_AGAIN: all of in consumed, need more. */
HSM_MUST_USE hsm_err http1_chunks_feed(struct http1_chunks *c, struct bytes in, struct wr *out,
                                       size_t *ret_used);

#endif
