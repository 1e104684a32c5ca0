/* libraft's transport over the links: streams between members in one loop. */
#include "store/peer_testing.h"

#include <raft.h>
#include <raft/uv.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include "store/peer_internal.h"
#include "store/transport.h"

#define MEGABYTES ((uint64_t)1 << 20)

static struct pki pki;
static uv_loop_t loop;

/* What libraft does with an end of a stream: it owns the handle. */
struct end {
    uv_stream_t *stream;
    uint64_t to_write, written, to_read, got;
    bool disorder, eof, failed;
    unsigned in_flight;
};

struct side {
    struct node node;
    struct raft_uv_transport t;
    struct end in, out;
    unsigned accepted;
    raft_id from;
    char from_address[64];
    struct raft_uv_connect req;
    bool answered;
    int status;
    bool transport_closed;
};

static struct side a, b;

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

static void stream_free(uv_handle_t *h)
{
    raft_free(h);
}

static void end_close(struct end *e)
{
    if (e->stream != NULL)
        uv_close((uv_handle_t *)e->stream, stream_free);
    e->stream = NULL;
}

/* ---- content: eight-byte words that count ---- */

#define CHUNK 65536u

static void write_more(struct end *e);

static void on_written(uv_write_t *w, int status)
{
    struct end *e = w->data;
    free(w);
    e->in_flight--;
    if (status != 0)
        e->failed = true;
    else if (e->stream != NULL)
        write_more(e);
}

static void write_more(struct end *e)
{
    while (e->written < e->to_write && e->in_flight < 3) {
        uv_write_t *w = malloc(sizeof *w + CHUNK);
        assert_non_null(w);
        uint8_t *p = (uint8_t *)(w + 1);
        for (size_t i = 0; i < CHUNK; i += 8)
            be64_put(p + i, (e->written + i) / 8);
        uv_buf_t buf = uv_buf_init((char *)p, CHUNK);
        w->data = e;
        e->written += CHUNK;
        e->in_flight++;
        assert_int_equal(uv_write(w, e->stream, &buf, 1, on_written), 0);
    }
}

static uint8_t read_buf[CHUNK];

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    (void)h;
    (void)suggested;
    *buf = uv_buf_init((char *)read_buf, CHUNK);
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
    struct end *e = s->data;
    const uint8_t *p = (const uint8_t *)buf->base;
    if (n < 0) {
        e->eof = true;
        (void)uv_read_stop(s);
        return;
    }
    for (ssize_t i = 0; i < n; i++) {
        uint64_t at = e->got + (uint64_t)i;
        if (p[i] != (uint8_t)((at / 8) >> (8 * (7 - at % 8))))
            e->disorder = true;
    }
    e->got += (uint64_t)n;
}

static void end_take(struct end *e, uv_stream_t *s)
{
    *e = (struct end){.stream = s};
    s->data = e;
    assert_int_equal(uv_read_start(s, on_alloc, on_read), 0);
}

/* ---- the two sides ---- */

static struct side *side_of(struct raft_uv_transport *t)
{
    return t == &a.t ? &a : &b;
}

static void on_accept(struct raft_uv_transport *t, raft_id id, const char *address,
                      struct uv_stream_s *stream)
{
    struct side *s = side_of(t);
    end_close(&s->in);
    s->accepted++;
    s->from = id;
    (void)snprintf(s->from_address, sizeof s->from_address, "%s", address);
    end_take(&s->in, stream);
}

static void on_connect(struct raft_uv_connect *req, struct uv_stream_s *stream, int status)
{
    struct side *s = req->data;
    assert_false(s->answered);
    s->answered = true;
    s->status = status;
    if (status == 0)
        end_take(&s->out, stream);
    else
        assert_null(stream);
}

static void on_transport_closed(struct raft_uv_transport *t)
{
    struct side *s = side_of(t);
    memset(t, 0xee, sizeof *t);
    s->transport_closed = true;
}

static void side_open(struct side *s, uint64_t id, bool listens)
{
    memset(s, 0, sizeof *s);
    node_open(&s->node, &loop, &pki, id);
    transport_peer_init(&s->t, s->node.net);
    assert_int_equal(s->t.init(&s->t, id, node_address(&s->node)), 0);
    if (listens)
        assert_int_equal(s->t.listen(&s->t, on_accept), 0);
}

