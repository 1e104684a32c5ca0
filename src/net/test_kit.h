/* For the tests of src/net and src/door: a loop in a thread, a certificate, a blocking TLS client.
 * Failures end the test program. */
#ifndef NET_TEST_KIT_H
#define NET_TEST_KIT_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>
#include "base/err.h"
#include "net/http_server.h"

/* ---- a loop in a thread ---- */

struct kit_loop {
    uv_loop_t loop;
    uv_thread_t thread;
    uv_async_t async;
    uv_sem_t done;
    void (*fn)(void *arg);
    void *arg;
};

static inline void kit_on_async(uv_async_t *a)
{
    struct kit_loop *k = a->data;
    if (k->fn == NULL) {
        uv_close((uv_handle_t *)a, NULL);
        return;
    }
    void (*fn)(void *arg) = k->fn;
    k->fn = NULL;
    fn(k->arg);
    uv_sem_post(&k->done);
}

static inline void kit_thread(void *arg)
{
    struct kit_loop *k = arg;
    uv_run(&k->loop, UV_RUN_DEFAULT);
}

static inline void kit_loop_start(struct kit_loop *k)
{
    HSM_ASSERT(uv_loop_init(&k->loop) == 0);
    HSM_ASSERT(uv_sem_init(&k->done, 0) == 0);
    HSM_ASSERT(uv_async_init(&k->loop, &k->async, kit_on_async) == 0);
    k->async.data = k;
    k->fn = NULL;
    HSM_ASSERT(uv_thread_create(&k->thread, kit_thread, k) == 0);
}

/* Run fn on the loop's thread and wait for it. */
static inline void kit_call(struct kit_loop *k, void (*fn)(void *arg), void *arg)
{
    k->arg = arg;
    k->fn = fn;
    uv_async_send(&k->async);
    uv_sem_wait(&k->done);
}

/* All else on the loop must have been closed: leftovers show as a hang or as UV_EBUSY. */
static inline void kit_loop_stop(struct kit_loop *k)
{
    uv_async_send(&k->async);
    uv_thread_join(&k->thread);
    HSM_ASSERT(uv_loop_close(&k->loop) == 0);
    uv_sem_destroy(&k->done);
}

/* ---- files ---- */

static inline void kit_dir(char dir[64])
{
    snprintf(dir, 64, "/tmp/keyhold-test-XXXXXX");
    HSM_ASSERT(mkdtemp(dir) != NULL);
}

static inline void kit_path(char path[96], const char *dir, const char *name)
{
    HSM_ASSERT(snprintf(path, 96, "%s/%s", dir, name) < 96);
}

static inline void kit_dir_remove(const char *dir)
{
    static const char *const names[] = {"cert.pem", "key.pem"};
    char path[96];
    for (size_t i = 0; i < 2; i++) {
        kit_path(path, dir, names[i]);
        unlink(path);
    }
    rmdir(dir);
}

/* cert.pem and key.pem: self-signed, P-256, common name cn. */
static inline void kit_cert(const char *dir, const char *cn)
{
    char path[96];
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    HSM_ASSERT(key != NULL && x != NULL);
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), -3600);
    X509_gmtime_adj(X509_getm_notAfter(x), 86400);
    X509_NAME *name = X509_get_subject_name(x);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)cn, -1, -1, 0);
    X509_set_issuer_name(x, name);
    X509_set_pubkey(x, key);
    HSM_ASSERT(X509_sign(x, key, EVP_sha256()) > 0);
    kit_path(path, dir, "cert.pem");
    FILE *f = fopen(path, "w");
    HSM_ASSERT(f != NULL && PEM_write_X509(f, x) == 1 && fclose(f) == 0);
    kit_path(path, dir, "key.pem");
    f = fopen(path, "w");
    HSM_ASSERT(f != NULL && PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) == 1 &&
               fclose(f) == 0);
    X509_free(x);
    EVP_PKEY_free(key);
}

static inline SSL_CTX *kit_tls(const char *dir)
{
    char cert[96], key[96], text[256];
    kit_path(cert, dir, "cert.pem");
    kit_path(key, dir, "key.pem");
    SSL_CTX *ctx = http_tls_context(cert, key, text, sizeof(text));
    HSM_ASSERT(ctx != NULL);
    return ctx;
}

/* ---- client ---- */

struct kit_client {
    int fd;
    SSL_CTX *ctx;
    SSL *ssl; /* NULL: plain, or the handshake failed */
    char buf[1 << 16];
    size_t n; /* unread bytes in buf */
    unsigned status;
    char head[4096]; /* of the last answer */
    uint8_t *body;
    size_t body_n;
};

