/* X.509 of the local CA. Extensions are those that strict verifiers ask for: key identifiers on
 * both, critical basic constraints and key usage. */
#include <arpa/inet.h>
#include <stdio.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/x509v3.h>
#include "fabric/identity/pki_internal.h"

#define DAY_S       86400
#define CA_DAYS     3652
#define SERVER_DAYS 825
#define BACKDATE_S  3600 /* clocks of clients may be behind */
#define SERIAL_BITS 127

void pki_pair_done(struct pki_pair *p)
{
    X509_free(p->cert);
    EVP_PKEY_free(p->key);
    *p = (struct pki_pair){0};
}

static void bn_done(BIGNUM **b)
{
    BN_free(*b);
}

static void ext_done(X509_EXTENSION **e)
{
    X509_EXTENSION_free(*e);
}

static bool is_dns_name(const char *s)
{
    if (s[0] == '*' && s[1] == '.')
        s += 2;
    size_t label = 0, total = strlen(s);
    if (total == 0 || total > 253)
        return false;
    for (size_t i = 0; i < total; i++) {
        bool alnum = (s[i] >= 'a' && s[i] <= 'z') || (s[i] >= '0' && s[i] <= '9');
        if (s[i] == '.') {
            if (label == 0)
                return false;
            label = 0;
        } else if ((!alnum && s[i] != '-') || ++label > 63) {
            return false;
        }
    }
    return label > 0;
}

static bool is_address(const char *s)
{
    uint8_t raw[16];
    return inet_pton(AF_INET, s, raw) == 1 || inet_pton(AF_INET6, s, raw) == 1;
}

hsm_err pki_san_text(const char *const *names, size_t n, char dst[PKI_SAN_MAX])
{
    struct wr w = wr_of(dst, PKI_SAN_MAX - 1);
    for (size_t i = 0; i < n; i++) {
        bool address = is_address(names[i]);
        if (!address && !is_dns_name(names[i]))
            return HSM_E_BAD_PARAMETER;
        wr_str(&w, i > 0 ? "," : "");
        wr_str(&w, address ? "IP:" : "DNS:");
        wr_str(&w, names[i]);
    }
    if (n == 0 || wr_ok(&w) != HSM_OK)
        return HSM_E_BAD_PARAMETER;
    dst[w.n] = 0;
    return HSM_OK;
}

static bool add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    DEFER(ext_done) X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    return e != NULL && X509_add_ext(cert, e, -1) == 1;
}

static bool set_serial(X509 *cert)
{
    DEFER(bn_done) BIGNUM *n = BN_new();
    return n != NULL && BN_rand(n, SERIAL_BITS, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
           BN_to_ASN1_INTEGER(n, X509_get_serialNumber(cert)) != NULL;
}

static bool set_validity(X509 *cert, uint64_t now_s, unsigned days)
{
    time_t t = (time_t)now_s;
    return X509_time_adj_ex(X509_getm_notBefore(cert), 0, -BACKDATE_S, &t) != NULL &&
           X509_time_adj_ex(X509_getm_notAfter(cert), (int)days, -BACKDATE_S, &t) != NULL;
}

static bool set_subject(X509 *cert, const char *common_name)
{
    X509_NAME *name = X509_get_subject_name(cert);
    return X509_NAME_add_entry_by_txt(name, "O", MBSTRING_ASC, (const unsigned char *)"Keyhold", -1,
                                      -1, 0) == 1 &&
           X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)common_name,
                                      -1, -1, 0) == 1;
}

/* Everything that CA and server certificates share; the caller adds extensions and signs. */
static hsm_err new_pair(const char *common_name, uint64_t now_s, unsigned days,
                        struct pki_pair *ret)
{
    DEFER(pki_pair_done) struct pki_pair p = {.cert = X509_new(), .key = EVP_EC_gen("P-256")};
    if (p.cert == NULL || p.key == NULL)
        return HSM_E_NOMEM;
    if (X509_set_version(p.cert, X509_VERSION_3) != 1 || !set_serial(p.cert) ||
        !set_validity(p.cert, now_s, days) || !set_subject(p.cert, common_name) ||
        X509_set_pubkey(p.cert, p.key) != 1)
        return HSM_E_INTERNAL;
    *ret = p;
    p = (struct pki_pair){0};
    return HSM_OK;
}