static int side_connect(struct side *s, raft_id id, const char *address)
{
    s->answered = false;
    s->req.data = s;
    return s->t.connect(&s->t, &s->req, id, address, on_connect);
}

static void side_close(struct side *s)
{
    end_close(&s->in);
    end_close(&s->out);
    if (!s->transport_closed)
        s->t.close(&s->t, on_transport_closed);
    RUN_UNTIL(&loop, s->transport_closed);
    node_close(&s->node, &loop);
}

static void open_both(void)
{
    side_open(&a, 1, true);
    side_open(&b, 2, true);
}

static void close_both(void)
{
    side_close(&a);
    side_close(&b);
}

static void connect_both(void)
{
    open_both();
    assert_int_equal(side_connect(&a, 2, node_address(&b.node)), 0);
    assert_false(a.answered);
    RUN_UNTIL(&loop, a.answered && b.accepted == 1);
    assert_int_equal(a.status, 0);
    assert_true(b.from == 1);
    assert_string_equal(b.from_address, node_address(&a.node));
}

static void carries_ten_megabytes_each_way(void **state)
{
    (void)state;
    connect_both();
    a.out.to_write = b.in.to_write = 10 * MEGABYTES;
    write_more(&a.out);
    write_more(&b.in);
    RUN_UNTIL(&loop, a.out.got == 10 * MEGABYTES && b.in.got == 10 * MEGABYTES);
    assert_false(a.out.disorder || b.in.disorder || a.out.failed || b.in.failed);
    close_both();
}

static void keys_are_renewed(void **state)
{
    (void)state;
    open_both();
    a.node.net->rekey_records = b.node.net->rekey_records = 7;
    assert_int_equal(side_connect(&a, 2, node_address(&b.node)), 0);
    RUN_UNTIL(&loop, a.answered && b.accepted == 1);
    a.out.to_write = b.in.to_write = 4 * MEGABYTES;
    write_more(&a.out);
    write_more(&b.in);
    RUN_UNTIL(&loop, a.out.got == 4 * MEGABYTES && b.in.got == 4 * MEGABYTES);
    assert_false(a.out.disorder || b.in.disorder);
    for (const struct peer_conn *c = a.node.net->conns; c != NULL; c = c->next)
        assert_true(c->records <= 7);
    close_both();
}

/* A name with several addresses: an attempt that failed is followed by one at another address. */
static void names_are_resolved(void **state)
{
    (void)state;
    char address[32];
    open_both();
    (void)snprintf(address, sizeof address, "localhost:%u", peer_net_port(b.node.net));
    for (unsigned i = 0; i < 2 && b.accepted == 0; i++) {
        assert_int_equal(side_connect(&a, 2, address), 0);
        RUN_UNTIL(&loop, a.answered);
        assert_true(a.status == 0 || i == 0);
    }
    RUN_UNTIL(&loop, b.accepted == 1);
    close_both();
}

/* Nothing is lost, and not much is buffered, while the reader does not read. */
static void back_pressure(void **state)
{
    (void)state;
    connect_both();
    (void)uv_read_stop(b.in.stream);
    a.out.to_write = 64 * MEGABYTES;
    write_more(&a.out);
    run_for(&loop, 150);
    uint64_t accepted = a.out.written;
    assert_true(accepted < 64 * MEGABYTES);
    assert_int_equal(b.in.got, 0);
    assert_int_equal(uv_read_start(b.in.stream, on_alloc, on_read), 0);
    RUN_UNTIL(&loop, b.in.got == 64 * MEGABYTES);
    assert_false(b.in.disorder || a.out.failed);
    close_both();
}

static void ends_are_noticed(void **state)
{
    (void)state;
    connect_both();
    a.out.to_write = MEGABYTES;
    write_more(&a.out);
    RUN_UNTIL(&loop, a.out.written == MEGABYTES && a.out.in_flight == 0);
    end_close(&a.out); /* what was written still arrives */
    RUN_UNTIL(&loop, b.in.eof);
    assert_int_equal(b.in.got, MEGABYTES);
    assert_false(b.in.disorder);
    end_close(&b.in);
    assert_int_equal(side_connect(&a, 2, node_address(&b.node)), 0);
    RUN_UNTIL(&loop, a.answered && b.accepted == 2);
    end_close(&b.in); /* the reader goes */
    RUN_UNTIL(&loop, a.out.eof);
    close_both();
}

