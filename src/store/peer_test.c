/* Message links between members in one loop, and what strangers get. */
#include "store/peer_testing.h"

#include <errno.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include "store/peer_frame.h"

static struct pki pki;
static uv_loop_t loop;
static struct node a, b, c;

static int setup(void **state)
{
    (void)state;
    return uv_loop_init(&loop);
}

static int teardown(void **state)
{
    (void)state;
    loop_close(&loop);
    return 0;
}

static void open_pair(void)
{
    node_open(&a, &loop, &pki, 1);
    node_open(&b, &loop, &pki, 2);
}

static bool pair_is_up(void)
{
    return peer_net_up(a.net, 2) && peer_net_up(b.net, 1);
}

static void close_pair(void)
{
    node_close(&a, &loop);
    node_close(&b, &loop);
}

static void messages_both_ways(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 13, 14, 15, 1000, 16384, 70000, PEER_PAYLOAD_MAX, 5};
    const size_t n = sizeof sizes / sizeof sizes[0];
    open_pair();
    assert_int_equal(node_send(&a, 2, 0, 1), HSM_E_UNAVAILABLE);
    node_knows(&a, &b);
    node_knows(&b, &a);
    RUN_UNTIL(&loop, pair_is_up());
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(node_send(&a, 2, i, sizes[i]), HSM_OK);
        assert_int_equal(node_send(&b, 1, i, sizes[i]), HSM_OK);
    }
    assert_true(peer_net_queued(a.net, 2) > PEER_PAYLOAD_MAX);
    RUN_UNTIL(&loop, a.messages == n && b.messages == n);
    for (uint64_t i = n; i < 5000; i++)
        assert_int_equal(node_send(&a, 2, i, i % 300), HSM_OK);
    RUN_UNTIL(&loop, b.messages == 5000);
    assert_false(a.disorder || b.disorder);
    assert_int_equal(peer_net_queued(a.net, 2), 0);
    assert_int_equal(peer_send(a.net, 2, PEER_TYPE_MAX + 1, 0, bytes_of("", 0)), HSM_E_RANGE);
    assert_int_equal(peer_send(a.net, 2, 1, 0, bytes_of(&a, PEER_PAYLOAD_MAX + 1)), HSM_E_RANGE);
    assert_int_equal(peer_send(a.net, 3, 1, 0, bytes_of("", 0)), HSM_E_UNAVAILABLE);
    close_pair();
    assert_int_equal(a.ups[2], 1);
    assert_int_equal(a.downs[2], 0); /* no handler while closing */
}

static void idle_links_stay(void **state)
{
    (void)state;
    open_pair();
    node_knows(&b, &a); /* the larger id dials, the smaller knows no address */
    RUN_UNTIL(&loop, pair_is_up());
    run_for(&loop, PEER_SILENCE_MS + 300);
    assert_true(pair_is_up());
    assert_int_equal(a.ups[2] + b.ups[1], 2);
    assert_int_equal(a.messages + b.messages, 0);
    close_pair();
}

static void smaller_id_dials(void **state)
{
    (void)state;
    open_pair();
    node_knows(&a, &b);
    RUN_UNTIL(&loop, pair_is_up());
    assert_int_equal(node_send(&b, 1, 0, 10), HSM_OK);
    RUN_UNTIL(&loop, a.messages == 1);
    assert_false(a.disorder);
    close_pair();
}

static void three_members(void **state)
{
    (void)state;
    struct node *all[] = {&a, &b, &c};
    for (unsigned i = 0; i < 3; i++)
        node_open(all[i], &loop, &pki, i + 1);
    for (unsigned i = 0; i < 9; i++)
        node_knows(all[i / 3], all[i % 3]); /* its own address is ignored */
    RUN_UNTIL(&loop, pair_is_up() && peer_net_up(a.net, 3) && peer_net_up(b.net, 3) &&
                         peer_net_up(c.net, 1) && peer_net_up(c.net, 2));
    for (unsigned i = 0; i < 9; i++)
        if (i / 3 != i % 3)
            assert_int_equal(node_send(all[i / 3], i % 3 + 1, 0, 50 + i), HSM_OK);
    RUN_UNTIL(&loop, a.messages == 2 && b.messages == 2 && c.messages == 2);
    assert_false(a.disorder || b.disorder || c.disorder);
    node_close(&c, &loop);
    RUN_UNTIL(&loop, a.downs[3] == 1 && b.downs[3] == 1);
    assert_true(pair_is_up());
    close_pair();
}

