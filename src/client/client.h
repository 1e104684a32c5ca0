/* libkeyhold: a small REST client of a pool, on libcurl. Gets its token by client credentials from
 * the identity provider that the pool's challenge names (authority of the configuration).
 * Not thread-safe: one struct client per thread. */
#ifndef CLIENT_CLIENT_H
#define CLIENT_CLIENT_H

#include "base/bytes.h"

#define CLIENT_API_VERSION "7.6"

struct client;
struct client_config {
    const char *pool_url; /* https://NAME.managedhsm.localhost:8443 */
    const char *origin;   /* https://localhost:8443: authority of the identity provider */
    const char *tenant;
    const char *client_id;
    const char *client_secret;
    const char *ca_file;
    const char *proxy;       /* http://localhost:8443 (CONNECT), or NULL */
    const char *api_version; /* NULL: CLIENT_API_VERSION */
};
/* The texts are copied. HSM_E_NOMEM, also when one of them is too long. */
HSM_MUST_USE hsm_err client_new(const struct client_config *cfg, struct client **ret);
/* Wipes; NULL is fine. */
void client_free(struct client *c);

struct client_answer {
    long status;         /* HTTP; 0: no answer, see client_error() */
    struct bytes body;   /* owned by the client, until its next call */
    char async_url[512]; /* Azure-AsyncOperation, "" when absent */
};
/* One request to the pool with a token. path: "/keys/x/create" (percent-encoded by the caller where
 * needed); api-version is added. json: body or NULL. HSM_E_IO: no HTTP answer. */
HSM_MUST_USE hsm_err client_call(struct client *c, const char *method, const char *path,
                                 const char *json, struct client_answer *ret);
/* GET an absolute URL of the pool with the token (status polls, nextLink). HSM_E_MISDIRECTED when
 * it is not one: the token goes nowhere else. */
HSM_MUST_USE hsm_err client_get_url(struct client *c, const char *url, struct client_answer *ret);
/* What failed and what to do, after an error. */
const char *client_error(const struct client *c);

#endif
