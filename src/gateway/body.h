/* JSON request bodies to wire messages. Pure: bytes in, bytes out; no lookups. Unknown members are
 * ignored, an explicit null counts as absent. Errors are for authenticated callers only. */
#ifndef GATEWAY_BODY_H
#define GATEWAY_BODY_H

#include "codec/json.h"
#include "gateway/route.h"
#include "gateway/scratch.h"

#define BODY_TOKENS_MAX 8192

/* Working memory of one translation; the caller clears the scratch afterwards. */
struct body_ctx {
    struct json_tok *toks;
    size_t tok_cap;
    struct scratch *scratch;
    char *detail; /* ROUTE_DETAIL_MAX characters: message for the client, "" = the table's */
    struct json_doc doc;
};

/* Append the request message of r->op, made from path, query and body.
 * HSM_E_BAD_PARAMETER, HSM_E_MALFORMED (no JSON object), HSM_E_NOT_IMPLEMENTED (asks for a feature
 * that is missing), HSM_E_RANGE (does not fit out). */
HSM_MUST_USE hsm_err body_write(const struct route *r, struct bytes body, struct body_ctx *c,
                                struct wr *out);

/* The parts; the document is parsed into c->doc. */
HSM_MUST_USE hsm_err body_key_create(const struct route *r, struct body_ctx *c, struct wr *out);
HSM_MUST_USE hsm_err body_key_import(const struct route *r, struct body_ctx *c, struct wr *out);
HSM_MUST_USE hsm_err body_key_restore(struct body_ctx *c, struct wr *out);
HSM_MUST_USE hsm_err body_key_update(const struct route *r, struct body_ctx *c, struct wr *out);
HSM_MUST_USE hsm_err body_crypto(const struct route *r, struct body_ctx *c, struct wr *out);
HSM_MUST_USE hsm_err body_rotation_put(const struct route *r, struct body_ctx *c, struct wr *out);
HSM_MUST_USE hsm_err body_role_definition(const struct route *r, struct body_ctx *c,
                                          struct wr *out);
HSM_MUST_USE hsm_err body_role_assignment(const struct route *r, struct body_ctx *c,
                                          struct wr *out);
HSM_MUST_USE hsm_err body_sd_download(const struct route *r, struct body_ctx *c, struct wr *out);

/* printf into c->detail; returns HSM_E_BAD_PARAMETER. */
hsm_err body_bad(struct body_ctx *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Member of an object; absent (or null): empty view with p == NULL. Text is at most max bytes. */
HSM_MUST_USE hsm_err body_text(struct body_ctx *c, uint32_t obj, const char *name, size_t max,
                               struct bytes *ret);
HSM_MUST_USE hsm_err body_b64u(struct body_ctx *c, uint32_t obj, const char *name, size_t max,
                               struct bytes *ret);
HSM_MUST_USE hsm_err body_int(struct body_ctx *c, uint32_t obj, const char *name, int64_t min,
                              int64_t max, bool *ret_there, int64_t *ret);
HSM_MUST_USE hsm_err body_bool(struct body_ctx *c, uint32_t obj, const char *name, bool *ret_there,
                               bool *ret);
/* Array or object member: JSON_NONE when absent; another type is an error. */
HSM_MUST_USE hsm_err body_container(struct body_ctx *c, uint32_t obj, const char *name,
                                    enum json_type type, uint32_t *ret);
/* A writer over n bytes of scratch. HSM_E_RANGE when the scratch is used up. */
HSM_MUST_USE hsm_err body_writer(struct body_ctx *c, size_t n, struct wr *ret);

#endif
