/* Rules: what is taken lies within its bounds, formats of addresses read back as they were, and
 * nobody gets in by rules that were refused. */
#include <string.h>
#include "model/network_rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct json_tok toks[NETWORK_TOKENS_MAX];

static void fuzz_cidr(struct bytes text)
{
    struct network_cidr c, again;
    char shown[NETWORK_CIDR_TEXT_MAX];
    if (network_cidr_parse(text, &c) != HSM_OK)
        return;
    HSM_ASSERT(c.bits <= 128 && (c.bits < 96 || network_cidr_has(&c, &c.first)));
    network_cidr_format(&c, shown);
    HSM_ASSERT(network_cidr_parse(bytes_str(shown), &again) == HSM_OK && again.bits == c.bits &&
               memcmp(again.first.b, c.first.b, sizeof c.first.b) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct network_rules r;
    struct bytes in = bytes_of(data, size);
    struct network_way way = {.is_private = true};
    fuzz_cidr(in);
    hsm_err err = network_rules_parse(in, toks, &r);
    HSM_ASSERT(r.ip_n <= NETWORK_IP_RULES_MAX && r.caller_n <= NETWORK_CALLERS_MAX &&
               r.endpoint_n <= NETWORK_ENDPOINTS_MAX);
    HSM_ASSERT((err != HSM_OK) == (r.access == NETWORK_CLOSED));
    HSM_ASSERT(network_decide(&r, &way) == NETWORK_NOT_THIS_WAY); /* there is no empty id */
    for (size_t i = 0; i < r.endpoint_n; i++) {
        way.endpoint = bytes_str(r.endpoint[i].id);
        HSM_ASSERT(way.endpoint.n > 0 && way.endpoint.n <= NETWORK_ID_MAX);
        HSM_ASSERT(network_decide(&r, &way) != NETWORK_ALLOW || r.endpoint[i].is_approved);
    }
    way = (struct network_way){0};
    enum network_verdict v = network_decide(&r, &way);
    HSM_ASSERT(v != NETWORK_ALLOW || network_rules_is_open(&r) || r.ip_n > 0);
    return 0;
}
