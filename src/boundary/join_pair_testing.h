/* The two ends of a join connection, and what each of them sent, gave, took and said at its end. */
#ifndef BOUNDARY_JOIN_PAIR_TESTING_H
#define BOUNDARY_JOIN_PAIR_TESTING_H

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

static inline void on_data(void *ctx, uint32_t conn, struct bytes b)
{
    struct end *e = (struct end *)ctx;
    assert_int_equal(conn, join_conn(e->join));
    assert_true(e->sent_n < CHUNKS && b.n <= CHUNK_MAX);
    struct chunk *c = &e->sent[e->sent_n++];
    *c = (struct chunk){.p = malloc(b.n), .n = b.n};
    memcpy(c->p, b.p, b.n);
}

static inline void on_close(void *ctx, uint32_t conn)
{
    (void)conn;
    ((struct end *)ctx)->closed = true;
}

static inline hsm_err on_grant(void *ctx, const struct evidence *peer, struct uuid *ret_pool,
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

static inline hsm_err on_take(void *ctx, const struct uuid *pool, struct bytes roots,
                              const char **why)
{
    struct end *e = (struct end *)ctx;
    (void)why;
    e->takes++;
    e->pool = *pool;
    assert_true(bytes_eq(roots, bytes_of(ROOTS, sizeof ROOTS)));
    return HSM_OK;
}

static inline void on_ended(void *ctx, hsm_err err, const char *why)
{
    struct end *e = (struct end *)ctx;
    e->ends++;
    e->err = err;
    snprintf(e->why, sizeof e->why, "%s", why);
}

/* ---- pairs ---- */

/* Instead of on_grant() and on_take(). */
static hsm_err (*pair_grant)(void *, const struct evidence *, struct uuid *, struct secret_buf *,
                             enum join_reason *) = on_grant;
static hsm_err (*pair_take)(void *, const struct uuid *, struct bytes, const char **) = on_take;

static inline void end_init(struct end *e, enum join_role role, const struct peer_options *o)
{
    const struct join_hooks hooks = {.ctx = e,
                                     .data = on_data,
                                     .close = on_close,
                                     .grant = pair_grant,
                                     .take = pair_take,
                                     .ended = on_ended};
    *e = (struct end){.self = peer_self(o)};
    assert_int_equal(join_new(e->self, role, &hooks, &e->join), HSM_OK);
}

static inline void end_done(struct end *e)
{
    join_free(e->join);
    join_self_free(e->self);
    for (unsigned i = 0; i < e->sent_n; i++)
        free(e->sent[i].p);
}

static inline uint64_t wall_s(void)
{
    return (uint64_t)time(NULL);
}

static inline void pair_init(struct pair *p, const struct peer_options *member,
                             const struct peer_options *joiner)
{
    end_init(&p->member, JOIN_MEMBER, member);
    end_init(&p->joiner, JOIN_JOINER, joiner);
    p->member.other = &p->joiner;
    p->joiner.other = &p->member;
    join_start(p->member.join, 0x80000001u, 1000, wall_s());
    join_start(p->joiner.join, 1, 1000, wall_s());
}

static inline void pair_done(struct pair *p)
{
    end_done(&p->member);
    end_done(&p->joiner);
}

/* One chunk of e to the other end. */
static inline bool pass(struct end *e)
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

static inline void pump(struct pair *p)
{
    while (pass(&p->joiner) || pass(&p->member))
        ;
}

static const struct peer_options zero = {.partition = 0}, one = {.partition = 1};

#endif
