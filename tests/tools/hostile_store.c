/* hostile_store BOUNDARY: a gateway that lies about what is stored, against the real boundary
 * program: changed, old, foreign, missing and repeated transactions and records.
 *
 * Nothing of it is ever served. KEYHOLD_SEED, KEYHOLD_VERBOSE: see hostile_gateway.c. */
#include "hostile.h"

/* ---- transactions ---- */

static void apply(struct rig *r, uint64_t index, unsigned accepted, struct bytes txn)
{
    RIG_CONTROL(r, CTL_APPLY, apply, .index = index, .accepted = (uint8_t)accepted, .txn = txn);
}

/* A transaction of the past once more. The true verdict is "no"; then it changes nothing. */
static void replayed_transactions(void **state)
{
    (void)state;
    for (unsigned i = 0; i < world.history_n; i++) {
        struct rig *r = serve_store(&world.whole);
        apply(r, ++r->store->index, 1, past(i));
        must_end(r, EXIT_INTEGRITY);
    }
    struct rig *r = serve_store(&world.whole);
    for (unsigned i = 0; i < world.history_n; i++)
        apply(r, ++r->store->index, 0, past(i));
    must_serve(r);
    assert_int_equal(sign_as(r, BOB), HSM_E_DENIED);
    assert_int_equal(RIG_CALL(r, OP_KEY_GET, key_ref, .name = bytes_str("doomed")),
                     HSM_E_KEY_NOT_FOUND);
    stop_boundary(r);
    honest_pair_works();
}

/* Start with a store (the gateway can do that at any time), and let nothing of the boundary's own
 * commit. */
static struct rig *serve_silently(const struct rig_store *s)
{
    struct rig *r = &world.rig;
    copy_store(r->store, s);
    start_boundary(r);
    r->on_txn = TXN_KEEP;
    hello(r);
    unsigned was = r->loaded;
    rig_load_store(r);
    rig_until(r, &r->loaded, was);
    assert_int_equal(r->loaded_err, HSM_OK);
    RIG_CONTROL(r, CTL_AUDIT_RESUME, audit_resume, .seq = 0);
    rig_settle(r);
    return r;
}

/* The past from one transaction on, in order, but without one of them. */
static void give_past(struct rig *r, unsigned from, unsigned without)
{
    for (unsigned at = from; at < world.history_n && r->ended == 0; at++) {
        struct wire_txn t;
        if (at == without)
            continue;
        assert_int_equal(wire_txn_decode(past(at), &t), HSM_OK);
        bool ok = rig_judge(r->store, t.ops);
        if (ok)
            rig_store_apply(r->store, t.ops);
        apply(r, ++r->store->index, ok ? 1 : 0, past(at));
        usleep(2000);
        rig_settle(r);
    }
    r->on_txn = TXN_COMMIT;
}

/* An older store, and then what followed, but not what took bob's right. */
static void history_with_a_hole(void **state)
{
    (void)state;
    static const struct rig_store empty;
    for (unsigned from_start = 0; from_start < 2; from_start++) {
        struct rig *r = serve_silently(from_start == 1 ? &empty : &world.before);
        give_past(r, from_start == 1 ? 0 : world.before_n, world.role_taken);
        if (r->ended == 0 && sign_as(r, BOB) == HSM_OK)
            fail_msg("a right that was taken back is there beside what came after");
        must_end(r, EXIT_INTEGRITY);
    }
    for (unsigned at = 1; at + 1 < world.history_n; at++) {
        struct rig *r = serve_silently(&empty);
        give_past(r, 0, at);
        must_end(r, EXIT_INTEGRITY);
    }
    /* with nothing left out it is the pool again */
    for (unsigned from_start = 0; from_start < 2; from_start++) {
        struct rig *r = serve_silently(from_start == 1 ? &empty : &world.before);
        give_past(r, from_start == 1 ? 0 : world.before_n, HISTORY_MAX);
        must_serve(r);
        assert_int_equal(sign_as(r, BOB), HSM_E_DENIED);
        stop_boundary(r);
    }
    honest_pair_works();
}

