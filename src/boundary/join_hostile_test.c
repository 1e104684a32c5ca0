/* A gateway that is one end of the TLS connection itself: it has the program, and so its evidence;
 * it does not have the admission key. */
#include "boundary/join_pair_testing.h"

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
        cmocka_unit_test(man_in_the_middle),
        cmocka_unit_test(false_member),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
