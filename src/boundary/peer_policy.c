#include "boundary/peer_policy.h"

#include "base/uuid.h"

#define PCRS_DEFAULT (1u << 7) /* Secure Boot: its state, and the keys that sign what is booted */

static const char bad_object[] =
    "\"peers\" must be an object of \"measurements\", \"providers\", \"aks\" and \"pcrs\"";
static const char bad_measurements[] =
    "\"peers.measurements\" must be 1 to 16 SHA-256 values of 64 hex digits";
static const char bad_providers[] =
    "\"peers.providers\" must be a list of \"software\", \"tpm2\", \"sev-snp\"";
static const char bad_aks[] = "\"peers.aks\" must be 1 to 16 SHA-256 values of 64 hex digits";
static const char bad_pcrs[] =
    "\"peers.pcrs\" must be an object of \"select\" (different numbers from 0 to 23) and "
    "\"digests\" (1 to 16 SHA-256 values of 64 hex digits)";

uint32_t peer_policy_pcrs(const struct peer_policy *p)
{
    return p->pcrs != 0 ? p->pcrs : PCRS_DEFAULT;
}

/* 1 to max of them. */
static bool set_digests(const struct json_doc *d, uint32_t v, unsigned max, uint8_t (*list)[32],
                        unsigned *n)
{
    if (json_type_of(d, v) != JSON_ARRAY || json_count(d, v) < 1 || json_count(d, v) > max)
        return false;
    for (uint32_t at = json_first(d, v); at != JSON_NONE; at = json_next(d, v, at)) {
        struct bytes hex;
        if (json_plain(d, at, &hex) != HSM_OK || hex.n != 64 ||
            hex_decode(list[(*n)++], 32, hex) != HSM_OK)
            return false;
    }
    return true;
}

static bool set_measurements(const struct json_doc *d, uint32_t v, struct peer_policy *p)
{
    return set_digests(d, v, PEER_MEASUREMENTS_MAX, p->measurement, &p->measurement_n);
}

static bool set_aks(const struct json_doc *d, uint32_t v, struct peer_policy *p)
{
    return set_digests(d, v, PEER_AKS_MAX, p->ak, &p->ak_n);
}

static bool set_select(const struct json_doc *d, uint32_t v, struct peer_policy *p)
{
    if (json_type_of(d, v) != JSON_ARRAY || json_count(d, v) < 1)
        return false;
    for (uint32_t at = json_first(d, v); at != JSON_NONE; at = json_next(d, v, at)) {
        int64_t n;
        if (json_int(d, at, &n) != HSM_OK || n < 0 || n >= (int64_t)PEER_PCRS ||
            (p->pcrs >> n & 1) != 0)
            return false;
        p->pcrs |= 1u << n;
    }
    return true;
}

static bool set_pcrs(const struct json_doc *d, uint32_t v, struct peer_policy *p)
{
    if (json_type_of(d, v) != JSON_OBJECT)
        return false;
    uint32_t select = json_get(d, v, "select"), digests = json_get(d, v, "digests");
    uint32_t known = (uint32_t)(select != JSON_NONE) + (uint32_t)(digests != JSON_NONE);
    return known == json_count(d, v) && (select == JSON_NONE || set_select(d, select, p)) &&
           (digests == JSON_NONE ||
            set_digests(d, digests, PEER_PCR_DIGESTS_MAX, p->pcr_digest, &p->pcr_digest_n));
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
    static const struct {
        const char *name, *bad;
        bool (*set)(const struct json_doc *d, uint32_t v, struct peer_policy *p);
    } members[] = {
        {"measurements", bad_measurements, set_measurements},
        {"providers", bad_providers, set_providers},
        {"aks", bad_aks, set_aks},
        {"pcrs", bad_pcrs, set_pcrs},
    };
    struct peer_policy p = {0};
    uint32_t known = 0;
    *why = bad_object;
    if (json_type_of(d, v) != JSON_OBJECT)
        return HSM_E_BAD_PARAMETER;
    for (unsigned i = 0; i < sizeof members / sizeof members[0]; i++) {
        uint32_t at = json_get(d, v, members[i].name);
        *why = members[i].bad;
        if (at != JSON_NONE && !members[i].set(d, at, &p))
            return HSM_E_BAD_PARAMETER;
        known += at != JSON_NONE;
    }
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
