/* Request targets: percent decoding, path normalisation, query parameters. Pure. */
#ifndef CODEC_URL_H
#define CODEC_URL_H

#include "base/bytes.h"

#define URL_PATH_MAX   2048
#define URL_PARAMS_MAX 16

struct url_param {
    struct bytes name;
    struct bytes value;
};
/* A normalised target: the path percent-decoded once, runs of '/' collapsed, no trailing '/'
 * (the root is "/"), split into segments; query decoded ('+' is a space in values). */
struct url_target {
    struct bytes path;
    struct bytes seg[16];
    size_t seg_n;
    struct url_param param[URL_PARAMS_MAX];
    size_t param_n;
};
/* Origin form only ("/..."). buf[cap] takes the decoded bytes (cap >= target.n suffices).
 * HSM_E_MALFORMED: bad escapes, control characters, NUL, "." or ".." segments, invalid UTF-8,
 * more than 16 segments or parameters, duplicate parameter names. */
HSM_MUST_USE hsm_err url_parse(struct bytes target, uint8_t *buf, size_t cap,
                               struct url_target *ret);
/* Value of a parameter (exact name), or an empty view with p == NULL when absent. */
struct bytes url_param_get(const struct url_target *t, const char *name);
/* application/x-www-form-urlencoded body into at most max params; same decoding rules. */
HSM_MUST_USE hsm_err form_parse(struct bytes body, uint8_t *buf, size_t cap,
                                struct url_param *params, size_t max, size_t *ret_n);
/* host or host:port or [v6]:port, lower-cased into host[256] (v6 without its brackets); port 0 when
 * absent.
 * HSM_E_MALFORMED for empty labels, bad characters, user info. */
HSM_MUST_USE hsm_err host_parse(struct bytes authority, char host[256], uint16_t *ret_port);

#endif
