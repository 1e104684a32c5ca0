#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdatomic.h>
#include "base/log.h"
#include "door/door.h"
#include "net/door_client.h"
#include "net/test_kit.h"

/* A gateway, or the fabric: answers with its name. */
struct answerer {
    const char *name;
    const char *path;
    bool is_pool;
    struct kit_loop k;
    struct http_server *s;
    atomic_uint door_closed;
};

static struct {
    char dir[64], fabric_path[96], path[96];
    struct kit_loop k;
    struct door *d;
    SSL_CTX *tls;
    uint16_t port;
    int control;
} t;
static struct answerer fabric = {.name = "fabric", .path = t.fabric_path},
                       seven = {.name = "Seven", .path = t.path, .is_pool = true},
                       eight = {.name = "eight", .path = t.path, .is_pool = true};
static struct kit_client c;

static void on_request(void *ctx, struct http_exchange *x, const struct http_request *rq)
{
    const struct answerer *b = ctx;
    char text[300];
    snprintf(text, sizeof(text), "%s%s%s", b->name, rq->endpoint != NULL ? " by " : "",
             rq->endpoint != NULL ? rq->endpoint : "");
    http_respond(x, 200, bytes_str(""), bytes_str(text), false);
}

static void on_door_closed(void *ctx)
{
    struct answerer *b = ctx;
    atomic_fetch_add(&b->door_closed, 1);
}

static void up_fn(void *arg)
{
    struct answerer *b = arg;
    const struct http_server_config cfg = {.tls = t.tls, .body_max = 1000};
    const struct http_server_handlers h = {
        .ctx = b, .request = on_request, .door_closed = on_door_closed};
    HSM_ASSERT(http_server_new(&b->k.loop, &cfg, &h, &b->s) == HSM_OK);
    int fd = b->is_pool ? door_connect_pool(b->path, b->name) : door_connect(b->path);
    HSM_ASSERT(fd >= 0 && http_server_from_door(b->s, fd) == HSM_OK);
}

static void up(struct answerer *b)
{
    atomic_store(&b->door_closed, 0);
    kit_loop_start(&b->k);
    kit_call(&b->k, up_fn, b);
}

static void down_fn(void *arg)
{
    struct answerer *b = arg;
    http_server_free(b->s);
}

static void down(struct answerer *b)
{
    kit_call(&b->k, down_fn, b);
    kit_loop_stop(&b->k);
}

static void door_up_fn(void *arg)
{
    const struct door_config cfg = {.hello_timeout_ms = 1000, .backend_wait_ms = 2000};
    int fd[2];
    (void)arg;
    HSM_ASSERT(door_new(&t.k.loop, &cfg, &t.d) == HSM_OK);
    HSM_ASSERT(door_add_backend(t.d, "fabric", t.fabric_path) == HSM_OK);
    HSM_ASSERT(door_add_route(t.d, "localhost", "fabric") == HSM_OK);
    HSM_ASSERT(door_set_default(t.d, "fabric") == HSM_OK);
    HSM_ASSERT(door_open_pools(t.d, "/nonexistent/x") == HSM_E_IO);
    HSM_ASSERT(door_open_pools(t.d, t.path) == HSM_OK);
    HSM_ASSERT(door_open_pools(t.d, t.path) == HSM_E_RANGE);
    HSM_ASSERT(door_add_pool_suffix(t.d, "pools.localhost") == HSM_OK);
    HSM_ASSERT(door_add_pool_suffix(t.d, "pools.azure.net") == HSM_OK);
    HSM_ASSERT(door_add_pool_suffix(t.d, "") == HSM_E_RANGE);
    HSM_ASSERT(door_add_pool(t.d, "aaaaaaaaaaaaaaaaaaaaaaaaa") == HSM_E_BAD_PARAMETER);
    HSM_ASSERT(door_add_pool(t.d, "a.b") == HSM_E_BAD_PARAMETER);
    HSM_ASSERT(door_add_pool(t.d, "") == HSM_E_BAD_PARAMETER);
    HSM_ASSERT(door_add_pool(t.d, "Fabric") == HSM_E_CONFLICT);
    HSM_ASSERT(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd) == 0);
    HSM_ASSERT(send(fd[0], "pool Seven", 10, 0) == 10);
    HSM_ASSERT(door_control(t.d, fd[1]) == HSM_OK);
    t.control = fd[0];
    HSM_ASSERT(door_listen(t.d, 0, &t.port) == HSM_OK);
}

