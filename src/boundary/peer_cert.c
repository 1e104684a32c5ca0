#include "boundary/peer_cert.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <time.h>
#include <unistd.h>
#include "base/clock.h"
#include "boundary/quote.h"

/* As long as a process may run; clocks of hosts may differ by a day. */
#define VALID_DAYS  3650
#define EARLY_DAYS  1
#define CERT_MAX    8192
#define VERSION_3   2
#define SERIAL_BITS 127

static void x509_done(X509 **p)
{
    X509_free(*p);
}

static void octets_done(ASN1_OCTET_STRING **p)
{
    ASN1_OCTET_STRING_free(*p);
}

static void object_done(ASN1_OBJECT **p)
{
    ASN1_OBJECT_free(*p);
}

static void ext_done(X509_EXTENSION **p)
{
    X509_EXTENSION_free(*p);
}

static void bn_done(BIGNUM **p)
{
    BN_free(*p);
}

static void text_done(unsigned char **p)
{
    OPENSSL_free(*p);
}

static void md_done(EVP_MD_CTX **p)
{
    EVP_MD_CTX_free(*p);
}

static void fd_done(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
}

void peer_identity_done(struct peer_identity *i)
{
    EVP_PKEY_free(i->key);
    X509_free(i->cert);
    *i = (struct peer_identity){0};
}

static bool spki_hash(EVP_PKEY *key, uint8_t ret[32])
{
    DEFER(text_done) unsigned char *der = NULL;
    int n = i2d_PUBKEY(key, &der);
    return n > 0 && EVP_Digest(der, (size_t)n, ret, NULL, EVP_sha256(), NULL) == 1;
}

/* As it stands in a certificate: of ours it is the same. */
static bool cert_spki_hash(X509 *cert, uint8_t ret[32])
{
    DEFER(text_done) unsigned char *der = NULL;
    int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);
    return n > 0 && EVP_Digest(der, (size_t)n, ret, NULL, EVP_sha256(), NULL) == 1;
}

/* ---- making ---- */

static bool set_evidence(X509 *cert, const struct evidence *e)
{
    uint8_t plain[EVIDENCE_MAX];
    struct wr w = wr_of(plain, sizeof plain);
    evidence_encode(e, &w);
    DEFER(object_done) ASN1_OBJECT *oid = OBJ_txt2obj(PEER_CERT_OID, 1);
    DEFER(octets_done) ASN1_OCTET_STRING *inner = ASN1_OCTET_STRING_new();
    DEFER(octets_done) ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
    DEFER(text_done) unsigned char *der = NULL;
    if (wr_ok(&w) != HSM_OK || oid == NULL || inner == NULL || value == NULL ||
        ASN1_OCTET_STRING_set(inner, plain, (int)w.n) != 1)
        return false;
    int n = i2d_ASN1_OCTET_STRING(inner, &der);
    if (n <= 0 || ASN1_OCTET_STRING_set(value, der, n) != 1)
        return false;
    DEFER(ext_done) X509_EXTENSION *ext = X509_EXTENSION_create_by_OBJ(NULL, oid, 0, value);
    return ext != NULL && X509_add_ext(cert, ext, -1) == 1;
}

static bool set_serial(X509 *cert)
{
    DEFER(bn_done) BIGNUM *n = BN_new();
    return n != NULL && BN_rand(n, SERIAL_BITS, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
           BN_to_ASN1_INTEGER(n, X509_get_serialNumber(cert)) != NULL;
}

static bool set_names(X509 *cert, const struct evidence *e)
{
    X509_NAME *name = X509_get_subject_name(cert);
    return X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8,
                                      (const unsigned char *)e->pool, -1, -1, 0) == 1 &&
           X509_set_issuer_name(cert, name) == 1;
}

static X509 *make_cert(EVP_PKEY *key, const struct evidence *e)
{
    DEFER(x509_done) X509 *cert = X509_new();
    time_t now = (time_t)(clock_now_ms() / 1000);
    bool ok = cert != NULL && X509_set_version(cert, VERSION_3) == 1 && set_serial(cert) &&
              set_names(cert, e) &&
              X509_time_adj_ex(X509_getm_notBefore(cert), -EARLY_DAYS, 0, &now) != NULL &&
              X509_time_adj_ex(X509_getm_notAfter(cert), VALID_DAYS, 0, &now) != NULL &&
              X509_set_pubkey(cert, key) == 1 && set_evidence(cert, e) &&
              X509_sign(cert, key, EVP_sha256()) > 0;
    X509 *made = ok ? cert : NULL;
    if (ok)
        cert = NULL;
    return made;
}

