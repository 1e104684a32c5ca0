/* Address records of private DNS zones, written for resolvers. Only names and addresses that were
 * checked get into a file, so nothing in them can be an instruction of its own. Pure. */
#ifndef MODEL_DNS_ZONE_H
#define MODEL_DNS_ZONE_H

#include "model/network_rules.h"

#define DNS_NAME_MAX 253

struct dns_record {
    char name[DNS_NAME_MAX + 1]; /* below its zone; "@": the zone itself */
    char zone[DNS_NAME_MAX + 1]; /* "privatelink.managedhsm.azure.net" */
    struct network_address address;
    uint32_t ttl;
};

enum dns_format {
    DNS_DNSMASQ,
    DNS_UNBOUND,
    DNS_BIND, /* master file of one zone (RFC 1035 §5) */
    DNS_RPZ,  /* response policy zone for BIND: all names, public ones included */
    DNS__FORMATS,
};

/* Labels of letters, digits, '-' and '_', not beginning or ending with '-', 1 to 63 each; in lower
 * case into dst. HSM_E_BAD_PARAMETER. */
HSM_MUST_USE hsm_err dns_name_parse(struct bytes text, char dst[DNS_NAME_MAX + 1]);
/* A record's name: as above, "@", or "*" as the first label; with the zone within the limit. */
HSM_MUST_USE hsm_err dns_record_set(struct dns_record *r, struct bytes name, struct bytes zone,
                                    struct bytes address, uint32_t ttl);
/* "dnsmasq", "unbound", "bind", "rpz" */
bool dns_format_named(const char *word, enum dns_format *ret);

/* Records of a zone "privatelink.X" also answer for NAME.X, the public name (not in DNS_BIND).
 * zone: that of DNS_BIND, NULL for the others. serial: of the SOA record. HSM_E_RANGE: no room. */
HSM_MUST_USE hsm_err dns_write(enum dns_format format, const char *zone,
                               const struct dns_record *records, size_t n, uint32_t serial,
                               struct wr *w);

#endif