static void door_down_fn(void *arg)
{
    (void)arg;
    door_free(t.d);
}

static int setup(void **state)
{
    (void)state;
    kit_dir(t.dir);
    kit_cert(t.dir, "localhost");
    kit_path(t.fabric_path, t.dir, "fabric.sock");
    kit_path(t.path, t.dir, "pools.sock");
    t.tls = kit_tls(t.dir);
    kit_loop_start(&t.k);
    kit_call(&t.k, door_up_fn, NULL);
    up(&fabric);
    return 0;
}

static int teardown(void **state)
{
    struct stat st;
    (void)state;
    kit_call(&t.k, door_down_fn, NULL);
    kit_loop_stop(&t.k);
    assert_int_equal(lstat(t.path, &st), -1);
    close(t.control);
    down(&fabric);
    SSL_CTX_free(t.tls);
    kit_dir_remove(t.dir);
    return 0;
}

static void again(void)
{
    kit_close(&c);
    memset(&c, 0, sizeof(c));
    c.fd = kit_connect("127.0.0.1", t.port);
    assert_true(c.fd >= 0);
}

static void led_to(const char *server_name, const char *name)
{
    assert_true(kit_handshake(&c, server_name, 0));
    assert_true(kit_ask(&c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
    assert_int_equal(c.status, 200);
    assert_string_equal((const char *)c.body, name);
}

static void connect_to(const char *host, unsigned status)
{
    char text[300];
    again();
    snprintf(text, sizeof(text), "CONNECT %s:443 HTTP/1.1\r\n\r\n", host);
    assert_true(kit_ask(&c, text));
    assert_int_equal(c.status, status);
}

/* At once: not after the time for which a connection waits for a backend. */
static void ends(const char *server_name)
{
    again();
    assert_false(kit_handshake(&c, server_name, 0));
}

static void tell(const char *text)
{
    assert_int_equal(send(t.control, text, strlen(text), 0), (ssize_t)strlen(text));
    kit_sleep(20);
}

static void door_was_closed(struct answerer *b)
{
    for (int i = 0; i < 200 && atomic_load(&b->door_closed) == 0; i++)
        kit_sleep(10);
    assert_int_equal(atomic_load(&b->door_closed), 1);
}

static void test_come_and_go(void **state)
{
    (void)state;
    ends("eight.pools.localhost");
    up(&seven);
    up(&eight);
    door_was_closed(&eight); /* nobody said that there is such a pool */
    down(&eight);
    again();
    led_to("seven.pools.localhost", "Seven");
    again();
    led_to("SEVEN.pools.azure.net", "Seven");
    again();
    led_to("pools.localhost", "fabric");
    connect_to("seven.pools.localhost", 200);
    led_to(NULL, "Seven");
    connect_to("eight.pools.localhost", 403);
    connect_to("a.seven.pools.localhost", 403);
    connect_to("fabric.pools.localhost", 403); /* a backend, but no pool */
    tell("pool eight");
    tell("pool eight");
    up(&eight);
    again();
    led_to("eight.pools.localhost", "eight");
    tell("gone seven");
    door_was_closed(&seven);
    ends("seven.pools.localhost");
    connect_to("eight.pools.localhost", 200);
    tell("gone eight"); /* while a client is on its way */
    assert_true(kit_at_end(&c));
    tell("gone eight");
    tell("nonsense");
    down(&seven);
    down(&eight);
}

/* One that waits for the pool's first gateway gets it, or is sent away when the pool goes. */
static void test_waiting(void **state)
{
    (void)state;
    tell("pool seven");
    connect_to("seven.pools.localhost", 200);
    up(&seven);
    led_to(NULL, "Seven");
    down(&seven);
    kit_sleep(50);
    tell("gone seven");
}

static bool is_closed(int fd)
{
    const struct timeval limit = {.tv_sec = 2};
    char byte;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    return recv(fd, &byte, 1, 0) == 0;
}

static int gateway_says(const char *name)
{
    int fd = door_connect_pool(t.path, name);
    assert_true(fd >= 0 && fcntl(fd, F_SETFL, 0) == 0);
    return fd;
}

static void test_hostile(void **state)
{
    static const char *const names[] = {
        "nine",
        "fabric",
        "seven.x",
        "a name",
        "aaaaaaaaaaaaaaaaaaaaaaaaa",
        "sevensevensevensevensevensevensevensevensevensevensevensevensevensevenseven"};
    int silent[300]; /* more than the door keeps */
    (void)state;
    tell("pool seven");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        int fd = gateway_says(names[i]);
        assert_true(is_closed(fd));
        close(fd);
    }
    int fd = gateway_says("seven");
    kit_sleep(20);
    assert_int_equal(send(fd, "seven", 5, 0), 5); /* twice */
    assert_true(is_closed(fd));
    close(fd);
    for (size_t i = 0; i < 300; i++)
        silent[i] = door_connect(t.path);
    for (size_t i = 0; i < 300; i++)
        close(silent[i]);
    /* One that comes while the door has all of them is closed; a gateway comes again. */
    up(&seven);
    kit_sleep(50);
    while (atomic_load(&seven.door_closed) > 0) {
        down(&seven);
        up(&seven);
        kit_sleep(50);
    }
    again();
    led_to("seven.pools.localhost", "Seven");
    down(&seven);
    again();
    led_to("localhost", "fabric");
    tell("gone seven");
}

static void tell_listen(const char *id, const char *pool, uint16_t port)
{
    char text[128];
    snprintf(text, sizeof(text), "listen %s %s 127.0.0.1 %u - -", id, pool, (unsigned)port);
    tell(text);
}

static uint16_t free_port(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0 && bind(fd, (const struct sockaddr *)&a, sizeof(a)) == 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
    close(fd);
    return ntohs(a.sin_port);
}

/* A private listener leads to its pools only; the gateway hears by which endpoint. */
static void test_private(void **state)
{
    const uint16_t public = t.port, own = free_port(), other = free_port();
    (void)state;
    tell("pool seven");
    tell("pool eight");
    up(&seven);
    up(&eight);
    tell_listen("e1", "Seven", own);
    tell("listen e9 seven 203.0.113.99 443 - -"); /* an address that is not here: no harm */
    tell("listen nonsense");
    t.port = own;
    again();
    led_to("seven.pools.localhost", "Seven by e1");
    again();
    led_to(NULL, "Seven by e1");
    connect_to("seven.pools.localhost", 200);
    led_to(NULL, "Seven by e1");
    ends("eight.pools.localhost");
    ends("localhost");
    connect_to("localhost", 403);
    connect_to("eight.pools.localhost", 403);
    tell_listen("e2", "eight", own); /* two pools at one place */
    again();
    led_to("eight.pools.localhost", "eight by e2");
    again();
    led_to("seven.pools.localhost", "Seven by e1");
    ends(NULL);
    tell_listen("e2", "eight", other); /* moves */
    ends("eight.pools.localhost");
    t.port = other;
    again();
    led_to("eight.pools.localhost", "eight by e2");
    tell("unlisten e2");
    tell("unlisten e2");
    assert_true(kit_connect("127.0.0.1", other) < 0);
    t.port = public;
    again();
    led_to("seven.pools.localhost", "Seven");
    down(&seven);
    down(&eight);
    tell("gone seven");
    tell("gone eight");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_come_and_go),
        cmocka_unit_test(test_waiting),
        cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_private),
    };
    log_init("pools_test", LOG_ERROR_L);
    int failed = cmocka_run_group_tests(tests, setup, teardown);
    kit_close(&c);
    return failed;
}
