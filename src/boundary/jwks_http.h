/* The answer to one HTTP/1.1 GET of a key set: status 200, identity coding, body framed by
 * Content-Length, by chunks, or by the end of the connection. Pure: bytes in, body out. */
#ifndef BOUNDARY_JWKS_HTTP_H
#define BOUNDARY_JWKS_HTTP_H

#include "codec/http1.h"
#include "codec/jws.h"

#define JWKS_HTTP_HEAD_MAX 8192

enum jwks_http_framing {
    JWKS_HTTP_TO_END,
    JWKS_HTTP_LENGTH,
    JWKS_HTTP_CHUNKS
};

struct jwks_http {
    uint8_t head[JWKS_HTTP_HEAD_MAX];
    size_t head_n;
    bool in_body;
    enum jwks_http_framing framing;
    uint64_t left; /* JWKS_HTTP_LENGTH */
    struct http1_chunks chunks;
    struct wr body; /* caller's buffer */
};
/* body[cap] receives the document and must outlive the parser. */
void jwks_http_init(struct jwks_http *h, uint8_t *body, size_t cap);
/* HSM_OK: complete, see h->body. HSM_E_AGAIN: more is needed. HSM_E_TOO_LARGE, HSM_E_MALFORMED and
 * HSM_E_UNAVAILABLE (another status than 200) are final. */
HSM_MUST_USE hsm_err jwks_http_feed(struct jwks_http *h, struct bytes in);
/* The peer ended the connection in an authenticated way. HSM_OK when that completes the body. */
HSM_MUST_USE hsm_err jwks_http_end(const struct jwks_http *h);

#endif
