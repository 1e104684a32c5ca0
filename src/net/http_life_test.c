#include "net/server_kit.h"

/* ---- TLS ---- */

static bool handshake_with(int version)
{
    kit_close(&c);
    memset(&c, 0, sizeof(c));
    c.fd = kit_connect("127.0.0.1", t.port);
    assert_true(c.fd >= 0);
    return kit_handshake(&c, NULL, version);
}

static void test_tls_versions(void **state)
{
    static const int good[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        const unsigned char *alpn = NULL;
        unsigned n = 0;
        assert_true(handshake_with(good[i]));
        assert_int_equal(SSL_version(c.ssl), good[i]);
        SSL_get0_alpn_selected(c.ssl, &alpn, &n);
        assert_int_equal(n, 8);
        assert_memory_equal(alpn, "http/1.1", 8);
        assert_true(kit_ask(&c, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi"));
        assert_true(body_is("hi"));
    }
    assert_false(handshake_with(TLS1_1_VERSION));
    assert_false(handshake_with(TLS1_VERSION));
}

static void test_only_h2(void **state)
{
    static const unsigned char h2[] = "\x02h2";
    (void)state;
    kit_close(&c);
    memset(&c, 0, sizeof(c));
    c.fd = kit_connect("127.0.0.1", t.port);
    c.ctx = SSL_CTX_new(TLS_client_method());
    c.ssl = SSL_new(c.ctx);
    SSL_set_fd(c.ssl, c.fd);
    SSL_set_alpn_protos(c.ssl, h2, 3);
    assert_int_not_equal(SSL_connect(c.ssl), 1);
}

static SSL_SESSION *got_session;

static int on_session(SSL *ssl, SSL_SESSION *session)
{
    (void)ssl;
    SSL_SESSION_free(got_session);
    got_session = session;
    return 1;
}

static void test_resumption(void **state)
{
    (void)state;
    SSL_CTX_set_session_cache_mode(c.ctx, SSL_SESS_CACHE_CLIENT);
    SSL_CTX_sess_set_new_cb(c.ctx, on_session);
    assert_true(kit_ask(&c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
    assert_non_null(got_session);
    assert_int_equal(SSL_SESSION_get_max_early_data(got_session), 0);
    SSL *second = SSL_new(c.ctx);
    int fd = kit_connect("127.0.0.1", t.port);
    SSL_set_fd(second, fd);
    SSL_set_session(second, got_session);
    assert_int_equal(SSL_connect(second), 1);
    assert_true(SSL_session_reused(second));
    SSL_free(second);
    close(fd);
    SSL_SESSION_free(got_session);
    got_session = NULL;
}

static void test_key_update(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(SSL_key_update(c.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
        assert_true(kit_ask(&c, "POST /k HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nku"));
        assert_true(body_is("ku"));
    }
}

static void test_plain_text(void **state)
{
    (void)state;
    kit_close(&c);
    memset(&c, 0, sizeof(c));
    c.fd = kit_connect("127.0.0.1", t.port);
    assert_true(kit_send(&c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
    while (kit_fill(&c)) /* an alert at most */
        assert_true(c.n < 16);
}

static void swap_tls(void *arg)
{
    http_server_set_tls(t.s, arg);
}

static void test_reload(void **state)
{
    char dir[64];
    (void)state;
    kit_dir(dir);
    kit_cert(dir, "second");
    SSL_CTX *other = kit_tls(dir);
    kit_call(&t.k, swap_tls, other);
    assert_true(kit_ask(&c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
    struct kit_client *d = calloc(1, sizeof(*d));
    kit_open(d, t.port);
    X509 *x = SSL_get1_peer_certificate(d->ssl);
    char cn[64] = "";
    X509_NAME_get_text_by_NID(X509_get_subject_name(x), NID_commonName, cn, sizeof(cn));
    assert_string_equal(cn, "second");
    X509_free(x);
    kit_close(d);
    free(d);
    kit_call(&t.k, swap_tls, t.tls);
    SSL_CTX_free(other);
    kit_dir_remove(dir);
}

static void test_bad_files(void **state)
{
    char text[256] = "", cert[96];
    (void)state;
    kit_path(cert, t.dir, "cert.pem");
    assert_null(http_tls_context("/nonexistent", cert, text, sizeof(text)));
    assert_non_null(strstr(text, "/nonexistent"));
    assert_null(http_tls_context(cert, cert, text, sizeof(text)));
    assert_non_null(strstr(text, "private key"));
}

/* ---- hand-over ---- */

struct handed {
    int fd;
    hsm_err e;
};

static void adopt(void *arg)
{
    struct handed *h = arg;
    h->e = http_server_adopt(t.s, h->fd);
}

static void from_door(void *arg)
{
    struct handed *h = arg;
    h->e = http_server_from_door(t.s, h->fd);
}

/* An accepted socket and its client's end in c. */
static int accepted_socket(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(a);
    int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(l, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(listen(l, 8), 0);
    assert_int_equal(getsockname(l, (struct sockaddr *)&a, &n), 0);
    kit_close(&c);
    c.fd = kit_connect("127.0.0.1", ntohs(a.sin_port));
    int fd = accept(l, NULL, NULL);
    assert_true(fd >= 0);
    close(l);
    return fd;
}

static void test_adopt(void **state)
{
    struct handed h = {.fd = accepted_socket()};
    (void)state;
    kit_call(&t.k, adopt, &h);
    assert_int_equal(h.e, HSM_OK);
    assert_true(kit_handshake(&c, NULL, 0));
    assert_true(kit_ask(&c, "GET /ip HTTP/1.1\r\nHost: h\r\n\r\n"));
    assert_true(body_is("127.0.0.1"));
}

static void pass_fd(int door, int fd)
{
    uint8_t byte = 0;
    union {
        struct cmsghdr align;
        uint8_t space[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec v = {.iov_base = &byte, .iov_len = 1};
    struct msghdr m = {
        .msg_iov = &v, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    h->cmsg_level = SOL_SOCKET;
    h->cmsg_type = SCM_RIGHTS;
    h->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(h), &fd, sizeof(fd));
    assert_int_equal(sendmsg(door, &m, 0), 1);
    close(fd);
}

static void test_from_door(void **state)
{
    static const int types[] = {SOCK_SEQPACKET, SOCK_DGRAM};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        int pair[2];
        assert_int_equal(socketpair(AF_UNIX, types[i] | SOCK_CLOEXEC, 0, pair), 0);
        struct handed h = {.fd = pair[1]};
        kit_call(&t.k, from_door, &h);
        assert_int_equal(h.e, HSM_OK);
        assert_int_equal(send(pair[0], "x", 1, 0), 1); /* without a descriptor: passed over */
        for (int k = 0; k < 3; k++) {
            pass_fd(pair[0], accepted_socket());
            assert_true(kit_handshake(&c, NULL, 0));
            assert_true(kit_ask(&c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
            assert_int_equal(c.status, 200);
        }
        unsigned lost = atomic_load(&t.doors_lost);
        close(pair[0]);
        kit_sleep(30);
        assert_int_equal(atomic_load(&t.doors_lost), lost + (types[i] == SOCK_SEQPACKET));
        assert_true(kit_ask(&c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")); /* it stays */
    }
}

/* ---- drain and end: own servers ---- */

static void on_drained(void *ctx)
{
    struct http_server **s = ctx;
    http_server_free(*s);
    *s = NULL;
    atomic_fetch_add(&t.drained, 1);
}

static void drain_long(void *arg)
{
    (void)arg;
    http_server_drain(t.s, 5000, on_drained, &t.s);
}

static void drain_short(void *arg)
{
    (void)arg;
    http_server_drain(t.s, 200, on_drained, &t.s);
}

static void wait_drained(unsigned n)
{
    for (int i = 0; i < 8000 && atomic_load(&t.drained) < n; i++)
        kit_sleep(1);
    assert_int_equal(atomic_load(&t.drained), n);
}

static void test_drain(void **state)
{
    struct kit_client *idle = calloc(1, sizeof(*idle));
    (void)state;
    unsigned held = atomic_load(&t.held_n), drained = atomic_load(&t.drained);
    kit_open(idle, t.port);
    assert_true(kit_ask(idle, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
    assert_true(kit_send(&c, "GET /hold HTTP/1.1\r\nHost: h\r\n\r\n"));
    wait_held(held + 1);
    kit_call(&t.k, drain_long, NULL);
    assert_true(kit_at_end(idle));
    assert_int_equal(SSL_get_shutdown(idle->ssl), SSL_RECEIVED_SHUTDOWN);
    assert_int_equal(kit_connect("127.0.0.1", t.port), -1);
    assert_int_equal(atomic_load(&t.drained), drained);
    kit_call(&t.k, answer_held, NULL);
    assert_true(kit_read(&c));
    assert_true(body_is("held"));
    assert_true(kit_has(&c, "connection: close\r\n"));
    assert_true(kit_at_end(&c));
    kit_close(&c);
    wait_drained(drained + 1);
    kit_close(idle);
    free(idle);
    kit_call(&t.k, server_up, NULL);
}

static void test_drain_deadline(void **state)
{
    (void)state;
    unsigned held = atomic_load(&t.held_n), drained = atomic_load(&t.drained);
    assert_true(kit_send(&c, "GET /hold HTTP/1.1\r\nHost: h\r\n\r\n"));
    wait_held(held + 1);
    kit_call(&t.k, drain_short, NULL);
    wait_drained(drained + 1);
    assert_true(kit_at_end(&c));
    kit_call(&t.k, answer_held, NULL); /* later than the server lived */
    kit_call(&t.k, server_up, NULL);
}

static void test_free_at_once(void **state)
{
    (void)state;
    unsigned held = atomic_load(&t.held_n);
    assert_true(kit_send(&c, "GET /hold HTTP/1.1\r\nHost: h\r\n\r\n"));
    wait_held(held + 1);
    kit_call(&t.k, server_down, NULL);
    assert_true(kit_at_end(&c));
    kit_call(&t.k, answer_held, NULL);
    kit_call(&t.k, server_up, NULL);
}

static void server_up_tight(void *arg)
{
    const struct http_server_config cfg = {
        .tls = t.tls, .body_max = 100, .connections_max = 4, .per_address_max = 3};
    const struct http_server_handlers h = {.request = on_request};
    (void)arg;
    HSM_ASSERT(http_server_new(&t.k.loop, &cfg, &h, &t.s) == HSM_OK);
    HSM_ASSERT(http_server_listen(t.s, "127.0.0.1", 0, &t.port) == HSM_OK);
}

/* Per-address limit; then the total: an idle connection makes room for a new one. */
static void test_connection_limits(void **state)
{
    struct kit_client *k = calloc(4, sizeof(*k));
    (void)state;
    kit_call(&t.k, server_down, NULL);
    kit_call(&t.k, server_up_tight, NULL);
    for (int i = 0; i < 3; i++) {
        kit_open(&k[i], t.port);
        assert_true(kit_ask(&k[i], "GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
    }
    k[3].fd = kit_connect("127.0.0.1", t.port);
    assert_false(kit_handshake(&k[3], NULL, 0));
    kit_close(&k[0]);
    kit_sleep(30);
    kit_open(&k[0], t.port);
    assert_true(kit_ask(&k[0], "BAD\r\n\r\n"));
    assert_int_equal(k[0].status, 400);
    assert_int_equal(k[0].body_n, 0);
    for (int i = 0; i < 4; i++)
        kit_close(&k[i]);
    free(k);
    kit_call(&t.k, server_down, NULL);
    kit_call(&t.k, server_up, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_tls_versions),      CASE(test_only_h2),
        CASE(test_resumption),        CASE(test_key_update),
        CASE(test_plain_text),        CASE(test_reload),
        CASE(test_bad_files),         CASE(test_adopt),
        CASE(test_from_door),         CASE(test_drain),
        CASE(test_drain_deadline),    CASE(test_free_at_once),
        CASE(test_connection_limits),
    };
    log_init("http_life_test", LOG_ERROR_L);
    return cmocka_run_group_tests(tests, setup, teardown);
}
