#include "model/network_rules.h"

#include <arpa/inet.h>
#include <stdio.h>

static const uint8_t v4_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

/* ---- addresses ---- */

static bool is_v4(const struct network_address *a)
{
    return memcmp(a->b, v4_prefix, sizeof v4_prefix) == 0;
}

hsm_err network_address_parse(struct bytes text, struct network_address *ret)
{
    struct network_address a;
    char buf[INET6_ADDRSTRLEN];
    if (text.n == 0 || text.n >= sizeof buf || memchr(text.p, 0, text.n) != NULL)
        return HSM_E_BAD_PARAMETER;
    memcpy(buf, text.p, text.n);
    buf[text.n] = '\0';
    if (inet_pton(AF_INET6, buf, a.b) != 1) {
        memcpy(a.b, v4_prefix, sizeof v4_prefix);
        if (inet_pton(AF_INET, buf, a.b + sizeof v4_prefix) != 1)
            return HSM_E_BAD_PARAMETER;
    }
    *ret = a;
    return HSM_OK;
}

static hsm_err bits_parse(struct bytes text, unsigned max, unsigned *ret)
{
    unsigned v = 0;
    if (text.n == 0 || text.n > 3 || (text.n > 1 && text.p[0] == '0'))
        return HSM_E_BAD_PARAMETER;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9')
            return HSM_E_BAD_PARAMETER;
        v = v * 10 + (text.p[i] - '0');
    }
    if (v > max)
        return HSM_E_BAD_PARAMETER;
    *ret = v;
    return HSM_OK;
}

static uint8_t mask_of(unsigned bits, size_t byte)
{
    unsigned from = 8 * (unsigned)byte;
    return (uint8_t)(bits >= from + 8 ? 0xff : bits <= from ? 0 : 0xff << (8 - (bits - from)));
}

hsm_err network_cidr_parse(struct bytes text, struct network_cidr *ret)
{
    struct network_cidr c;
    const uint8_t *slash = text.n > 0 ? memchr(text.p, '/', text.n) : NULL;
    size_t n = slash != NULL ? (size_t)(slash - text.p) : text.n;
    TRY(network_address_parse(bytes_of(text.p, n), &c.first));
    /* the prefix counts as its text does: "::ffff:192.0.2.0/120" is an IPv6 notation */
    bool is_short = memchr(text.p, ':', n) == NULL;
    unsigned bits = is_short ? 32 : 128;
    if (slash != NULL)
        TRY(bits_parse(bytes_of(slash + 1, text.n - n - 1), bits, &bits));
    c.bits = (uint8_t)(is_short ? bits + 96 : bits);
    for (size_t i = 0; i < sizeof c.first.b; i++)
        c.first.b[i] &= mask_of(c.bits, i);
    *ret = c;
    return HSM_OK;
}

void network_address_format(const struct network_address *a, char dst[NETWORK_CIDR_TEXT_MAX])
{
    bool ok = is_v4(a) ? inet_ntop(AF_INET, a->b + 12, dst, NETWORK_CIDR_TEXT_MAX) != NULL
                       : inet_ntop(AF_INET6, a->b, dst, NETWORK_CIDR_TEXT_MAX) != NULL;
    HSM_ASSERT(ok);
}

void network_cidr_format(const struct network_cidr *c, char dst[NETWORK_CIDR_TEXT_MAX])
{
    char text[NETWORK_CIDR_TEXT_MAX];
    bool is_short = is_v4(&c->first); /* then its 96 bits are all in the prefix */
    network_address_format(&c->first, text);
    (void)snprintf(dst, NETWORK_CIDR_TEXT_MAX, "%.45s/%u", text,
                   is_short ? c->bits - 96u : (unsigned)c->bits);
}

bool network_cidr_has(const struct network_cidr *c, const struct network_address *a)
{
    uint8_t differs = 0;
    if (c->bits < 96 && is_v4(a))
        return false; /* a rule of IPv6 says nothing about IPv4 */
    for (size_t i = 0; i < sizeof a->b; i++)
        differs |= (uint8_t)((a->b[i] ^ c->first.b[i]) & mask_of(c->bits, i));
    return differs == 0;
}

