#include "boundary/peer_policy.h"

#include "base/uuid.h"

static const char bad_object[] =
    "\"peers\" must be an object of \"measurements\" and \"providers\"";
static const char bad_measurements[] =
    "\"peers.measurements\" must be 1 to 16 SHA-256 values of 64 hex digits";
static const char bad_providers[] =
    "\"peers.providers\" must be a list of \"software\", \"tpm2\", \"sev-snp\"";

static bool set_measurements(const struct json_doc *d, uint32_t v, struct peer_policy *p)
{
    if (json_type_of(d, v) != JSON_ARRAY || json_count(d, v) < 1 ||
        json_count(d, v) > PEER_MEASUREMENTS_MAX)
        return false;
    for (uint32_t at = json_first(d, v); at != JSON_NONE; at = json_next(d, v, at)) {
        struct bytes hex;
        if (json_plain(d, at, &hex) != HSM_OK || hex.n != 2 * EVIDENCE_MEASUREMENT_LEN ||
            hex_decode(p->measurement[p->measurement_n++], EVIDENCE_MEASUREMENT_LEN, hex) != HSM_OK)
            return false;
    }
    return true;
}

static bool set_providers(const struct json_doc *d, uint32_t v, struct peer_policy *p)
{
    if (json_type_of(d, v) != JSON_ARRAY || json_count(d, v) < 1)
        return false;
    for (uint32_t at = json_first(d, v); at != JSON_NONE; at = json_next(d, v, at)) {
        struct bytes name;
        enum evidence_provider provider;
        if (json_plain(d, at, &name) != HSM_OK || !evidence_provider_find(name, &provider))
            return false;
        p->providers |= 1u << provider;
    }
    return true;
}

hsm_err peer_policy_parse(const struct json_doc *d, uint32_t v, struct peer_policy *ret,
                          const char **why)
{
    struct peer_policy p = {0};
    uint32_t known = 0;
    *why = bad_object;
    if (json_type_of(d, v) != JSON_OBJECT)
        return HSM_E_BAD_PARAMETER;
    uint32_t at = json_get(d, v, "measurements");
    *why = bad_measurements;
    if (at != JSON_NONE && !set_measurements(d, at, &p))
        return HSM_E_BAD_PARAMETER;
    known += at != JSON_NONE;
    at = json_get(d, v, "providers");
    *why = bad_providers;
    if (at != JSON_NONE && !set_providers(d, at, &p))
        return HSM_E_BAD_PARAMETER;
    known += at != JSON_NONE;
    *why = bad_object;
    if (known != json_count(d, v))
        return HSM_E_BAD_PARAMETER;
    *why = "";
    *ret = p;
    return HSM_OK;
}

static bool is_measured(const struct peer_policy *p, const struct evidence *own,
                        const struct evidence *peer)
{
    if (p->measurement_n == 0)
        return memcmp(own->measurement, peer->measurement, EVIDENCE_MEASUREMENT_LEN) == 0;
    for (unsigned i = 0; i < p->measurement_n; i++)
        if (memcmp(p->measurement[i], peer->measurement, EVIDENCE_MEASUREMENT_LEN) == 0)
            return true;
    return false;
}

hsm_err peer_policy_check(const struct peer_policy *p, const struct evidence *own,
                          const struct evidence *peer, const char **why)
{
    *why = "it is a boundary of another pool";
    if (strcmp(own->pool, peer->pool) != 0)
        return HSM_E_DENIED;
    *why = "it is another program: its measurement is not accepted (peers.measurements)";
    if (!is_measured(p, own, peer))
        return HSM_E_DENIED;
    *why = "its evidence is of a provider that is not accepted (peers.providers)";
    if (p->providers == 0 ? peer->provider < own->provider
                          : (p->providers >> peer->provider & 1) == 0)
        return HSM_E_DENIED;
    *why = "";
    return HSM_OK;
}