static void flipped_verdicts(void **state)
{
    (void)state;
    struct rig *r = serve_store(&world.whole);
    r->on_txn = TXN_KEEP;
    uint8_t body[200];
    const struct wire_key_create m = {.name = bytes_str("flip"), .kty = KTY_OCT};
    struct wr w = wr_of(body, sizeof body);
    wire_key_create_put(&w, &m);
    unsigned was = r->proposals;
    (void)rig_post(r, 1, OP_KEY_CREATE, rig_token_of(r, RIG_ADMIN, 3600), wr_view(&w));
    rig_until(r, &r->proposals, was);
    apply(r, ++r->store->index, 0, bytes_of(r->kept, r->kept_n));
    r->on_txn = TXN_COMMIT;
    never_answered(r, EXIT_INTEGRITY);
    r = serve_store(&world.whole);
    apply(r, r->store->index + 1, 2, past(0));
    must_end(r, EXIT_INTEGRITY);
    honest_pair_works();
}

static void indices_go_back(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        struct rig *r = serve_store(&world.whole);
        uint64_t index = i == 0 ? r->store->index : i == 1 ? r->store->index - 1 : 0;
        apply(r, index, 0, past(1));
        must_end(r, EXIT_INTEGRITY);
    }
    honest_pair_works();
}

/* One bit anywhere in a transaction that would be accepted. */
static void tampered_transactions(void **state)
{
    (void)state;
    struct bytes t = past(world.before_n);
    static uint8_t copy[RING_FRAME_MAX];
    for (unsigned i = 0; i < 24; i++) {
        struct rig *r = serve_store(&world.before);
        memcpy(copy, t.p, t.n);
        size_t at = i == 0 ? t.n - 1 : dice_below((unsigned)t.n);
        copy[at] ^= (uint8_t)(1u << dice_below(8));
        apply(r, ++r->store->index, 1, bytes_of(copy, t.n));
        must_end(r, EXIT_INTEGRITY);
    }
    struct rig *r = serve_store(&world.before);
    apply(r, ++r->store->index, 1, bytes_of(t.p, t.n - 1));
    must_end(r, EXIT_INTEGRITY);
    honest_pair_works();
}

/* ---- loading ---- */

static void refused_load(struct rig_store *s, const char *what)
{
    struct rig *r = &world.rig;
    rig_store_clear(r->store);
    *r->store = *s;
    *s = (struct rig_store){0};
    start_boundary(r);
    rig_serve(r);
    if (r->loaded_err != HSM_E_CORRUPT)
        fail_msg("%s: loaded with %s", what, hsm_err_name((hsm_err)r->loaded_err));
    assert_true(r->loaded_detail[0] != 0);
    if (r->ended == 0) /* else the records behind a refused LOAD_BEGIN ended it */
        send_get(r, 1);
    never_answered(r, EXIT_PROTOCOL);
}

static void swap_records(struct rig_record *a, struct rig_record *b, bool with_revision)
{
    struct rig_record t = *a;
    a->sealed = b->sealed;
    a->n = b->n;
    b->sealed = t.sealed;
    b->n = t.n;
    if (with_revision) {
        a->revision = b->revision;
        b->revision = t.revision;
    }
}

/* A record that both days have, in different revisions. */
static struct rig_record *changed_record(struct rig_store *s, struct rig_record **ret_old)
{
    for (size_t i = 0; i < s->n; i++) {
        struct rig_record *old = rig_find(&world.before, s->rec[i].rid);
        if (old != NULL && old->revision != s->rec[i].revision) {
            *ret_old = old;
            return &s->rec[i];
        }
    }
    fail_msg("no record changed");
    return NULL;
}

static void put_sealed(struct rig_record *r, const struct rig_record *from)
{
    free(r->sealed);
    r->sealed = malloc(from->n);
    assert_non_null(r->sealed);
    memcpy(r->sealed, from->sealed, from->n);
    r->n = from->n;
}

