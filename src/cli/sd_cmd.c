/* keyhold activate and keyhold security-domain download. */
#include <errno.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "cli/pool.h"
#include "codec/base64url.h"

#define CUSTODIANS_MAX 10
#define BODY_CAP       200000

/* ---- certificates ---- */

static X509 *load_certificate(const char *path)
{
    FILE *f = fopen(path, "re");
    if (f == NULL) {
        (void)cli_fail(CLI_FAILED, "cannot read %s: %s", path, strerror(errno));
        return NULL;
    }
    X509 *x = PEM_read_X509(f, NULL, NULL, NULL);
    if (x == NULL) {
        rewind(f);
        x = d2i_X509_fp(f, NULL);
    }
    (void)fclose(f);
    if (x == NULL)
        (void)cli_fail(CLI_FAILED, "%s is not an X.509 certificate (PEM or DER)", path);
    return x;
}

static bool put_thumbprint(struct json_wr *j, const char *name, const X509 *x, const EVP_MD *md)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    if (X509_digest(x, md, digest, &n) != 1)
        return false;
    json_name(j, name);
    json_put_b64u(j, bytes_of(digest, n));
    return true;
}

/* One member of "certificates", as az sends it. */
static bool put_certificate(struct json_wr *j, X509 *x)
{
    static const char *const ops[] = {"verify", "encrypt", "wrapKey"};
    static const char *const numbers[][2] = {{"n", "n"}, {"e", "e"}};
    uint8_t *der = NULL, number[1024];
    EVP_PKEY *key = X509_get0_pubkey(x);
    int der_n = i2d_X509(x, &der);
    bool ok = key != NULL && der_n > 0 && EVP_PKEY_is_a(key, "RSA") == 1;
    json_obj_open(j);
    json_name(j, "kty"), json_put_str(j, "RSA");
    json_name(j, "key_ops"), json_arr_open(j);
    for (size_t i = 0; i < 3; i++)
        json_put_str(j, ops[i]);
    json_arr_close(j);
    for (size_t i = 0; ok && i < 2; i++) {
        BIGNUM *bn = NULL;
        ok = EVP_PKEY_get_bn_param(key, numbers[i][1], &bn) == 1 && BN_num_bytes(bn) <= 1024;
        if (ok) {
            int n = BN_bn2bin(bn, number);
            json_name(j, numbers[i][0]);
            json_put_b64u(j, bytes_of(number, (size_t)n));
        }
        BN_free(bn);
    }
    if (ok) {
        json_name(j, "x5c"), json_arr_open(j);
        json_put_b64(j, bytes_of(der, (size_t)der_n));
        json_arr_close(j);
        ok = put_thumbprint(j, "x5t", x, EVP_sha1()) &&
             put_thumbprint(j, "x5t#S256", x, EVP_sha256());
    }
    json_name(j, "alg"), json_put_str(j, "RSA-OAEP-256");
    json_obj_close(j);
    OPENSSL_free(der);
    return ok;
}

static bool download_body(const char *const *paths, size_t n, long quorum, struct wr *w)
{
    struct json_wr j = json_wr_of(w);
    json_obj_open(&j);
    json_name(&j, "certificates"), json_arr_open(&j);
    for (size_t i = 0; i < n; i++) {
        X509 *x = load_certificate(paths[i]);
        bool ok = x != NULL && put_certificate(&j, x);
        if (x != NULL && !ok)
            (void)cli_fail(CLI_FAILED, "%s: an RSA certificate is needed", paths[i]);
        X509_free(x);
        if (!ok)
            return false;
    }
    json_arr_close(&j);
    json_name(&j, "required"), json_put_int(&j, quorum);
    json_obj_close(&j);
    wr_u8(w, 0);
    return wr_ok(w) == HSM_OK;
}

/* ---- download ---- */

static int wait_active(struct pool *p, const char *url)
{
    char status[64];
    int ret = CLI_FAILED;
    for (unsigned i = 0; i < 120; i++) {
        if (!pool_get_url(p, url, &ret))
            return ret;
        (void)pool_text(&p->doc, 0, "status", status, sizeof status);
        if (strcmp(status, "Success") == 0)
            return CLI_OK;
        if (strcmp(status, "InProgress") != 0)
            return cli_fail(CLI_FAILED, "the pool reports: %s", status);
        (void)poll(NULL, 0, 500);
    }
    return cli_fail(CLI_FAILED, "the pool is still not active; `keyhold status` tells more");
}

static int download(struct pool *p, const char *const *certs, size_t n, long quorum,
                    const char *file)
{
    static char body[BODY_CAP];
    static char text[1 << 20];
    char url[512];
    struct wr w = wr_of(body, sizeof body);
    int ret;
    if (!download_body(certs, n, quorum, &w))
        return CLI_FAILED;
    if (!pool_call(p, "POST", "/securitydomain/download", body, &ret))
        return ret;
    memcpy(url, p->answer.async_url, sizeof url);
    (void)pool_text(&p->doc, 0, "value", text, sizeof text);
    if (text[0] == '\0' || url[0] == '\0')
        return cli_fail(CLI_FAILED, "the pool's answer holds no security domain");
    if (file_replace(file, bytes_str(text), 0600) != HSM_OK)
        return cli_fail(CLI_FAILED,
                        "cannot write %s: %s; the pool is active all the same: download "
                        "again to another place",
                        file, strerror(errno));
    return wait_active(p, url);
}

