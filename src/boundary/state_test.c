/* Records, transactions and what is loaded at the start: nothing damaged, old, swapped, added or
 * left out is believed. */
#include "boundary/boundary_testing.h"

static struct rig rig;

static void make_pool(struct rig *r)
{
    rig_init(r);
    rig_start(r, true);
    rig_serve(r);
    assert_int_equal(rig_activate(r), HSM_OK);
    rig_make_crypto_user(r);
    for (unsigned i = 0; i < 3; i++) {
        char name[8];
        snprintf(name, sizeof name, "k%u", i);
        assert_int_equal(
            RIG_CALL(r, OP_KEY_CREATE, key_create, .name = bytes_str(name), .kty = KTY_OCT),
            HSM_OK);
    }
    assert_int_equal(r->ended, 0);
}

/* ---- sealing ---- */

struct seal_rig {
    struct roots roots;
    struct sealer *sealer;
    struct seal_ctx *sc;
};

static void seal_open(struct seal_rig *s)
{
    assert_int_equal(roots_generate("dev", &s->roots), HSM_OK);
    assert_int_equal(sealer_new(&s->roots, &s->sealer), HSM_OK);
    assert_int_equal(seal_ctx_new(s->sealer, &s->sc), HSM_OK);
}

static void seal_close(struct seal_rig *s)
{
    seal_ctx_free(s->sc);
    sealer_free(s->sealer);
    roots_done(&s->roots);
}

static void sealed_records(void **state)
{
    (void)state;
    struct seal_rig s, other;
    uint8_t rid[RID_LEN], rid2[RID_LEN], buf[512], back[512], copy[512];
    struct opened_record o;
    seal_open(&s);
    seal_open(&other);
    const struct bytes name = bytes_str("a-key"), body = bytes_str("body"),
                       tail = bytes_str("tail");
    assert_int_equal(seal_rid(s.sc, REC_KEY, name, rid), HSM_OK);
    assert_int_equal(seal_rid(s.sc, REC_KEY_VERSION, name, rid2), HSM_OK);
    assert_memory_not_equal(rid, rid2, RID_LEN);
    struct wr w = wr_of(buf, sizeof buf);
    assert_int_equal(seal_record(s.sc, rid, 5, REC_KEY, name, body, tail, &w), HSM_OK);
    assert_int_equal(w.n, SEAL_OVERHEAD + name.n + body.n + tail.n);
    const struct bytes sealed = wr_view(&w);
    assert_int_equal(open_record(s.sc, rid, 5, sealed, back, sizeof back, &o), HSM_OK);
    assert_int_equal(o.kind, REC_KEY);
    assert_true(bytes_eq(o.name, name) && bytes_eq(o.body, body) && bytes_eq(o.tail, tail));
    assert_null(memmem(sealed.p, sealed.n, "a-key", 5));
    /* Another revision, record or pool. */
    assert_int_equal(open_record(s.sc, rid, 6, sealed, back, sizeof back, &o), HSM_E_CORRUPT);
    assert_int_equal(open_record(s.sc, rid2, 5, sealed, back, sizeof back, &o), HSM_E_CORRUPT);
    assert_int_equal(open_record(other.sc, rid, 5, sealed, back, sizeof back, &o), HSM_E_CORRUPT);
    for (size_t i = 0; i < sealed.n * 8; i++) {
        memcpy(copy, sealed.p, sealed.n);
        copy[i / 8] ^= (uint8_t)(1u << i % 8);
        assert_int_equal(open_record(s.sc, rid, 5, bytes_of(copy, sealed.n), back, sizeof back, &o),
                         HSM_E_CORRUPT);
    }
    for (size_t n = 0; n < sealed.n; n++)
        assert_int_equal(open_record(s.sc, rid, 5, bytes_of(sealed.p, n), back, sizeof back, &o),
                         HSM_E_CORRUPT);
    /* A record under the rid of another name: our own seal, but not that record. */
    w = wr_of(buf, sizeof buf);
    assert_int_equal(seal_record(s.sc, rid2, 5, REC_KEY, name, body, tail, &w), HSM_OK);
    assert_int_equal(open_record(s.sc, rid2, 5, wr_view(&w), back, sizeof back, &o), HSM_E_CORRUPT);
    w = wr_of(buf, SEAL_OVERHEAD);
    assert_int_equal(seal_record(s.sc, rid, 5, REC_KEY, name, body, tail, &w), HSM_E_TOO_LARGE);
    seal_close(&s);
    seal_close(&other);
}

