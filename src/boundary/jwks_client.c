#include "boundary/jwks_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include "boundary/jwks_http.h"

/* All that a server may send in one connection, TLS framing and certificates included. */
#define RECEIVED_MAX (256u * 1024u)
#define PIECE        16384

struct jwks_client {
    const struct auth_issuer *issuer;
    const struct auth_relay *relay;
    SSL_CTX *ctx;
    SSL *ssl; /* while busy */
    BIO *in;  /* both owned by ssl */
    BIO *out;
    enum jwks_client_state state;
    uint32_t conn;
    uint64_t deadline_ms;
    size_t received;
    bool is_up; /* handshake done, request sent */
    const char *why;
    const char *path;
    struct jwks_http http;
    uint8_t body[JWKS_TEXT_MAX];
};

/* ---- set-up ---- */

static void bio_done(BIO **b)
{
    BIO_free(*b);
}

static hsm_err add_roots(X509_STORE *store, const char *pem)
{
    DEFER(bio_done) BIO *b = BIO_new_mem_buf(pem, -1);
    if (b == NULL)
        return HSM_E_NOMEM;
    unsigned n = 0;
    for (;;) {
        X509 *cert = PEM_read_bio_X509(b, NULL, NULL, NULL);
        if (cert == NULL)
            break;
        int ok = X509_STORE_add_cert(store, cert);
        X509_free(cert);
        if (ok != 1)
            return HSM_E_NOMEM;
        n++;
    }
    /* Anything but the end of the text is a damaged certificate. */
    unsigned long e = ERR_peek_last_error();
    bool at_end = ERR_GET_LIB(e) == ERR_LIB_PEM && ERR_GET_REASON(e) == PEM_R_NO_START_LINE;
    ERR_clear_error();
    return at_end && n > 0 ? HSM_OK : HSM_E_BAD_PARAMETER;
}

static hsm_err make_ctx(const char *roots_pem, SSL_CTX **ret)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    if (ctx == NULL)
        return HSM_E_NOMEM;
    hsm_err err = add_roots(SSL_CTX_get_cert_store(ctx), roots_pem);
    if (err == HSM_OK && SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1)
        err = HSM_E_INTERNAL;
    if (err != HSM_OK) {
        SSL_CTX_free(ctx);
        return err;
    }
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    /* A root may be the issuing authority itself rather than what that one chains to. */
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ctx), X509_V_FLAG_PARTIAL_CHAIN);
    *ret = ctx;
    return HSM_OK;
}

/* libssl sorts its cipher list, for which the C library asks how much memory there is; certificate
 * times make it read the time zone. */
hsm_err jwks_client_warm_up(void)
{
    tzset();
    if (OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) != 1)
        return HSM_E_INTERNAL;
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    if (ctx == NULL)
        return HSM_E_NOMEM;
    SSL_CTX_free(ctx);
    return HSM_OK;
}

hsm_err jwks_client_new(const struct auth_issuer *issuer, const struct auth_relay *relay,
                        struct jwks_client **ret)
{
    SSL_CTX *ctx;
    TRY(make_ctx(issuer->roots_pem, &ctx));
    struct jwks_client *c = calloc(1, sizeof *c);
    if (c == NULL) {
        SSL_CTX_free(ctx);
        return HSM_E_NOMEM;
    }
    c->issuer = issuer;
    c->relay = relay;
    c->ctx = ctx;
    c->why = "";
    *ret = c;
    return HSM_OK;
}

void jwks_client_free(struct jwks_client *c)
{
    if (c == NULL)
        return;
    SSL_free(c->ssl);
    SSL_CTX_free(c->ctx);
    free(c);
}

/* ---- end of a connection ---- */

static void drop(struct jwks_client *c)
{
    SSL_free(c->ssl);
    c->ssl = NULL;
    c->in = NULL;
    c->out = NULL;
    ERR_clear_error();
}

