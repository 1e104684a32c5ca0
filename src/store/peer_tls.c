#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include "store/peer_internal.h"

#define READ_BUFFER (64 << 10)

void peer_tls_reason(const char *what, char *text, size_t cap)
{
    unsigned long e = ERR_peek_last_error();
    const char *reason = e == 0 ? NULL : ERR_reason_error_string(e);
    if (cap > 0)
        (void)snprintf(text, cap, "%s%s%s", what, reason ? ": " : "", reason ? reason : "");
    ERR_clear_error();
}

static int no_password(char *buf, int size, int writing, void *ctx)
{
    (void)buf;
    (void)size;
    (void)writing;
    (void)ctx;
    return -1;
}

static bool configure(SSL_CTX *ctx)
{
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET |
                                 /* frames have lengths, so a missing close_notify is no cut */
                                 SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(ctx, 1);
    SSL_CTX_set_default_read_buffer_len(ctx, READ_BUFFER);
    /* no resumption: each connection shows its certificate */
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_max_early_data(ctx, 0);
    SSL_CTX_set_default_passwd_cb(ctx, no_password);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    return SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1 &&
           SSL_CTX_set_num_tickets(ctx, 0) == 1;
}

SSL_CTX *peer_tls_context(const struct peer_config *cfg, char *text, size_t cap)
{
    char what[PEER_REASON_CAP] = "TLS context";
    ERR_clear_error();
    SSL_CTX *ctx = SSL_CTX_new(TLS_method());
    if (ctx == NULL || !configure(ctx))
        goto fail;
    (void)snprintf(what, sizeof what, "certificate %s", cfg->cert);
    if (SSL_CTX_use_certificate_chain_file(ctx, cfg->cert) != 1)
        goto fail;
    (void)snprintf(what, sizeof what, "private key %s", cfg->key);
    if (SSL_CTX_use_PrivateKey_file(ctx, cfg->key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(ctx) != 1)
        goto fail;
    (void)snprintf(what, sizeof what, "CA certificate %s", cfg->ca);
    if (SSL_CTX_load_verify_file(ctx, cfg->ca) != 1)
        goto fail;
    return ctx;
fail:
    peer_tls_reason(what, text, cap);
    SSL_CTX_free(ctx);
    return NULL;
}

/* Exactly one of the URIs is a name of ours. */
static hsm_err find_name(const GENERAL_NAMES *names, struct bytes *ret_pool, uint64_t *ret_id)
{
    unsigned found = 0;
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *g = sk_GENERAL_NAME_value(names, i);
        if (g->type != GEN_URI)
            continue;
        const ASN1_IA5STRING *s = g->d.uniformResourceIdentifier;
        struct bytes uri = bytes_of(ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s));
        if (uri.n < sizeof PEER_NAME_SCHEME - 1 ||
            memcmp(uri.p, PEER_NAME_SCHEME, sizeof PEER_NAME_SCHEME - 1) != 0)
            continue;
        TRY(peer_name_parse(uri, ret_pool, ret_id));
        found++;
    }
    return found == 1 ? HSM_OK : HSM_E_MALFORMED;
}

hsm_err peer_tls_identity(const SSL *ssl, const char *pool, uint64_t *ret_id, char *text,
                          size_t cap)
{
    struct bytes named;
    uint64_t id;
    hsm_err err = HSM_OK;
    const X509 *cert = SSL_get0_peer_certificate(ssl);
    GENERAL_NAMES *names =
        cert == NULL ? NULL : X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    if (names == NULL || SSL_get_verify_result(ssl) != X509_V_OK ||
        find_name(names, &named, &id) != HSM_OK) {
        (void)snprintf(text, cap, "its certificate does not name a partition");
        err = HSM_E_DENIED;
    } else if (!bytes_eq_str(named, pool)) {
        (void)snprintf(text, cap, "its certificate is of pool %.*s", (int)named.n,
                       (const char *)named.p);
        err = HSM_E_DENIED;
    } else {
        *ret_id = id;
    }
    GENERAL_NAMES_free(names);
    ERR_clear_error();
    return err;
}