static void sealed_private(void **state)
{
    (void)state;
    struct seal_rig s;
    uint8_t rid[RID_LEN] = {1}, rid2[RID_LEN] = {2};
    uint8_t sealed[32 + SEAL_PRIVATE_OVERHEAD], again[sizeof sealed];
    uint8_t plain[32] = "0123456789abcdef0123456789abcde";
    struct secret_buf out;
    seal_open(&s);
    assert_int_equal(seal_private(s.sc, rid, bytes_of(plain, 32), sealed), HSM_OK);
    assert_int_equal(seal_private(s.sc, rid, bytes_of(plain, 32), again), HSM_OK);
    assert_memory_not_equal(sealed, again, sizeof sealed);
    const struct bytes b = bytes_of(sealed, sizeof sealed);
    assert_int_equal(open_private(s.sc, rid, b, &out), HSM_OK);
    assert_memory_equal(out.p, plain, 32);
    secret_buf_done(&out);
    assert_int_equal(open_private(s.sc, rid2, b, &out), HSM_E_CORRUPT);
    for (size_t i = 0; i < sizeof sealed; i++) {
        sealed[i] ^= 0x10;
        assert_int_equal(open_private(s.sc, rid, b, &out), HSM_E_CORRUPT);
        sealed[i] ^= 0x10;
    }
    assert_int_equal(open_private(s.sc, rid, bytes_of(sealed, SEAL_PRIVATE_OVERHEAD), &out),
                     HSM_E_CORRUPT);
    seal_close(&s);
}

/* ---- loading ---- */

static void swap_sealed(struct rig_record *a, struct rig_record *b)
{
    struct rig_record t = *a;
    a->sealed = b->sealed;
    a->n = b->n;
    b->sealed = t.sealed;
    b->n = t.n;
}

static struct rig_record older; /* of record 0, before its last change */

static void flip(struct rig_store *s)
{
    s->rec[1].sealed[s->rec[1].n - 1] ^= 1;
}
static void swap_two(struct rig_store *s)
{
    swap_sealed(&s->rec[1], &s->rec[2]);
}
static void swap_rids(struct rig_store *s)
{
    uint8_t t[32];
    memcpy(t, s->rec[1].rid, 32);
    memcpy(s->rec[1].rid, s->rec[2].rid, 32);
    memcpy(s->rec[2].rid, t, 32);
}
static void leave_out(struct rig_store *s)
{
    free(s->rec[--s->n].sealed);
}
static void twice(struct rig_store *s)
{
    s->rec[s->n] = s->rec[0];
    s->rec[s->n].sealed = malloc(s->rec[0].n);
    memcpy(s->rec[s->n].sealed, s->rec[0].sealed, s->rec[0].n);
    s->n++;
}
static void instead(struct rig_store *s)
{
    leave_out(s);
    twice(s);
}
static void go_back(struct rig_store *s)
{
    struct rig_record *r = rig_find(s, older.rid);
    assert_non_null(r);
    free(r->sealed);
    r->sealed = malloc(older.n);
    memcpy(r->sealed, older.sealed, older.n);
    r->n = older.n;
    r->revision = older.revision;
}
static void other_revision(struct rig_store *s)
{
    s->rec[0].revision++;
}
static void far_revision(struct rig_store *s)
{
    s->rec[0].revision += 1000000;
}
static void other_digest(struct rig_store *s)
{
    s->digest[50] ^= 1;
}
static void digest_mac(struct rig_store *s)
{
    s->digest[s->digest_n - 1] ^= 1;
}
static void no_digest(struct rig_store *s)
{
    s->digest_n = 0;
}
static void other_index(struct rig_store *s)
{
    s->index--;
}
static void only_digest(struct rig_store *s)
{
    while (s->n > 0)
        leave_out(s);
}
static void sealed_is_gone(struct rig_store *s)
{
    s->rec[0].n = 0;
}