static void simultaneous_dials(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 20; round++) {
        open_pair();
        node_knows(&a, &b);
        node_knows(&b, &a);
        RUN_UNTIL(&loop, a.ups[2] > 0 && b.ups[1] > 0);
        assert_int_equal(node_send(&a, 2, 0, 3), HSM_OK);
        assert_int_equal(node_send(&b, 1, 0, 3), HSM_OK);
        RUN_UNTIL(&loop, a.messages == 1 && b.messages == 1);
        run_for(&loop, 25);
        assert_true(pair_is_up());
        assert_int_equal(a.ups[2] + b.ups[1], 2);
        assert_false(a.disorder || b.disorder);
        assert_string_equal(peer_net_reason(a.net, 2), "");
        close_pair();
    }
}

static void comes_back(void **state)
{
    (void)state;
    open_pair();
    node_knows(&a, &b);
    RUN_UNTIL(&loop, pair_is_up());
    uint16_t port = peer_net_port(b.net);
    for (unsigned life = 1; life <= 3; life++) {
        node_close(&b, &loop);
        RUN_UNTIL(&loop, a.downs[2] == life);
        assert_string_not_equal(peer_net_reason(a.net, 2), "");
        assert_int_equal(node_send(&a, 2, 0, 1), HSM_E_UNAVAILABLE);
        node_open_as(&b, &loop, &pki, 2, "p1", port);
        RUN_UNTIL(&loop, pair_is_up());
        assert_int_equal(node_send(&a, 2, 0, 100), HSM_OK);
        RUN_UNTIL(&loop, b.messages == 1);
    }
    close_pair();
}

/* The one who is dialled refuses, and the one who dials. */
static void refused(const char *cert, uint64_t as, const char *why_a)
{
    node_open(&a, &loop, &pki, 1);
    node_open_as(&b, &loop, &pki, as, cert, 0);
    assert_int_equal(peer_net_set_address(b.net, 1, node_address(&a)), HSM_OK);
    RUN_UNTIL(&loop, peer_net_reason(b.net, 1)[0] != '\0');
    assert_int_equal(peer_net_set_address(a.net, 2, node_address(&b)), HSM_OK);
    RUN_UNTIL(&loop, strstr(peer_net_reason(a.net, 2), why_a) != NULL);
    run_for(&loop, 30);
    assert_int_equal(a.ups[2] + a.ups[3] + b.ups[1], 0);
    close_pair();
}

static void other_pool_is_refused(void **state)
{
    (void)state;
    refused("elsewhere", 2, "pool elsewhere");
}

static void other_number_is_refused(void **state)
{
    (void)state;
    node_open(&a, &loop, &pki, 1);
    node_open(&b, &loop, &pki, 3);
    assert_int_equal(peer_net_set_address(a.net, 2, node_address(&b)), HSM_OK);
    RUN_UNTIL(&loop, strstr(peer_net_reason(a.net, 2), "partition 2 answers") != NULL);
    run_for(&loop, 30);
    assert_int_equal(a.ups[2] + a.ups[3] + b.ups[1], 0);
    close_pair();
}

static void other_names_are_refused(void **state)
{
    (void)state;
    refused("nameless", 2, "does not name a partition");
    refused("twice", 2, "does not name a partition");
    refused("foreign", 2, "verify failed");
}

static void own_number_is_refused(void **state)
{
    (void)state;
    node_open(&a, &loop, &pki, 1);
    node_open_as(&b, &loop, &pki, 2, "p0", 0);
    assert_int_equal(peer_net_set_address(b.net, 1, node_address(&a)), HSM_OK);
    RUN_UNTIL(&loop, peer_net_reason(b.net, 1)[0] != '\0');
    run_for(&loop, 30);
    assert_int_equal(a.ups[1] + a.ups[2] + b.ups[1], 0);
    close_pair();
}

static void not_allowed(void **state)
{
    (void)state;
    open_pair();
    a.denied = 2;
    node_knows(&b, &a);
    RUN_UNTIL(&loop, strstr(peer_net_reason(a.net, 2), "not a member") != NULL);
    node_knows(&a, &b);
    run_for(&loop, 50);
    assert_int_equal(a.ups[2] + b.ups[1], 0);
    a.denied = 0;
    RUN_UNTIL(&loop, pair_is_up());
    close_pair();
}

static void removed_is_refused(void **state)
{
    (void)state;
    open_pair();
    node_knows(&a, &b);
    node_knows(&b, &a);
    RUN_UNTIL(&loop, pair_is_up());
    peer_net_forget(a.net, 2);
    assert_int_equal(a.downs[2], 1);
    RUN_UNTIL(&loop, b.downs[1] == 1);
    RUN_UNTIL(&loop, strstr(peer_net_reason(a.net, 2), "removed") != NULL);
    run_for(&loop, 50);
    assert_int_equal(a.ups[2], 1);
    assert_int_equal(b.ups[1], 1);
    node_knows(&a, &b);
    RUN_UNTIL(&loop, pair_is_up());
    close_pair();
}

