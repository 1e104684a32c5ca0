/* Seal provider "tpm2": the KEK is a sealed data object under an ECC P-256 primary key of the owner
 * hierarchy, which is made from the standard template every time (TCG Provisioning Guidance, SRK).
 * It opens by policy only: the chosen PCRs have their values of the day of sealing. Commands that
 * carry the KEK are encrypted between this process and the TPM, under a session that is salted with
 * the primary key, so whoever listens or answers in between learns nothing. Whether it is still the
 * same primary key, and so the same TPM, is checked before anything is sent to it. */
#include <openssl/rand.h>
#include "boundary/seal_tpm2.h"
#include "boundary/tpm2.h"

#define NONE TPM2_NO_SESSIONS

struct tpm {
    struct tpm2 dev;
    ESYS_TR primary, session, object;
    TPM2B_NAME name; /* of the primary key */
};

static void tpm_done(struct tpm *t)
{
    if (t->dev.esys != NULL) {
        tpm2_flush(&t->dev, &t->object);
        tpm2_flush(&t->dev, &t->session);
        tpm2_flush(&t->dev, &t->primary);
    }
    tpm2_close(&t->dev);
}

/* ---- the primary key, sessions, PCRs --------------------------------------------------------- */
static hsm_err make_primary(struct tpm *t)
{
    static const TPM2B_SENSITIVE_CREATE no_auth = {0};
    static const TPM2B_DATA no_data = {0};
    static const TPML_PCR_SELECTION no_pcrs = {0};
    const TPM2B_PUBLIC template = {
        .publicArea = {
            .type = TPM2_ALG_ECC,
            .nameAlg = TPM2_ALG_SHA256,
            .objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
                                TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_USERWITHAUTH |
                                TPMA_OBJECT_NODA | TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT,
            .parameters.eccDetail = {.symmetric = {.algorithm = TPM2_ALG_AES,
                                                   .keyBits.aes = 128,
                                                   .mode.aes = TPM2_ALG_CFB},
                                     .scheme.scheme = TPM2_ALG_NULL,
                                     .curveID = TPM2_ECC_NIST_P256,
                                     .kdf.scheme = TPM2_ALG_NULL},
            .unique.ecc = {.x.size = 32, .y.size = 32},
        }};
    TPM2B_NAME *name = NULL;
    TSS2_RC rc = Esys_CreatePrimary(t->dev.esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                    ESYS_TR_NONE, &no_auth, &template, &no_data, &no_pcrs,
                                    &t->primary, NULL, NULL, NULL, NULL);
    if (rc != TSS2_RC_SUCCESS)
        return tpm2_failed(&t->dev, "making its primary key (has the owner hierarchy a password?)",
                           rc);
    rc = Esys_TR_GetName(t->dev.esys, t->primary, &name);
    if (rc != TSS2_RC_SUCCESS)
        return tpm2_failed(&t->dev, "naming its primary key", rc);
    t->name = *name;
    Esys_Free(name);
    return HSM_OK;
}

static hsm_err start_session(struct tpm *t, TPM2_SE type, TPMA_SESSION encryption)
{
    const TPMT_SYM_DEF cipher = {
        .algorithm = TPM2_ALG_AES, .keyBits.aes = 128, .mode.aes = TPM2_ALG_CFB};
    tpm2_flush(&t->dev, &t->session);
    TSS2_RC rc = Esys_StartAuthSession(t->dev.esys, t->primary, ESYS_TR_NONE, NONE, NULL, type,
                                       &cipher, TPM2_ALG_SHA256, &t->session);
    if (rc == TSS2_RC_SUCCESS)
        rc = Esys_TRSess_SetAttributes(t->dev.esys, t->session,
                                       encryption | TPMA_SESSION_CONTINUESESSION, 0xff);
    return rc == TSS2_RC_SUCCESS ? HSM_OK : tpm2_failed(&t->dev, "starting a session", rc);
}