int cmd_sd_download(struct cli *c)
{
    struct arg args[] = {
        POOL_ARGS,
        {.name = "--sd-wrapping-keys",
         .kind = ARG_LIST,
         .required = true,
         .help = "3 to 10 certificates (PEM or DER) of the custodians' RSA keys"},
        {.name = "--sd-quorum",
         .kind = ARG_VALUE,
         .required = true,
         .help = "how many of them open it"},
        {.name = "--security-domain-file",
         .kind = ARG_VALUE,
         .required = true,
         .help = "where to write it"},
        {.name = NULL},
    };
    struct pool p;
    int ret;
    if (!pool_args(c, &p, args,
                   "security-domain download --sd-wrapping-keys C1 C2 C3 --sd-quorum M "
                   "--security-domain-file F",
                   &ret))
        return ret;
    const struct arg *certs = args_get(args, "--sd-wrapping-keys");
    const char *file = args_value(args, "--security-domain-file");
    ret = download(&p, certs->list, certs->list_n,
                   strtol(args_value(args, "--sd-quorum"), NULL, 10), file);
    if (ret == CLI_OK && !c->json)
        (void)printf("pool %s is active; the security domain is in %s\nKeep it and the custodians' "
                     "private keys apart and offline: without a quorum of them nothing can be "
                     "rebuilt.\n",
                     p.config.name, file);
    pool_close(&p);
    return ret;
}

/* ---- development custodians ---- */

static X509 *self_signed(EVP_PKEY *key, unsigned i)
{
    X509 *x = X509_new();
    time_t now = (time_t)(clock_now_ms() / 1000);
    char cn[64];
    (void)snprintf(cn, sizeof cn, "Keyhold development custodian %u", i);
    if (x == NULL)
        return NULL;
    X509_NAME *name = X509_get_subject_name(x);
    bool ok = X509_set_version(x, X509_VERSION_3) == 1 &&
              ASN1_INTEGER_set(X509_get_serialNumber(x), (long)i) == 1 &&
              X509_time_adj_ex(X509_getm_notBefore(x), 0, 0, &now) != NULL &&
              X509_time_adj_ex(X509_getm_notAfter(x), 3650, 0, &now) != NULL &&
              X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)cn, -1,
                                         -1, 0) == 1 &&
              X509_set_issuer_name(x, name) == 1 && X509_set_pubkey(x, key) == 1 &&
              X509_sign(x, key, EVP_sha256()) > 0;
    if (ok)
        return x;
    X509_free(x);
    return NULL;
}

static bool write_pem(const char *path, EVP_PKEY *key, X509 *x)
{
    BIO *b = BIO_new(BIO_s_mem());
    char *p = NULL;
    bool ok = b != NULL &&
              (key != NULL ? PEM_write_bio_PKCS8PrivateKey(b, key, NULL, NULL, 0, NULL, NULL) == 1
                           : PEM_write_bio_X509(b, x) == 1);
    if (ok) {
        long n = BIO_get_mem_data(b, &p);
        ok = n > 0 &&
             file_replace(path, bytes_of(p, (size_t)n), key != NULL ? 0600 : 0644) == HSM_OK;
    }
    BIO_free(b);
    return ok;
}

static bool make_custodian(const char *dir, unsigned i, char cert_path[PATH_MAX])
{
    char key_path[PATH_MAX];
    if (snprintf(cert_path, PATH_MAX, "%s/custodian-%u.cer", dir, i) >= PATH_MAX ||
        snprintf(key_path, PATH_MAX, "%s/custodian-%u.pem", dir, i) >= PATH_MAX)
        return false;
    if (access(cert_path, R_OK) == 0 && access(key_path, R_OK) == 0)
        return true;
    EVP_PKEY *key = EVP_RSA_gen(2048);
    X509 *x = key != NULL ? self_signed(key, i) : NULL;
    bool ok = x != NULL && write_pem(key_path, key, NULL) && write_pem(cert_path, NULL, x);
    X509_free(x);
    EVP_PKEY_free(key);
    return ok;
}

int cmd_activate(struct cli *c)
{
    struct arg args[] = {POOL_ARGS, {.name = NULL}};
    char dir[PATH_MAX], file[PATH_MAX], cert[3][PATH_MAX];
    struct pool p;
    int ret;
    if (!pool_args(c, &p, args, "activate", &ret))
        return ret;
    cli_pool_path(c, "custodians", dir);
    cli_pool_path(c, "security-domain.json", file);
    ret = CLI_OK;
    if (dir_ensure(dir, 0700) != HSM_OK)
        ret = cli_fail(CLI_FAILED, "cannot create %s: %s", dir, strerror(errno));
    for (unsigned i = 0; ret == CLI_OK && i < 3; i++)
        if (!make_custodian(dir, i + 1, cert[i]))
            ret = cli_fail(CLI_FAILED, "cannot make the custodian keys in %s", dir);
    const char *const certs[] = {cert[0], cert[1], cert[2]};
    if (ret == CLI_OK)
        ret = download(&p, certs, 3, 2, file);
    if (ret == CLI_OK && !c->json)
        (void)printf("pool %s is active\ncustodian keys    %s (development: on this disk; in "
                     "production each custodian keeps one offline)\nsecurity domain   %s (any 2 of "
                     "the 3 open it)\n",
                     p.config.name, dir, file);
    pool_close(&p);
    return ret;
}
