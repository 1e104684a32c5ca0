/* Who is calling: token verification with a cache, issuer keys fetched over the boundary's own TLS
 * client. The gateway only carries bytes and is never believed. */
#ifndef BOUNDARY_AUTH_H
#define BOUNDARY_AUTH_H

#include <stdatomic.h>
#include "base/bytes.h"
#include "codec/jws.h"
#include "model/rbac.h"

#define AUTH_GROUPS_MAX    200
#define AUTH_CLOCK_SKEW_S  300u
#define AUTH_AUDIENCES_MAX 8
#define AUTH_ISSUERS_MAX   4

/* Part of the sealed pool configuration. */
struct auth_issuer {
    char issuer[256]; /* exact "iss" */
    char host[256];   /* TLS server name of its key set */
    uint16_t port;
    char path[300];  /* of the key set, or with is_external of the metadata that name it */
    char *roots_pem; /* certificates that may sign its TLS certificate; owned */
    /* Somebody else's issuer: host, port and path follow from its URL. */
    bool is_external;
    char audience[256]; /* exact "aud" */
    char tenant[37];    /* "": "sub" is the principal (foreign.h), and groups do not count.
                         * Else "tid" must be this and "oid" is an object id as of our own. */
};
struct auth_config {
    char tenant[37];                             /* "tid" every token must carry */
    char audience_host[AUTH_AUDIENCES_MAX][256]; /* of aud "https://HOST[:port][/]" */
    unsigned audience_n;
    struct auth_issuer issuer[AUTH_ISSUERS_MAX];
    unsigned issuer_n;
};
/* JSON form (see docs/boundary.md): parse is strict about what it knows. "tenant" is optional:
 * when absent, ret->tenant is "" and the caller fills it in before auth_new(). */
HSM_MUST_USE hsm_err auth_config_parse(struct bytes json, struct auth_config *ret, char *why,
                                       size_t cap);
void auth_config_done(struct auth_config *c);

struct identity {
    char oid[65];       /* principal; lower case */
    char (*groups)[37]; /* owned, lower case */
    unsigned group_n;
    bool is_app;
    uint64_t exp; /* Unix seconds */
    /* The audit record's identity: a JSON text, as a JSON string (escaped, with its quotes); owned.
     */
    char *audit_string;
    atomic_uint refs;
};
void identity_unref(struct identity *i);

/* Whatever libssl and the C library do once with a file or an unusual system call. Before the
 * sandbox closes; after the heap of libcrypto was taken over. */
HSM_MUST_USE hsm_err auth_warm_up(void);

/* A worker's own: what it needs to know a token again without hashing it. NULL memos of
 * auth_check() are fine. */
struct auth_memo;
HSM_MUST_USE hsm_err auth_memo_new(struct auth_memo **ret);
void auth_memo_free(struct auth_memo *m);

struct auth;
/* relay: how to send bytes to an issuer (see auth_net_*). config is taken over. */
struct auth_relay {
    void *ctx;
    void (*open)(void *ctx, uint32_t conn, const char *host, uint16_t port);
    void (*data)(void *ctx, uint32_t conn, struct bytes b);
    void (*close)(void *ctx, uint32_t conn);
    /* The key sets changed (or a fetch failed): parked requests should be tried again. */
    void (*keys_changed)(void *ctx);
};
/* HSM_E_BAD_PARAMETER: no tenant, or roots that are no certificates. config is emptied anyway. */
HSM_MUST_USE hsm_err auth_new(struct auth_config *config, const struct auth_relay *relay,
                              struct auth **ret);
void auth_free(struct auth *a);

/* Verify a raw token. now_ms: wall clock.
 *   HSM_OK            *ret is a reference (identity_unref)
 *   HSM_E_AGAIN       the issuer's keys must be fetched first: the request is to be parked and
 *                     tried again after keys_changed(); a fetch is on its way
 *   HSM_E_UNAVAILABLE a fetch has just failed
 *   HSM_E_TOKEN_*     detail[cap] is the text for the client (without Activity ID); of
 *                     HSM_E_TOKEN_AUDIENCE the first half: auth_expected() adds the second
 * Thread-safe, memo apart. A token that verified is cached by SHA-256 until its exp; a hit costs
 * one hash, and one comparison when this worker saw the token not long ago.
 * Unknown key ids cause at most one fetch per 5 s and issuer. */
HSM_MUST_USE hsm_err auth_check(struct auth *a, struct auth_memo *memo, struct bytes token,
                                uint64_t now_ms, struct identity **ret, char *detail, size_t cap);
/* Append the audience that a token for host (as addressed, with its port) should have. */
void auth_expected(const struct auth *a, struct bytes host, char *detail, size_t cap);
struct auth_counts {
    uint64_t hits, misses;   /* of the cache */
    unsigned issuers, known; /* known: those with keys that are not too old */
};
struct auth_counts auth_counts(struct auth *a, uint64_t now_ms);

/* Bytes from the gateway for a connection (control thread only), connection lost, and a periodic
 * tick (about every 250 ms) for timeouts and refresh. */
void auth_net_data(struct auth *a, uint32_t conn, struct bytes b);
void auth_net_closed(struct auth *a, uint32_t conn);
void auth_tick(struct auth *a, uint64_t now_ms);

#endif
