#include <openssl/err.h>
#include <stdio.h>
#include "net/http_server.h"

static int select_alpn(SSL *ssl, const unsigned char **ret, unsigned char *ret_len,
                       const unsigned char *in, unsigned len, void *arg)
{
    (void)ssl;
    (void)arg;
    for (unsigned at = 0; at < len && in[at] < len - at; at += in[at] + 1U) {
        if (in[at] == 8 && memcmp(in + at + 1, "http/1.1", 8) == 0) {
            *ret = in + at + 1;
            *ret_len = 8;
            return SSL_TLSEXT_ERR_OK;
        }
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static void reason(const char *what, const char *file, char *text, size_t cap)
{
    char buf[160] = "";
    ERR_error_string_n(ERR_peek_last_error(), buf, sizeof(buf));
    ERR_clear_error();
    if (cap > 0)
        snprintf(text, cap, "%s %s: %s", what, file, buf);
}

static bool configure(SSL_CTX *ctx)
{
    static const unsigned char id[] = "keyhold";

    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA |
                                 /* lengths come from HTTP, so a missing close_notify is no cut */
                                 SSL_OP_IGNORE_UNEXPECTED_EOF |
                                 /* no plaintext stays behind in record buffers */
                                 SSL_OP_CLEANSE_PLAINTEXT);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(ctx, 1);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); /* stateless tickets only */
    SSL_CTX_set_num_tickets(ctx, 1);
    SSL_CTX_set_max_early_data(ctx, 0);
    SSL_CTX_set_alpn_select_cb(ctx, select_alpn, NULL);
    return SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 &&
           SSL_CTX_set_session_id_context(ctx, id, sizeof(id) - 1) == 1 &&
           SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM:ECDHE+CHACHA20") == 1;
}

SSL_CTX *http_tls_context(const char *cert_file, const char *key_file, char *text, size_t cap)
{
    ERR_clear_error();
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (ctx == NULL || !configure(ctx)) {
        reason("TLS", "context", text, cap);
        SSL_CTX_free(ctx);
        return NULL;
    }
    if (SSL_CTX_use_certificate_chain_file(ctx, cert_file) != 1) {
        reason("certificate", cert_file, text, cap);
        SSL_CTX_free(ctx);
        return NULL;
    }
    if (SSL_CTX_use_PrivateKey_file(ctx, key_file, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(ctx) != 1) {
        reason("private key", key_file, text, cap);
        SSL_CTX_free(ctx);
        return NULL;
    }
    return ctx;
}
