#include "cli/node_join.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include "base/uuid.h"

#define HOST_MAX   300
#define ANSWER_MAX 32768

struct place {
    char host[HOST_MAX]; /* without brackets */
    char connect[HOST_MAX + 16];
};

/* "https://HOST[:PORT][/]" */
static bool parse_url(const char *url, struct place *ret)
{
    static const char scheme[] = "https://";
    if (strncmp(url, scheme, sizeof scheme - 1) != 0)
        return false;
    const char *at = url + sizeof scheme - 1;
    size_t n = strcspn(at, "/");
    if (n == 0 || n >= HOST_MAX || (at[n] == '/' && at[n + 1] != 0))
        return false;
    const char *close = at[0] == '[' ? memchr(at, ']', n) : NULL;
    const char *colon =
        memchr(close != NULL ? close : at, ':', n - (size_t)(close != NULL ? close - at : 0));
    size_t host_n = colon != NULL ? (size_t)(colon - at) : n;
    bool brackets = close != NULL;
    snprintf(ret->host, sizeof ret->host, "%.*s", (int)(host_n - (brackets ? 2 : 0)),
             at + (brackets ? 1 : 0));
    snprintf(ret->connect, sizeof ret->connect, "%.*s%s", (int)n, at, colon != NULL ? "" : ":443");
    return true;
}

static bool has_fingerprint(X509 *cert, const char *want)
{
    uint8_t hash[32];
    char hex[65];
    unsigned n = 0;
    if (X509_digest(cert, EVP_sha256(), hash, &n) != 1 || n != sizeof hash)
        return false;
    hex_encode(hex, hash, sizeof hash);
    return strcmp(hex, want) == 0;
}

static X509 *find_ca(SSL *ssl, const char *fingerprint)
{
    STACK_OF(X509) *chain = SSL_get_peer_cert_chain(ssl);
    for (int i = 0; chain != NULL && i < sk_X509_num(chain); i++) {
        if (has_fingerprint(sk_X509_value(chain, i), fingerprint))
            return sk_X509_value(chain, i);
    }
    return NULL;
}

static bool names_host(X509 *leaf, const char *host)
{
    return X509_check_host(leaf, host, 0, 0, NULL) == 1 || X509_check_ip_asc(leaf, host, 0) == 1;
}

/* The leaf, for that host, directly under that CA. */
static bool is_issued_by(SSL *ssl, X509 *ca, const char *host)
{
    X509 *leaf = SSL_get0_peer_certificate(ssl);
    X509_STORE *trusted = X509_STORE_new();
    X509_STORE_CTX *c = X509_STORE_CTX_new();
    bool ok = leaf != NULL && trusted != NULL && c != NULL &&
              X509_STORE_add_cert(trusted, ca) == 1 &&
              X509_STORE_CTX_init(c, trusted, leaf, NULL) == 1 && X509_verify_cert(c) == 1 &&
              names_host(leaf, host);
    X509_STORE_CTX_free(c);
    X509_STORE_free(trusted);
    return ok;
}

static bool put_pem(X509 *cert, struct wr *out)
{
    BIO *b = BIO_new(BIO_s_mem());
    char *text = NULL;
    bool ok = b != NULL && PEM_write_bio_X509(b, cert) == 1;
    if (ok) {
        long n = BIO_get_mem_data(b, &text);
        wr_bytes(out, text, (size_t)n);
    }
    BIO_free(b);
    return ok && wr_ok(out) == HSM_OK;
}

static hsm_err exchange(BIO *b, const struct place *p, struct bytes body, unsigned *ret_status,
                        struct wr *ret_body)
{
    static char answer[ANSWER_MAX + 1];
    char head[HOST_MAX + 256];
    size_t n = 0;
    int m = snprintf(head, sizeof head,
                     "POST /keyhold/nodes/join HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n"
                     "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
                     p->connect, body.n);
    if (BIO_write(b, head, m) != m || BIO_write(b, body.p, (int)body.n) != (int)body.n)
        return HSM_E_IO;
    while (n < ANSWER_MAX && (m = BIO_read(b, answer + n, (int)(ANSWER_MAX - n))) > 0)
        n += (size_t)m;
    answer[n] = 0;
    const char *end = strstr(answer, "\r\n\r\n");
    if (end == NULL || sscanf(answer, "HTTP/1.1 %3u", ret_status) != 1)
        return HSM_E_IO;
    wr_str(ret_body, end + 4);
    return wr_ok(ret_body) == HSM_OK ? HSM_OK : HSM_E_IO;
}

static hsm_err connected(BIO *b, const struct place *p, const char *fingerprint, struct bytes body,
                         unsigned *ret_status, struct wr *ret_body, struct wr *ret_ca, char *text,
                         size_t cap)
{
    SSL *ssl = NULL;
    (void)BIO_get_ssl(b, &ssl);
    X509 *ca = ssl != NULL ? find_ca(ssl, fingerprint) : NULL;
    if (ca == NULL || !is_issued_by(ssl, ca, p->host)) {
        snprintf(text, cap, "the server at %s is not of the installation that made the token",
                 p->connect);
        return HSM_E_DENIED;
    }
    hsm_err e = put_pem(ca, ret_ca) ? exchange(b, p, body, ret_status, ret_body) : HSM_E_INTERNAL;
    if (e != HSM_OK)
        snprintf(text, cap, "%s did not answer", p->connect);
    return e;
}

hsm_err node_join_post(const char *url, const char *fingerprint, struct bytes body,
                       unsigned *ret_status, struct wr *ret_body, struct wr *ret_ca, char *text,
                       size_t cap)
{
    struct place p;
    hsm_err e = HSM_E_IO;
    SSL *ssl = NULL;
    if (!parse_url(url, &p)) {
        snprintf(text, cap, "the fabric's address must be https://HOST:PORT");
        return HSM_E_BAD_PARAMETER;
    }
    /* The certificate is checked after the handshake, before anything is said. */
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    BIO *b = ctx != NULL ? BIO_new_ssl_connect(ctx) : NULL;
    if (b == NULL || BIO_set_conn_hostname(b, p.connect) != 1 || BIO_get_ssl(b, &ssl) != 1 ||
        SSL_set_tlsext_host_name(ssl, p.host) != 1 || BIO_do_connect(b) != 1 ||
        BIO_do_handshake(b) != 1)
        snprintf(text, cap, "nobody answers at %s", p.connect);
    else
        e = connected(b, &p, fingerprint, body, ret_status, ret_body, ret_ca, text, cap);
    BIO_free_all(b);
    SSL_CTX_free(ctx);
    ERR_clear_error();
    return e;
}
