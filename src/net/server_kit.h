/* The server under test of src/net, in a thread of its own, and one client `c` per test. */
#ifndef NET_SERVER_KIT_H
#define NET_SERVER_KIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdatomic.h>
#include "base/log.h"
#include "net/test_kit.h"

#define BODY_MAX  (1U << 20)
#define ROUTE_MAX 100 /* limit of /small */
#define SLOW_MS   100

static struct {
    char dir[64];
    struct kit_loop k;
    struct http_server *s;
    SSL_CTX *tls;
    uint16_t port, port6;
    struct http_exchange *held;
    atomic_uint requests, batches, held_n, gone, doors_lost;
    atomic_uint drained;
} t;

struct slow {
    uv_timer_t timer;
    struct http_exchange *x;
};

static inline void slow_closed(uv_handle_t *h)
{
    free(h->data);
}

static inline void slow_fired(uv_timer_t *h)
{
    struct slow *s = h->data;
    atomic_fetch_add(&t.gone, http_exchange_gone(s->x));
    struct bytes body = http_exchange_request(s->x)->body;
    http_respond(s->x, 200, bytes_str(""), body, false);
    uv_close((uv_handle_t *)h, slow_closed);
}

static inline void slow_start(struct http_exchange *x)
{
    struct slow *s = calloc(1, sizeof(*s));
    HSM_ASSERT(s != NULL);
    s->x = x;
    uv_timer_init(&t.k.loop, &s->timer);
    s->timer.data = s;
    uv_timer_start(&s->timer, slow_fired, SLOW_MS, 0);
}

static inline bool target_is(const struct http_request *rq, const char *text)
{
    return bytes_eq_str(rq->head->target, text);
}

static inline void on_request(void *ctx, struct http_exchange *x, const struct http_request *rq)
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
    } else if (target_is(rq, "/last")) {
        http_exchange_last(x);
        http_respond(x, 421, bytes_str(""), bytes_str("bye"), false);
    } else if (target_is(rq, "/none")) {
        http_respond(x, 204, bytes_str(""), bytes_str("dropped"), false);
    } else if (target_is(rq, "/ip")) {
        HSM_ASSERT(rq->client_is_v6 == (strchr(rq->client_ip, ':') != NULL));
        http_respond(x, 299, bytes_str(""), bytes_str(rq->client_ip), false);
    } else {
        http_respond(x, 200, bytes_str("x-echo: 1\r\n"), rq->body, target_is(rq, "/secret"));
    }
}

static inline size_t body_limit(void *ctx, const struct http1_head *head)
{
    (void)ctx;
    return bytes_eq_str(head->target, "/small") ? ROUTE_MAX : 0;
}

static inline void on_refused(void *ctx, hsm_err err, const char *ip, struct wr *headers,
                              struct wr *out)
{
    (void)ctx;
    HSM_ASSERT(strcmp(ip, "127.0.0.1") == 0);
    wr_str(headers, "Content-Type: application/json\r\n");
    wr_str(out, hsm_err_name(err));
}

static inline void on_door_lost(void *ctx)
{
    (void)ctx;
    atomic_fetch_add(&t.doors_lost, 1);
}

static inline void on_batch(void *ctx)
{
    (void)ctx;
    atomic_fetch_add(&t.batches, 1);
}

static inline void server_up(void *arg)
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
        .door_closed = on_door_lost,
    };
    (void)arg;
    HSM_ASSERT(http_server_new(&t.k.loop, &cfg, &h, &t.s) == HSM_OK);
    HSM_ASSERT(http_server_listen(t.s, "127.0.0.1", 0, &t.port) == HSM_OK);
    t.port6 = 0;
    (void)!http_server_listen(t.s, "::1", t.port, &t.port6); /* where there is IPv6 */
}

static inline void server_down(void *arg)
{
    (void)arg;
    http_server_free(t.s);
    t.s = NULL;
}

static inline int setup(void **state)
{
    (void)state;
    kit_dir(t.dir);
    kit_cert(t.dir, "localhost");
    t.tls = kit_tls(t.dir);
    kit_loop_start(&t.k);
    kit_call(&t.k, server_up, NULL);
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    kit_call(&t.k, server_down, NULL);
    kit_loop_stop(&t.k);
    SSL_CTX_free(t.tls);
    kit_dir_remove(t.dir);
    return 0;
}

static struct kit_client c;

static inline int each_setup(void **state)
{
    (void)state;
    kit_open(&c, t.port);
    return 0;
}

static inline int each_teardown(void **state)
{
    (void)state;
    kit_close(&c);
    return 0;
}

static inline void answer_held(void *arg)
{
    struct http_exchange *x = t.held;
    (void)arg;
    t.held = NULL;
    atomic_fetch_add(&t.gone, http_exchange_gone(x));
    http_respond(x, 200, bytes_str(""), bytes_str("held"), true);
}

static inline void wait_held(unsigned n)
{
    for (int i = 0; i < 5000 && atomic_load(&t.held_n) < n; i++)
        kit_sleep(1);
    assert_int_equal(atomic_load(&t.held_n), n);
}

static inline bool body_is(const char *text)
{
    return c.body_n == strlen(text) && memcmp(c.body, text, c.body_n) == 0;
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, each_setup, each_teardown)

#endif
