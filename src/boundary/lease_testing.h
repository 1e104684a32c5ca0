/* For the tests of leases: gateways that play the leader's part, by hand or by themselves, a clock
 * that only moves when it is told to, and one log for the rigs of a pool. */
#ifndef BOUNDARY_LEASE_TESTING_H
#define BOUNDARY_LEASE_TESTING_H

#include "boundary/boundary_testing.h"

#define POOL_MAX 3u
#define LOG_MAX  64u

struct member {
    struct rig rig; /* first: hooks get it */
    unsigned wants;
    struct uuid nonce; /* of the newest question */
    unsigned proofs;
    struct wire_lease_proof proof;
    uint8_t mac[32];
    size_t given; /* of the log */
};
static struct member pool[POOL_MAX];
static struct rig *const one = &pool[0].rig;

/* Transactions in their order, with the verdict of the store. */
static struct {
    uint8_t *txn;
    size_t n;
    bool accepted;
    uint64_t index;
} pool_log[LOG_MAX];
static size_t pool_log_n;
static bool by_itself;     /* questions are answered, what commits is released */
static bool commits_apply; /* a proposal is in the log at once, and given to its maker */

/* ---- the clock of leases ---- */

static uint64_t lease_now_us;
static unsigned clock_calls, clock_hook_at; /* at that call */
static void (*clock_hook)(void);

static uint64_t lease_test_clock(void)
{
    if (++clock_calls == clock_hook_at && clock_hook != NULL)
        clock_hook();
    return lease_now_us;
}

static inline void pass_ms(unsigned ms)
{
    lease_now_us += ms * (uint64_t)1000;
}

/* ---- the leader's gateway ---- */

static inline struct member *member_of(struct rig *r)
{
    return (struct member *)(void *)r;
}

static inline void sign_for(struct rig *leader, const struct uuid *nonce, uint64_t index)
{
    RIG_CONTROL(leader, CTL_LEASE_SIGN, lease_sign, .nonce = *nonce, .index = index);
    rig_settle(leader);
}

static inline void grant(struct rig *r, const struct wire_lease_proof *p)
{
    RIG_CONTROL(r, CTL_LEASE_GRANT, lease_proof, .nonce = p->nonce, .index = p->index,
                .mac = p->mac);
    rig_settle(r);
}

/* Whatever was asked last is answered by leader. */
static inline void lease_from(struct rig *leader, struct rig *r)
{
    struct member *m = member_of(leader);
    unsigned was = m->proofs;
    sign_for(leader, &member_of(r)->nonce, leader->b->state->index);
    assert_int_equal(m->proofs, was + 1);
    grant(r, &m->proof);
}

static inline void on_lease_control(struct rig *r, const struct ring_frame *f)
{
    struct member *m = member_of(r);
    struct wire_lease_want want;
    if (f->type == CTL_LEASE_WANT) {
        assert_int_equal(wire_lease_want_decode(f->payload, &want), HSM_OK);
        m->wants++;
        m->nonce = want.nonce;
        if (by_itself)
            RIG_CONTROL(r, CTL_LEASE_SIGN, lease_sign, .nonce = want.nonce,
                        .index = r->b->state->index);
        return;
    }
    assert_int_equal(f->type, CTL_LEASE_PROOF);
    assert_int_equal(wire_lease_proof_decode(f->payload, &m->proof), HSM_OK);
    assert_int_equal(m->proof.mac.n, sizeof m->mac);
    memcpy(m->mac, m->proof.mac.p, sizeof m->mac);
    m->proof.mac = bytes_of(m->mac, sizeof m->mac);
    m->proofs++;
    if (by_itself)
        RIG_CONTROL(r, CTL_LEASE_GRANT, lease_proof, .nonce = m->proof.nonce,
                    .index = m->proof.index, .mac = m->proof.mac);
}

/* ---- the log ---- */

static inline void log_give(struct rig *r)
{
    struct member *m = member_of(r);
    for (; m->given < pool_log_n; m->given++) {
        RIG_CONTROL(r, CTL_APPLY, apply, .index = pool_log[m->given].index,
                    .accepted = pool_log[m->given].accepted ? 1 : 0,
                    .txn = bytes_of(pool_log[m->given].txn, pool_log[m->given].n));
    }
}

static inline void log_settle(struct rig *r)
{
    log_give(r);
    rig_settle(r);
}

static inline void release(struct rig *r, uint64_t index)
{
    RIG_CONTROL(r, CTL_RELEASED, released, .index = index);
    rig_settle(r);
}