static void keep_older(struct rig *r)
{
    uint8_t rid[RID_LEN];
    assert_int_equal(seal_rid(r->b->control.sc, REC_KEY, bytes_str("k1"), rid), HSM_OK);
    struct rig_record *rec = rig_find(r->store, rid);
    assert_non_null(rec);
    older = *rec;
    older.sealed = malloc(rec->n);
    memcpy(older.sealed, rec->sealed, rec->n);
    assert_int_equal(RIG_CALL(r, OP_KEY_DELETE, key_name, .name = bytes_str("k1")), HSM_OK);
}

static struct rig_store *store_copy(const struct rig_store *s)
{
    struct rig_store *c = malloc(sizeof *c);
    *c = *s;
    for (size_t i = 0; i < c->n; i++) {
        c->rec[i].sealed = malloc(s->rec[i].n);
        memcpy(c->rec[i].sealed, s->rec[i].sealed, s->rec[i].n);
    }
    return c;
}

static void damaged_store(void **state)
{
    (void)state;
    struct rig *r = &rig;
    static void (*const damage[])(struct rig_store *) = {
        flip,       swap_two,  swap_rids,      leave_out,    twice,
        instead,    go_back,   other_revision, far_revision, other_digest,
        digest_mac, no_digest, other_index,    only_digest,  sealed_is_gone,
    };
    make_pool(r);
    keep_older(r);
    rig_stop(r);
    for (size_t i = 0; i < sizeof damage / sizeof damage[0]; i++) {
        struct rig_store *good = r->store;
        r->store = store_copy(good);
        damage[i](r->store);
        rig_start(r, false);
        rig_serve(r);
        if (r->loaded_err != HSM_E_CORRUPT || r->loaded_detail[0] == 0)
            fail_msg("damage %zu: %s", i, hsm_err_name(r->loaded_err));
        assert_int_equal(boundary_phase(r->b), PHASE_REFUSED);
        rig_stop(r);
        rig_store_clear(r->store);
        free(r->store);
        r->store = good;
    }
    /* Undamaged it loads. */
    rig_start(r, false);
    rig_serve(r);
    assert_int_equal(r->loaded_err, HSM_OK);
    assert_int_equal(RIG_CALL(r, OP_DELETED_GET, key_name, .name = bytes_str("k1")), HSM_OK);
    free(older.sealed);
    rig_done(r);
}

static void wrong_owner(void **state)
{
    (void)state;
    struct rig *r = &rig;
    make_pool(r);
    rig_stop(r);
    /* A boundary with new secrets, and one whose pool.json is of another pool. */
    rig_start(r, true);
    rig_serve(r);
    assert_int_equal(r->loaded_err, HSM_E_CORRUPT);
    rig_stop(r);
    char *name = strstr(r->pool_json, "\"dev\"");
    memcpy(name, "\"ved\"", 5);
    rig_start(r, false);
    rig_serve(r);
    assert_int_equal(r->loaded_err, HSM_E_CORRUPT);
    rig_done(r);
}

/* The seal was written, but the genesis never committed: it is proposed again. */
static void genesis_again(void **state)
{
    (void)state;
    struct rig *r = &rig;
    rig_init(r);
    rig_start(r, true);
    r->on_txn = TXN_KEEP;
    rig_serve(r);
    assert_int_equal(r->proposals, 1);
    uint8_t *first = malloc(r->kept_n);
    size_t first_n = r->kept_n;
    memcpy(first, r->kept, first_n);
    rig_stop(r);
    rig_start(r, false);
    rig_serve(r);
    assert_int_equal(r->proposals, 2);
    /* The log had the first one after all; the second loses. */
    rig_commit(r, bytes_of(first, first_n));
    rig_settle(r);
    size_t records = r->store->n;
    rig_commit(r, bytes_of(r->kept, r->kept_n));
    rig_settle(r);
    assert_int_equal(r->ended, 0);
    assert_int_equal(r->store->n, records);
    r->on_txn = TXN_COMMIT;
    assert_int_equal(rig_activate(r), HSM_OK);
    free(first);
    rig_done(r);
}

