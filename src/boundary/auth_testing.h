/* For auth*_test.c: keys, signed tokens, certificates, and an issuer whose TLS server runs in the
 * same thread over memory BIOs. */
#ifndef BOUNDARY_AUTH_TESTING_H
#define BOUNDARY_AUTH_TESTING_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "boundary/auth.h"
#include "codec/base64url.h"

#define TENANT   "72f988bf-86f1-41af-91ab-2d7cd011db47"
#define OID      "aaaaaaaa-1111-4222-8333-bbbbbbbbbbbb"
#define ISSUER   "https://sts.windows.net/" TENANT "/"
#define AUDIENCE "https://managedhsm.localhost:8443"
#define NOW_S    1700000000u
#define NOW_MS   (1000u * (uint64_t)NOW_S)

/* ---- keys and tokens ---- */

static inline EVP_PKEY *make_rsa(void)
{
    EVP_PKEY *k = EVP_RSA_gen(2048);
    assert_non_null(k);
    return k;
}
static inline EVP_PKEY *make_ec(void)
{
    EVP_PKEY *k = EVP_EC_gen("P-256");
    assert_non_null(k);
    return k;
}

static inline void b64_text(char *dst, size_t cap, const void *p, size_t n)
{
    assert_true(b64_encoded_max(n) < cap);
    dst[b64u_encode(dst, p, n)] = 0;
}

static inline void bn_text(char *dst, size_t cap, EVP_PKEY *k, const char *name)
{
    BIGNUM *bn = NULL;
    uint8_t raw[512];
    assert_int_equal(EVP_PKEY_get_bn_param(k, name, &bn), 1);
    int n = BN_bn2bin(bn, raw);
    BN_free(bn);
    /* coordinates have a fixed width */
    size_t pad = strcmp(name, "qx") == 0 || strcmp(name, "qy") == 0 ? 32 - (size_t)n : 0;
    memmove(raw + pad, raw, (size_t)n);
    memset(raw, 0, pad);
    b64_text(dst, cap, raw, pad + (size_t)n);
}

/* One JWK of an RSA or P-256 key. */
static inline void jwk_text(char *dst, size_t cap, EVP_PKEY *k, const char *kid, const char *more)
{
    char a[512];
    char b[512];
    bool is_rsa = EVP_PKEY_is_a(k, "RSA");
    bn_text(a, sizeof a, k, is_rsa ? OSSL_PKEY_PARAM_RSA_N : OSSL_PKEY_PARAM_EC_PUB_X);
    bn_text(b, sizeof b, k, is_rsa ? OSSL_PKEY_PARAM_RSA_E : OSSL_PKEY_PARAM_EC_PUB_Y);
    const char *const parts[] = {
        is_rsa ? "{\"kty\":\"RSA\",\"kid\":\"" : "{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"",
        kid,
        is_rsa ? "\",\"n\":\"" : "\",\"x\":\"",
        a,
        is_rsa ? "\",\"e\":\"" : "\",\"y\":\"",
        b,
        "\"",
        more,
        "}",
    };
    struct wr w = wr_of(dst, cap - 1);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        wr_str(&w, parts[i]);
    assert_int_equal(wr_ok(&w), HSM_OK);
    dst[w.n] = 0;
}

#define TOKEN_CAP 20000

/* header and payload as given; signature by sign_raw's algorithm. */
static inline size_t sign_raw(EVP_PKEY *k, bool pss, struct bytes text, uint8_t sig[512])
{
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    EVP_PKEY_CTX *p = NULL;
    size_t n = 512;
    assert_int_equal(EVP_DigestSignInit(c, &p, EVP_sha256(), NULL, k), 1);
    if (pss) {
        assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(p, RSA_PKCS1_PSS_PADDING), 1);
        assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(p, RSA_PSS_SALTLEN_DIGEST), 1);
    }
    assert_int_equal(EVP_DigestSign(c, sig, &n, text.p, text.n), 1);
    EVP_MD_CTX_free(c);
    if (EVP_PKEY_is_a(k, "EC")) {
        uint8_t raw[64];
        assert_int_equal(ecdsa_der_to_raw(bytes_of(sig, n), 32, raw), HSM_OK);
        memcpy(sig, raw, 64);
        n = 64;
    }
    return n;
}