/* ---- the file ---- */

struct word {
    const char *text;
    int value;
};

static hsm_err word_of(const struct json_doc *d, uint32_t v, const struct word *words, size_t n,
                       int *ret)
{
    struct bytes text;
    TRY(json_plain(d, v, &text));
    for (size_t i = 0; i < n; i++) {
        if (bytes_eq_str(text, words[i].text)) {
            *ret = words[i].value;
            return HSM_OK;
        }
    }
    return HSM_E_MALFORMED;
}

static hsm_err take_access(const struct json_doc *d, uint32_t v, struct network_rules *r)
{
    static const struct word words[] = {{"Enabled", NETWORK_ENABLED},
                                        {"Disabled", NETWORK_DISABLED},
                                        {"SecuredByPerimeter", NETWORK_PERIMETER}};
    int access;
    TRY(word_of(d, v, words, sizeof words / sizeof words[0], &access));
    r->access = (enum network_access)access;
    return HSM_OK;
}

static hsm_err take_default(const struct json_doc *d, uint32_t v, struct network_rules *r)
{
    static const struct word words[] = {{"Allow", 0}, {"Deny", 1}};
    int denies;
    TRY(word_of(d, v, words, sizeof words / sizeof words[0], &denies));
    r->denies = denies != 0;
    return HSM_OK;
}

static hsm_err take_ip(const struct json_doc *d, uint32_t v, struct network_rules *r)
{
    struct bytes text;
    if (r->ip_n == NETWORK_IP_RULES_MAX)
        return HSM_E_RANGE;
    TRY(json_plain(d, v, &text));
    if (network_cidr_parse(text, &r->ip[r->ip_n]) != HSM_OK)
        return HSM_E_MALFORMED;
    r->ip_n++;
    return HSM_OK;
}

static hsm_err take_caller(const struct json_doc *d, uint32_t v, struct network_rules *r)
{
    struct bytes text;
    if (r->caller_n == NETWORK_CALLERS_MAX)
        return HSM_E_RANGE;
    TRY(json_plain(d, v, &text));
    if (uuid_parse(text, &r->caller[r->caller_n]) != HSM_OK)
        return HSM_E_MALFORMED;
    r->caller_n++;
    return HSM_OK;
}

static hsm_err take_endpoint(const struct json_doc *d, uint32_t v, struct network_rules *r)
{
    static const struct word words[] = {
        {"Approved", 1}, {"Pending", 0}, {"Rejected", 0}, {"Disconnected", 0}};
    struct network_endpoint *e = &r->endpoint[r->endpoint_n];
    struct bytes id;
    int approved;
    if (r->endpoint_n == NETWORK_ENDPOINTS_MAX)
        return HSM_E_RANGE;
    if (json_type_of(d, v) != JSON_OBJECT || json_count(d, v) != 2)
        return HSM_E_MALFORMED;
    TRY(json_plain(d, json_get(d, v, "id"), &id));
    TRY(word_of(d, json_get(d, v, "state"), words, sizeof words / sizeof words[0], &approved));
    if (id.n == 0 || id.n > NETWORK_ID_MAX)
        return HSM_E_RANGE;
    for (size_t i = 0; i < id.n; i++) {
        if (id.p[i] <= ' ' || id.p[i] >= 0x7f)
            return HSM_E_MALFORMED;
    }
    memcpy(e->id, id.p, id.n);
    e->id[id.n] = '\0';
    e->is_approved = approved != 0;
    r->endpoint_n++;
    return HSM_OK;
}

typedef hsm_err take_fn(const struct json_doc *d, uint32_t v, struct network_rules *r);