/* The commit fails at first: the boundary tries again by itself. */
static void genesis_retried(void **state)
{
    (void)state;
    struct rig *r = &rig;
    rig_init(r);
    rig_start(r, true);
    r->on_txn = TXN_FAIL;
    r->fail_with = HSM_E_UNAVAILABLE;
    rig_serve(r);
    assert_false(r->b->state->has_pool);
    r->on_txn = TXN_COMMIT;
    r->b->next_genesis_us = 0;
    rig_settle(r);
    assert_true(r->b->state->has_pool);
    rig_done(r);
}

/* ---- committed transactions ---- */

static int apply(struct rig *r, uint64_t index, unsigned accepted, struct bytes txn)
{
    RIG_CONTROL(r, CTL_APPLY, apply, .index = index, .accepted = (uint8_t)accepted, .txn = txn);
    uint64_t before = r->store->index;
    r->store->index = index;
    rig_settle(r);
    r->store->index = before;
    int ended = r->ended;
    atomic_store(&r->b->ended, 0);
    r->ended = 0;
    return ended;
}

static void lying_gateway(void **state)
{
    (void)state;
    struct rig *r = &rig;
    const int alarm = EXIT_INTEGRITY + 1;
    make_pool(r);
    r->on_txn = TXN_KEEP;
    uint8_t body[64], txn[4096];
    struct wr w = wr_of(body, sizeof body);
    const struct wire_key_name m = {.name = bytes_str("k2")};
    wire_key_name_put(&w, &m);
    (void)rig_post(r, 1, OP_KEY_DELETE, rig_token_of(r, RIG_ADMIN, 60), wr_view(&w));
    rig_settle(r);
    size_t n = r->kept_n;
    memcpy(txn, r->kept, n);
    uint64_t index = r->store->index;
    /* Another verdict; an index that was there; damage anywhere; cut off. */
    assert_int_equal(apply(r, index + 1, 0, bytes_of(txn, n)), alarm);
    assert_int_equal(apply(r, index + 1, 2, bytes_of(txn, n)), alarm);
    assert_int_equal(apply(r, index, 1, bytes_of(txn, n)), alarm);
    for (size_t i = 0; i < n; i++) {
        txn[i] ^= 1;
        assert_int_equal(apply(r, index + 1, 1, bytes_of(txn, n)), alarm);
        txn[i] ^= 1;
    }
    for (size_t k = 0; k < n; k += 7)
        assert_int_equal(apply(r, index + 1, 1, bytes_of(txn, k)), alarm);
    assert_int_equal(r->b->state->deleted.n, 0);
    assert_int_equal(r->b->state->index, index);
    /* It was good all along. */
    assert_int_equal(apply(r, index + 1, 1, bytes_of(txn, n)), 0);
    assert_int_equal(r->b->state->deleted.n, 1);
    /* Once more, under a new index: stale now, so accepting it is a lie. */
    assert_int_equal(apply(r, index + 2, 1, bytes_of(txn, n)), alarm);
    assert_int_equal(apply(r, index + 2, 0, bytes_of(txn, n)), 0);
    r->store->index = index + 2;
    rig_done(r);
}

/* What once created a since removed record cannot bring it back. */
static void no_resurrection(void **state)
{
    (void)state;
    struct rig *r = &rig;
    make_pool(r);
    assert_int_equal(
        RIG_CALL(r, OP_KEY_CREATE, key_create, .name = bytes_str("ghost"), .kty = KTY_OCT), HSM_OK);
    size_t n = r->kept_n;
    uint8_t *create = malloc(n);
    memcpy(create, r->kept, n);
    assert_int_equal(RIG_CALL(r, OP_KEY_DELETE, key_name, .name = bytes_str("ghost")), HSM_OK);
    assert_int_equal(RIG_CALL(r, OP_KEY_PURGE, key_name, .name = bytes_str("ghost")), HSM_OK);
    assert_int_equal(r->b->state->floor, r->store->floor);
    assert_int_equal(apply(r, r->store->index + 1, 1, bytes_of(create, n)), EXIT_INTEGRITY + 1);
    rig_commit(r, bytes_of(create, n)); /* the store refuses it by the same rule */
    rig_settle(r);
    assert_int_equal(r->ended, 0);
    assert_int_equal(RIG_CALL(r, OP_KEY_GET, key_ref, .name = bytes_str("ghost")),
                     HSM_E_KEY_NOT_FOUND);
    free(create);
    rig_done(r);
}