static void newest_stream_stays(void **state)
{
    (void)state;
    connect_both();
    struct end old = a.out;
    old.stream->data = &old;
    a.out.stream = NULL;
    assert_int_equal(side_connect(&a, 2, node_address(&b.node)), 0);
    RUN_UNTIL(&loop, a.answered && b.accepted == 2 && old.eof);
    end_close(&old);
    a.out.to_write = MEGABYTES;
    write_more(&a.out);
    RUN_UNTIL(&loop, b.in.got == MEGABYTES);
    close_both();
}

static void failures_of_connect(void **state)
{
    (void)state;
    char address[32];
    side_open(&a, 1, true);
    side_open(&b, 2, false);
    (void)snprintf(address, sizeof address, "%s", node_address(&b.node));
    /* libraft is not there yet */
    assert_int_equal(side_connect(&a, 2, address), 0);
    RUN_UNTIL(&loop, a.answered);
    assert_int_equal(a.status, RAFT_NOCONNECTION);
    assert_int_equal(b.t.listen(&b.t, on_accept), 0);
    /* somebody else answers */
    assert_int_equal(side_connect(&a, 3, address), 0);
    RUN_UNTIL(&loop, a.answered);
    assert_int_equal(a.status, RAFT_NOCONNECTION);
    /* not allowed there */
    b.node.deny_raft = true;
    assert_int_equal(side_connect(&a, 2, address), 0);
    RUN_UNTIL(&loop, a.answered);
    assert_int_equal(a.status, RAFT_NOCONNECTION);
    b.node.deny_raft = false;
    assert_int_equal(side_connect(&a, 2, "not an address"), RAFT_NOCONNECTION);
    assert_int_equal(side_connect(&a, 1, address), RAFT_NOCONNECTION);
    peer_net_forget(a.node.net, 2);
    assert_int_equal(side_connect(&a, 2, address), RAFT_NOCONNECTION);
    assert_int_equal(b.accepted, 0);
    /* nobody listens any more */
    side_close(&b);
    assert_int_equal(side_connect(&a, 3, address), 0);
    RUN_UNTIL(&loop, a.answered);
    assert_int_equal(a.status, RAFT_NOCONNECTION);
    side_close(&a);
}

static void forgotten_member_loses_its_streams(void **state)
{
    (void)state;
    connect_both();
    peer_net_forget(b.node.net, 1);
    RUN_UNTIL(&loop, a.out.eof && b.in.eof);
    close_both();
}

/* The side that accepts sees nothing of the other for a second: not even a new stream. */
static void accepts_no_more_after_close(void **state)
{
    (void)state;
    connect_both();
    a.out.to_write = b.in.to_write = 4 * MEGABYTES;
    write_more(&a.out);
    write_more(&b.in);
    b.t.close(&b.t, on_transport_closed);
    RUN_UNTIL(&loop, b.transport_closed && b.in.eof && a.out.eof);
    end_close(&a.out);
    assert_int_equal(side_connect(&a, 2, node_address(&b.node)), 0);
    RUN_UNTIL(&loop, a.answered);
    assert_int_equal(a.status, RAFT_NOCONNECTION);
    assert_int_equal(b.accepted, 1);
    /* another one on the same net */
    end_close(&b.in);
    b.transport_closed = false;
    transport_peer_init(&b.t, b.node.net);
    assert_int_equal(b.t.init(&b.t, 2, "x:1"), 0);
    assert_int_equal(b.t.listen(&b.t, on_accept), 0);
    assert_int_equal(side_connect(&a, 2, node_address(&b.node)), 0);
    RUN_UNTIL(&loop, a.answered && b.accepted == 2);
    close_both();
}

