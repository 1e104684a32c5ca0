#include "gateway/reply.h"

#include <stdio.h>
#include "codec/base64url.h"

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
    wr_str(w, ", error=\"insufficient_claims\", claims=\"");
    wr_bytes(w, text, k);
    wr_str(w, "\"");
}

static void put_challenge(const struct reply *r, struct wr *w)
{
    wr_str(w, "www-authenticate: ");
    wr_str(w, r->challenge);
    if (r->claims_nbf_s != 0)
        put_claims(w, r->claims_nbf_s);
    wr_str(w, "\r\n");
}

static void put_network(const struct reply *r, struct wr *w)
{
    const char *family = r->client_is_v6 ? "Ipv6" : "Ipv4";
    wr_str(w, "x-ms-keyvault-network-info: conn_type=");
    wr_str(w, family);
    wr_str(w, ";addr=");
    wr_str(w, r->client_ip);
    wr_str(w, ";act_addr_fam=");
    wr_str(w, family);
    wr_str(w, ";\r\nx-ms-keyvault-region: ");
    wr_str(w, r->region);
    wr_str(w, "\r\n");
}

void reply_headers(const struct reply *r, struct wr *w)
{
    if (r->async_path != NULL) {
        wr_str(w, "azure-asyncoperation: https://");
        wr_str(w, r->authority);
        wr_str(w, r->async_path);
        wr_str(w, "\r\n");
    }
    wr_str(w, "cache-control: no-cache\r\n"
              "content-security-policy: default-src 'self'\r\n"
              "content-type: application/json; charset=utf-8\r\n");
    if (r->retry_after_s != 0) {
        wr_str(w, "retry-after: ");
        put_number(w, r->retry_after_s);
        wr_str(w, "\r\n");
    }
    wr_str(w, "strict-transport-security: max-age=31536000; includeSubDomains\r\n");
    if (r->challenge != NULL)
        put_challenge(r, w);
    wr_str(w, "x-content-type-options: nosniff\r\n"
              "x-frame-options: SAMEORIGIN\r\n");
    if (r->is_get)
        wr_str(w, "x-ms-build-version: " KEYHOLD_VERSION "\r\n");
    if (!r->is_error)
        put_network(r, w);
    wr_str(w, "x-ms-request-id: ");
    wr_str(w, r->activity);
    wr_str(w, "\r\nx-ms-server-latency: ");
    put_number(w, r->latency_ms);
    wr_str(w, "\r\n");
}