static void damaged_records(void **state)
{
    (void)state;
    static struct rig_store s;
    for (unsigned i = 0; i < 12; i++) {
        copy_store(&s, &world.whole);
        struct rig_record *r = &s.rec[dice_below((unsigned)s.n)];
        r->sealed[dice_below((unsigned)r->n)] ^= (uint8_t)(1u << dice_below(8));
        refused_load(&s, "a flipped bit");
    }
    copy_store(&s, &world.whole);
    free(s.rec[0].sealed);
    s.rec[0] = s.rec[--s.n];
    refused_load(&s, "a missing record");
    copy_store(&s, &world.whole);
    s.rec[1].n--;
    refused_load(&s, "a cut record");
    copy_store(&s, &world.whole);
    swap_records(&s.rec[0], &s.rec[1], false);
    refused_load(&s, "swapped bytes");
    copy_store(&s, &world.whole);
    swap_records(&s.rec[0], &s.rec[1], true);
    refused_load(&s, "swapped record ids");
    copy_store(&s, &world.whole);
    memcpy(s.rec[0].rid, s.rec[1].rid, 32);
    refused_load(&s, "a record twice");
    honest_pair_works();
}

static void older_records(void **state)
{
    (void)state;
    static struct rig_store s;
    struct rig_record *old = NULL, *r;
    copy_store(&s, &world.whole);
    r = changed_record(&s, &old);
    put_sealed(r, old);
    refused_load(&s, "old bytes, new revision");
    copy_store(&s, &world.whole);
    r = changed_record(&s, &old);
    put_sealed(r, old);
    r->revision = old->revision;
    refused_load(&s, "an old record among new ones");
    copy_store(&s, &world.whole);
    for (size_t i = 0; i < world.before.n; i++) {
        if (rig_find(&s, world.before.rec[i].rid) != NULL)
            continue;
        struct rig_record *more = &s.rec[s.n++];
        *more = world.before.rec[i];
        more->sealed = NULL;
        put_sealed(more, &world.before.rec[i]);
    }
    assert_true(s.n > world.whole.n);
    refused_load(&s, "removed records brought back");
    copy_store(&s, &world.whole);
    memcpy(s.digest, world.before.digest, world.before.digest_n);
    refused_load(&s, "an old digest");
    copy_store(&s, &world.before);
    memcpy(s.digest, world.whole.digest, world.whole.digest_n);
    s.index = world.whole.index;
    refused_load(&s, "old records, new digest");
    copy_store(&s, &world.before);
    s.index++;
    refused_load(&s, "another index");
    copy_store(&s, &world.whole);
    s.digest_n = 0;
    refused_load(&s, "no digest");
    copy_store(&s, &world.whole);
    s.digest_n = 0;
    s.index = 0;
    refused_load(&s, "records without a digest at index 0");
    for (unsigned i = 0; i < 8; i++) {
        copy_store(&s, &world.whole);
        s.digest[dice_below((unsigned)s.digest_n)] ^= (uint8_t)(1u << dice_below(8));
        refused_load(&s, "a flipped bit in the digest");
    }
    honest_pair_works();
}

/* Another pool of the same name: its boundary has other secrets. */
static void records_of_another_pool(void **state)
{
    (void)state;
    if (IN_THREAD)
        skip(); /* secrets are the rig's there */
    static struct rig_store s;
    char keep[2][260], away[2][260];
    static const char *const names[] = {"seal", "seal.key"};
    struct rig *r = &world.rig;
    copy_store(&s, &world.whole);
    for (unsigned i = 0; i < 2; i++) {
        snprintf(keep[i], sizeof keep[i], "%s/%s", world.dir, names[i]);
        snprintf(away[i], sizeof away[i], "%s/%s.away", world.dir, names[i]);
        assert_int_equal(rename(keep[i], away[i]), 0);
    }
    rig_store_clear(r->store);
    *r->store = s;
    start_boundary(r);
    rig_serve(r);
    assert_int_equal(r->loaded_err, HSM_E_CORRUPT);
    stop_boundary(r);
    rig_store_clear(r->store);
    start_boundary(r);
    rig_serve(r);
    apply(r, 1, 1, past(0));
    must_end(r, EXIT_INTEGRITY);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(rename(away[i], keep[i]), 0);
    honest_pair_works();
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replayed_transactions), cmocka_unit_test(history_with_a_hole),
        cmocka_unit_test(flipped_verdicts),      cmocka_unit_test(indices_go_back),
        cmocka_unit_test(tampered_transactions), cmocka_unit_test(damaged_records),
        cmocka_unit_test(older_records),         cmocka_unit_test(records_of_another_pool),
    };
    if (!take_arguments(argc, argv))
        return 2;
    return cmocka_run_group_tests(tests, make_world, drop_world);
}
