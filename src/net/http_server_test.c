#include <sys/resource.h>
#include "base/clock.h"
#include "net/http_internal.h"
#include "net/server_kit.h"

/* ---- ordinary use ---- */

static void test_keep_alive(void **state)
{
    (void)state;
    for (int i = 0; i < 50; i++) {
        assert_true(kit_ask(&c, "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"));
        assert_int_equal(c.status, 200);
        assert_true(body_is("abc"));
        assert_true(kit_has(&c, "x-echo: 1\r\n"));
        assert_true(kit_has(&c, "\r\ndate: "));
        assert_false(kit_has(&c, "Connection:"));
    }
    assert_true(kit_ask(&c, "POST /secret HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"));
    assert_true(body_is("abc"));
}

static void test_statuses(void **state)
{
    (void)state;
    assert_true(kit_ask(&c, "DELETE /none HTTP/1.1\r\nHost: h\r\n\r\n"));
    assert_int_equal(c.status, 204);
    assert_false(kit_has(&c, "content-length"));
    assert_true(kit_send(&c, "HEAD /big HTTP/1.1\r\nHost: h\r\n\r\n"
                             "GET /x HTTP/1.1\r\nHost: h\r\n\r\n"));
    /* kit_read() would wait for the body */
    while (memmem(c.buf, c.n, "x-echo", 6) == NULL)
        assert_true(kit_fill(&c));
    assert_non_null(memmem(c.buf, c.n, "content-length: 600000\r\n\r\nHTTP/1.1 200", 38));
}

