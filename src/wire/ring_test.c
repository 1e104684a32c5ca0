/* Rings: order, wrap-around, batching, waiting for room, and a peer that writes nonsense into the
 * shared memory. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "wire/ring_layout.h"

struct pair {
    struct ring_fds fds;
    struct ring_set boundary, gateway;
};

static void pair_open(struct pair *p, unsigned lanes)
{
    assert_int_equal(ring_fds_create(lanes, &p->fds), HSM_OK);
    assert_int_equal(ring_attach(&p->fds, RING_BOUNDARY, &p->boundary), HSM_OK);
    assert_int_equal(ring_attach(&p->fds, RING_GATEWAY, &p->gateway), HSM_OK);
}

static void pair_close(struct pair *p)
{
    ring_detach(&p->boundary);
    ring_detach(&p->gateway);
    ring_fds_close(&p->fds);
}

static uint8_t buf[RING_SIZE];

static void order_and_wrap(void **state)
{
    (void)state;
    struct pair p;
    pair_open(&p, 2);
    uint8_t *payload = malloc(RING_FRAME_MAX);
    assert_non_null(payload);
    uint64_t next = 1, expect = 1;
    for (unsigned round = 0; round < 400; round++) {
        size_t n = (round * 7919u) % 60000u;
        memset(payload, (int)(next & 0xff), n);
        struct ring_frame f = {.type = 7, .id = next, .payload = bytes_of(payload, n)};
        hsm_err err = ring_write(p.gateway.out[1], &f, 0);
        if (err == HSM_OK)
            next++;
        else
            assert_int_equal(err, HSM_E_AGAIN);
        if (round % 3 == 2 || err != HSM_OK) {
            struct ring_frame g;
            while (ring_read(p.boundary.in[1], buf, sizeof buf, &g) == HSM_OK) {
                assert_int_equal(g.id, expect);
                assert_int_equal(g.type, 7);
                for (size_t i = 0; i < g.payload.n; i += 997)
                    assert_int_equal(g.payload.p[i], (uint8_t)expect);
                expect++;
            }
        }
    }
    assert_true(expect > 300);
    free(payload);
    pair_close(&p);
}

static void limits(void **state)
{
    (void)state;
    struct pair p;
    pair_open(&p, 1);
    uint8_t *big = calloc(1, RING_SIZE + 1);
    struct ring_frame f = {.type = 1, .id = 1, .payload = bytes_of(big, RING_FRAME_MAX + 1)};
    assert_int_equal(ring_write(p.boundary.out[0], &f, 0), HSM_E_RANGE);
    f.payload.n = RING_FRAME_MAX;
    assert_int_equal(ring_write(p.boundary.out[0], &f, 0), HSM_OK);
    assert_int_equal(ring_write(p.boundary.out[0], &f, 10), HSM_E_AGAIN);
    struct ring_frame g;
    assert_int_equal(ring_read(p.gateway.in[0], buf, 100, &g), HSM_E_RANGE);
    assert_int_equal(ring_read(p.gateway.in[0], buf, sizeof buf, &g), HSM_OK);
    assert_int_equal(g.payload.n, RING_FRAME_MAX);
    assert_int_equal(ring_read(p.gateway.in[0], buf, sizeof buf, &g), HSM_E_AGAIN);
    free(big);
    pair_close(&p);
}

/* What went through must not stay readable in the shared memory. */
static void frames_are_wiped(void **state)
{
    (void)state;
    struct pair p;
    pair_open(&p, 1);
    struct ring_frame f = {.type = 1, .id = 1, .payload = bytes_str("a very secret payload")};
    assert_int_equal(ring_write(p.gateway.out[1], &f, 0), HSM_OK);
    assert_non_null(memmem(p.boundary.map, p.boundary.map_n, "very secret", 11));
    struct ring_frame g;
    assert_int_equal(ring_read(p.boundary.in[1], buf, sizeof buf, &g), HSM_OK);
    assert_null(memmem(p.boundary.map, p.boundary.map_n, "very secret", 11));
    pair_close(&p);
}

static void a_look_ahead(void **state)
{
    (void)state;
    struct pair p;
    pair_open(&p, 1);
    struct ring_head h;
    struct ring_frame g;
    struct ring_frame f = {.type = 9, .id = 77, .payload = bytes_str("12345")};
    assert_int_equal(ring_peek(p.boundary.in[1], &h), HSM_E_AGAIN);
    assert_int_equal(ring_write(p.gateway.out[1], &f, 0), HSM_OK);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(ring_peek(p.boundary.in[1], &h), HSM_OK);
        assert_int_equal(h.type, 9);
        assert_int_equal(h.id, 77);
        assert_int_equal(h.n, 5);
    }
    assert_int_equal(ring_read(p.boundary.in[1], buf, sizeof buf, &g), HSM_OK);
    assert_int_equal(g.payload.n, 5);
    assert_int_equal(ring_peek(p.boundary.in[1], &h), HSM_E_AGAIN);
    pair_close(&p);
}

