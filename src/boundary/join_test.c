/* Two ends of a join connection with a relay between them that does whatever a gateway can do. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "boundary/join_internal.h"
#include "boundary/peer_testing.h"

#define NOW_S     1700000000u
#define ROOTS     "these are thirty-two secret bytes of the roots"
#define CHUNKS    64u
#define CHUNK_MAX 20000u

struct chunk {
    uint8_t *p;
    size_t n;
};

struct end {
    struct join_self *self;
    struct join *join;
    struct end *other;
    /* what it sent */
    struct chunk sent[CHUNKS];
    unsigned sent_n, passed_n;
    bool closed;
    /* how it ended */
    unsigned ends, grants, takes;
    hsm_err err;
    char why[128];
    struct uuid pool;
};

struct pair {
    struct end member, joiner;
};

static struct pair pair;
static const struct uuid pool_id = {.b = {1, 2, 3, 4}};

/* ---- hooks ---- */

static void on_data(void *ctx, uint32_t conn, struct bytes b)
{
    struct end *e = (struct end *)ctx;
    assert_int_equal(conn, join_conn(e->join));
    assert_true(e->sent_n < CHUNKS && b.n <= CHUNK_MAX);
    struct chunk *c = &e->sent[e->sent_n++];
    *c = (struct chunk){.p = malloc(b.n), .n = b.n};
    memcpy(c->p, b.p, b.n);
}

static void on_close(void *ctx, uint32_t conn)
{
    (void)conn;
    ((struct end *)ctx)->closed = true;
}

static hsm_err on_grant(void *ctx, const struct evidence *peer, struct uuid *ret_pool,
                        struct secret_buf *ret_roots, enum join_reason *reason)
{
    struct end *e = (struct end *)ctx;
    *reason = JOIN_NO_PARTITION;
    if (peer->partition == 0)
        return HSM_E_DENIED;
    e->grants++;
    *ret_pool = pool_id;
    assert_int_equal(secret_buf_new(ret_roots, sizeof ROOTS), HSM_OK);
    memcpy(ret_roots->p, ROOTS, sizeof ROOTS);
    return HSM_OK;
}

static hsm_err on_take(void *ctx, const struct uuid *pool, struct bytes roots, const char **why)
{
    struct end *e = (struct end *)ctx;
    (void)why;
    e->takes++;
    e->pool = *pool;
    assert_true(bytes_eq(roots, bytes_of(ROOTS, sizeof ROOTS)));
    return HSM_OK;
}

static void on_ended(void *ctx, hsm_err err, const char *why)
{
    struct end *e = (struct end *)ctx;
    e->ends++;
    e->err = err;
    snprintf(e->why, sizeof e->why, "%s", why);
}

/* ---- pairs ---- */

static void end_init(struct end *e, enum join_role role, const struct peer_options *o)
{
    const struct join_hooks hooks = {.ctx = e,
                                     .data = on_data,
                                     .close = on_close,
                                     .grant = on_grant,
                                     .take = on_take,
                                     .ended = on_ended};
    *e = (struct end){.self = peer_self(o)};
    assert_int_equal(join_new(e->self, role, &hooks, &e->join), HSM_OK);
}

static void end_done(struct end *e)
{
    join_free(e->join);
    join_self_free(e->self);
    for (unsigned i = 0; i < e->sent_n; i++)
        free(e->sent[i].p);
}

static uint64_t wall_s(void)
{
    return (uint64_t)time(NULL);
}

static void pair_init(struct pair *p, const struct peer_options *member,
                      const struct peer_options *joiner)
{
    end_init(&p->member, JOIN_MEMBER, member);
    end_init(&p->joiner, JOIN_JOINER, joiner);
    p->member.other = &p->joiner;
    p->joiner.other = &p->member;
    join_start(p->member.join, 0x80000001u, 1000, wall_s());
    join_start(p->joiner.join, 1, 1000, wall_s());
}

static void pair_done(struct pair *p)
{
    end_done(&p->member);
    end_done(&p->joiner);
}

/* One chunk of e to the other end. */
static bool pass(struct end *e)
{
    if (e->passed_n < e->sent_n) {
        const struct chunk *c = &e->sent[e->passed_n++];
        join_data(e->other->join, bytes_of(c->p, c->n));
        return true;
    }
    if (e->closed && join_is_busy(e->other->join)) {
        join_closed(e->other->join);
        return true;
    }
    return false;
}

static void pump(struct pair *p)
{
    while (pass(&p->joiner) || pass(&p->member))
        ;
}