/* The policy of the PCRs' present values, in t->session, which must be of a policy type. */
static hsm_err policy_now(struct tpm *t, uint32_t pcrs, uint8_t policy[32])
{
    static const TPM2B_DIGEST present = {0};
    const TPML_PCR_SELECTION chosen = tpm2_selection(pcrs);
    TPM2B_DIGEST *digest = NULL;
    TSS2_RC rc = Esys_PolicyPCR(t->dev.esys, t->session, NONE, &present, &chosen);
    if (rc == TSS2_RC_SUCCESS)
        rc = Esys_PolicyGetDigest(t->dev.esys, t->session, NONE, &digest);
    if (rc != TSS2_RC_SUCCESS)
        return tpm2_failed(&t->dev, "a policy of its PCRs", rc);
    bool ok = digest->size == 32;
    if (ok)
        memcpy(policy, digest->buffer, 32);
    Esys_Free(digest);
    return ok ? HSM_OK : tpm2_failed(&t->dev, "a policy of its PCRs", 0);
}

static hsm_err tpm_open(struct tpm *t, const struct seal_spec *spec)
{
    TRY(tpm2_open(&t->dev, spec->tcti, spec->pcrs));
    return make_primary(t);
}

/* ---- opening --------------------------------------------------------------------------------- */
static hsm_err check_blob(const struct tpm *t, const struct seal_spec *spec,
                          const struct tpm2_blob *b, const char *path)
{
    char sealed[TPM2_PCRS_TEXT];
    char wanted[TPM2_PCRS_TEXT];
    tpm2_pcrs_text(b->pcrs, sealed);
    tpm2_pcrs_text(spec->pcrs, wanted);
    if (b->pcrs != spec->pcrs)
        return seal_say(HSM_E_DENIED, t->dev.text, t->dev.cap,
                        "%s is sealed to PCRs %s, the seal provider says %s: set it back; to "
                        "change it, remove this partition and add a new one",
                        path, sealed, wanted);
    if (b->primary.size != t->name.size || memcmp(b->primary.name, t->name.name, t->name.size) != 0)
        return seal_say(HSM_E_DENIED, t->dev.text, t->dev.cap,
                        "%s was sealed by another TPM, or this one was cleared: remove this "
                        "partition and add a new one, or restore the pool from its security domain",
                        path);
    return HSM_OK;
}

static hsm_err load_object(struct tpm *t, const struct tpm2_blob *b, const char *path)
{
    TRY(start_session(t, TPM2_SE_HMAC, TPMA_SESSION_DECRYPT | TPMA_SESSION_ENCRYPT));
    TSS2_RC rc = Esys_Load(t->dev.esys, t->primary, t->session, ESYS_TR_NONE, ESYS_TR_NONE,
                           &b->priv, &b->pub, &t->object);
    if (rc == TSS2_RC_SUCCESS)
        return HSM_OK;
    return seal_say(HSM_E_CORRUPT, t->dev.text, t->dev.cap, "%s is not what this TPM made (0x%x)",
                    path, (unsigned)rc);
}

static hsm_err unseal(struct tpm *t, const struct tpm2_blob *b, const char *path, uint8_t *kek)
{
    char pcrs[TPM2_PCRS_TEXT];
    uint8_t now[32];
    TRY(load_object(t, b, path));
    TRY(start_session(t, TPM2_SE_POLICY, TPMA_SESSION_ENCRYPT));
    TRY(policy_now(t, b->pcrs, now));
    tpm2_pcrs_text(b->pcrs, pcrs);
    if (memcmp(now, b->policy, sizeof now) != 0)
        return seal_say(HSM_E_DENIED, t->dev.text, t->dev.cap,
                        "%s does not open: a PCR of %s has changed since it was sealed (firmware, "
                        "Secure Boot or its keys). Undo that change and restart the machine; if "
                        "it is meant to stay, remove this partition and add a new one",
                        path, pcrs);
    TPM2B_SENSITIVE_DATA *data = NULL;
    TSS2_RC rc = Esys_Unseal(t->dev.esys, t->object, t->session, ESYS_TR_NONE, ESYS_TR_NONE, &data);
    if (rc != TSS2_RC_SUCCESS)
        return tpm2_failed(&t->dev, "unsealing", rc);
    bool ok = data->size == KEK_LEN;
    if (ok)
        memcpy(kek, data->buffer, KEK_LEN);
    secret_wipe(data, sizeof *data);
    Esys_Free(data);
    return ok ? HSM_OK : seal_say(HSM_E_CORRUPT, t->dev.text, t->dev.cap, "%s holds no key", path);
}