hsm_err peer_identity_new(const struct evidence *e, const struct peer_voucher *by,
                          struct peer_identity *ret)
{
    struct peer_identity i = {.evidence = *e, .key = EVP_EC_gen("P-256")};
    hsm_err err = i.key != NULL && spki_hash(i.key, i.spki) ? HSM_OK : HSM_E_INTERNAL;
    if (err == HSM_OK && by != NULL)
        err = by->vouch(by->ctx, i.spki, &i.evidence);
    if (err == HSM_OK)
        i.cert = make_cert(i.key, &i.evidence);
    if (i.cert == NULL) {
        ERR_clear_error();
        peer_identity_done(&i);
        return err != HSM_OK ? err : HSM_E_INTERNAL;
    }
    *ret = i;
    return HSM_OK;
}

/* ---- checking ---- */

static bool is_self_signed_p256(X509 *cert)
{
    EVP_PKEY *key = X509_get0_pubkey(cert);
    char group[32] = "";
    return X509_get_version(cert) == VERSION_3 && key != NULL && EVP_PKEY_is_a(key, "EC") == 1 &&
           EVP_PKEY_get_group_name(key, group, sizeof group, NULL) == 1 &&
           strcmp(group, "prime256v1") == 0 && i2d_X509(cert, NULL) <= CERT_MAX &&
           X509_get_signature_nid(cert) == NID_ecdsa_with_SHA256 && X509_verify(cert, key) == 1;
}

static bool is_valid_at(X509 *cert, uint64_t now_s)
{
    time_t now = (time_t)now_s;
    return X509_cmp_time(X509_get0_notBefore(cert), &now) < 0 &&
           X509_cmp_time(X509_get0_notAfter(cert), &now) > 0;
}

/* Exactly one extension, an OCTET STRING and nothing behind it. */
static bool evidence_of(X509 *cert, struct evidence *ret)
{
    DEFER(object_done) ASN1_OBJECT *oid = OBJ_txt2obj(PEER_CERT_OID, 1);
    int at = oid == NULL ? -1 : X509_get_ext_by_OBJ(cert, oid, -1);
    if (at < 0 || X509_get_ext_by_OBJ(cert, oid, at) >= 0)
        return false;
    const ASN1_OCTET_STRING *value = X509_EXTENSION_get_data(X509_get_ext(cert, at));
    const unsigned char *der = ASN1_STRING_get0_data(value), *p = der;
    int n = ASN1_STRING_length(value);
    DEFER(octets_done) ASN1_OCTET_STRING *inner = d2i_ASN1_OCTET_STRING(NULL, &p, n);
    return inner != NULL && p == der + n &&
           evidence_decode(
               bytes_of(ASN1_STRING_get0_data(inner), (size_t)ASN1_STRING_length(inner)), ret) ==
               HSM_OK;
}

/* What the platform says. Nothing that this program cannot check counts as strong. */
static hsm_err check_platform(const struct peer_seen *seen, const struct peer_policy *policy,
                              const char **why)
{
    const struct evidence *e = &seen->evidence;
    if (e->provider == EVIDENCE_TPM2)
        return quote_check(e, seen->spki, policy, why);
    *why = "the evidence of its platform cannot be verified";
    if (e->provider != EVIDENCE_SOFTWARE || e->platform_n != 0)
        return HSM_E_DENIED;
    *why = "";
    return HSM_OK;
}

static hsm_err check(X509 *cert, const struct evidence *own, const struct peer_policy *policy,
                     uint64_t now_s, struct peer_seen *ret, const char **why)
{
    *why = "its certificate is not one of a boundary";
    if (!is_self_signed_p256(cert) || !cert_spki_hash(cert, ret->spki))
        return HSM_E_DENIED;
    *why = "its certificate has no evidence that can be read";
    ret->is_known = evidence_of(cert, &ret->evidence);
    if (!ret->is_known)
        return HSM_E_DENIED;
    *why = "its certificate is outside its validity: the clocks differ";
    if (!is_valid_at(cert, now_s))
        return HSM_E_DENIED;
    TRY(peer_policy_check(policy, own, &ret->evidence, why));
    return check_platform(ret, policy, why);
}

hsm_err peer_cert_check(X509 *cert, const struct evidence *own, const struct peer_policy *policy,
                        uint64_t now_s, struct peer_seen *ret, const char **why)
{
    *ret = (struct peer_seen){0};
    hsm_err err = check(cert, own, policy, now_s, ret, why);
    ERR_clear_error();
    return err;
}

/* ---- measurement ---- */

hsm_err peer_measure_self(uint8_t ret[EVIDENCE_MEASUREMENT_LEN])
{
    uint8_t piece[16384];
    DEFER(fd_done) int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    DEFER(md_done) EVP_MD_CTX *md = EVP_MD_CTX_new();
    if (fd < 0)
        return HSM_E_IO;
    if (md == NULL || EVP_DigestInit_ex2(md, EVP_sha256(), NULL) != 1)
        return HSM_E_NOMEM;
    ssize_t n;
    while ((n = read(fd, piece, sizeof piece)) > 0)
        if (EVP_DigestUpdate(md, piece, (size_t)n) != 1)
            return HSM_E_INTERNAL;
    return n == 0 && EVP_DigestFinal_ex(md, ret, NULL) == 1 ? HSM_OK : HSM_E_IO;
}