static inline struct bytes token_of(char dst[TOKEN_CAP], const char *header, const char *payload,
                                    EVP_PKEY *k, bool pss)
{
    uint8_t sig[512];
    size_t n = b64u_encode(dst, (const uint8_t *)header, strlen(header));
    dst[n++] = '.';
    assert_true(n + b64_encoded_max(strlen(payload)) + 800 < TOKEN_CAP);
    n += b64u_encode(dst + n, (const uint8_t *)payload, strlen(payload));
    size_t sig_n = sign_raw(k, pss, bytes_of(dst, n), sig);
    dst[n++] = '.';
    n += b64u_encode(dst + n, sig, sig_n);
    return bytes_of(dst, n);
}

/* A good payload; members in more are appended (",\"x\":1"). */
static inline const char *claims_text(const char *iss, const char *aud, const char *more)
{
    static char text[16000];
    snprintf(text, sizeof text,
             "{\"iss\":\"%s\",\"aud\":\"%s\",\"tid\":\"" TENANT "\",\"oid\":\"" OID
             "\",\"nbf\":%u,\"exp\":%u%s}",
             iss, aud, NOW_S - 60, NOW_S + 3600, more);
    return text;
}

/* ---- certificates ---- */

static inline void add_ext(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX c;
    X509V3_set_ctx(&c, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &c, nid, value);
    assert_non_null(e);
    assert_int_equal(X509_add_ext(cert, e, -1), 1);
    X509_EXTENSION_free(e);
}

/* Certificates are made at this time. */
static time_t cert_now_s = NOW_S;

/* Self-signed authority when ca is NULL. */
static inline X509 *make_cert(EVP_PKEY *key, const char *cn, const char *san, X509 *ca,
                              EVP_PKEY *ca_key, long not_after_s)
{
    static long serial = 1;
    X509 *x = X509_new();
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), serial++);
    X509_time_adj_ex(X509_getm_notBefore(x), -2, 0, &cert_now_s);
    X509_time_adj_ex(X509_getm_notAfter(x), 0, not_after_s, &cert_now_s);
    X509_set_pubkey(x, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                               (const unsigned char *)cn, -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(ca == NULL ? x : ca));
    if (ca == NULL)
        add_ext(x, x, NID_basic_constraints, "critical,CA:TRUE");
    if (san != NULL)
        add_ext(x, ca == NULL ? x : ca, NID_subject_alt_name, san);
    assert_int_not_equal(X509_sign(x, ca == NULL ? key : ca_key, EVP_sha256()), 0);
    return x;
}

static inline char *pem_of(X509 *x)
{
    BIO *b = BIO_new(BIO_s_mem());
    char *p;
    PEM_write_bio_X509(b, x);
    long n = BIO_get_mem_data(b, &p);
    char *copy = strndup(p, (size_t)n);
    BIO_free(b);
    return copy;
}

/* ---- the issuer's server and the relay to it ---- */

enum server_mode {
    SERVER_NORMAL,
    SERVER_SILENT,  /* accepts, never answers */
    SERVER_GARBAGE, /* answers no TLS */
    SERVER_REFUSES, /* the connection cannot be made */
    SERVER_CUTS,    /* ends the connection without close_notify behind the response */
    SERVER_ENDS,    /* close_notify behind the response */
};

struct net {
    struct auth *auth;
    enum server_mode mode;
    SSL_CTX *ctx;
    char *response; /* whole HTTP response; owned */
    size_t response_n;
    void (*choose)(struct net *n); /* sets the response for n->request; may be NULL */
    unsigned piece;                /* deliver at most so many bytes at a time, 0: any */
    /* current connection */
    uint32_t conn;
    bool is_open, is_answered, refuse;
    SSL *ssl;
    BIO *in, *out;
    char request[4096];
    size_t request_n;
    /* seen */
    unsigned opened, closed, changed;
    char host[256];
    uint16_t port;
};

static inline void net_drop(struct net *n)
{
    SSL_free(n->ssl);
    n->ssl = NULL;
    n->is_open = false;
}

static inline void net_open(void *ctx, uint32_t conn, const char *host, uint16_t port)
{
    struct net *n = ctx;
    net_drop(n);
    n->opened++;
    n->conn = conn;
    n->is_open = true;
    n->is_answered = false;
    n->refuse = n->mode == SERVER_REFUSES;
    n->request_n = 0;
    snprintf(n->host, sizeof n->host, "%s", host);
    n->port = port;
    n->ssl = SSL_new(n->ctx);
    n->in = BIO_new(BIO_s_mem());
    n->out = BIO_new(BIO_s_mem());
    BIO_set_mem_eof_return(n->in, -1);
    SSL_set_bio(n->ssl, n->in, n->out);
    SSL_set_accept_state(n->ssl);
}
static inline void net_data(void *ctx, uint32_t conn, struct bytes b)
{
    struct net *n = ctx;
    assert_true(n->is_open && conn == n->conn);
    assert_int_equal(BIO_write(n->in, b.p, (int)b.n), (int)b.n);
}
static inline void net_close(void *ctx, uint32_t conn)
{
    struct net *n = ctx;
    n->closed++;
    if (conn == n->conn)
        n->is_open = false; /* the SSL object may be in use further up the stack */
}
static inline void net_changed(void *ctx)
{
    struct net *n = ctx;
    n->changed++;
}

