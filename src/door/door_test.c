#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include "base/clock.h"
#include "base/log.h"
#include "door/door.h"
#include "net/door_client.h"
#include "net/test_kit.h"

/* ---- backends: servers that answer with their name ---- */

struct backend_kit {
    const char *name;
    char path[96];
    struct kit_loop k;
    struct http_server *s;
    SSL_CTX *tls;
    unsigned links; /* to open on start */
    atomic_uint requests, door_closed;
};

static struct {
    char dir[64];
    struct kit_loop k;
    struct door *d;
    SSL_CTX *tls;
    uint16_t port;
    struct door_config cfg;
    struct door_stats stats;
} t;
static struct backend_kit fabric = {.name = "fabric"}, pool = {.name = "pool"},
                          other = {.name = "other"};
static struct kit_client c;

static void on_request(void *ctx, struct http_exchange *x, const struct http_request *rq)
{
    struct backend_kit *b = ctx;
    (void)rq;
    atomic_fetch_add(&b->requests, 1);
    http_respond(x, 200, bytes_str(""), bytes_str(b->name), false);
}

static void on_door_closed(void *ctx)
{
    struct backend_kit *b = ctx;
    atomic_fetch_add(&b->door_closed, 1);
}

static void backend_up_fn(void *arg)
{
    struct backend_kit *b = arg;
    const struct http_server_config cfg = {.tls = b->tls, .body_max = 1000};
    const struct http_server_handlers h = {
        .ctx = b, .request = on_request, .door_closed = on_door_closed};
    HSM_ASSERT(http_server_new(&b->k.loop, &cfg, &h, &b->s) == HSM_OK);
    for (unsigned i = 0; i < b->links; i++) {
        int fd = door_connect(b->path);
        HSM_ASSERT(fd >= 0);
        HSM_ASSERT(http_server_from_door(b->s, fd) == HSM_OK);
    }
}

static void backend_down_fn(void *arg)
{
    struct backend_kit *b = arg;
    http_server_free(b->s);
}

static void backend_up(struct backend_kit *b, unsigned links)
{
    b->tls = t.tls;
    b->links = links;
    kit_loop_start(&b->k);
    kit_call(&b->k, backend_up_fn, b);
}

static void backend_down(struct backend_kit *b)
{
    kit_call(&b->k, backend_down_fn, b);
    kit_loop_stop(&b->k);
}

/* ---- the door ---- */

static void door_up_fn(void *arg)
{
    (void)arg;
    HSM_ASSERT(door_new(&t.k.loop, &t.cfg, &t.d) == HSM_OK);
    HSM_ASSERT(door_add_backend(t.d, fabric.name, fabric.path) == HSM_OK);
    HSM_ASSERT(door_add_backend(t.d, pool.name, pool.path) == HSM_OK);
    HSM_ASSERT(door_add_backend(t.d, other.name, other.path) == HSM_OK);
    HSM_ASSERT(door_add_backend(t.d, "pool", "/tmp/x") == HSM_E_CONFLICT);
    HSM_ASSERT(door_add_backend(t.d, "x", "/nonexistent/x") == HSM_E_IO);
    HSM_ASSERT(door_add_route(t.d, "*.managedhsm.localhost", "pool") == HSM_OK);
    HSM_ASSERT(door_add_route(t.d, "*.two.managedhsm.localhost", "other") == HSM_OK);
    HSM_ASSERT(door_add_route(t.d, "Exact.two.managedhsm.localhost", "fabric") == HSM_OK);
    HSM_ASSERT(door_add_route(t.d, "management.azure.com", "fabric") == HSM_OK);
    HSM_ASSERT(door_add_route(t.d, "a.b", "nobody") == HSM_E_NOT_FOUND);
    HSM_ASSERT(door_add_route(t.d, "a*b", "pool") == HSM_E_BAD_PARAMETER);
    HSM_ASSERT(door_set_default(t.d, "nobody") == HSM_E_NOT_FOUND);
    HSM_ASSERT(door_set_default(t.d, "fabric") == HSM_OK);
    HSM_ASSERT(door_listen(t.d, 0, &t.port) == HSM_OK);
}

static void door_down_fn(void *arg)
{
    (void)arg;
    door_free(t.d);
}

static void door_stats_fn(void *arg)
{
    (void)arg;
    t.stats = door_stats(t.d);
}