hsm_err pki_make_ca(uint64_t now_s, struct pki_pair *ret)
{
    DEFER(pki_pair_done) struct pki_pair p = {0};
    TRY(new_pair("Keyhold development CA", now_s, CA_DAYS, &p));
    if (X509_set_issuer_name(p.cert, X509_get_subject_name(p.cert)) != 1 ||
        !add_extension(p.cert, p.cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
        !add_extension(p.cert, p.cert, NID_key_usage, "critical,keyCertSign,cRLSign") ||
        !add_extension(p.cert, p.cert, NID_subject_key_identifier, "hash") ||
        !add_extension(p.cert, p.cert, NID_authority_key_identifier, "keyid:always") ||
        X509_sign(p.cert, p.key, EVP_sha256()) == 0)
        return HSM_E_INTERNAL;
    *ret = p;
    p = (struct pki_pair){0};
    return HSM_OK;
}

static hsm_err sign_leaf(const struct pki_pair *ca, X509 *cert, const char *usage, const char *san)
{
    return X509_set_issuer_name(cert, X509_get_subject_name(ca->cert)) == 1 &&
                   add_extension(cert, ca->cert, NID_basic_constraints, "critical,CA:FALSE") &&
                   add_extension(cert, ca->cert, NID_key_usage, "critical,digitalSignature") &&
                   add_extension(cert, ca->cert, NID_ext_key_usage, usage) &&
                   add_extension(cert, ca->cert, NID_subject_key_identifier, "hash") &&
                   add_extension(cert, ca->cert, NID_authority_key_identifier, "keyid:always") &&
                   add_extension(cert, ca->cert, NID_subject_alt_name, san) &&
                   X509_sign(cert, ca->key, EVP_sha256()) != 0
               ? HSM_OK
               : HSM_E_INTERNAL;
}

/* A certificate of an end of TLS connections. */
static hsm_err make_leaf(const struct pki_pair *ca, const char *common_name, const char *usage,
                         const char *san, uint64_t now_s, struct pki_pair *ret)
{
    DEFER(pki_pair_done) struct pki_pair p = {0};
    TRY(new_pair(common_name, now_s, SERVER_DAYS, &p));
    TRY(sign_leaf(ca, p.cert, usage, san));
    *ret = p;
    p = (struct pki_pair){0};
    return HSM_OK;
}

hsm_err pki_make_server(const struct pki_pair *ca, const char *san, uint64_t now_s,
                        struct pki_pair *ret)
{
    return make_leaf(ca, "localhost", "serverAuth", san, now_s, ret);
}

hsm_err pki_make_peer(const struct pki_pair *ca, const char *common_name, const char *san,
                      uint64_t now_s, struct pki_pair *ret)
{
    return make_leaf(ca, common_name, "serverAuth,clientAuth", san, now_s, ret);
}

hsm_err pki_make_peer_of(const struct pki_pair *ca, EVP_PKEY *pub, const char *common_name,
                         const char *san, uint64_t now_s, X509 **ret)
{
    DEFER(pki_pair_done) struct pki_pair p = {0};
    TRY(new_pair(common_name, now_s, SERVER_DAYS, &p));
    if (X509_set_pubkey(p.cert, pub) != 1)
        return HSM_E_INTERNAL;
    TRY(sign_leaf(ca, p.cert, "serverAuth,clientAuth", san));
    *ret = p.cert;
    p.cert = NULL;
    return HSM_OK;
}

bool pki_is_current(const X509 *cert, uint64_t now_s, uint64_t margin_s)
{
    time_t now = (time_t)now_s, later = (time_t)(now_s + margin_s);
    return X509_cmp_time(X509_get0_notBefore(cert), &now) < 0 &&
           X509_cmp_time(X509_get0_notAfter(cert), &later) > 0;
}

static bool has_san(X509 *cert, const char *san)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, NULL, NULL, NULL, NULL, 0);
    DEFER(ext_done)
    X509_EXTENSION *want = X509V3_EXT_conf_nid(NULL, &ctx, NID_subject_alt_name, san);
    int at = X509_get_ext_by_NID(cert, NID_subject_alt_name, -1);
    if (want == NULL || at < 0)
        return false;
    return ASN1_OCTET_STRING_cmp(X509_EXTENSION_get_data(want),
                                 X509_EXTENSION_get_data(X509_get_ext(cert, at))) == 0;
}

bool pki_leaf_fits(const struct pki_pair *leaf, X509 *ca, const char *san)
{
    return X509_check_private_key(leaf->cert, leaf->key) == 1 &&
           X509_verify(leaf->cert, X509_get0_pubkey(ca)) == 1 &&
           X509_NAME_cmp(X509_get_issuer_name(leaf->cert), X509_get_subject_name(ca)) == 0 &&
           has_san(leaf->cert, san);
}
