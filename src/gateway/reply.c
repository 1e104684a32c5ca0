#include "gateway/reply.h"

#include <stdio.h>
#include "codec/base64url.h"

/* Literals, whose length the compiler knows. */
#define PUT(w, literal) wr_bytes(w, literal, sizeof(literal) - 1)

static void put_number(struct wr *w, uint64_t v)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v > 0);
    wr_bytes(w, digits + at, sizeof digits - at);
}

/* A token was presented and refused: the claims make a client drop its cached token. */
static void put_claims(struct wr *w, uint64_t nbf_s)
{
    char json[96], text[128];
    int n = snprintf(json, sizeof json,
                     "{\"access_token\":{\"nbf\":{\"essential\":true,\"value\":\"%llu\"}}}",
                     (unsigned long long)nbf_s);
    if (n < 0 || (size_t)n >= sizeof json)
        return;
    size_t k = b64_encode(text, (const uint8_t *)json, (size_t)n);
    PUT(w, ", error=\"insufficient_claims\", claims=\"");
    wr_bytes(w, text, k);
    PUT(w, "\"");
}

static void put_challenge(const struct reply *r, struct wr *w)
{
    PUT(w, "www-authenticate: ");
    wr_str(w, r->challenge);
    if (r->claims_nbf_s != 0)
        put_claims(w, r->claims_nbf_s);
    PUT(w, "\r\n");
}

static void put_network(const struct reply *r, struct wr *w)
{
    const char *family = r->client_is_v6 ? "Ipv6" : "Ipv4";
    PUT(w, "x-ms-keyvault-network-info: conn_type=");
    wr_str(w, family);
    PUT(w, ";addr=");
    wr_str(w, r->client_ip);
    PUT(w, ";act_addr_fam=");
    wr_str(w, family);
    PUT(w, ";\r\nx-ms-keyvault-region: ");
    wr_str(w, r->region);
    PUT(w, "\r\n");
}

void reply_headers(const struct reply *r, struct wr *w)
{
    if (r->async_path != NULL) {
        PUT(w, "azure-asyncoperation: https://");
        wr_str(w, r->authority);
        wr_str(w, r->async_path);
        PUT(w, "\r\n");
    }
    PUT(w, "cache-control: no-cache\r\n"
           "content-security-policy: default-src 'self'\r\n"
           "content-type: application/json; charset=utf-8\r\n");
    if (r->retry_after_s != 0) {
        PUT(w, "retry-after: ");
        put_number(w, r->retry_after_s);
        PUT(w, "\r\n");
    }
    PUT(w, "strict-transport-security: max-age=31536000; includeSubDomains\r\n");
    if (r->challenge != NULL)
        put_challenge(r, w);
    PUT(w, "x-content-type-options: nosniff\r\n"
           "x-frame-options: SAMEORIGIN\r\n");
    if (r->is_get)
        PUT(w, "x-ms-build-version: " KEYHOLD_VERSION "\r\n");
    if (!r->is_error)
        put_network(r, w);
    PUT(w, "x-ms-request-id: ");
    wr_str(w, r->activity);
    PUT(w, "\r\nx-ms-server-latency: ");
    put_number(w, r->latency_ms);
    PUT(w, "\r\n");
}