static void handlers_may_end_things(void **state)
{
    (void)state;
    open_pair();
    node_knows(&a, &b);
    RUN_UNTIL(&loop, pair_is_up());
    b.forget_in_handler = b.close_in_handler = true;
    for (uint64_t i = 0; i < 3; i++)
        assert_int_equal(node_send(&a, 2, i, 100), HSM_OK);
    RUN_UNTIL(&loop, b.closed);
    assert_int_equal(b.messages, 1);
    RUN_UNTIL(&loop, a.downs[2] == 1);
    close_pair();
}

static void bad_configurations(void **state)
{
    (void)state;
    char text[256] = "";
    assert_int_equal(node_try(&a, &loop, &pki, 1, "absent", 0, text, sizeof text),
                     HSM_E_BAD_PARAMETER);
    assert_non_null(strstr(text, "absent.pem"));
    node_open(&a, &loop, &pki, 1);
    uint16_t port = peer_net_port(a.net);
    assert_int_equal(node_try(&b, &loop, &pki, 2, "p1", port, text, sizeof text), HSM_E_IO);
    static const char *const bad[] = {"", "127.0.0.1", "127.0.0.1:0", ":5", "a b:5", "h:70000"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(peer_net_set_address(a.net, 2, bad[i]), HSM_E_BAD_PARAMETER);
    assert_int_equal(peer_net_set_address(a.net, 0, "h:1"), HSM_E_BAD_PARAMETER);
    node_close(&a, &loop);
}

static void names_are_resolved(void **state)
{
    (void)state;
    char address[32];
    open_pair();
    (void)snprintf(address, sizeof address, "localhost:%u", peer_net_port(a.net));
    assert_int_equal(peer_net_set_address(b.net, 1, address), HSM_OK);
    RUN_UNTIL(&loop, pair_is_up());
    assert_int_equal(peer_net_set_address(a.net, 3, "no-such-host.invalid:5"), HSM_OK);
    RUN_UNTIL(&loop, peer_net_reason(a.net, 3)[0] != '\0');
    assert_int_equal(peer_net_set_address(a.net, 4, "localhost:5"), HSM_OK);
    uv_run(&loop, UV_RUN_NOWAIT); /* the name is being looked up while it closes */
    close_pair();
}

/* ---- a client that does not keep to the rules, in a thread ---- */

enum raw_mode {
    RAW_NO_CERTIFICATE,
    RAW_PLAIN,
    RAW_OVERSIZED,
    RAW_SILENT,
    RAW_OUT_OF_TURN,
};

struct raw {
    enum raw_mode mode;
    uint16_t port;
    bool linked, closed;
    atomic_bool ended;
};

static int raw_connect(uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct timeval patience = {.tv_sec = 5};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0)
        abort();
    return fd;
}

static bool raw_frame(SSL *ssl, uint16_t type, size_t claimed, struct bytes payload)
{
    uint8_t buf[PEER_FRAME_HEAD + 64];
    peer_frame_head(buf, type, 0, claimed);
    memcpy(buf + PEER_FRAME_HEAD, payload.p, payload.n);
    return SSL_write(ssl, buf, (int)(PEER_FRAME_HEAD + payload.n)) > 0;
}

static void raw_talk(struct raw *r, SSL *ssl)
{
    uint8_t buf[PEER_FRAME_HEAD];
    struct peer_frame f;
    size_t total;
    if (SSL_connect(ssl) == 1) {
        (void)raw_frame(ssl, PEER_HELLO_LINK, 1, bytes_of("\1", 1));
        r->linked = SSL_read(ssl, buf, sizeof buf) == sizeof buf &&
                    peer_frame_parse(bytes_of(buf, sizeof buf), &f, &total) == HSM_OK &&
                    f.type == PEER_CONFIRM;
    }
    if (r->linked && r->mode == RAW_OVERSIZED)
        (void)raw_frame(ssl, 7, PEER_PAYLOAD_MAX + 1, bytes_of("x", 1));
    if (r->linked && r->mode == RAW_OUT_OF_TURN)
        (void)raw_frame(ssl, PEER_CONFIRM, 0, bytes_of("", 0));
    while (SSL_read(ssl, buf, sizeof buf) > 0)
        ;
}