static int setup(void **state)
{
    (void)state;
    kit_dir(t.dir);
    kit_cert(t.dir, "localhost");
    kit_path(fabric.path, t.dir, "fabric.sock");
    kit_path(pool.path, t.dir, "pool.sock");
    kit_path(other.path, t.dir, "other.sock");
    t.tls = kit_tls(t.dir);
    t.cfg =
        (struct door_config){.hello_timeout_ms = 500, .backend_wait_ms = 400, .visitors_max = 8};
    kit_loop_start(&t.k);
    kit_call(&t.k, door_up_fn, NULL);
    backend_up(&fabric, 1);
    backend_up(&pool, 3);
    return 0;
}

static int teardown(void **state)
{
    struct stat st;
    (void)state;
    kit_call(&t.k, door_down_fn, NULL);
    kit_loop_stop(&t.k);
    kit_sleep(50);
    assert_int_equal(atomic_load(&fabric.door_closed), 1);
    assert_int_equal(lstat(pool.path, &st), -1);
    backend_down(&fabric);
    backend_down(&pool);
    SSL_CTX_free(t.tls);
    kit_dir_remove(t.dir);
    assert_int_equal(lstat(t.dir, &st), -1);
    return 0;
}

static int each_setup(void **state)
{
    (void)state;
    memset(&c, 0, sizeof(c));
    c.fd = kit_connect("127.0.0.1", t.port);
    return c.fd < 0;
}

static int each_teardown(void **state)
{
    (void)state;
    kit_close(&c);
    return 0;
}

static void again(void)
{
    kit_close(&c);
    c.fd = kit_connect("127.0.0.1", t.port);
    assert_true(c.fd >= 0);
}