/* The digest does not depend on the way to a state: after a restart it is the same. */
static void digest_is_of_the_state(void **state)
{
    (void)state;
    struct rig *r = &rig;
    uint8_t sum[32];
    make_pool(r);
    assert_int_equal(RIG_CALL(r, OP_KEY_DELETE, key_name, .name = bytes_str("k0")), HSM_OK);
    assert_int_equal(RIG_CALL(r, OP_KEY_PURGE, key_name, .name = bytes_str("k0")), HSM_OK);
    memcpy(sum, r->b->state->sum, 32);
    uint64_t floor = r->b->state->floor, max = r->b->state->max_revision;
    rig_stop(r);
    rig_start(r, false);
    rig_serve(r);
    assert_int_equal(r->loaded_err, HSM_OK);
    assert_memory_equal(r->b->state->sum, sum, 32);
    assert_int_equal(r->b->state->floor, floor);
    assert_int_equal(r->b->state->max_revision, max);
    assert_true(state_new_revision(r->b->state) > max);
    rig_done(r);
}

/* ---- containers ---- */

static void record_table_random(void **state)
{
    (void)state;
    struct record_table t = {0};
    static uint8_t rids[3000][RID_LEN];
    static bool in[3000];
    memset(in, 0, sizeof in);
    unsigned seed = 1;
    for (unsigned i = 0; i < 3000; i++)
        for (unsigned k = 0; k < RID_LEN; k++) {
            seed = seed * 1103515245u + 12345u;
            rids[i][k] = (uint8_t)(seed >> 16);
        }
    /* Many with the same home slot. */
    for (unsigned i = 0; i < 300; i++)
        memset(rids[i], 0xff, 8);
    for (unsigned step = 0; step < 60000; step++) {
        seed = seed * 1103515245u + 12345u;
        unsigned i = (seed >> 8) % 3000;
        struct record *r = record_find(&t, rids[i]);
        assert_true((r != NULL) == in[i]);
        if (r != NULL) {
            record_remove(&t, r);
        } else {
            assert_int_equal(record_reserve(&t, 1), HSM_OK);
            (void)record_insert(&t, rids[i]);
        }
        in[i] = !in[i];
    }
    size_t n = 0;
    for (unsigned i = 0; i < 3000; i++) {
        assert_true((record_find(&t, rids[i]) != NULL) == in[i]);
        n += in[i];
    }
    assert_int_equal(t.n, n);
    record_table_done(&t);
}

static void key_index_order(void **state)
{
    (void)state;
    struct key_index x = {0};
    struct key *keys[1000];
    char name[16];
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "%s-%u", i % 2 == 0 ? "KEY" : "key", i * 7919u % 1000u);
        assert_int_equal(key_new(&x, bytes_str(name), &keys[i]), HSM_OK);
        assert_null(key_index_find(&x, bytes_str(name)));
        key_index_insert(&x, keys[i]);
    }
    assert_int_equal(x.n, 1000);
    char last[128] = "", lower[128];
    unsigned n = 0;
    for (struct key *k = key_index_after(&x, bytes_str("")); k != NULL; k = k->next[0], n++) {
        (void)key_canonical(key_display(k), lower);
        assert_true(strcmp(last, lower) < 0);
        memcpy(last, lower, sizeof last);
    }
    assert_int_equal(n, 1000);
    assert_ptr_equal(key_index_find(&x, bytes_str("kEy-13")),
                     key_index_find(&x, bytes_str("KEY-13")));
    assert_non_null(key_index_find(&x, bytes_str("key-13")));
    for (unsigned i = 0; i < 1000; i++) {
        key_index_remove(&x, keys[i]);
        assert_null(key_index_find(&x, key_display(keys[i])));
        key_free(keys[i]);
    }
    assert_null(x.head[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sealed_records),         cmocka_unit_test(sealed_private),
        cmocka_unit_test(damaged_store),          cmocka_unit_test(wrong_owner),
        cmocka_unit_test(genesis_again),          cmocka_unit_test(genesis_retried),
        cmocka_unit_test(lying_gateway),          cmocka_unit_test(no_resurrection),
        cmocka_unit_test(digest_is_of_the_state), cmocka_unit_test(record_table_random),
        cmocka_unit_test(key_index_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
