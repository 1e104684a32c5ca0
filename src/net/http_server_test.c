#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include "base/clock.h"
#include "base/log.h"
#include "net/http_internal.h"
#include "net/test_kit.h"

#define BODY_MAX  (1U << 20)
#define ROUTE_MAX 100 /* limit of /small */
#define SLOW_MS   100

/* ---- the server under test ---- */

static struct {
    char dir[64];
    struct kit_loop k;
    struct http_server *s;
    SSL_CTX *tls;
    uint16_t port, port6;
    struct http_exchange *held;
    atomic_uint requests, batches, held_n, gone;
    atomic_uint drained;
} t;

struct slow {
    uv_timer_t timer;
    struct http_exchange *x;
};

static void slow_closed(uv_handle_t *h)
{
    free(h->data);
}

static void slow_fired(uv_timer_t *h)
{
    struct slow *s = h->data;
    atomic_fetch_add(&t.gone, http_exchange_gone(s->x));
    struct bytes body = http_exchange_request(s->x)->body;
    http_respond(s->x, 200, bytes_str(""), body, false);
    uv_close((uv_handle_t *)h, slow_closed);
}

static void slow_start(struct http_exchange *x)
{
    struct slow *s = calloc(1, sizeof(*s));
    HSM_ASSERT(s != NULL);
    s->x = x;
    uv_timer_init(&t.k.loop, &s->timer);
    s->timer.data = s;
    uv_timer_start(&s->timer, slow_fired, SLOW_MS, 0);
}

static bool target_is(const struct http_request *rq, const char *text)
{
    return bytes_eq_str(rq->head->target, text);
}

static void on_request(void *ctx, struct http_exchange *x, const struct http_request *rq)
{
    static const uint8_t big[600000] = {'x'};
    (void)ctx;
    HSM_ASSERT(http_exchange_request(x) == rq && http_exchange_user(x) == NULL);
    HSM_ASSERT(http_exchange_tls(x) != NULL && rq->received_us != 0);
    atomic_fetch_add(&t.requests, 1);
    if (target_is(rq, "/slow")) {
        slow_start(x);
    } else if (target_is(rq, "/hold")) {
        http_exchange_set_user(x, &t);
        HSM_ASSERT(http_exchange_user(x) == &t);
        t.held = x;
        atomic_fetch_add(&t.held_n, 1);
    } else if (target_is(rq, "/big")) {
        http_respond(x, 200, bytes_str(""), bytes_of(big, sizeof(big)), true);
    } else if (target_is(rq, "/none")) {
        http_respond(x, 204, bytes_str(""), bytes_str("dropped"), false);
    } else if (target_is(rq, "/ip")) {
        HSM_ASSERT(rq->client_is_v6 == (strchr(rq->client_ip, ':') != NULL));
        http_respond(x, 299, bytes_str(""), bytes_str(rq->client_ip), false);
    } else {
        http_respond(x, 200, bytes_str("x-echo: 1\r\n"), rq->body, target_is(rq, "/secret"));
    }
}

static size_t body_limit(void *ctx, const struct http1_head *head)
{
    (void)ctx;
    return bytes_eq_str(head->target, "/small") ? ROUTE_MAX : 0;
}

static void on_refused(void *ctx, hsm_err err, const char *ip, struct wr *headers, struct wr *out)
{
    (void)ctx;
    HSM_ASSERT(strcmp(ip, "127.0.0.1") == 0);
    wr_str(headers, "Content-Type: application/json\r\n");
    wr_str(out, hsm_err_name(err));
}

static void on_batch(void *ctx)
{
    (void)ctx;
    atomic_fetch_add(&t.batches, 1);
}

static void server_up(void *arg)
{
    const struct http_server_config cfg = {
        .tls = t.tls,
        .body_max = BODY_MAX,
        .handshake_timeout_ms = 300,
        .head_timeout_ms = 300,
        .body_timeout_ms = 400,
        .idle_timeout_ms = 1200,
        .write_timeout_ms = 500,
    };
    const struct http_server_handlers h = {
        .body_limit = body_limit,
        .request = on_request,
        .refused = on_refused,
        .batch_end = on_batch,
    };
    (void)arg;
    HSM_ASSERT(http_server_new(&t.k.loop, &cfg, &h, &t.s) == HSM_OK);
    HSM_ASSERT(http_server_listen(t.s, "127.0.0.1", 0, &t.port) == HSM_OK);
    t.port6 = 0;
    (void)!http_server_listen(t.s, "::1", t.port, &t.port6); /* where there is IPv6 */
}

static void server_down(void *arg)
{
    (void)arg;
    http_server_free(t.s);
    t.s = NULL;
}

