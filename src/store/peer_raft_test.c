/* libraft itself over the links: three servers in one loop. */
#include "store/peer_testing.h"

#include <raft.h>
#include <raft/uv.h>
#include <sys/stat.h>
#include "store/transport.h"

#define SERVERS   3
#define ENTRY_LEN 4096
#define IN_FLIGHT 20

struct server {
    struct node node;
    struct raft_uv_transport transport;
    struct raft_io io;
    struct raft_fsm fsm;
    struct raft raft;
    char dir[128], address[32];
    uint64_t applied, sum;
    bool open, raft_closed;
};

struct apply {
    struct raft_apply req; /* first: libraft hands it back */
    unsigned *answered;
};

static struct pki pki;
static uv_loop_t loop;
static struct server servers[SERVERS];

static uint64_t sum_of(const struct raft_buffer *buf)
{
    uint64_t sum = 0;
    const uint8_t *p = buf->base;
    for (size_t i = 0; i + 8 <= buf->len; i += 8)
        sum = sum * 31 + be64_get(p + i);
    return sum;
}

static int fsm_apply(struct raft_fsm *fsm, const struct raft_buffer *buf, void **result)
{
    struct server *s = fsm->data;
    *result = NULL;
    s->applied++;
    s->sum = s->sum * 33 + sum_of(buf);
    return 0;
}

static int fsm_snapshot(struct raft_fsm *fsm, struct raft_buffer *bufs[], unsigned *n_bufs)
{
    (void)fsm;
    (void)bufs;
    (void)n_bufs;
    return RAFT_BUSY;
}

static int fsm_restore(struct raft_fsm *fsm, struct raft_buffer *buf)
{
    (void)fsm;
    (void)buf;
    return RAFT_CORRUPT;
}

static void server_start(struct server *s)
{
    struct raft_configuration conf;
    transport_peer_init(&s->transport, s->node.net);
    assert_int_equal(raft_uv_init(&s->io, &loop, s->dir, &s->transport), 0);
    raft_uv_set_connect_retry_delay(&s->io, 50);
    s->fsm = (struct raft_fsm){.version = 1,
                               .data = s,
                               .apply = fsm_apply,
                               .snapshot = fsm_snapshot,
                               .restore = fsm_restore};
    assert_int_equal(raft_init(&s->raft, &s->io, &s->fsm, s->node.id, s->address), 0);
    s->raft.data = s;
    raft_set_election_timeout(&s->raft, 300);
    raft_set_heartbeat_timeout(&s->raft, 30);
    raft_set_pre_vote(&s->raft, true);
    raft_configuration_init(&conf);
    for (unsigned i = 0; i < SERVERS; i++)
        assert_int_equal(raft_configuration_add(&conf, i + 1, servers[i].address, RAFT_VOTER), 0);
    assert_int_equal(raft_bootstrap(&s->raft, &conf), 0);
    raft_configuration_close(&conf);
    assert_int_equal(raft_start(&s->raft), 0);
    s->open = true;
}

static void all_know_all(void)
{
    for (unsigned i = 0; i < SERVERS; i++)
        for (unsigned k = 0; k < SERVERS; k++)
            if (i != k)
                node_knows(&servers[i].node, &servers[k].node);
}

static void on_raft_closed(struct raft *r)
{
    struct server *s = r->data;
    raft_uv_close(&s->io);
    s->raft_closed = true;
}

static void server_close(struct server *s)
{
    if (!s->open)
        return;
    s->open = false;
    raft_close(&s->raft, on_raft_closed);
    RUN_UNTIL(&loop, s->raft_closed);
    node_close(&s->node, &loop);
}

static struct server *leader(void)
{
    for (unsigned i = 0; i < SERVERS; i++)
        if (servers[i].open && raft_state(&servers[i].raft) == RAFT_LEADER)
            return &servers[i];
    return NULL;
}

static void on_applied(struct raft_apply *req, int status, void *result)
{
    struct apply *a = (struct apply *)(void *)req;
    (void)result;
    if (status == 0)
        ++*a->answered;
    free(a);
}

static void commit(struct server *s, unsigned n)
{
    unsigned answered = 0;
    for (unsigned i = 0; i < n; i++) {
        struct apply *a = malloc(sizeof *a);
        struct raft_buffer buf = {.base = raft_malloc(ENTRY_LEN), .len = ENTRY_LEN};
        assert_true(a != NULL && buf.base != NULL);
        a->answered = &answered;
        node_fill(buf.base, ENTRY_LEN, i);
        assert_int_equal(raft_apply(&s->raft, &a->req, &buf, 1, on_applied), 0);
        if (i % IN_FLIGHT == IN_FLIGHT - 1)
            RUN_UNTIL(&loop, answered > i - IN_FLIGHT / 2);
    }
    RUN_UNTIL(&loop, answered == n);
}

static bool all_applied(uint64_t n)
{
    for (unsigned i = 0; i < SERVERS; i++)
        if (servers[i].open && servers[i].applied != n)
            return false;
    return true;
}

static void one_is_cut_off_and_one_dies(void **state)
{
    (void)state;
    RUN_UNTIL(&loop, leader() != NULL);
    commit(leader(), 100);
    RUN_UNTIL(&loop, all_applied(100));
    /* a follower goes out of reach and comes back */
    struct server *follower = leader() == &servers[0] ? &servers[1] : &servers[0];
    for (unsigned i = 0; i < SERVERS; i++)
        if (&servers[i] != follower)
            peer_net_forget(servers[i].node.net, follower->node.id);
    commit(leader(), 100);
    assert_int_equal(follower->applied, 100);
    all_know_all();
    RUN_UNTIL(&loop, all_applied(200));
    /* the leader goes for good */
    server_close(leader());
    RUN_UNTIL(&loop, leader() != NULL);
    commit(leader(), 50);
    RUN_UNTIL(&loop, all_applied(250));
    uint64_t sum = leader()->sum;
    for (unsigned i = 0; i < SERVERS; i++)
        assert_true(!servers[i].open || servers[i].sum == sum);
}

static int setup(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    pki_open(&pki);
    assert_int_equal(uv_loop_init(&loop), 0);
    for (unsigned i = 0; i < SERVERS; i++) {
        struct server *s = &servers[i];
        node_open(&s->node, &loop, &pki, i + 1);
        (void)snprintf(s->address, sizeof s->address, "%s", node_address(&s->node));
        (void)snprintf(s->dir, sizeof s->dir, "%s/raft%u", pki.dir, i);
        assert_int_equal(mkdir(s->dir, 0700), 0);
    }
    all_know_all();
    for (unsigned i = 0; i < SERVERS; i++)
        server_start(&servers[i]);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (unsigned i = 0; i < SERVERS; i++)
        server_close(&servers[i]);
    loop_close(&loop);
    pki_close(&pki);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_is_cut_off_and_one_dies, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