static inline void server_answer(struct net *n)
{
    size_t at = 0;
    while (at < n->response_n) {
        size_t k = n->response_n - at > 16000 ? 16000 : n->response_n - at;
        assert_int_equal(SSL_write(n->ssl, n->response + at, (int)k), (int)k);
        at += k;
    }
    if (n->mode == SERVER_ENDS)
        SSL_shutdown(n->ssl);
    n->is_answered = true;
}

static inline void server_run(struct net *n)
{
    if (n->mode == SERVER_SILENT || n->is_answered)
        return;
    if (n->mode == SERVER_GARBAGE) {
        BIO_write(n->out, "SSH-2.0-OpenSSH_9.2\r\nwho is there?", 35);
        n->is_answered = true;
        return;
    }
    int k =
        SSL_read(n->ssl, n->request + n->request_n, (int)(sizeof n->request - 1 - n->request_n));
    if (k > 0)
        n->request_n += (size_t)k;
    n->request[n->request_n] = 0;
    bool whole = strstr(n->request, "\r\n\r\n") != NULL;
    if (whole && n->choose != NULL)
        n->choose(n);
    if (whole)
        server_answer(n);
    ERR_clear_error();
}

/* Carry bytes both ways until nothing moves. */
static inline void net_pump(struct net *n)
{
    static uint8_t buf[65536];
    for (bool moved = true; moved && n->is_open;) {
        moved = false;
        if (n->refuse) {
            n->is_open = false;
            auth_net_closed(n->auth, n->conn);
            return;
        }
        server_run(n);
        size_t cap = n->piece == 0 ? sizeof buf : n->piece;
        int k = BIO_read(n->out, buf, (int)cap);
        if (k > 0) {
            auth_net_data(n->auth, n->conn, bytes_of(buf, (size_t)k));
            moved = true;
        } else if (n->is_answered && n->mode == SERVER_CUTS) {
            n->is_open = false;
            auth_net_closed(n->auth, n->conn);
        }
    }
}

static inline void set_response(struct net *n, const char *head, const char *body, size_t body_n)
{
    free(n->response);
    size_t head_n = strlen(head);
    n->response = malloc(head_n + body_n + 1);
    assert_non_null(n->response);
    memcpy(n->response, head, head_n);
    memcpy(n->response + head_n, body, body_n);
    n->response_n = head_n + body_n;
}

/* 200 with Content-Length. */
static inline void serve(struct net *n, const char *jwks)
{
    char head[200];
    snprintf(head, sizeof head,
             "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
             strlen(jwks));
    set_response(n, head, jwks, strlen(jwks));
}

static inline void net_use_cert(struct net *n, X509 *cert, EVP_PKEY *key)
{
    SSL_CTX_free(n->ctx);
    n->ctx = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_num_tickets(n->ctx, 2);
    assert_int_equal(SSL_CTX_use_certificate(n->ctx, cert), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(n->ctx, key), 1);
}

static inline void net_done(struct net *n)
{
    net_drop(n);
    SSL_CTX_free(n->ctx);
    free(n->response);
}

/* One issuer at host; roots is copied. */
static inline struct auth_config make_config(const char *host, const char *roots)
{
    struct auth_config c = {.tenant = TENANT, .audience_n = 2, .issuer_n = 1};
    snprintf(c.audience_host[0], 256, "managedhsm.localhost");
    snprintf(c.audience_host[1], 256, "managedhsm.azure.net");
    snprintf(c.issuer[0].issuer, 256, "%s", ISSUER);
    snprintf(c.issuer[0].host, 256, "%s", host);
    snprintf(c.issuer[0].path, 256, "/" TENANT "/discovery/v2.0/keys");
    c.issuer[0].port = 8443;
    c.issuer[0].roots_pem = strdup(roots);
    return c;
}

static inline struct auth *make_auth(struct net *n, struct auth_config *c)
{
    struct auth_relay relay = {n, net_open, net_data, net_close, net_changed};
    struct auth *a = NULL;
    assert_int_equal(auth_new(c, &relay, &a), HSM_OK);
    n->auth = a;
    return a;
}

#endif