static const struct peer_options zero = {.partition = 0}, one = {.partition = 1};

static void joins(void **state)
{
    (void)state;
    struct pair *p = &pair;
    pair_init(p, &zero, &one);
    pump(p);
    assert_int_equal(p->member.ends, 1);
    assert_int_equal(p->member.err, HSM_OK);
    assert_int_equal(p->joiner.ends, 1);
    assert_int_equal(p->joiner.err, HSM_OK);
    assert_int_equal(p->member.grants, 1);
    assert_int_equal(p->joiner.takes, 1);
    assert_memory_equal(p->joiner.pool.b, pool_id.b, 16);
    assert_int_equal(join_peer(p->member.join)->partition, 1);
    assert_string_equal(join_peer(p->member.join)->pool, "dev");
    assert_int_equal(join_peer(p->joiner.join)->partition, 0);
    /* Nothing of it can be read on the way. */
    for (unsigned i = 0; i < p->member.sent_n; i++)
        assert_null(memmem(p->member.sent[i].p, p->member.sent[i].n, ROOTS, 8));
    /* The same ends again. */
    p->member.closed = p->joiner.closed = false;
    join_start(p->member.join, 0x80000002u, 1000, wall_s());
    join_start(p->joiner.join, 2, 1000, wall_s());
    pump(p);
    assert_int_equal(p->member.grants, 2);
    assert_int_equal(p->joiner.takes, 2);
    assert_int_equal(p->joiner.err, HSM_OK);
    pair_done(p);
}

/* Neither side gives or takes anything. */
static void fails(const struct peer_options *member, const struct peer_options *joiner,
                  const char *member_why, const char *joiner_why)
{
    struct pair *p = &pair;
    pair_init(p, member, joiner);
    pump(p);
    assert_int_equal(p->member.ends, 1);
    assert_int_equal(p->joiner.ends, 1);
    assert_int_not_equal(p->member.err, HSM_OK);
    assert_int_not_equal(p->joiner.err, HSM_OK);
    assert_int_equal(p->member.grants, 0);
    assert_int_equal(p->joiner.takes, 0);
    if (strstr(p->member.why, member_why) == NULL)
        fail_msg("member: %s", p->member.why);
    if (strstr(p->joiner.why, joiner_why) == NULL)
        fail_msg("joiner: %s", p->joiner.why);
    pair_done(p);
}

static void other_key(void **state)
{
    (void)state;
    const struct peer_options o = {.partition = 1, .admission = 7};
    fails(&zero, &o, "admission key", "another admission key");
}

static void other_program(void **state)
{
    (void)state;
    const struct peer_options o = {.partition = 1, .measurement = 7};
    /* The joiner looks first. */
    fails(&zero, &o, "refused the evidence", "measurement is not accepted");
    /* It accepts everything: then the member looks. */
    struct peer_options open = o;
    open.policy.measurement_n = 1;
    memset(open.policy.measurement[0], 0x5a, 32);
    open.policy.measurement[0][0] = 0;
    fails(&zero, &open, "measurement is not accepted", "refused the evidence");
    /* Both list the other one. */
    struct peer_options m = zero;
    m.policy.measurement_n = 2;
    memset(m.policy.measurement[1], 0x5a, 32);
    m.policy.measurement[1][0] = 7;
    struct pair *p = &pair;
    pair_init(p, &m, &open);
    pump(p);
    assert_int_equal(p->joiner.err, HSM_OK);
    assert_int_equal(p->joiner.takes, 1);
    pair_done(p);
}

static void other_pool(void **state)
{
    (void)state;
    const struct peer_options o = {.partition = 1, .pool = "prod"};
    fails(&zero, &o, "refused the evidence", "another pool");
}

/* A claim of a platform that this version cannot check is not stronger than none. */
static void claimed_platform(void **state)
{
    (void)state;
    const struct peer_options o = {.partition = 1, .provider = EVIDENCE_TPM2};
    struct peer_options weak = o;
    weak.policy.providers = 1u << EVIDENCE_SOFTWARE;
    fails(&zero, &weak, "cannot be verified", "refused the evidence");
    /* A weaker provider than the own one. */
    fails(&zero, &o, "refused the evidence", "provider that is not accepted");
    struct peer_options strict = zero;
    strict.policy.providers = 1u << EVIDENCE_TPM2;
    fails(&strict, &one, "peers.providers", "refused the evidence");
}

static void same_number(void **state)
{
    (void)state;
    fails(&zero, &zero, "partition number", "partition number");
}