static void test_close_and_http10(void **state)
{
    (void)state;
    assert_true(kit_ask(&c, "GET / HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n"));
    assert_true(kit_has(&c, "connection: keep-alive\r\n"));
    assert_true(kit_ask(&c, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"));
    assert_true(kit_has(&c, "connection: close\r\n"));
    assert_true(kit_at_end(&c));
    kit_close(&c);
    kit_open(&c, t.port);
    assert_true(kit_ask(&c, "GET /last HTTP/1.1\r\nHost: h\r\n\r\n"));
    assert_true(kit_has(&c, "connection: close\r\n") && body_is("bye"));
    assert_true(kit_at_end(&c));
    kit_close(&c);
    kit_open(&c, t.port);
    assert_true(kit_ask(&c, "GET / HTTP/1.0\r\nHost: h\r\n\r\n"));
    assert_true(kit_has(&c, "connection: close\r\n"));
    assert_true(kit_at_end(&c));
}

static void test_pipelining(void **state)
{
    char text[8192];
    size_t n = 0;
    (void)state;
    for (int i = 0; i < 60; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n,
                              "POST %s HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n%04d",
                              i % 20 == 7 ? "/slow" : "/p", i);
    assert_true(kit_write(&c, text, n));
    for (int i = 0; i < 60; i++) {
        char want[16];
        snprintf(want, sizeof(want), "%04d", i);
        assert_true(kit_read(&c));
        assert_true(body_is(want));
    }
}

/* Many more early bytes than are kept: the connection stops reading and goes on afterwards. */
static void test_pipelining_flood(void **state)
{
    static char one[1100], all[40 * sizeof(one)];
    (void)state;
    int head_n =
        snprintf(one, sizeof(one), "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n");
    memset(one + head_n, 'y', 1000);
    size_t n = 0;
    for (int i = 0; i < 40; i++, n += (size_t)head_n + 1000)
        memcpy(all + n, one, (size_t)head_n + 1000);
    assert_true(kit_send(&c, "GET /slow HTTP/1.1\r\nHost: h\r\n\r\n"));
    assert_true(kit_write(&c, all, n));
    assert_true(kit_read(&c));
    assert_int_equal(c.body_n, 0);
    for (int i = 0; i < 40; i++) {
        assert_true(kit_read(&c));
        assert_int_equal(c.body_n, 1000);
    }
}

static void test_byte_by_byte(void **state)
{
    static const char text[] = "POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello";
    (void)state;
    for (size_t i = 0; i < sizeof(text) - 1; i++)
        assert_true(kit_write(&c, text + i, 1));
    assert_true(kit_read(&c));
    assert_true(body_is("hello"));
}

static void test_chunked(void **state)
{
    (void)state;
    assert_true(kit_ask(&c, "POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
                            "3\r\nabc\r\n5;x=y\r\ndefgh\r\n0\r\n\r\n"
                            "GET /next HTTP/1.1\r\nHost: h\r\n\r\n"));
    assert_true(body_is("abcdefgh"));
    assert_true(kit_read(&c));
    assert_int_equal(c.body_n, 0);
    assert_true(kit_send(&c, "POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"));
    for (int i = 0; i < 300; i++) {
        static const char chunk[] = "200\r\n";
        char data[514];
        memset(data, 'a' + i % 26, 512);
        memcpy(data + 512, "\r\n", 2);
        assert_true(kit_write(&c, chunk, 5) && kit_write(&c, data, 514));
    }
    assert_true(kit_ask(&c, "0\r\n\r\n"));
    assert_int_equal(c.body_n, 300 * 512);
    for (int i = 0; i < 300; i++)
        assert_int_equal(c.body[i * 512 + 511], 'a' + i % 26);
}

static void test_large_bodies(void **state)
{
    static uint8_t body[BODY_MAX];
    static const size_t sizes[] = {1, 4000, 4096, 8191, 16300, 16384, 16385, 40000, BODY_MAX};
    (void)state;
    for (size_t i = 0; i < sizeof(body); i++)
        body[i] = (uint8_t)(i * 7 + i / 256);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char head[128];
        snprintf(head, sizeof(head), "PUT %s HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n",
                 i % 2 == 0 ? "/l" : "/secret", sizes[i]);
        assert_true(kit_send(&c, head));
        assert_true(kit_write(&c, body, sizes[i]));
        assert_true(kit_read(&c));
        assert_int_equal(c.body_n, sizes[i]);
        assert_memory_equal(c.body, body, sizes[i]);
    }
}

static void test_large_head(void **state)
{
    static char head[24000];
    (void)state;
    for (size_t n = 3000; n < 20000; n += 4000) {
        int at = snprintf(
            head, sizeof(head),
            "POST /h HTTP/1.1\r\nHost: h\r\nContent-Length: 3000\r\nAuthorization: Bearer ");
        memset(head + at, 't', n);
        memcpy(head + (size_t)at + n, "\r\n\r\n", 4);
        assert_true(kit_write(&c, head, (size_t)at + n + 4));
        memset(head, 'b', 3000);
        assert_true(kit_write(&c, head, 3000));
        assert_true(kit_read(&c));
        assert_int_equal(c.status, 200);
        assert_int_equal(c.body_n, 3000);
    }
}

/* More than the socket takes at once: the rest is queued, and the next request waits for it. */
static void test_large_answer_slow_reader(void **state)
{
    int small = 1 << 16;
    (void)state;
    setsockopt(c.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    for (int i = 0; i < 16; i++)
        assert_true(kit_send(&c, "GET /big HTTP/1.1\r\nHost: h\r\n\r\n"));
    kit_sleep(100);
    for (int i = 0; i < 16; i++) {
        assert_true(kit_read(&c));
        assert_int_equal(c.body_n, 600000);
        assert_int_equal(c.body[0], 'x');
    }
}

static void test_expect_continue(void **state)
{
    (void)state;
    assert_true(kit_ask(&c, "POST /e HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n"
                            "Expect: 100-continue\r\n\r\n"));
    assert_int_equal(c.status, 100);
    assert_true(kit_ask(&c, "ok"));
    assert_int_equal(c.status, 200);
    assert_true(body_is("ok"));
    /* the body came along: no interim answer */
    assert_true(kit_ask(&c, "POST /e HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n"
                            "Expect: 100-continue\r\n\r\nok"));
    assert_int_equal(c.status, 200);
    /* refused before the body */
    assert_true(kit_ask(&c, "POST /small HTTP/1.1\r\nHost: h\r\nContent-Length: 101\r\n"
                            "Expect: 100-continue\r\n\r\n"));
    assert_int_equal(c.status, 413);
}

static void test_asynchronous(void **state)
{
    (void)state;
    uint64_t from = clock_mono_us();
    assert_true(kit_ask(&c, "POST /slow HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nlate"));
    assert_true(clock_mono_us() - from >= SLOW_MS * 900);
    assert_true(body_is("late"));
    unsigned held = atomic_load(&t.held_n), requests = atomic_load(&t.requests);
    unsigned batches = atomic_load(&t.batches);
    assert_true(
        kit_send(&c, "GET /hold HTTP/1.1\r\nHost: h\r\n\r\nGET /x HTTP/1.1\r\nHost: h\r\n\r\n"));
    wait_held(held + 1);
    kit_sleep(20);
    assert_int_equal(atomic_load(&t.requests), requests + 1); /* one at a time */
    kit_call(&t.k, answer_held, NULL);
    assert_true(kit_read(&c));
    assert_true(body_is("held"));
    assert_true(kit_read(&c));
    kit_sleep(20); /* the batch ends after its answers */
    assert_int_equal(atomic_load(&t.requests), requests + 2);
    assert_int_equal(atomic_load(&t.batches), batches + 2);
}

static void test_client_gone(void **state)
{
    (void)state;
    unsigned gone = atomic_load(&t.gone), held = atomic_load(&t.held_n);
    assert_true(kit_send(&c, "POST /slow HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nlate"));
    kit_sleep(20);
    kit_close(&c);
    kit_sleep(SLOW_MS * 2);
    assert_int_equal(atomic_load(&t.gone), gone + 1);
    /* by reset, and with more early bytes than are kept */
    kit_open(&c, t.port);
    static const char junk[20000];
    struct linger reset = {.l_onoff = 1};
    assert_true(kit_send(&c, "GET /hold HTTP/1.1\r\nHost: h\r\n\r\n"));
    assert_true(kit_write(&c, junk, sizeof(junk)));
    wait_held(held + 1);
    kit_sleep(20);
    setsockopt(c.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    kit_close(&c);
    kit_sleep(50);
    kit_call(&t.k, answer_held, NULL);
    assert_int_equal(atomic_load(&t.gone), gone + 2);
}

static void test_addresses(void **state)
{
    (void)state;
    assert_true(kit_ask(&c, "GET /ip HTTP/1.1\r\nHost: h\r\n\r\n"));
    assert_int_equal(c.status, 299);
    assert_true(body_is("127.0.0.1"));
    if (t.port6 == 0)
        return;
    kit_close(&c);
    memset(&c, 0, sizeof(c));
    c.fd = kit_connect("::1", t.port6);
    assert_true(c.fd >= 0 && kit_handshake(&c, NULL, 0));
    assert_true(kit_ask(&c, "GET /ip HTTP/1.1\r\nHost: h\r\n\r\n"));
    assert_true(body_is("::1"));
}

static const char marker[] = "MARKER-OF-A-SECRET";

static void look_for_marker(void *arg)
{
    const struct conn *n = t.s->conns;
    bool *found = arg;

    HSM_ASSERT(n != NULL && n->next == NULL && n->state == CONN_IDLE && n->out == NULL);
    *found = memmem(n->in, n->in_cap, marker, sizeof(marker) - 1) != NULL ||
             memmem(t.s->scratch, HTTP_SCRATCH, marker, sizeof(marker) - 1) != NULL ||
             (n->body != NULL && memmem(n->body, n->body_cap, marker, sizeof(marker) - 1) != NULL);
}

/* Bodies in place, in a buffer of their own, and chunked. */
static void test_secret_is_wiped(void **state)
{
    static const size_t sizes[] = {100, 3000, 16000, 16300, 17000};
    static char body[17000], head[128];
    bool found = false;
    (void)state;
    kit_sleep(50);
    for (size_t i = 0; i < sizeof(body); i++)
        body[i] = marker[i % (sizeof(marker) - 1)];
    for (size_t i = 0; i < 2 * sizeof(sizes) / sizeof(sizes[0]); i++) {
        size_t n = sizes[i / 2];
        int at = i % 2 == 0
                     ? snprintf(head, sizeof(head),
                                "PUT /secret HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n", n)
                     : snprintf(head, sizeof(head),
                                "PUT /secret HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: "
                                "chunked\r\n\r\n%zx\r\n",
                                n);
        assert_true(kit_write(&c, head, (size_t)at) && kit_write(&c, body, n));
        assert_true(i % 2 == 0 || kit_send(&c, "\r\n0\r\n\r\n"));
        assert_true(kit_read(&c));
        assert_int_equal(c.body_n, n);
        kit_call(&t.k, look_for_marker, &found);
        assert_false(found);
    }
    /* the test would see it */
    assert_true(kit_ask(&c, "PUT /open HTTP/1.1\r\nHost: h\r\nContent-Length: 18\r\n\r\n"
                            "MARKER-OF-A-SECRET"));
    kit_call(&t.k, look_for_marker, &found);
    assert_true(found);
}

/* Out of descriptors: clients wait in the backlog and are served later. */
static void test_descriptor_limit(void **state)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons(t.port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct rlimit old, low;
    (void)state;
    kit_close(&c);
    kit_sleep(50);
    c.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    low = old;
    low.rlim_cur = (rlim_t)c.fd + 1; /* the lowest free one was taken: none is left */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    int r = connect(c.fd, (struct sockaddr *)&a, sizeof(a));
    kit_sleep(250);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_int_equal(r, 0);
    assert_true(kit_handshake(&c, NULL, 0));
    assert_true(kit_ask(&c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
    assert_int_equal(c.status, 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_keep_alive),       CASE(test_statuses),
        CASE(test_close_and_http10), CASE(test_pipelining),
        CASE(test_pipelining_flood), CASE(test_byte_by_byte),
        CASE(test_chunked),          CASE(test_large_bodies),
        CASE(test_large_head),       CASE(test_large_answer_slow_reader),
        CASE(test_expect_continue),  CASE(test_asynchronous),
        CASE(test_client_gone),      CASE(test_addresses),
        CASE(test_secret_is_wiped),  CASE(test_descriptor_limit),
    };
    log_init("http_server_test", LOG_ERROR_L);
    return cmocka_run_group_tests(tests, setup, teardown);
}
