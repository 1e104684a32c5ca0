/* Who may reach a pool: rules of the public way in, callers that are let past them, and private
 * endpoints. Parser of the rules' file and decision; pure, no I/O, no time. */
#ifndef MODEL_NETWORK_RULES_H
#define MODEL_NETWORK_RULES_H

#include "base/uuid.h"
#include "codec/json.h"

#define NETWORK_IP_RULES_MAX  64
#define NETWORK_CALLERS_MAX   64
#define NETWORK_ENDPOINTS_MAX 64
#define NETWORK_ID_MAX        200 /* of a private endpoint: printable ASCII */
#define NETWORK_TEXT_MAX      65536
#define NETWORK_TOKENS_MAX    1024
#define NETWORK_CIDR_TEXT_MAX 50

/* Addresses of both families as 16 bytes, IPv4 as ::ffff:a.b.c.d (RFC 4291 §2.5.5.2). */
struct network_address {
    uint8_t b[16];
};
struct network_cidr {
    struct network_address first; /* bits after the prefix are 0 */
    uint8_t bits;                 /* of 128 */
};

enum network_access {
    NETWORK_ENABLED,
    NETWORK_DISABLED,
    NETWORK_PERIMETER, /* there are no perimeters: as disabled */
    NETWORK_CLOSED,    /* rules that cannot be read: nobody gets in */
};
struct network_endpoint {
    char id[NETWORK_ID_MAX + 1];
    bool is_approved;
};
struct network_rules {
    enum network_access access;
    bool denies; /* by default */
    size_t ip_n, caller_n, endpoint_n;
    struct network_cidr ip[NETWORK_IP_RULES_MAX];
    struct uuid caller[NETWORK_CALLERS_MAX];
    struct network_endpoint endpoint[NETWORK_ENDPOINTS_MAX];
};

/* How a request came. */
struct network_way {
    bool is_private;
    struct bytes endpoint;          /* private: id of the endpoint */
    struct network_address address; /* of the client */
    const struct uuid *caller;      /* object id that its token claims; NULL: not known */
};
enum network_verdict {
    NETWORK_ALLOW,
    NETWORK_NOT_THIS_ADDRESS,
    NETWORK_NOT_THIS_WAY, /* no public access, or no approved endpoint */
};

/* "192.0.2.7", "2001:db8::1"; no zones. HSM_E_BAD_PARAMETER. */
HSM_MUST_USE hsm_err network_address_parse(struct bytes text, struct network_address *ret);
/* An address, or ADDRESS/BITS. HSM_E_BAD_PARAMETER. */
HSM_MUST_USE hsm_err network_cidr_parse(struct bytes text, struct network_cidr *ret);
/* As rules are stored and shown: "192.0.2.7/32"; text is a valid one. */
void network_cidr_format(const struct network_cidr *c, char dst[NETWORK_CIDR_TEXT_MAX]);
void network_address_format(const struct network_address *a, char dst[NETWORK_CIDR_TEXT_MAX]);
bool network_cidr_has(const struct network_cidr *c, const struct network_address *a);

/* {"publicNetworkAccess":"Enabled|Disabled|SecuredByPerimeter","defaultAction":"Allow|Deny",
 *  "bypassCallers":[OID],"ipRules":[CIDR],"endpoints":[{"id":ID,"state":"Approved|…"}]}
 * Absent members: Enabled, Allow, empty. Unknown ones, wrong types and too many entries are
 * HSM_E_MALFORMED or HSM_E_RANGE: a rule that is not understood is not left out. toks has
 * NETWORK_TOKENS_MAX. */
HSM_MUST_USE hsm_err network_rules_parse(struct bytes text, struct json_tok *toks,
                                         struct network_rules *ret);
void network_rules_open(struct network_rules *ret);
void network_rules_closed(struct network_rules *ret);
/* Everybody may come by the public way, whatever the address. */
bool network_rules_is_open(const struct network_rules *r);

enum network_verdict network_decide(const struct network_rules *r, const struct network_way *way);
/* Would knowing the caller change a refusal? */
bool network_asks_caller(const struct network_rules *r, const struct network_way *way);

#endif