static void wrong_clock(void **state)
{
    (void)state;
    struct pair *p = &pair;
    pair_init(p, &zero, &one);
    join_closed(p->joiner.join);
    join_start(p->joiner.join, 2, 1000, NOW_S);
    join_closed(p->member.join);
    join_start(p->member.join, 0x80000002u, 1000, wall_s());
    p->joiner.passed_n = p->joiner.sent_n - 1;
    pump(p);
    assert_int_equal(p->joiner.takes, 0);
    assert_non_null(strstr(p->joiner.why, "validity"));
    pair_done(p);
}

/* ---- what a relay can do to the bytes ---- */

/* The connection is cut in front of, and within, every piece that either side sends. */
static void truncated(void **state)
{
    (void)state;
    struct pair *p = &pair;
    unsigned total = 1, taken = 0;
    for (unsigned at = 0; at < 2 * total; at++) {
        pair_init(p, &zero, &one);
        unsigned n = 0;
        bool cut = false;
        for (;;) {
            struct end *e = p->joiner.passed_n < p->joiner.sent_n   ? &p->joiner
                            : p->member.passed_n < p->member.sent_n ? &p->member
                                                                    : NULL;
            if (e == NULL)
                break;
            if (n++ != at / 2) {
                assert_true(pass(e));
                continue;
            }
            const struct chunk *c = &e->sent[e->passed_n];
            if (at % 2 == 1)
                join_data(e->other->join, bytes_of(c->p, c->n / 2));
            join_closed(p->member.join);
            join_closed(p->joiner.join);
            cut = true;
            break;
        }
        if (!cut) {
            pump(p);
            assert_int_equal(p->joiner.err, HSM_OK);
        }
        total = cut ? n + 1 : total;
        assert_int_equal(p->member.ends, 1);
        assert_int_equal(p->joiner.ends, 1);
        assert_true(p->joiner.takes == 0 || p->member.grants == 1);
        assert_true(p->joiner.takes == 1 || p->joiner.err != HSM_OK);
        assert_true(p->member.err != HSM_OK || p->joiner.takes == 1);
        taken += p->joiner.takes;
        pair_done(p);
        if (!cut)
            break;
    }
    assert_true(taken > 0 && total > 4);
}

/* One bit of every piece is changed: TLS notices all of it. */
static void changed(void **state)
{
    (void)state;
    struct pair *p = &pair;
    for (unsigned at = 0;; at++) {
        pair_init(p, &zero, &one);
        unsigned n = 0;
        bool hit = false, has_sealed = false;
        for (;;) {
            struct end *e = p->joiner.passed_n < p->joiner.sent_n ? &p->joiner : &p->member;
            if (e->passed_n < e->sent_n && n++ == at) {
                has_sealed = p->joiner.takes > 0;
                e->sent[e->passed_n].p[e->sent[e->passed_n].n / 2] ^= 0x10;
                hit = true;
            }
            if (!pass(&p->joiner) && !pass(&p->member))
                break;
        }
        join_tick(p->member.join, 1000 + JOIN_TIMEOUT_MS);
        join_tick(p->joiner.join, 1000 + JOIN_TIMEOUT_MS);
        if (hit && !has_sealed) {
            assert_int_equal(p->joiner.takes, 0);
            assert_int_not_equal(p->joiner.err, HSM_OK);
        }
        if (hit)
            assert_int_not_equal(p->member.err, HSM_OK);
        pair_done(p);
        if (!hit)
            break;
        assert_true(at < CHUNKS);
    }
}

/* Bytes behind what a side sends, in the same piece: TLS finds them, at the latest with the piece
 * after them. */
static void extra(void **state)
{
    (void)state;
    struct pair *p = &pair;
    static uint8_t longer[CHUNK_MAX + 32];
    for (unsigned side = 0; side < 2; side++) {
        pair_init(p, &zero, &one);
        struct end *e = side == 0 ? &p->joiner : &p->member;
        for (;;) {
            if (e->passed_n < e->sent_n) {
                const struct chunk *c = &e->sent[e->passed_n++];
                memcpy(longer, c->p, c->n);
                memset(longer + c->n, 0x17, 32);
                join_data(e->other->join, bytes_of(longer, c->n + 32));
            } else if (!pass(e->other) && !pass(e)) {
                break;
            }
        }
        assert_int_equal(p->joiner.takes, 0);
        assert_int_not_equal(p->joiner.err, HSM_OK);
        assert_int_not_equal(p->member.err, HSM_OK);
        pair_done(p);
    }
}