static inline int kit_connect(const char *ip, uint16_t port)
{
    struct sockaddr_in a4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 a6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    bool v6 = strchr(ip, ':') != NULL;
    struct timeval limit = {.tv_sec = 10};
    const int one = 1;

    int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    HSM_ASSERT(fd >= 0);
    HSM_ASSERT(inet_pton(v6 ? AF_INET6 : AF_INET, ip,
                         v6 ? (void *)&a6.sin6_addr : (void *)&a4.sin_addr) == 1);
    HSM_ASSERT(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) == 0);
    HSM_ASSERT(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) == 0);
    const void *a = v6 ? (const void *)&a6 : (const void *)&a4;
    if (connect(fd, a, v6 ? sizeof(a6) : sizeof(a4)) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static inline void kit_server_name(SSL *ssl, const char *name)
{
    char copy[256]; /* the macro wants it without const */
    HSM_ASSERT(snprintf(copy, sizeof(copy), "%s", name) < (int)sizeof(copy));
    HSM_ASSERT(SSL_set_tlsext_host_name(ssl, copy) == 1);
}

/* TLS on c->fd; name: server name or NULL; version: 0 or the only one. */
static inline bool kit_handshake(struct kit_client *c, const char *name, int version)
{
    static const unsigned char alpn[] = "\x02h2\x08http/1.1";
    c->ctx = SSL_CTX_new(TLS_client_method());
    HSM_ASSERT(c->ctx != NULL);
    SSL_CTX_set_security_level(c->ctx, 0);
    if (version != 0) {
        SSL_CTX_set_min_proto_version(c->ctx, version);
        SSL_CTX_set_max_proto_version(c->ctx, version);
    }
    c->ssl = SSL_new(c->ctx);
    HSM_ASSERT(c->ssl != NULL && SSL_set_fd(c->ssl, c->fd) == 1);
    SSL_set_alpn_protos(c->ssl, alpn, sizeof(alpn) - 1);
    if (name != NULL)
        kit_server_name(c->ssl, name);
    if (SSL_connect(c->ssl) == 1)
        return true;
    SSL_free(c->ssl);
    c->ssl = NULL;
    return false;
}

static inline void kit_open(struct kit_client *c, uint16_t port)
{
    memset(c, 0, sizeof(*c));
    c->fd = kit_connect("127.0.0.1", port);
    HSM_ASSERT(c->fd >= 0 && kit_handshake(c, "localhost", 0));
}

static inline void kit_close(struct kit_client *c)
{
    SSL_free(c->ssl);
    SSL_CTX_free(c->ctx);
    free(c->body);
    if (c->fd >= 0)
        close(c->fd);
    memset(c, 0, sizeof(*c));
    c->fd = -1;
}

static inline bool kit_write(struct kit_client *c, const void *p, size_t n)
{
    if (c->ssl == NULL)
        return send(c->fd, p, n, MSG_NOSIGNAL) == (ssize_t)n;
    for (size_t off = 0; off < n;) {
        int r = SSL_write(c->ssl, (const uint8_t *)p + off, (int)(n - off));
        if (r <= 0)
            return false;
        off += (size_t)r;
    }
    return true;
}

static inline bool kit_send(struct kit_client *c, const char *text)
{
    return kit_write(c, text, strlen(text));
}

/* Append to buf; false at the end of the stream, on errors and time-outs. */
static inline bool kit_fill(struct kit_client *c)
{
    HSM_ASSERT(c->n < sizeof(c->buf));
    size_t room = sizeof(c->buf) - c->n;
    ssize_t r = c->ssl != NULL ? SSL_read(c->ssl, c->buf + c->n, (int)room)
                               : recv(c->fd, c->buf + c->n, room, 0);
    if (r <= 0)
        return false;
    c->n += (size_t)r;
    return true;
}

static inline void kit_eat(struct kit_client *c, size_t n)
{
    memmove(c->buf, c->buf + n, c->n - n);
    c->n -= n;
}

static inline bool kit_has(const struct kit_client *c, const char *text)
{
    return strstr(c->head, text) != NULL;
}

/* One answer: status, head, body by Content-Length. false when none came. */
static inline bool kit_read(struct kit_client *c)
{
    const char *end;
    while ((end = memmem(c->buf, c->n, "\r\n\r\n", 4)) == NULL) {
        if (!kit_fill(c))
            return false;
    }
    size_t head_n = (size_t)(end - c->buf) + 4;
    HSM_ASSERT(head_n < sizeof(c->head) && head_n > 12);
    memcpy(c->head, c->buf, head_n);
    c->head[head_n] = 0;
    kit_eat(c, head_n);
    c->status = (unsigned)strtoul(c->head + 9, NULL, 10);
    const char *length = strcasestr(c->head, "content-length: ");
    size_t want = length != NULL ? strtoul(length + 16, NULL, 10) : 0;
    free(c->body);
    c->body = calloc(1, want + 1);
    HSM_ASSERT(c->body != NULL);
    for (c->body_n = 0; c->body_n < want;) {
        if (c->n == 0 && !kit_fill(c))
            return false;
        size_t n = c->n < want - c->body_n ? c->n : want - c->body_n;
        memcpy(c->body + c->body_n, c->buf, n);
        c->body_n += n;
        kit_eat(c, n);
    }
    return true;
}

/* The server ends the stream without another byte. */
static inline bool kit_at_end(struct kit_client *c)
{
    return c->n == 0 && !kit_fill(c) && c->n == 0;
}

static inline bool kit_ask(struct kit_client *c, const char *text)
{
    return kit_send(c, text) && kit_read(c);
}

static inline void kit_sleep(unsigned ms)
{
    usleep(ms * 1000);
}

#endif