/* ---- sealing --------------------------------------------------------------------------------- */
static hsm_err create_object(struct tpm *t, const uint8_t *kek, struct tpm2_blob *b)
{
    static const TPM2B_DATA no_data = {0};
    static const TPML_PCR_SELECTION no_pcrs = {0};
    TPM2B_PUBLIC template = {
        .publicArea = {.type = TPM2_ALG_KEYEDHASH,
                       .nameAlg = TPM2_ALG_SHA256,
                       .objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
                                           TPMA_OBJECT_ADMINWITHPOLICY | TPMA_OBJECT_NODA,
                       .authPolicy.size = sizeof b->policy,
                       .parameters.keyedHashDetail.scheme.scheme = TPM2_ALG_NULL}};
    memcpy(template.publicArea.authPolicy.buffer, b->policy, sizeof b->policy);
    TPM2B_SENSITIVE_CREATE secret = {.sensitive.data.size = KEK_LEN};
    memcpy(secret.sensitive.data.buffer, kek, KEK_LEN);
    TPM2B_PRIVATE *priv = NULL;
    TPM2B_PUBLIC *pub = NULL;
    TSS2_RC rc = Esys_Create(t->dev.esys, t->primary, t->session, ESYS_TR_NONE, ESYS_TR_NONE,
                             &secret, &template, &no_data, &no_pcrs, &priv, &pub, NULL, NULL, NULL);
    secret_wipe(&secret, sizeof secret);
    if (rc != TSS2_RC_SUCCESS)
        return tpm2_failed(&t->dev, "sealing", rc);
    b->priv = *priv;
    b->pub = *pub;
    Esys_Free(priv);
    Esys_Free(pub);
    return HSM_OK;
}

static hsm_err make(struct tpm *t, uint32_t pcrs, const char *path, uint8_t *kek)
{
    struct tpm2_blob b = {.pcrs = pcrs, .primary = t->name};
    uint8_t buf[TPM2_BLOB_MAX];
    size_t n;
    if (RAND_priv_bytes(kek, KEK_LEN) != 1)
        return seal_say(HSM_E_INTERNAL, t->dev.text, t->dev.cap, "no random bytes for %s", path);
    TRY(start_session(t, TPM2_SE_TRIAL, 0));
    TRY(policy_now(t, pcrs, b.policy));
    TRY(start_session(t, TPM2_SE_HMAC, TPMA_SESSION_DECRYPT | TPMA_SESSION_ENCRYPT));
    TRY(create_object(t, kek, &b));
    if (tpm2_blob_encode(&b, buf, &n) != HSM_OK)
        return seal_say(HSM_E_INTERNAL, t->dev.text, t->dev.cap, "the TPM made an unusual object");
    return seal_file_write(path, bytes_of(buf, n), t->dev.text, t->dev.cap);
}

hsm_err seal_tpm2_kek(const struct seal_spec *spec, const char *path, bool may_make, uint8_t *kek,
                      char *text, size_t cap)
{
    char kpath[SEAL_PATH_MAX];
    DEFER(secret_buf_done) struct secret_buf file = {0};
    struct tpm2_blob b = {0};
    TRY(seal_path(path, seal_suffix(spec->provider), kpath, text, cap));
    hsm_err err = seal_file_read(kpath, false, &file, text, cap);
    bool fresh = err == HSM_E_NOT_FOUND && may_make;
    if (!fresh)
        TRY(err);
    if (!fresh && tpm2_blob_decode(bytes_of(file.p, file.n), &b) != HSM_OK)
        return seal_say(HSM_E_CORRUPT, text, cap,
                        "%s is damaged; restore it from a copy of the data directory", kpath);
    DEFER(tpm_done)
    struct tpm t = {.primary = ESYS_TR_NONE,
                    .session = ESYS_TR_NONE,
                    .object = ESYS_TR_NONE,
                    .dev = {.text = text, .cap = cap}};
    TRY(tpm_open(&t, spec));
    if (fresh)
        return make(&t, spec->pcrs, kpath, kek);
    TRY(check_blob(&t, spec, &b, kpath));
    return unseal(&t, &b, kpath, kek);
}