static hsm_err take_each(const struct json_doc *d, uint32_t list, take_fn *fn,
                         struct network_rules *r)
{
    if (json_type_of(d, list) != JSON_ARRAY)
        return HSM_E_MALFORMED;
    for (uint32_t at = json_first(d, list); at != JSON_NONE; at = json_next(d, list, at))
        TRY(fn(d, at, r));
    return HSM_OK;
}

static hsm_err take_member(const struct json_doc *d, uint32_t at, struct network_rules *r)
{
    struct bytes name;
    uint32_t v = json_value(at);
    TRY(json_plain(d, at, &name));
    if (bytes_eq_str(name, "publicNetworkAccess"))
        return take_access(d, v, r);
    if (bytes_eq_str(name, "defaultAction"))
        return take_default(d, v, r);
    if (bytes_eq_str(name, "bypassCallers"))
        return take_each(d, v, take_caller, r);
    if (bytes_eq_str(name, "ipRules"))
        return take_each(d, v, take_ip, r);
    if (bytes_eq_str(name, "endpoints"))
        return take_each(d, v, take_endpoint, r);
    return HSM_E_MALFORMED;
}

void network_rules_open(struct network_rules *ret)
{
    memset(ret, 0, sizeof *ret);
}

void network_rules_closed(struct network_rules *ret)
{
    network_rules_open(ret);
    ret->access = NETWORK_CLOSED;
}

hsm_err network_rules_parse(struct bytes text, struct json_tok *toks, struct network_rules *ret)
{
    struct json_doc d;
    network_rules_closed(ret);
    if (text.n > NETWORK_TEXT_MAX)
        return HSM_E_RANGE;
    TRY(json_parse(text, toks, NETWORK_TOKENS_MAX, &d));
    if (json_type_of(&d, 0) != JSON_OBJECT)
        return HSM_E_MALFORMED;
    network_rules_open(ret);
    hsm_err err = HSM_OK;
    for (uint32_t at = json_first(&d, 0); at != JSON_NONE && err == HSM_OK;
         at = json_next(&d, 0, at))
        err = take_member(&d, at, ret);
    if (err != HSM_OK)
        network_rules_closed(ret);
    return err;
}

/* ---- the decision ---- */

bool network_rules_is_open(const struct network_rules *r)
{
    return r->access == NETWORK_ENABLED && !r->denies;
}

static bool is_approved(const struct network_rules *r, struct bytes id)
{
    bool found = false, approved = true;
    for (size_t i = 0; i < r->endpoint_n; i++) {
        if (bytes_eq_str(id, r->endpoint[i].id)) {
            found = true;
            approved = approved && r->endpoint[i].is_approved;
        }
    }
    return found && approved;
}

static bool has_address(const struct network_rules *r, const struct network_address *a)
{
    for (size_t i = 0; i < r->ip_n; i++) {
        if (network_cidr_has(&r->ip[i], a))
            return true;
    }
    return false;
}

static bool is_trusted(const struct network_rules *r, const struct uuid *caller)
{
    for (size_t i = 0; caller != NULL && i < r->caller_n; i++) {
        if (memcmp(r->caller[i].b, caller->b, sizeof caller->b) == 0)
            return true;
    }
    return false;
}

enum network_verdict network_decide(const struct network_rules *r, const struct network_way *way)
{
    if (r->access == NETWORK_CLOSED)
        return NETWORK_NOT_THIS_WAY;
    if (way->is_private)
        return is_approved(r, way->endpoint) ? NETWORK_ALLOW : NETWORK_NOT_THIS_WAY;
    if (network_rules_is_open(r) || is_trusted(r, way->caller))
        return NETWORK_ALLOW;
    if (r->access != NETWORK_ENABLED)
        return NETWORK_NOT_THIS_WAY;
    return has_address(r, &way->address) ? NETWORK_ALLOW : NETWORK_NOT_THIS_ADDRESS;
}

bool network_asks_caller(const struct network_rules *r, const struct network_way *way)
{
    return r->access != NETWORK_CLOSED && !way->is_private && r->caller_n > 0;
}