/* Everything is under way at the moment of closing, a little later each time. */
static void close_during_everything(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 40; round++) {
        open_both();
        node_knows(&a.node, &b.node);
        node_knows(&b.node, &a.node);
        assert_int_equal(peer_net_set_address(a.node.net, 3, "localhost:1"), HSM_OK);
        assert_int_equal(side_connect(&a, 2, node_address(&b.node)), 0);
        assert_int_equal(side_connect(&b, 1, node_address(&a.node)), 0);
        for (unsigned turn = 0; turn < round; turn++) {
            uv_run(&loop, UV_RUN_NOWAIT);
            for (unsigned i = 0; i < 3; i++) {
                (void)!node_send(&a.node, 2, 0, 3000);
                (void)!node_send(&b.node, 1, 0, 3000);
            }
            struct end *e = round % 2 ? &a.out : &b.in;
            if (e->stream != NULL && e->to_write == 0) {
                e->to_write = 2 * MEGABYTES;
                write_more(e);
            }
        }
        bool answered_a = a.answered, answered_b = b.answered;
        a.t.close(&a.t, on_transport_closed);
        b.t.close(&b.t, on_transport_closed);
        assert_true(a.answered == answered_a && b.answered == answered_b);
        RUN_UNTIL(&loop, a.transport_closed && b.transport_closed);
        assert_true(a.answered && b.answered);
        if (!answered_a)
            assert_int_equal(a.status, RAFT_CANCELED);
        close_both();
    }
}

/* b in a process of its own, which is stopped and goes on: its kernel still answers meanwhile. */
static pid_t fork_b(uint16_t *ret_port)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        uv_loop_t own;
        struct node n;
        char address[32];
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (uv_loop_init(&own) != 0)
            _exit(1);
        node_open(&n, &own, &pki, 2);
        (void)snprintf(address, sizeof address, "%s", node_address(&n));
        transport_peer_init(&b.t, n.net);
        uint16_t port = peer_net_port(n.net);
        if (b.t.init(&b.t, 2, address) != 0 || b.t.listen(&b.t, on_accept) != 0 ||
            write(fds[1], &port, sizeof port) != sizeof port)
            _exit(1);
        uv_run(&own, UV_RUN_DEFAULT);
        _exit(0);
    }
    assert_int_equal(read(fds[0], ret_port, sizeof *ret_port), sizeof *ret_port);
    close(fds[0]);
    close(fds[1]);
    return pid;
}

static void stopped_member_is_noticed(void **state)
{
    (void)state;
    char address[32];
    uint16_t port = 0;
    memset(&b, 0, sizeof b);
    pid_t pid = fork_b(&port);
    (void)snprintf(address, sizeof address, "127.0.0.1:%u", port);
    side_open(&a, 1, true);
    assert_int_equal(peer_net_set_address(a.node.net, 2, address), HSM_OK);
    assert_int_equal(side_connect(&a, 2, address), 0);
    RUN_UNTIL(&loop, peer_net_up(a.node.net, 2) && a.answered);
    assert_int_equal(a.status, 0);
    assert_int_equal(kill(pid, SIGSTOP), 0);
    RUN_UNTIL(&loop, a.node.downs[2] == 1 && a.out.eof);
    assert_non_null(strstr(peer_net_reason(a.node.net, 2), "nothing was heard"));
    end_close(&a.out);
    assert_int_equal(side_connect(&a, 2, address), 0); /* connects, but no word of TLS */
    RUN_UNTIL(&loop, a.answered);
    assert_int_equal(a.status, RAFT_NOCONNECTION);
    assert_int_equal(a.node.ups[2], 1);
    assert_int_equal(kill(pid, SIGCONT), 0);
    RUN_UNTIL(&loop, peer_net_up(a.node.net, 2));
    assert_int_equal(side_connect(&a, 2, address), 0);
    RUN_UNTIL(&loop, a.answered);
    assert_int_equal(a.status, 0);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    RUN_UNTIL(&loop, a.node.downs[2] == 2 && a.out.eof);
    side_close(&a);
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

/* "bench": what the streams and messages cost, for a profile. */
static void bench(void)
{
    (void)open_all(NULL);
    (void)setup(NULL);
    connect_both();
    a.out.to_write = 512 * MEGABYTES;
    write_more(&a.out);
    RUN_UNTIL(&loop, b.in.got == 512 * MEGABYTES);
    close_both();
    (void)teardown(NULL);
    (void)close_all(NULL);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        T(stopped_member_is_noticed), /* first: there are no threads yet */
        T(carries_ten_megabytes_each_way),
        T(keys_are_renewed),
        T(names_are_resolved),
        T(back_pressure),
        T(ends_are_noticed),
        T(newest_stream_stays),
        T(failures_of_connect),
        T(forgotten_member_loses_its_streams),
        T(accepts_no_more_after_close),
        T(close_during_everything),
    };
    if (argc > 1 && strcmp(argv[1], "bench") == 0) {
        bench();
        return 0;
    }
    return cmocka_run_group_tests(tests, open_all, close_all);
}