static void hostile_indices(void **state)
{
    (void)state;
    struct pair p;
    pair_open(&p, 1);
    struct ring_shared *sh =
        (struct ring_shared *)(void *)((uint8_t *)p.gateway.map + 2 * (size_t)RING_SLOT);
    uint8_t *data = (uint8_t *)sh + RING_HEADER_PAGE;
    struct ring_frame g;
    atomic_store(&sh->tail, RING_SIZE + 1ull);
    assert_int_equal(ring_read(p.boundary.in[1], buf, sizeof buf, &g), HSM_E_CORRUPT);
    atomic_store(&sh->tail, UINT64_MAX);
    assert_int_equal(ring_read(p.boundary.in[1], buf, sizeof buf, &g), HSM_E_CORRUPT);
    atomic_store(&sh->tail, 8);
    assert_int_equal(ring_read(p.boundary.in[1], buf, sizeof buf, &g), HSM_E_CORRUPT);
    memset(data, 0xff, RING_HEADER_LEN); /* length 4 GiB */
    atomic_store(&sh->tail, 4096);
    assert_int_equal(ring_read(p.boundary.in[1], buf, sizeof buf, &g), HSM_E_CORRUPT);
    memset(data, 0, RING_HEADER_LEN);
    data[2] = 0x20; /* 8192 bytes announced, 4096 there */
    assert_int_equal(ring_read(p.boundary.in[1], buf, sizeof buf, &g), HSM_E_CORRUPT);
    atomic_store(&sh->head, 1ull << 40); /* reader claims the future */
    struct ring_frame f = {.type = 1, .id = 1, .payload = bytes_str("x")};
    assert_int_equal(ring_write(p.gateway.out[1], &f, 0), HSM_E_CORRUPT);
    pair_close(&p);
}

static void *echo(void *arg)
{
    struct pair *p = arg;
    static uint8_t b[RING_SIZE];
    unsigned left = 20000;
    while (left > 0) {
        struct ring_frame f;
        hsm_err err = ring_read(p->boundary.in[1], b, sizeof b, &f);
        if (err == HSM_E_AGAIN) {
            ring_flush(p->boundary.out[1]);
            (void)ring_wait(p->boundary.in[1], 1000);
            continue;
        }
        if (err != HSM_OK || ring_write_quiet(p->boundary.out[1], &f, -1) != HSM_OK)
            return (void *)1;
        left--;
    }
    ring_flush(p->boundary.out[1]);
    return NULL;
}

static void two_threads(void **state)
{
    (void)state;
    struct pair p;
    pair_open(&p, 1);
    pthread_t t;
    assert_int_equal(pthread_create(&t, NULL, echo, &p), 0);
    uint64_t sent = 0, got = 0;
    uint8_t payload[700] = {0};
    while (got < 20000) {
        while (sent < 20000 && sent - got < 2000) {
            struct ring_frame f = {.type = 2, .id = sent, .payload = bytes_of(payload, sent % 700)};
            if (ring_write(p.gateway.out[1], &f, 0) != HSM_OK)
                break;
            sent++;
        }
        struct ring_frame g;
        hsm_err err = ring_read(p.gateway.in[1], buf, sizeof buf, &g);
        if (err == HSM_E_AGAIN) {
            (void)ring_wait(p.gateway.in[1], 1000);
            continue;
        }
        assert_int_equal(err, HSM_OK);
        assert_int_equal(g.id, got);
        assert_int_equal(g.payload.n, got % 700);
        got++;
    }
    void *result;
    assert_int_equal(pthread_join(t, &result), 0);
    assert_null(result);
    pair_close(&p);
}

static void fds_text(void **state)
{
    (void)state;
    struct ring_fds f, g;
    assert_int_equal(ring_fds_create(3, &f), HSM_OK);
    char text[512];
    assert_int_equal(ring_fds_format(&f, text, sizeof text), HSM_OK);
    assert_int_equal(ring_fds_parse(text, &g), HSM_OK);
    assert_int_equal(g.memfd, f.memfd);
    assert_int_equal(g.event_n, 2 * ring_count(3));
    assert_memory_equal(g.event, f.event, g.event_n * sizeof g.event[0]);
    assert_int_equal(ring_fds_parse("", &g), HSM_E_MALFORMED);
    assert_int_equal(ring_fds_parse("1:99:1", &g), HSM_E_MALFORMED);
    assert_int_equal(ring_fds_parse("1:1:1,2", &g), HSM_E_MALFORMED);
    assert_int_equal(ring_fds_create(0, &g), HSM_E_RANGE);
    assert_int_equal(ring_fds_create(RING_LANES_MAX + 1, &g), HSM_E_RANGE);
    ring_fds_close(&f);
}

/* A reader that lets its peer work hears when that is done, with and without a frame. */
static void end_of_a_turn(void **state)
{
    struct pair r;
    (void)state;
    pair_open(&r, 1);
    struct ring *reader = r.gateway.in[0], *writer = r.boundary.out[0];
    struct pollfd wait = {.fd = ring_fd(reader), .events = POLLIN};
    ring_turn_over(writer);
    assert_int_equal(poll(&wait, 1, 0), 0); /* nobody waits */
    assert_true(ring_sleep(reader));
    ring_turn_over(writer);
    assert_int_equal(poll(&wait, 1, 0), 0); /* it waits for frames only */
    assert_true(ring_await_turn(reader));
    assert_int_equal(poll(&wait, 1, 0), 0);
    ring_turn_over(writer);
    assert_int_equal(poll(&wait, 1, 0), 1);
    assert_false(ring_await_turn(reader)); /* the signal is there already */
    ring_end_turn(reader);
    ring_awake(reader);
    assert_true(ring_sleep(reader));
    assert_true(ring_await_turn(reader));
    ring_end_turn(reader);
    ring_turn_over(writer);
    assert_int_equal(poll(&wait, 1, 0), 0);
    assert_true(ring_await_turn(reader));
    assert_int_equal(
        ring_write(writer, &(struct ring_frame){.type = 1, .payload = bytes_str("x")}, 0), HSM_OK);
    assert_int_equal(poll(&wait, 1, 0), 1);
    pair_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_and_wrap),   cmocka_unit_test(limits),
        cmocka_unit_test(frames_are_wiped), cmocka_unit_test(a_look_ahead),
        cmocka_unit_test(hostile_indices),  cmocka_unit_test(two_threads),
        cmocka_unit_test(fds_text),         cmocka_unit_test(end_of_a_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
