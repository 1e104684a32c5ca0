/* Fetches one issuer's key set over TLS that ends inside the boundary: the bytes travel through the
 * gateway, which can delay or cut them but not change them. A state machine without I/O of its own;
 * one thread. */
#ifndef BOUNDARY_JWKS_CLIENT_H
#define BOUNDARY_JWKS_CLIENT_H

#include "base/bytes.h"
#include "boundary/auth.h"

#define JWKS_CLIENT_TIMEOUT_MS 5000u

enum jwks_client_state {
    JWKS_IDLE,
    JWKS_BUSY,
    JWKS_DONE,
    JWKS_FAILED
};

/* See auth_warm_up(). */
HSM_MUST_USE hsm_err jwks_client_warm_up(void);

struct jwks_client;
/* issuer and relay must outlive the client. HSM_E_BAD_PARAMETER: no usable root certificate. */
HSM_MUST_USE hsm_err jwks_client_new(const struct auth_issuer *issuer,
                                     const struct auth_relay *relay, struct jwks_client **ret);
void jwks_client_free(struct jwks_client *c);

/* Open connection conn (a number the caller never used before) and ask for path, which must stay
 * valid until the end. Ends what was under way.
 * The server's certificate must be valid at now_ms. The state afterwards is JWKS_BUSY or
 * JWKS_FAILED. */
void jwks_client_start(struct jwks_client *c, uint32_t conn, const char *path, uint64_t now_ms);
/* Bytes for, or the end of, the connection given to start. */
void jwks_client_data(struct jwks_client *c, struct bytes b);
void jwks_client_closed(struct jwks_client *c);
/* Gives up after JWKS_CLIENT_TIMEOUT_MS. */
void jwks_client_tick(struct jwks_client *c, uint64_t now_ms);
/* The clock was set: what is under way gets its whole time again, by the new reckoning. */
void jwks_client_wait_anew(struct jwks_client *c, uint64_t now_ms);
/* Back to JWKS_IDLE: the result was taken. */
void jwks_client_reset(struct jwks_client *c);

enum jwks_client_state jwks_client_state(const struct jwks_client *c);
uint32_t jwks_client_conn(const struct jwks_client *c);
struct bytes jwks_client_body(const struct jwks_client *c); /* JWKS_DONE; until the next start */
const char *jwks_client_why(const struct jwks_client *c);   /* JWKS_FAILED: static, for the log */

#endif