static void *raw_run(void *arg)
{
    struct raw *r = arg;
    char pem[160], key[160];
    int fd = raw_connect(r->port);
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    pki_path(&pki, "p1", "pem", pem);
    pki_path(&pki, "p1", "key", key);
    if (r->mode != RAW_NO_CERTIFICATE &&
        (SSL_CTX_use_certificate_file(ctx, pem, SSL_FILETYPE_PEM) != 1 ||
         SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1))
        abort();
    SSL *ssl = SSL_new(ctx);
    SSL_set_fd(ssl, fd);
    if (r->mode == RAW_PLAIN)
        (void)!write(fd, "GET / HTTP/1.1\r\n\r\n", 18);
    else
        raw_talk(r, ssl);
    /* what is left, then the end: not the five seconds of patience */
    char rest[256];
    ssize_t n;
    do
        n = recv(fd, rest, sizeof rest, 0);
    while (n > 0);
    r->closed = n == 0 || errno == ECONNRESET;
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    close(fd);
    atomic_store(&r->ended, true);
    return NULL;
}

static void raw_test(enum raw_mode mode, bool linked)
{
    struct raw r = {.mode = mode};
    pthread_t thread;
    node_open(&a, &loop, &pki, 1);
    r.port = peer_net_port(a.net);
    assert_int_equal(pthread_create(&thread, NULL, raw_run, &r), 0);
    RUN_UNTIL(&loop, atomic_load(&r.ended));
    pthread_join(thread, NULL);
    assert_true(r.closed);
    assert_true(r.linked == linked);
    RUN_UNTIL(&loop, !peer_net_up(a.net, 2));
    assert_int_equal(a.ups[2], linked);
    assert_int_equal(a.downs[2], linked);
    assert_int_equal(a.messages, 0);
}

static void no_certificate(void **state)
{
    (void)state;
    raw_test(RAW_NO_CERTIFICATE, false);
    node_close(&a, &loop);
}

static void not_tls(void **state)
{
    (void)state;
    raw_test(RAW_PLAIN, false);
    node_close(&a, &loop);
}

static void oversized_frame(void **state)
{
    (void)state;
    raw_test(RAW_OVERSIZED, true);
    assert_string_equal(peer_net_reason(a.net, 2), "malformed frame");
    node_close(&a, &loop);
}

static void frames_out_of_turn(void **state)
{
    (void)state;
    raw_test(RAW_OUT_OF_TURN, true);
    assert_string_equal(peer_net_reason(a.net, 2), "frame out of turn");
    node_close(&a, &loop);
}

static void silence_ends_a_link(void **state)
{
    (void)state;
    raw_test(RAW_SILENT, true);
    assert_non_null(strstr(peer_net_reason(a.net, 2), "nothing was heard"));
    node_close(&a, &loop);
}

/* The other side lives but does not read: its loop is this one. */
static void queue_is_bounded(void **state)
{
    (void)state;
    open_pair();
    node_knows(&a, &b);
    RUN_UNTIL(&loop, pair_is_up());
    uint64_t n = 0;
    hsm_err err;
    while ((err = node_send(&a, 2, n, PEER_PAYLOAD_MAX)) == HSM_OK)
        n++;
    assert_int_equal(err, HSM_E_THROTTLED);
    assert_int_equal(n, 16);
    RUN_UNTIL(&loop, b.messages == n);
    assert_false(b.disorder);
    assert_int_equal(node_send(&a, 2, n, 1), HSM_OK);
    RUN_UNTIL(&loop, b.messages == n + 1);
    close_pair();
}

/* Connections that say nothing do not keep a member out. */
static void idle_strangers(void **state)
{
    (void)state;
    int fds[200];
    open_pair();
    for (unsigned i = 0; i < 200; i++) {
        fds[i] = raw_connect(peer_net_port(a.net));
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    node_knows(&b, &a);
    RUN_UNTIL(&loop, pair_is_up());
    for (unsigned i = 0; i < 200; i++)
        close(fds[i]);
    close_pair();
}

static int open_all(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    pki_open(&pki);
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    pki_close(&pki);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        T(messages_both_ways),
        T(idle_links_stay),
        T(smaller_id_dials),
        T(three_members),
        T(simultaneous_dials),
        T(comes_back),
        T(other_pool_is_refused),
        T(other_number_is_refused),
        T(other_names_are_refused),
        T(own_number_is_refused),
        T(not_allowed),
        T(removed_is_refused),
        T(handlers_may_end_things),
        T(bad_configurations),
        T(names_are_resolved),
        T(no_certificate),
        T(not_tls),
        T(oversized_frame),
        T(frames_out_of_turn),
        T(silence_ends_a_link),
        T(queue_is_bounded),
        T(idle_strangers),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
