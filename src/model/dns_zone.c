#include "model/dns_zone.h"

#include <stdarg.h>
#include <stdio.h>

#define PRIVATE   "privatelink."
#define PRIVATE_N (sizeof PRIVATE - 1)
#define LINE_MAX  1024

/* ---- names ---- */

static bool is_label_char(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static bool is_label(const char *s, size_t n)
{
    return n > 0 && n <= 63 && s[0] != '-' && s[n - 1] != '-';
}

hsm_err dns_name_parse(struct bytes text, char dst[DNS_NAME_MAX + 1])
{
    char name[DNS_NAME_MAX + 1];
    size_t from = 0;
    if (text.n == 0 || text.n > DNS_NAME_MAX)
        return HSM_E_BAD_PARAMETER;
    for (size_t i = 0; i < text.n; i++) {
        uint8_t c = text.p[i];
        c = (uint8_t)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
        if (c != '.' && !is_label_char(c))
            return HSM_E_BAD_PARAMETER;
        name[i] = (char)c;
        if (c != '.')
            continue;
        if (!is_label(name + from, i - from))
            return HSM_E_BAD_PARAMETER;
        from = i + 1;
    }
    if (!is_label(name + from, text.n - from))
        return HSM_E_BAD_PARAMETER;
    name[text.n] = '\0';
    memcpy(dst, name, text.n + 1);
    return HSM_OK;
}

static hsm_err record_name(struct bytes name, char dst[DNS_NAME_MAX + 1])
{
    char rest[DNS_NAME_MAX + 1];
    if (bytes_eq_str(name, "@") || bytes_eq_str(name, "*")) {
        dst[0] = (char)name.p[0];
        dst[1] = '\0';
        return HSM_OK;
    }
    bool wild = name.n > 2 && name.p[0] == '*' && name.p[1] == '.';
    if (!wild)
        return dns_name_parse(name, dst);
    TRY(dns_name_parse(bytes_of(name.p + 2, name.n - 2), rest));
    if (strlen(rest) + 2 > DNS_NAME_MAX)
        return HSM_E_BAD_PARAMETER;
    (void)snprintf(dst, DNS_NAME_MAX + 1, "*.%.251s", rest);
    return HSM_OK;
}

hsm_err dns_record_set(struct dns_record *r, struct bytes name, struct bytes zone,
                       struct bytes address, uint32_t ttl)
{
    struct dns_record d = {.ttl = ttl};
    TRY(record_name(name, d.name));
    TRY(dns_name_parse(zone, d.zone));
    TRY(network_address_parse(address, &d.address));
    if (strlen(d.name) + 1 + strlen(d.zone) > DNS_NAME_MAX)
        return HSM_E_BAD_PARAMETER;
    *r = d;
    return HSM_OK;
}

bool dns_format_named(const char *word, enum dns_format *ret)
{
    static const char *const names[DNS__FORMATS] = {[DNS_DNSMASQ] = "dnsmasq",
                                                    [DNS_UNBOUND] = "unbound",
                                                    [DNS_BIND] = "bind",
                                                    [DNS_RPZ] = "rpz"};
    for (int i = 0; i < DNS__FORMATS; i++) {
        if (strcmp(word, names[i]) == 0) {
            *ret = (enum dns_format)i;
            return true;
        }
    }
    return false;
}

/* ---- files ---- */

struct shown {
    char name[DNS_NAME_MAX + 1];        /* in full, without the last dot */
    char public_name[DNS_NAME_MAX + 1]; /* "": none */
    char address[NETWORK_CIDR_TEXT_MAX];
    const char *type;
};

static void join(char dst[DNS_NAME_MAX + 1], const char *name, const char *zone)
{
    if (strcmp(name, "@") == 0)
        (void)snprintf(dst, DNS_NAME_MAX + 1, "%s", zone);
    else
        (void)snprintf(dst, DNS_NAME_MAX + 1, "%.*s.%s", (int)(DNS_NAME_MAX - 1 - strlen(zone)),
                       name, zone);
}

static void show(const struct dns_record *r, struct shown *s)
{
    join(s->name, r->name, r->zone);
    s->public_name[0] = '\0';
    if (strncmp(r->zone, PRIVATE, PRIVATE_N) == 0 && strcmp(r->name, "@") != 0)
        join(s->public_name, r->name, r->zone + PRIVATE_N);
    network_address_format(&r->address, s->address);
    s->type = strchr(s->address, ':') != NULL ? "AAAA" : "A";
}

static void put(struct wr *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(struct wr *w, const char *format, ...)
{
    char line[LINE_MAX];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof line)
        w->overflow = true;
    else
        wr_bytes(w, line, (size_t)n);
}

/* dnsmasq has no wildcard of host-record; address= is one. */
static void put_dnsmasq_name(struct wr *w, const char *name, const struct shown *s, uint32_t ttl)
{
    if (strncmp(name, "*.", 2) == 0)
        put(w, "address=/%s/%s\n", name + 2, s->address);
    else
        put(w, "host-record=%s,%s,%u\n", name, s->address, ttl);
}

/* unbound's wildcard is a zone of its own that redirects. */
static void put_unbound_name(struct wr *w, const char *name, const struct shown *s, uint32_t ttl)
{
    if (strncmp(name, "*.", 2) == 0) {
        name += 2;
        put(w, "  local-zone: \"%s.\" redirect\n", name);
    }
    put(w, "  local-data: \"%s. %u IN %s %s\"\n", name, ttl, s->type, s->address);
}

static void put_record(enum dns_format format, const struct dns_record *r, struct wr *w)
{
    struct shown s;
    show(r, &s);
    const char *names[] = {s.name, s.public_name};
    for (size_t i = 0; i < 2 && names[i][0] != '\0'; i++) {
        if (format == DNS_DNSMASQ)
            put_dnsmasq_name(w, names[i], &s, r->ttl);
        else if (format == DNS_UNBOUND)
            put_unbound_name(w, names[i], &s, r->ttl);
        else if (format == DNS_RPZ)
            put(w, "%s %u IN %s %s\n", names[i], r->ttl, s.type, s.address);
    }
    if (format == DNS_BIND)
        put(w, "%s %u IN %s %s\n", r->name, r->ttl, s.type, s.address);
}

static void put_master_head(const char *origin, uint32_t serial, struct wr *w)
{
    if (origin != NULL)
        put(w, "$ORIGIN %s.\n", origin);
    put(w,
        "$TTL 10\n@ 3600 IN SOA localhost. hostmaster.localhost. %u 3600 300 2419200 10\n"
        "@ 3600 IN NS localhost.\n",
        serial);
}

/* The resolver answers for the zone alone and asks nobody else about it. */
static void put_zones(enum dns_format format, const struct dns_record *records, size_t n,
                      struct wr *w)
{
    for (size_t i = 0; i < n; i++) {
        bool known = false;
        for (size_t k = 0; k < i && !known; k++)
            known = strcmp(records[k].zone, records[i].zone) == 0;
        if (known)
            continue;
        if (format == DNS_DNSMASQ)
            put(w, "local=/%s/\n", records[i].zone);
        else
            put(w, "  local-zone: \"%s.\" static\n", records[i].zone);
    }
}

hsm_err dns_write(enum dns_format format, const char *zone, const struct dns_record *records,
                  size_t n, uint32_t serial, struct wr *w)
{
    bool is_master = format == DNS_BIND || format == DNS_RPZ;
    put(w, "%s Private endpoints of managed HSMs; written by keyhold, changes are lost.\n",
        is_master ? ";" : "#");
    if (format == DNS_UNBOUND)
        wr_str(w, "server:\n");
    if (is_master)
        put_master_head(format == DNS_BIND ? zone : NULL, serial, w);
    else
        put_zones(format, records, n, w);
    for (size_t i = 0; i < n; i++) {
        if (format != DNS_BIND || strcmp(records[i].zone, zone) == 0)
            put_record(format, &records[i], w);
    }
    return wr_ok(w);
}