/* What a joiner once sent is worth nothing in another connection. */
static void replayed(void **state)
{
    (void)state;
    struct pair *p = &pair;
    struct end fresh;
    pair_init(p, &zero, &one);
    pump(p);
    assert_int_equal(p->member.grants, 1);
    end_init(&fresh, JOIN_MEMBER, &zero);
    join_start(fresh.join, 0x80000009u, 1000, wall_s());
    for (unsigned i = 0; i < p->joiner.sent_n; i++)
        join_data(fresh.join, bytes_of(p->joiner.sent[i].p, p->joiner.sent[i].n));
    join_closed(fresh.join);
    assert_int_equal(fresh.grants, 0);
    assert_int_equal(fresh.ends, 1);
    end_done(&fresh);
    /* Nor what a member once sent. */
    end_init(&fresh, JOIN_JOINER, &one);
    join_start(fresh.join, 9, 1000, wall_s());
    for (unsigned i = 0; i < p->member.sent_n; i++)
        join_data(fresh.join, bytes_of(p->member.sent[i].p, p->member.sent[i].n));
    join_closed(fresh.join);
    assert_int_equal(fresh.takes, 0);
    end_done(&fresh);
    pair_done(p);
}

static void time_out(void **state)
{
    (void)state;
    struct pair *p = &pair;
    for (unsigned after = 0; after < 3; after++) {
        pair_init(p, &zero, &one);
        for (unsigned i = 0; i < after; i++)
            assert_true(i % 2 == 0 ? pass(&p->joiner) : pass(&p->member));
        join_tick(p->member.join, 999 + JOIN_TIMEOUT_MS);
        join_tick(p->joiner.join, 999 + JOIN_TIMEOUT_MS);
        assert_int_equal(p->member.ends + p->joiner.ends, 0);
        join_tick(p->member.join, 1000 + JOIN_TIMEOUT_MS);
        join_tick(p->joiner.join, 1000 + JOIN_TIMEOUT_MS);
        assert_int_equal(p->member.err, HSM_E_TIMEOUT);
        assert_int_equal(p->joiner.err, HSM_E_TIMEOUT);
        assert_true(p->member.closed && p->joiner.closed);
        pair_done(p);
    }
}

static void too_many_bytes(void **state)
{
    (void)state;
    struct end e;
    uint8_t record[5 + 64] = {0x16, 3, 1, 0, 64}; /* never a whole message */
    static uint8_t zeros[JOIN_RECEIVED_MAX + 1];
    record[5] = 1;
    record[6] = 0x0f;
    end_init(&e, JOIN_MEMBER, &zero);
    join_start(e.join, 0x80000001u, 1000, wall_s());
    join_data(e.join, bytes_of(record, sizeof record));
    join_data(e.join, bytes_of(zeros, sizeof zeros));
    assert_int_equal(e.ends, 1);
    assert_int_not_equal(e.err, HSM_OK);
    assert_int_equal(e.grants, 0);
    end_done(&e);
}

/* ---- a relay with TLS of its own ---- */

static int accept_all(X509_STORE_CTX *store, void *arg)
{
    (void)store;
    (void)arg;
    return 1;
}

struct leg {
    SSL_CTX *ctx;
    SSL *ssl;
    BIO *in, *out;
};