static void answered_by(const char *name)
{
    assert_true(kit_ask(&c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
    assert_int_equal(c.status, 200);
    assert_string_equal((const char *)c.body, name);
}

static void led_to(const char *server_name, const char *name)
{
    assert_true(kit_handshake(&c, server_name, 0));
    answered_by(name);
}

/* ---- routes ---- */

static void test_server_names(void **state)
{
    static const struct {
        const char *sni, *name;
    } rows[] = {
        {"p1.managedhsm.localhost", "pool"},
        {"P1.ManagedHSM.localhost", "pool"},
        {"a.b.managedhsm.localhost", "pool"},
        {"management.azure.com", "fabric"},
        {"managedhsm.localhost", "fabric"},
        {"unknown.example", "fabric"},
        {"exact.two.managedhsm.localhost", "fabric"},
        {"localhost", "fabric"},
        {NULL, "fabric"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        again();
        led_to(rows[i].sni, rows[i].name);
    }
    kit_close(&c);
    c.fd = kit_connect("::1", t.port);
    if (c.fd >= 0) /* where there is IPv6 */
        led_to("p1.managedhsm.localhost", "pool");
}

static void test_many(void **state)
{
    unsigned before = atomic_load(&pool.requests);
    (void)state;
    for (int i = 0; i < 60; i++) {
        again();
        led_to("p1.managedhsm.localhost", "pool");
    }
    assert_int_equal(atomic_load(&pool.requests), before + 60);
    kit_sleep(50);
    kit_call(&t.k, door_stats_fn, NULL);
    assert_int_equal(t.stats.visitors, 0);
}

/* The ClientHello arrives in pieces; the door neither spins nor loses any. */
static void test_hello_in_pieces(void **state)
{
    uint8_t hello[4096];
    (void)state;
    c.ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(c.ctx);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl, in, out);
    kit_server_name(ssl, "p1.managedhsm.localhost");
    assert_int_equal(SSL_connect(ssl), -1);
    int n = BIO_read(out, hello, sizeof(hello));
    assert_true(n > 100);
    for (int i = 0; i < n; i++) {
        assert_int_equal(send(c.fd, hello + i, 1, MSG_NOSIGNAL), 1);
        if (i % 100 == 0)
            kit_sleep(5);
    }
    while (SSL_connect(ssl) != 1) {
        char buf[4096];
        ssize_t r = recv(c.fd, buf, sizeof(buf), 0);
        assert_true(r > 0);
        BIO_write(in, buf, (int)r);
    }
    SSL_free(ssl);
}

/* ---- CONNECT ---- */

static void connect_to(const char *authority)
{
    char text[300];
    snprintf(text, sizeof(text), "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", authority, authority);
    assert_true(kit_ask(&c, text));
}

static void test_connect_allowed(void **state)
{
    static const struct {
        const char *authority, *sni, *name;
    } rows[] = {
        {"p1.managedhsm.localhost:8443", "p1.managedhsm.localhost", "pool"},
        {"p1.managedhsm.localhost:443", NULL, "pool"},
        {"p1.managedhsm.localhost:443", "unknown.example", "pool"},
        {"management.azure.com:443", "p1.managedhsm.localhost", "pool"},
        {"localhost:8443", NULL, "fabric"},
        {"127.0.0.1:8443", NULL, "fabric"},
        {"[::1]:8443", NULL, "fabric"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        again();
        connect_to(rows[i].authority);
        assert_int_equal(c.status, 200);
        assert_string_equal(c.head, "HTTP/1.1 200 Connection Established\r\n\r\n");
        assert_int_equal(c.n, 0);
        led_to(rows[i].sni, rows[i].name);
    }
}

static void test_connect_in_pieces(void **state)
{
    static const char text[] = "CONNECT p1.managedhsm.localhost:443 HTTP/1.0\r\n\r\n";
    (void)state;
    for (size_t i = 0; i < sizeof(text) - 1; i++) {
        assert_true(kit_write(&c, text + i, 1));
        if (i % 10 == 0)
            kit_sleep(5);
    }
    assert_true(kit_read(&c));
    led_to(NULL, "pool");
}

static void refused(const char *text, unsigned status)
{
    again();
    assert_true(kit_ask(&c, text));
    assert_int_equal(c.status, status);
    assert_true(c.body_n > 0);
    assert_true(kit_at_end(&c));
}

static void test_connect_refused(void **state)
{
    static char large[5000];
    (void)state;
    refused("CONNECT raw.githubusercontent.com:443 HTTP/1.1\r\n\r\n", 403);
    refused("CONNECT managedhsm.localhost.evil:443 HTTP/1.1\r\n\r\n", 403);
    refused("CONNECT xmanagedhsm.localhost:443 HTTP/1.1\r\n\r\n", 403);
    refused("CONNECT nonsense HTTP/1.1\r\n\r\n", 400);
    int n = snprintf(large, sizeof(large), "CONNECT localhost:1 HTTP/1.1\r\nA: ");
    memset(large + n, 'x', sizeof(large) - 1 - (size_t)n);
    refused(large, 400);
    again();
    connect_to("localhost:443");
    assert_true(kit_ask(&c, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")); /* no TLS behind it */
    assert_int_equal(c.status, 400);
}

static void test_not_tls(void **state)
{
    (void)state;
    refused("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 400);
    assert_non_null(strstr((const char *)c.body, "HTTPS"));
    refused("CONNEXION", 400);
    again();
    assert_true(kit_send(&c, "\x16\x03\x01 this is no hello at all ......................."));
    assert_true(kit_at_end(&c));
}

static void test_slow(void **state)
{
    static const char *const starts[] = {"", "CONN", "CONNECT local", "\x16\x03\x01\x02"};
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        again();
        uint64_t from = clock_mono_us();
        assert_true(kit_send(&c, starts[i]));
        assert_true(kit_at_end(&c));
        uint64_t took = clock_mono_us() - from;
        assert_true(took > 400000 && took < 1500000);
    }
    /* one that ends early goes early */
    again();
    uint64_t from = clock_mono_us();
    assert_true(kit_send(&c, "CONN"));
    shutdown(c.fd, SHUT_WR);
    assert_true(kit_at_end(&c));
    assert_true(clock_mono_us() - from < 300000);
}

/* More silent clients than the door takes: others get in when their time is over. */
static void test_crowd(void **state)
{
    int fd[20];
    (void)state;
    for (size_t i = 0; i < 20; i++) {
        fd[i] = kit_connect("127.0.0.1", t.port);
        assert_true(fd[i] >= 0);
    }
    again();
    led_to("p1.managedhsm.localhost", "pool");
    for (size_t i = 0; i < 20; i++)
        close(fd[i]);
}

/* ---- backends that come and go ---- */

static void test_no_backend(void **state)
{
    (void)state;
    uint64_t from = clock_mono_us();
    assert_false(kit_handshake(&c, "x.two.managedhsm.localhost", 0));
    uint64_t took = clock_mono_us() - from;
    assert_true(took > 300000 && took < 1500000);
}

static void late_start(void *arg)
{
    kit_sleep(100);
    backend_up(arg, 1);
}

static void test_late_backend(void **state)
{
    uv_thread_t thread;
    (void)state;
    assert_int_equal(uv_thread_create(&thread, late_start, &other), 0);
    led_to("x.two.managedhsm.localhost", "other");
    uv_thread_join(&thread);
    kit_close(&c);
    backend_down(&other);
    kit_sleep(20);
    again();
    assert_false(kit_handshake(&c, "x.two.managedhsm.localhost", 0));
}

/* One of three connections of a backend dies, or accepts nothing more: it costs one visitor. */
static void test_dead_link(void **state)
{
    (void)state;
    backend_up(&other, 2);
    int dead = door_connect(other.path);
    assert_true(dead >= 0);
    kit_sleep(20);
    close(dead);
    int stuck = door_connect(other.path);
    assert_true(stuck >= 0);
    kit_sleep(20);
    unsigned lost = 0;
    for (int i = 0; i < 9; i++) {
        again();
        struct timeval limit = {.tv_usec = 200000};
        setsockopt(c.fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
        lost += !kit_handshake(&c, "x.two.managedhsm.localhost", 0);
    }
    assert_int_equal(lost, 1);
    close(stuck);
    kit_sleep(20);
    for (int i = 0; i < 6; i++) {
        again();
        led_to("x.two.managedhsm.localhost", "other");
    }
    /* one that talks is thrown out */
    int talker = door_connect(other.path);
    assert_true(talker >= 0);
    assert_int_equal(send(talker, "hello", 5, MSG_NOSIGNAL), 5);
    char byte;
    assert_true(recv(talker, &byte, 1, 0) <= 0 || errno == EAGAIN);
    kit_sleep(20);
    close(talker);
    backend_down(&other);
    assert_int_equal(door_connect("/nonexistent"), -1);
}

/* A stopped process that is the only one finds all its visitors when it goes on. */
static void test_only_stuck_links(void **state)
{
    (void)state;
    int stuck = door_connect(other.path);
    assert_true(stuck >= 0);
    kit_sleep(20);
    for (int i = 0; i < 3; i++) {
        again();
        struct timeval limit = {.tv_usec = 150000};
        setsockopt(c.fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
        assert_false(kit_handshake(&c, "x.two.managedhsm.localhost", 0));
    }
    char byte;
    for (int i = 0; i < 3; i++)
        assert_int_equal(recv(stuck, &byte, 1, MSG_DONTWAIT), 1);
    assert_int_equal(recv(stuck, &byte, 1, MSG_DONTWAIT), -1);
    close(stuck);
    kit_sleep(20);
}

static void test_socket_mode(void **state)
{
    struct stat st;
    (void)state;
    assert_int_equal(lstat(pool.path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

/* ---- the program ---- */

static void test_program(void **state)
{
    char path[96], backend[128], number[16], line[16] = "";
    int ready[2];
    (void)state;
    if (access(KEYHOLD_BINARY_DIR "/bin/keyhold-door", X_OK) != 0)
        skip();
    kit_path(path, t.dir, "program.sock");
    snprintf(backend, sizeof(backend), "only=%s", path);
    assert_int_equal(pipe(ready), 0);
    snprintf(number, sizeof(number), "%d", ready[1]);
    pid_t pid = fork();
    if (pid == 0) {
        execl(KEYHOLD_BINARY_DIR "/bin/keyhold-door", "keyhold-door", "--listen", "0", "--default",
              "only", "--route", "*.x=only", "--backend", backend, "--ready-fd", number,
              (char *)NULL);
        _exit(127);
    }
    close(ready[1]);
    assert_true(read(ready[0], line, sizeof(line) - 1) > 1);
    close(ready[0]);
    struct backend_kit only = {.name = "only"};
    memcpy(only.path, path, sizeof(only.path));
    backend_up(&only, 1);
    kit_close(&c);
    c.fd = kit_connect("127.0.0.1", (uint16_t)strtoul(line, NULL, 10));
    assert_true(c.fd >= 0);
    connect_to("a.x:1");
    led_to("a.x", "only");
    kill(pid, SIGTERM);
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    answered_by("only"); /* without the door */
    struct stat st;
    assert_int_equal(lstat(path, &st), -1);
    backend_down(&only);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, each_setup, each_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_server_names),
        CASE(test_many),
        CASE(test_hello_in_pieces),
        CASE(test_connect_allowed),
        CASE(test_connect_in_pieces),
        CASE(test_connect_refused),
        CASE(test_not_tls),
        CASE(test_slow),
        CASE(test_crowd),
        CASE(test_no_backend),
        CASE(test_late_backend),
        CASE(test_dead_link),
        CASE(test_only_stuck_links),
        CASE(test_socket_mode),
        CASE(test_program),
    };
    log_init("door_test", LOG_ERROR_L);
    return cmocka_run_group_tests(tests, setup, teardown);
}