static inline void on_log_proposal(struct rig *r, struct bytes txn)
{
    struct wire_txn t;
    assert_int_equal(wire_txn_decode(txn, &t), HSM_OK);
    assert_true(pool_log_n < LOG_MAX);
    bool ok = rig_judge(r->store, t.ops);
    if (ok)
        rig_store_apply(r->store, t.ops);
    uint8_t *copy = malloc(txn.n);
    memcpy(copy, txn.p, txn.n);
    pool_log[pool_log_n].txn = copy;
    pool_log[pool_log_n].n = txn.n;
    pool_log[pool_log_n].accepted = ok;
    pool_log[pool_log_n++].index = ++r->store->index;
    if (by_itself)
        RIG_CONTROL(r, CTL_RELEASED, released, .index = r->store->index);
    if (commits_apply)
        log_give(r);
}

/* ---- members ---- */

static inline void member_init(unsigned i)
{
    struct member *m = &pool[i];
    *m = (struct member){0};
    rig_init(&m->rig);
    m->rig.partition = i;
    m->rig.needs_lease = true;
    m->rig.on_txn = TXN_KEEP;
    m->rig.on_control = on_lease_control;
    m->rig.on_proposal = on_log_proposal;
}

static inline void member_start(unsigned i)
{
    rig_start(&pool[i].rig, i == 0);
    pool[i].rig.b->lease.clock = lease_test_clock;
    rig_serve(&pool[i].rig);
    assert_int_equal(pool[i].rig.ended, 0);
}

/* The first partition, with an active pool and a key "k"; it lives from here on by hand. */
static inline void pool_begin(void)
{
    lease_now_us = 1000000000;
    clock_hook_at = 0;
    rig_clock_ahead_s = 0;
    by_itself = commits_apply = true;
    member_init(0);
    member_start(0);
    assert_int_equal(rig_activate(one), HSM_OK);
    rig_make_crypto_user(one);
    assert_int_equal(RIG_CALL(one, OP_KEY_CREATE, key_create, .name = bytes_str("k"), .kty = KTY_EC,
                              .crv = CRV_P256),
                     HSM_OK);
    by_itself = false;
}

/* Another one: it has the root secrets, and a copy of the store as it is now. */
static inline struct rig *pool_join(unsigned i)
{
    member_init(i);
    struct rig *r = &pool[i].rig;
    rig_store_clear(r->store);
    free(r->store);
    r->store = one->store;
    memcpy(r->pool_json, one->pool_json, sizeof r->pool_json);
    net_use_cert(&r->net, one->cert, one->tls_key);
    secret_buf_done(&r->roots_text);
    assert_int_equal(roots_encode(&one->roots, &r->roots_text), HSM_OK);
    pool[i].given = pool_log_n;
    member_start(i);
    release(r, r->store->index);
    return r;
}

static inline void pool_end(void)
{
    for (unsigned i = POOL_MAX; i-- > 0;) {
        if (pool[i].rig.store == NULL)
            continue;
        assert_int_equal(pool[i].rig.ended, 0);
        if (i > 0)
            pool[i].rig.store = calloc(1, sizeof *one->store);
        rig_done(&pool[i].rig);
        pool[i] = (struct member){0};
    }
    while (pool_log_n > 0)
        free(pool_log[--pool_log_n].txn);
}

/* ---- clients ---- */

/* As the administrator, without waiting for the answer. */
#define POST(r, type, name, ...)                                                                   \
    ({                                                                                             \
        const struct wire_##name m_ = {__VA_ARGS__};                                               \
        static uint8_t body_[1000];                                                                \
        struct wr w_ = wr_of(body_, sizeof body_);                                                 \
        wire_##name##_put(&w_, &m_);                                                               \
        assert_int_equal(wr_ok(&w_), HSM_OK);                                                      \
        uint64_t id_ = rig_post((r), 1, (type), rig_token_of((r), RIG_ADMIN, 3600), wr_view(&w_)); \
        rig_settle(r);                                                                             \
        id_;                                                                                       \
    })
#define POST_GET(r) POST((r), OP_KEY_GET, key_ref, .name = bytes_str("k"))
#define POST_CREATE(r, n)                                                                          \
    POST((r), OP_KEY_CREATE, key_create, .name = bytes_str(n), .kty = KTY_EC, .crv = CRV_P256)

static inline void expect_answer(struct rig *r, hsm_err err)
{
    assert_true(r->answer.there);
    assert_int_equal(r->answer.err, err);
}

#endif