static void leg_init(struct leg *l, const struct join_self *self, bool server)
{
    l->ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
    assert_non_null(l->ctx);
    SSL_CTX_set_verify(l->ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_cert_verify_callback(l->ctx, accept_all, NULL);
    assert_int_equal(SSL_CTX_set_num_tickets(l->ctx, 0), 1);
    assert_int_equal(SSL_CTX_use_certificate(l->ctx, self->id.cert), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(l->ctx, self->id.key), 1);
    l->ssl = SSL_new(l->ctx);
    l->in = BIO_new(BIO_s_mem());
    l->out = BIO_new(BIO_s_mem());
    BIO_set_mem_eof_return(l->in, -1);
    BIO_set_mem_eof_return(l->out, -1);
    SSL_set_bio(l->ssl, l->in, l->out);
    if (server)
        SSL_set_accept_state(l->ssl);
    else
        SSL_set_connect_state(l->ssl);
}

static void leg_done(struct leg *l)
{
    SSL_free(l->ssl);
    SSL_CTX_free(l->ctx);
}

/* Bytes between a leg and its end, both ways. */
static bool leg_run(struct leg *l, struct end *e)
{
    uint8_t buf[CHUNK_MAX];
    bool moved = false;
    int n;
    while (e->passed_n < e->sent_n) {
        const struct chunk *c = &e->sent[e->passed_n++];
        assert_int_equal(BIO_write(l->in, c->p, (int)c->n), (int)c->n);
        moved = true;
    }
    (void)SSL_do_handshake(l->ssl);
    while ((n = BIO_read(l->out, buf, sizeof buf)) > 0) {
        join_data(e->join, bytes_of(buf, (size_t)n));
        moved = true;
    }
    return moved;
}

/* What one leg hears the other one says. */
static bool leg_carry(struct leg *from, struct leg *to)
{
    uint8_t buf[CHUNK_MAX];
    int n = SSL_is_init_finished(from->ssl) && SSL_is_init_finished(to->ssl)
                ? SSL_read(from->ssl, buf, sizeof buf)
                : 0;
    return n > 0 && SSL_write(to->ssl, buf, n) == n;
}

/* The gateway has the program, so its evidence is as good as any; it does not have the key. */
static void man_in_the_middle(void **state)
{
    (void)state;
    struct pair *p = &pair;
    const struct peer_options gateway = {.partition = 2, .admission = 9};
    struct join_self *self = peer_self(&gateway);
    struct leg to_joiner = {0}, to_member = {0};
    pair_init(p, &zero, &one);
    leg_init(&to_joiner, self, true);
    leg_init(&to_member, self, false);
    bool asked = false;
    for (bool moved = true; moved;) {
        moved = leg_run(&to_joiner, &p->joiner);
        moved = leg_run(&to_member, &p->member) || moved;
        if (leg_carry(&to_joiner, &to_member))
            asked = moved = true;
        moved = leg_carry(&to_member, &to_joiner) || moved;
    }
    assert_true(asked); /* TLS itself lets it pass on both sides */
    join_tick(p->joiner.join, 1000 + JOIN_TIMEOUT_MS);
    assert_int_equal(p->member.grants, 0);
    assert_int_equal(p->joiner.takes, 0);
    assert_int_equal(p->member.err, HSM_E_DENIED);
    assert_non_null(strstr(p->member.why, "admission key"));
    assert_int_not_equal(p->joiner.err, HSM_OK);
    leg_done(&to_joiner);
    leg_done(&to_member);
    join_self_free(self);
    pair_done(p);
}

/* A gateway that answers a joiner by itself, with secrets of its own making: they are not taken. */
static void false_member(void **state)
{
    (void)state;
    struct pair *p = &pair;
    static uint8_t frame[JOIN_FRAME_MAX + 8];
    static const uint8_t proof[JOIN_PROOF_LEN];
    const struct join_msg give = {.type = JOIN_GIVE,
                                  .proof = bytes_of(proof, sizeof proof),
                                  .pool = pool_id,
                                  .roots = bytes_of(ROOTS, sizeof ROOTS)};
    struct join_self *self = peer_self(&zero);
    /* Once as such, with bytes behind it, as another message, in an old version. */
    for (unsigned i = 0; i < 4; i++) {
        struct leg leg = {0};
        struct wr w = wr_of(frame, sizeof frame);
        pair_init(p, &zero, &one);
        leg_init(&leg, self, true);
        while (leg_run(&leg, &p->joiner))
            ;
        join_msg_encode(&give, &w);
        w.n += i == 1 ? 1 : 0;
        frame[1] = i == 2 ? JOIN_DONE : frame[1];
        frame[0] = i == 3 ? 2 : frame[0];
        assert_int_equal(SSL_write(leg.ssl, frame, (int)w.n), (int)w.n);
        while (leg_run(&leg, &p->joiner))
            ;
        assert_int_equal(p->joiner.takes, 0);
        assert_int_equal(p->joiner.ends, 1);
        assert_int_equal(p->joiner.err, i == 0 ? HSM_E_DENIED : HSM_E_MALFORMED);
        leg_done(&leg);
        pair_done(p);
    }
    join_self_free(self);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(joins),
        cmocka_unit_test(other_key),
        cmocka_unit_test(other_pool),
        cmocka_unit_test(other_program),
        cmocka_unit_test(same_number),
        cmocka_unit_test(claimed_platform),
        cmocka_unit_test(wrong_clock),
        cmocka_unit_test(truncated),
        cmocka_unit_test(changed),
        cmocka_unit_test(extra),
        cmocka_unit_test(replayed),
        cmocka_unit_test(time_out),
        cmocka_unit_test(false_member),
        cmocka_unit_test(too_many_bytes),
        cmocka_unit_test(man_in_the_middle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
