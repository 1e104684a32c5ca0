/* Which operation of the service a request line means. Pure: the target is parsed already
 * (codec/url.h); nothing is looked up. Literals are compared case-insensitively, key names are kept
 * as written. */
#ifndef GATEWAY_ROUTE_H
#define GATEWAY_ROUTE_H

#include "codec/http1.h"
#include "codec/url.h"
#include "wire/wire.h"

#define ROUTE_DETAIL_MAX      256
#define ROUTE_PAGE_MAX        25
#define ROUTE_SCOPE_MAX       160
#define ROUTE_NAME_MAX        127
#define ROUTE_GUID_MAX        128
#define ROUTE_PRINCIPAL_MAX   64
#define ROUTE_SKIP_MAX        512
#define ROUTE_API_VERSION_MAX 32

/* Views point into the parsed target. */
struct route {
    unsigned op;       /* enum wire_type; OP_UNIMPLEMENTED with what; 0: none recognised */
    const char *what;  /* OP_UNIMPLEMENTED: the operation in words */
    struct bytes name; /* key, as written */
    char version[33];  /* lower case, "" = current */
    char scope[ROUTE_SCOPE_MAX + 1];
    struct bytes guid;    /* role definition or assignment */
    struct bytes setting; /* as written */
    struct bytes api_version;
    struct bytes skip;
    uint16_t max;   /* page size */
    uint8_t filter; /* enum wire_role_filter */
    struct bytes principal;
};

/* HSM_OK, or the refusal an authenticated caller is told: HSM_E_NOT_FOUND, HSM_E_METHOD,
 * HSM_E_INVALID_KEY_ID, HSM_E_BAD_PARAMETER. detail may then hold a message ("" = the table's).
 * ret is filled as far as known in any case (op names the operation for the audit record). */
HSM_MUST_USE hsm_err route_parse(enum http1_method method, const struct url_target *t,
                                 struct route *ret, char detail[ROUTE_DETAIL_MAX]);

/* Largest body of the operation that the raw target seems to name; the body is read before anything
 * is decided, so this looks at the end of the path only. */
size_t route_body_limit(struct bytes target);

#endif