static void end(struct jwks_client *c, enum jwks_client_state state, const char *why)
{
    drop(c);
    c->state = state;
    c->why = why;
}

static void finish(struct jwks_client *c, enum jwks_client_state state, const char *why)
{
    if (c->state != JWKS_BUSY)
        return;
    end(c, state, why);
    c->relay->close(c->relay->ctx, c->conn);
}

static const char *tls_failure(const struct jwks_client *c)
{
    switch (SSL_get_verify_result(c->ssl)) {
    case X509_V_OK:
        return "TLS handshake failed";
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        return "its TLS certificate is for another host name";
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return "its TLS certificate is outside its validity";
    default:
        return "its TLS certificate is not signed by a configured root";
    }
}

/* ---- start ---- */

static bool is_ip(const char *host)
{
    ASN1_OCTET_STRING *ip = a2i_IPADDRESS(host);
    ASN1_OCTET_STRING_free(ip);
    return ip != NULL;
}

static bool set_peer(SSL *ssl, const char *host)
{
    if (is_ip(host))
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
    char name[sizeof((struct auth_issuer *)0)->host]; /* the macro wants it writable */
    snprintf(name, sizeof name, "%s", host);
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(ssl, name) == 1 && SSL_set_tlsext_host_name(ssl, name) == 1;
}

static bool open_tls(struct jwks_client *c, uint64_t now_ms)
{
    SSL *ssl = SSL_new(c->ctx);
    BIO *in = BIO_new(BIO_s_mem());
    BIO *out = BIO_new(BIO_s_mem());
    if (ssl == NULL || in == NULL || out == NULL || !set_peer(ssl, c->issuer->host)) {
        SSL_free(ssl);
        BIO_free(in);
        BIO_free(out);
        return false;
    }
    /* Empty means: wait for more. */
    BIO_set_mem_eof_return(in, -1);
    BIO_set_mem_eof_return(out, -1);
    SSL_set_bio(ssl, in, out);
    SSL_set_connect_state(ssl);
    X509_VERIFY_PARAM_set_time(SSL_get0_param(ssl), (time_t)(now_ms / 1000));
    c->ssl = ssl;
    c->in = in;
    c->out = out;
    return true;
}

static bool send_request(struct jwks_client *c)
{
    char text[1024];
    const struct auth_issuer *i = c->issuer;
    bool v6 = strchr(i->host, ':') != NULL;
    int n = snprintf(text, sizeof text,
                     "GET %s HTTP/1.1\r\nHost: %s%s%s:%u\r\nAccept: application/json\r\n"
                     "User-Agent: keyhold/" KEYHOLD_VERSION "\r\nConnection: close\r\n\r\n",
                     c->path, v6 ? "[" : "", i->host, v6 ? "]" : "", (unsigned)i->port);
    return n > 0 && (size_t)n < sizeof text && SSL_write(c->ssl, text, n) == n;
}

static void flush(struct jwks_client *c)
{
    uint8_t piece[PIECE];
    int n;
    while ((n = BIO_read(c->out, piece, sizeof piece)) > 0)
        c->relay->data(c->relay->ctx, c->conn, bytes_of(piece, (size_t)n));
}

/* ---- run ---- */

/* false: wait for bytes, or the connection ended. */
static bool shake(struct jwks_client *c)
{
    int n = SSL_do_handshake(c->ssl);
    if (n == 1) {
        c->is_up = send_request(c);
        if (!c->is_up)
            finish(c, JWKS_FAILED, "the request could not be sent");
        return c->is_up;
    }
    if (SSL_get_error(c->ssl, n) != SSL_ERROR_WANT_READ) {
        flush(c); /* the alert, so that the server's log says why */
        finish(c, JWKS_FAILED, tls_failure(c));
    }
    return false;
}

static const char *http_failure(hsm_err err)
{
    switch (err) {
    case HSM_E_UNAVAILABLE:
        return "it answered another status than 200";
    case HSM_E_TOO_LARGE:
        return "its answer is too large";
    default:
        return "its answer is malformed";
    }
}

