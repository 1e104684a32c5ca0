#include "boundary/evidence.h"

#define FORMAT 1u

static const char *const names[EVIDENCE__PROVIDERS] = {
    [EVIDENCE_SOFTWARE] = "software",
    [EVIDENCE_TPM2] = "tpm2",
    [EVIDENCE_SEV_SNP] = "sev-snp",
};
#define NAME_MAX_LEN 16u

const char *evidence_provider_name(enum evidence_provider p)
{
    return names[p];
}

bool evidence_provider_find(struct bytes name, enum evidence_provider *ret)
{
    for (unsigned i = 0; i < EVIDENCE__PROVIDERS; i++) {
        if (bytes_eq_str(name, names[i])) {
            *ret = (enum evidence_provider)i;
            return true;
        }
    }
    return false;
}

void evidence_encode(const struct evidence *e, struct wr *w)
{
    wr_u8(w, FORMAT);
    wr_lv(w, bytes_str(names[e->provider]));
    wr_bytes(w, e->measurement, sizeof e->measurement);
    wr_lv(w, bytes_str(e->pool));
    wr_u32(w, e->partition);
    wr_lv(w, bytes_str(e->protection));
    wr_lv(w, bytes_of(e->platform, e->platform_n));
}

/* Letters, digits, '-': it goes into logs as it stands. */
static hsm_err rd_word(struct rd *r, char *dst, size_t max)
{
    struct bytes b;
    TRY(rd_lv(r, max, &b));
    for (size_t i = 0; i < b.n; i++) {
        uint8_t c = b.p[i];
        bool ok =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
        if (!ok)
            return HSM_E_MALFORMED;
        dst[i] = (char)c;
    }
    dst[b.n] = '\0';
    return b.n > 0 ? HSM_OK : HSM_E_MALFORMED;
}

hsm_err evidence_decode(struct bytes in, struct evidence *ret)
{
    struct rd r = rd_of(in);
    struct evidence e = {0};
    struct bytes name, platform;
    uint8_t format;
    TRY(rd_u8(&r, &format));
    TRY(rd_lv(&r, NAME_MAX_LEN, &name));
    if (format != FORMAT || !evidence_provider_find(name, &e.provider))
        return HSM_E_MALFORMED;
    TRY(rd_copy(&r, e.measurement, sizeof e.measurement));
    TRY(rd_word(&r, e.pool, EVIDENCE_POOL_MAX));
    TRY(rd_u32(&r, &e.partition));
    TRY(rd_word(&r, e.protection, EVIDENCE_PROTECTION_MAX));
    TRY(rd_lv(&r, EVIDENCE_PLATFORM_MAX, &platform));
    TRY(rd_end(&r));
    if (platform.n > 0)
        memcpy(e.platform, platform.p, platform.n);
    e.platform_n = platform.n;
    *ret = e;
    return HSM_OK;
}