static int setup(void **state)
{
    (void)state;
    kit_dir(t.dir);
    kit_cert(t.dir, "localhost");
    t.tls = kit_tls(t.dir);
    kit_loop_start(&t.k);
    kit_call(&t.k, server_up, NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kit_call(&t.k, server_down, NULL);
    kit_loop_stop(&t.k);
    SSL_CTX_free(t.tls);
    kit_dir_remove(t.dir);
    return 0;
}

static struct kit_client c;

static int each_setup(void **state)
{
    (void)state;
    kit_open(&c, t.port);
    return 0;
}

static int each_teardown(void **state)
{
    (void)state;
    kit_close(&c);
    return 0;
}

static void answer_held(void *arg)
{
    struct http_exchange *x = t.held;
    (void)arg;
    t.held = NULL;
    atomic_fetch_add(&t.gone, http_exchange_gone(x));
    http_respond(x, 200, bytes_str(""), bytes_str("held"), true);
}

static void wait_held(unsigned n)
{
    for (int i = 0; i < 5000 && atomic_load(&t.held_n) < n; i++)
        kit_sleep(1);
    assert_int_equal(atomic_load(&t.held_n), n);
}

static bool body_is(const char *text)
{
    return c.body_n == strlen(text) && memcmp(c.body, text, c.body_n) == 0;
}

/* ---- ordinary use ---- */

static void test_keep_alive(void **state)
{
    (void)state;
    for (int i = 0; i < 50; i++) {
        assert_true(kit_ask(&c, "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"));
        assert_int_equal(c.status, 200);
        assert_true(body_is("abc"));
        assert_true(kit_has(&c, "x-echo: 1\r\n"));
        assert_true(kit_has(&c, "\r\nDate: "));
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
    assert_false(kit_has(&c, "Content-Length"));
    assert_true(kit_send(&c, "HEAD /big HTTP/1.1\r\nHost: h\r\n\r\n"
                             "GET /x HTTP/1.1\r\nHost: h\r\n\r\n"));
    /* kit_read() would wait for the body */
    while (memmem(c.buf, c.n, "x-echo", 6) == NULL)
        assert_true(kit_fill(&c));
    assert_non_null(memmem(c.buf, c.n, "Content-Length: 600000\r\n\r\nHTTP/1.1 200", 38));
}

static void test_close_and_http10(void **state)
{
    (void)state;
    assert_true(kit_ask(&c, "GET / HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n"));
    assert_true(kit_has(&c, "Connection: keep-alive\r\n"));
    assert_true(kit_ask(&c, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"));
    assert_true(kit_has(&c, "Connection: close\r\n"));
    assert_true(kit_at_end(&c));
    kit_close(&c);
    kit_open(&c, t.port);
    assert_true(kit_ask(&c, "GET / HTTP/1.0\r\nHost: h\r\n\r\n"));
    assert_true(kit_has(&c, "Connection: close\r\n"));
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

/* ---- refusals ---- */

static void refused_with(const char *text, unsigned status)
{
    kit_close(&c);
    kit_open(&c, t.port);
    assert_true(kit_ask(&c, text));
    assert_int_equal(c.status, status);
    assert_true(kit_has(&c, "Connection: close\r\n"));
    assert_true(kit_has(&c, "Content-Type: application/json\r\n"));
    assert_true(c.body_n > 6 && memcmp(c.body, "HSM_E_", 6) == 0);
    assert_true(kit_at_end(&c));
}

static void test_malformed(void **state)
{
    (void)state;
    refused_with("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
                 400);
    refused_with("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n"
                 "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                 400);
    refused_with("GET / HTTP/1.1\r\n\r\n", 400);
    refused_with("GET / HTTP/1.1\n\n", 400);
    refused_with("GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", 400);
    refused_with("GET / HTTP/1.1\r\nHost: h\r\nA : b\r\n\r\n", 400);
    refused_with("GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n c\r\n\r\n", 400);
    refused_with("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400);
    refused_with("\r\n\r\n\r\n", 400);
    /* after a good one */
    refused_with("nonsense\r\n\r\n", 400);
}

static void test_body_limits(void **state)
{
    static char big[8000];
    (void)state;
    refused_with("POST /small HTTP/1.1\r\nHost: h\r\nContent-Length: 101\r\n\r\n", 413);
    refused_with("POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 1048577\r\n\r\n", 413);
    refused_with("POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999\r\n\r\n", 413);
    refused_with("POST /small HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n65\r\na",
                 413);
    int n = snprintf(big, sizeof(big),
                     "POST /small HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 102; i++)
        n += snprintf(big + n, sizeof(big) - (size_t)n, "1\r\na\r\n");
    refused_with(big, 413);
    /* the rest of the body does not cut the answer off */
    kit_close(&c);
    kit_open(&c, t.port);
    static char rest[200000];
    assert_true(kit_send(&c, "POST /small HTTP/1.1\r\nHost: h\r\nContent-Length: 200000\r\n\r\n"));
    assert_true(kit_write(&c, rest, sizeof(rest)));
    assert_true(kit_read(&c));
    assert_int_equal(c.status, 413);
    kit_close(&c);
    kit_open(&c, t.port);
    memset(big, 'a', 100);
    assert_true(kit_send(&c, "POST /small HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n"));
    assert_true(kit_write(&c, big, 100) && kit_read(&c));
    assert_int_equal(c.status, 200);
}

static void test_head_limits(void **state)
{
    static char text[40000];
    (void)state;
    int n = snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: h\r\nx: ");
    memset(text + n, 'x', 30000);
    text[n + 30000] = 0;
    refused_with(text, 431);
    n = snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: h\r\n");
    for (int i = 0; i < 70; i++)
        n += snprintf(text + n, sizeof(text) - (size_t)n, "x-%d: y\r\n", i);
    snprintf(text + n, sizeof(text) - (size_t)n, "\r\n");
    refused_with(text, 431);
}

/* ---- time ---- */

static void test_slow_head(void **state)
{
    (void)state;
    for (int i = 0; i < 8; i++) { /* a byte now and then does not help */
        if (!kit_write(&c, &"GET / HTTP/1.1\r\n"[i], 1))
            break;
        kit_sleep(60);
    }
    assert_true(kit_read(&c));
    assert_int_equal(c.status, 408);
    assert_true(kit_at_end(&c));
}

static void test_slow_body(void **state)
{
    (void)state;
    assert_true(kit_send(&c, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n12345"));
    assert_true(kit_read(&c));
    assert_int_equal(c.status, 408);
    kit_close(&c);
    kit_open(&c, t.port);
    assert_true(kit_send(&c, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n9"));
    assert_true(kit_read(&c));
    assert_int_equal(c.status, 408);
}

static void test_silent_clients(void **state)
{
    (void)state;
    uint64_t from = clock_mono_us();
    assert_true(kit_at_end(&c)); /* no request at all: closed without a word */
    assert_true(clock_mono_us() - from < 1000000);
    kit_close(&c);
    memset(&c, 0, sizeof(c));
    c.fd = kit_connect("127.0.0.1", t.port); /* no ClientHello */
    from = clock_mono_us();
    assert_true(kit_at_end(&c));
    assert_true(clock_mono_us() - from < 1000000);
    kit_close(&c);
    kit_open(&c, t.port);
    assert_true(kit_ask(&c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
    from = clock_mono_us();
    kit_sleep(700); /* more than the head's time, less than the idle time */
    assert_true(kit_ask(&c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
    assert_true(kit_at_end(&c));
    assert_true(clock_mono_us() - from > 1500000);
}

static void test_stuck_reader(void **state)
{
    int small = 4096;
    (void)state;
    setsockopt(c.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    for (int i = 0; i < 20; i++)
        assert_true(kit_send(&c, "GET /big HTTP/1.1\r\nHost: h\r\n\r\n"));
    kit_sleep(1200);
    unsigned n = 0;
    while (kit_read(&c))
        n++;
    assert_true(n < 20);
}

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
    uint8_t byte = 1;
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
        close(pair[0]);
        kit_sleep(30);
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
    assert_true(kit_has(&c, "Connection: close\r\n"));
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

#define CASE(f) cmocka_unit_test_setup_teardown(f, each_setup, each_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_keep_alive),
        CASE(test_statuses),
        CASE(test_close_and_http10),
        CASE(test_pipelining),
        CASE(test_pipelining_flood),
        CASE(test_byte_by_byte),
        CASE(test_chunked),
        CASE(test_large_bodies),
        CASE(test_large_head),
        CASE(test_large_answer_slow_reader),
        CASE(test_expect_continue),
        CASE(test_asynchronous),
        CASE(test_client_gone),
        CASE(test_addresses),
        CASE(test_secret_is_wiped),
        CASE(test_descriptor_limit),
        CASE(test_malformed),
        CASE(test_body_limits),
        CASE(test_head_limits),
        CASE(test_slow_head),
        CASE(test_slow_body),
        CASE(test_silent_clients),
        CASE(test_stuck_reader),
        CASE(test_tls_versions),
        CASE(test_only_h2),
        CASE(test_resumption),
        CASE(test_key_update),
        CASE(test_plain_text),
        CASE(test_reload),
        CASE(test_bad_files),
        CASE(test_adopt),
        CASE(test_from_door),
        CASE(test_drain),
        CASE(test_drain_deadline),
        CASE(test_free_at_once),
        CASE(test_connection_limits),
    };
    log_init("http_server_test", LOG_ERROR_L);
    return cmocka_run_group_tests(tests, setup, teardown);
}