static void take(struct jwks_client *c, hsm_err err)
{
    if (err == HSM_OK)
        finish(c, JWKS_DONE, "");
    else if (err != HSM_E_AGAIN)
        finish(c, JWKS_FAILED, http_failure(err));
}

static void receive(struct jwks_client *c)
{
    uint8_t piece[PIECE];
    while (c->state == JWKS_BUSY) {
        ERR_clear_error();
        int n = SSL_read(c->ssl, piece, sizeof piece);
        if (n > 0) {
            take(c, jwks_http_feed(&c->http, bytes_of(piece, (size_t)n)));
            continue;
        }
        switch (SSL_get_error(c->ssl, n)) {
        case SSL_ERROR_WANT_READ:
            return;
        case SSL_ERROR_ZERO_RETURN: /* close_notify: the server says that this was all */
            take(c, jwks_http_end(&c->http));
            return;
        default:
            finish(c, JWKS_FAILED, "TLS failed while its answer was read");
            return;
        }
    }
}

static void run(struct jwks_client *c)
{
    ERR_clear_error();
    if (!c->is_up && !shake(c)) {
        if (c->state == JWKS_BUSY)
            flush(c);
        return;
    }
    flush(c);
    receive(c);
    if (c->state == JWKS_BUSY)
        flush(c);
}

void jwks_client_start(struct jwks_client *c, uint32_t conn, const char *path, uint64_t now_ms)
{
    finish(c, JWKS_FAILED, "started anew");
    c->conn = conn;
    c->path = path;
    c->deadline_ms = now_ms + JWKS_CLIENT_TIMEOUT_MS;
    c->received = 0;
    c->is_up = false;
    jwks_http_init(&c->http, c->body, sizeof c->body);
    if (!open_tls(c, now_ms)) {
        ERR_clear_error();
        c->state = JWKS_FAILED;
        c->why = "no memory for a TLS connection";
        return;
    }
    c->state = JWKS_BUSY;
    c->relay->open(c->relay->ctx, conn, c->issuer->host, c->issuer->port);
    run(c);
}

void jwks_client_data(struct jwks_client *c, struct bytes b)
{
    if (c->state != JWKS_BUSY)
        return;
    if (b.n > RECEIVED_MAX - c->received) {
        finish(c, JWKS_FAILED, "its answer is too large");
        return;
    }
    c->received += b.n;
    if (b.n > 0 && BIO_write(c->in, b.p, (int)b.n) != (int)b.n) {
        finish(c, JWKS_FAILED, "no memory for a TLS connection");
        return;
    }
    run(c);
}

void jwks_client_closed(struct jwks_client *c)
{
    /* Without close_notify the end proves nothing: it may be the gateway's doing. */
    if (c->state == JWKS_BUSY)
        end(c, JWKS_FAILED, c->is_up ? "the connection was cut" : "no connection");
}

void jwks_client_tick(struct jwks_client *c, uint64_t now_ms)
{
    if (now_ms >= c->deadline_ms)
        finish(c, JWKS_FAILED, "no answer in time");
}

void jwks_client_wait_anew(struct jwks_client *c, uint64_t now_ms)
{
    c->deadline_ms = now_ms + JWKS_CLIENT_TIMEOUT_MS;
}

void jwks_client_reset(struct jwks_client *c)
{
    finish(c, JWKS_FAILED, "");
    c->state = JWKS_IDLE;
}

enum jwks_client_state jwks_client_state(const struct jwks_client *c)
{
    return c->state;
}

uint32_t jwks_client_conn(const struct jwks_client *c)
{
    return c->conn;
}

struct bytes jwks_client_body(const struct jwks_client *c)
{
    return wr_view(&c->http.body);
}

const char *jwks_client_why(const struct jwks_client *c)
{
    return c->why;
}
