#include "boundary/join_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* No certificate of a boundary is larger. */
#define PEER_CERTS_MAX 16384

static void fd_done(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
}

/* The connection's own check stands in for that of libcrypto. */
static int verify(X509_STORE_CTX *store, void *arg)
{
    (void)arg;
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct join *j = ssl == NULL ? NULL : (struct join *)SSL_get_app_data(ssl);
    bool ok = j != NULL && join_verify(j, X509_STORE_CTX_get0_cert(store),
                                       sk_X509_num(X509_STORE_CTX_get0_untrusted(store)));
    X509_STORE_CTX_set_error(store, ok ? X509_V_OK : X509_V_ERR_APPLICATION_VERIFICATION);
    return ok ? 1 : 0;
}

static SSL_CTX *make_ctx(const struct join_self *s, enum join_role role)
{
    SSL_CTX *c = SSL_CTX_new(role == JOIN_MEMBER ? TLS_server_method() : TLS_client_method());
    char sigalgs[] = "ECDSA+SHA256"; /* the macro wants it writable */
    if (c == NULL)
        return NULL;
    SSL_CTX_set_verify(c, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_cert_verify_callback(c, verify, NULL);
    SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_max_cert_list(c, PEER_CERTS_MAX);
    SSL_CTX_set_options(c, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION);
    if (SSL_CTX_set_min_proto_version(c, TLS1_3_VERSION) == 1 &&
        SSL_CTX_set_max_proto_version(c, TLS1_3_VERSION) == 1 &&
        SSL_CTX_set_ciphersuites(c, "TLS_AES_256_GCM_SHA384") == 1 &&
        SSL_CTX_set1_sigalgs_list(c, sigalgs) == 1 && SSL_CTX_set_num_tickets(c, 0) == 1 &&
        SSL_CTX_use_certificate(c, s->id.cert) == 1 && SSL_CTX_use_PrivateKey(c, s->id.key) == 1)
        return c;
    SSL_CTX_free(c);
    return NULL;
}

static hsm_err fill(struct join_self *s, const struct evidence *e, const struct peer_voucher *by,
                    struct bytes admission)
{
    if (admission.n != JOIN_ADMISSION_LEN)
        return HSM_E_BAD_PARAMETER;
    TRY(secret_buf_new(&s->secret_admission, JOIN_ADMISSION_LEN));
    memcpy(s->secret_admission.p, admission.p, JOIN_ADMISSION_LEN);
    TRY(peer_identity_new(e, by, &s->id));
    s->ctx[JOIN_MEMBER] = make_ctx(s, JOIN_MEMBER);
    s->ctx[JOIN_JOINER] = make_ctx(s, JOIN_JOINER);
    if (s->ctx[JOIN_MEMBER] != NULL && s->ctx[JOIN_JOINER] != NULL)
        return HSM_OK;
    ERR_clear_error();
    return HSM_E_NOMEM;
}

hsm_err join_self_new(const struct evidence *e, const struct peer_voucher *by,
                      const struct peer_policy *policy, struct bytes admission,
                      struct join_self **ret)
{
    struct join_self *s = (struct join_self *)calloc(1, sizeof *s);
    if (s == NULL)
        return HSM_E_NOMEM;
    s->policy = *policy;
    hsm_err err = fill(s, e, by, admission);
    if (err != HSM_OK) {
        join_self_free(s);
        return err;
    }
    *ret = s;
    return HSM_OK;
}

void join_self_free(struct join_self *s)
{
    if (s == NULL)
        return;
    SSL_CTX_free(s->ctx[JOIN_MEMBER]);
    SSL_CTX_free(s->ctx[JOIN_JOINER]);
    peer_identity_done(&s->id);
    secret_buf_done(&s->secret_admission);
    free(s);
}

const struct evidence *join_self_evidence(const struct join_self *s)
{
    return &s->id.evidence;
}

/* ---- from files ---- */

static hsm_err read_admission(const char *path, struct secret_buf *ret, char *text, size_t cap)
{
    struct stat st;
    DEFER(secret_buf_done) struct secret_buf b = {0};
    DEFER(fd_done) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &st) != 0) {
        (void)snprintf(text, cap, "admission key: cannot open %s: %s", path, strerror(errno));
        return HSM_E_IO;
    }
    (void)snprintf(text, cap,
                   "admission key: %s must be a file of %u bytes that only its owner may read",
                   path, JOIN_ADMISSION_LEN);
    if (!S_ISREG(st.st_mode) || (st.st_mode & 077) != 0 || st.st_size != JOIN_ADMISSION_LEN)
        return HSM_E_CORRUPT;
    TRY(secret_buf_new(&b, JOIN_ADMISSION_LEN));
    if (read(fd, b.p, b.n) != (ssize_t)b.n)
        return HSM_E_IO;
    *ret = b;
    b = (struct secret_buf){0};
    return HSM_OK;
}

hsm_err join_self_load(const struct join_options *o, struct join_self **ret, char *text, size_t cap)
{
    struct evidence e = {.provider = o->provider, .partition = o->partition};
    DEFER(secret_buf_done) struct secret_buf secret_admission = {0};
    (void)snprintf(e.pool, sizeof e.pool, "%s", o->pool);
    (void)snprintf(e.protection, sizeof e.protection, "%s", o->protection);
    TRY(read_admission(o->admission_path, &secret_admission, text, cap));
    hsm_err err = peer_measure_self(e.measurement);
    if (err != HSM_OK) {
        (void)snprintf(text, cap, "/proc/self/exe cannot be read: no measurement of this program");
        return err;
    }
    (void)snprintf(text, cap, "the certificate for other boundaries cannot be made");
    return join_self_new(&e, o->by, o->policy, bytes_of(secret_admission.p, secret_admission.n),
                         ret);
}
