/* Creating RSA keys: from the stock at once, else in line for a maker; and that the makers' work
 * keeps nobody else waiting. */
#include "boundary/boundary_testing.h"

static struct rig rig;

static struct rig *begin(unsigned n2048)
{
    struct rig *r = &rig;
    rig_init(r);
    r->prepared[STOCK_2048] = n2048;
    rig_start(r, true);
    rig_serve(r);
    assert_int_equal(rig_activate(r), HSM_OK);
    rig_make_crypto_user(r);
    for (unsigned i = 0; i < n2048; i++)
        assert_true(stock_make_one(r->b->stock));
    return r;
}

/* Everybody works but the makers. */
static void settle_without_makers(struct rig *r)
{
    bool moved = true;
    while (moved) {
        moved = false;
        for (unsigned l = 0; l <= RIG_LANES; l++)
            moved = rig_lane(r, l) || moved;
        moved = rig_pool(&r->b->slow[0]) || moved;
        moved = rig_gateway(r) || moved;
    }
}

static uint64_t post_create(struct rig *r, const char *name, uint32_t bits, uint32_t exponent)
{
    static uint8_t body[512];
    const struct wire_key_create m = {
        .name = bytes_str(name), .kty = KTY_RSA, .key_size = bits, .public_exponent = exponent};
    struct wr w = wr_of(body, sizeof body);
    wire_key_create_put(&w, &m);
    uint64_t id = rig_post(r, 1, OP_KEY_CREATE, rig_token_of(r, RIG_ADMIN, 3600), wr_view(&w));
    settle_without_makers(r);
    return id;
}

static bool answered(const struct rig *r, uint64_t id)
{
    return r->answer.there && r->answer.id == id;
}

static void created(struct rig *r, uint64_t id, uint8_t modulus[256])
{
    struct wire_key k;
    assert_true(answered(r, id));
    assert_int_equal(r->answer.err, HSM_OK);
    assert_int_equal(wire_key_decode(bytes_of(r->answer.body, r->answer.body_n), &k), HSM_OK);
    assert_int_equal(k.n.n, 256);
    memcpy(modulus, k.n.p, 256);
}

static hsm_err sign(struct rig *r, const char *name)
{
    static const uint8_t digest[32] = {1};
    static uint8_t body[512];
    const struct wire_crypto m = {
        .name = bytes_str(name), .alg = ALG_RS256, .value = bytes_of(digest, sizeof digest)};
    struct wr w = wr_of(body, sizeof body);
    wire_crypto_put(&w, &m);
    uint64_t id = rig_post(r, 1, OP_SIGN, rig_token_of(r, RIG_ADMIN, 3600), wr_view(&w));
    settle_without_makers(r);
    assert_true(answered(r, id));
    return (hsm_err)r->answer.err;
}

static uint32_t status_2048(struct rig *r)
{
    rig_send(r, 0, CTL_STATUS, 1, bytes_of(NULL, 0));
    settle_without_makers(r);
    return r->status.prepared_2048;
}

/* Whoever may not create a key gets none out of the stock. */
static void refused_requests_take_none(struct rig *r)
{
    const struct wire_key_create m = {.name = bytes_str("gone"), .kty = KTY_RSA};
    uint8_t body[256], n[256];
    struct wr w = wr_of(body, sizeof body);
    wire_key_create_put(&w, &m);
    created(r, post_create(r, "gone", 2048, 0), n);
    assert_int_equal(RIG_CALL(r, OP_KEY_DELETE, key_name, .name = bytes_str("gone")), HSM_OK);
    assert_int_equal(status_2048(r), 2);
    struct bytes stranger = rig_token_of(r, "eeeeeeee-0000-4000-8000-000000000000", 3600);
    assert_int_equal(rig_call(r, OP_KEY_CREATE, stranger, wr_view(&w)), HSM_E_DENIED);
    assert_int_equal(rig_call(r, OP_KEY_CREATE, bytes_of(body, 0), wr_view(&w)),
                     HSM_E_TOKEN_MISSING);
    uint64_t id = post_create(r, "gone", 2048, 0);
    assert_true(answered(r, id));
    assert_int_equal(r->answer.err, HSM_E_CONFLICT);
    assert_int_equal(status_2048(r), 2);
}

static void quiesce(struct rig *r)
{
    uint32_t n[STOCK__SIZES];
    assert_true(stock_make_one(r->b->stock));
    rig_send(r, 0, CTL_QUIESCE, 1, bytes_of(NULL, 0));
    for (unsigned i = 0; i < 1000 && r->ended == 0; i++)
        rig_settle(r);
    assert_int_equal(r->ended, EXIT_QUIESCED + 1);
    stock_count(r->b->stock, n);
    assert_int_equal(n[STOCK_2048], 0);
    assert_false(stock_make_one(r->b->stock));
}

static void from_the_stock(void **state)
{
    struct rig *r = begin(3);
    uint8_t first[256], second[256];
    (void)state;
    assert_int_equal(status_2048(r), 3);
    refused_requests_take_none(r);
    created(r, post_create(r, "first", 2048, 0), first);
    assert_int_equal(status_2048(r), 1);
    assert_int_equal(sign(r, "first"), HSM_OK);
    /* Another exponent is made when it is asked for. */
    uint64_t id = post_create(r, "three", 2048, 3);
    assert_false(answered(r, id));
    assert_int_equal(r->b->maker_queue.n, 1);
    assert_int_equal(status_2048(r), 1);
    rig_wait(r, id);
    assert_int_equal(r->answer.err, HSM_OK);
    created(r, post_create(r, "second", 2048, 65537), second);
    assert_memory_not_equal(first, second, sizeof first);
    assert_int_equal(status_2048(r), 0);
    /* No more: in line. What was made meanwhile is taken nevertheless. */
    id = post_create(r, "later", 2048, 0);
    assert_false(answered(r, id));
    assert_int_equal(r->b->maker_queue.n, 1);
    assert_true(stock_make_one(r->b->stock));
    rig_wait(r, id);
    created(r, id, second);
    assert_memory_not_equal(first, second, sizeof first);
    assert_int_equal(status_2048(r), 0);
    quiesce(r);
    rig_done(r);
}

/* How many keys of a size get in line. */
static unsigned fill_the_line(struct rig *r, uint32_t bits)
{
    unsigned n = 0;
    char name[16];
    uint64_t id;
    do {
        snprintf(name, sizeof name, "k%u", n++);
        id = post_create(r, name, bits, 0);
    } while (!answered(r, id) && n < 1000);
    assert_int_equal(r->answer.err, HSM_E_THROTTLED);
    assert_int_equal(r->b->maker_queue.n, n - 1);
    return n - 1;
}

static void the_line_is_bounded_and_keeps_nobody_else(void **state)
{
    struct rig *r = begin(0);
    (void)state;
    uint64_t id = post_create(r, "large", 3072, 0);
    rig_wait(r, id);
    assert_int_equal(r->answer.err, HSM_OK);
    unsigned n = fill_the_line(r, 4096);
    assert_int_equal(n, MAKER_WORK_MAX / 12);
    /* Slow operations have a pool of their own; other keys need none. */
    assert_int_equal(sign(r, "large"), HSM_OK);
    const struct wire_key_create ec = {.name = bytes_str("ec"), .kty = KTY_EC};
    uint8_t body[256];
    struct wr w = wr_of(body, sizeof body);
    wire_key_create_put(&w, &ec);
    id = rig_post(r, 1, OP_KEY_CREATE, rig_token_of(r, RIG_ADMIN, 3600), wr_view(&w));
    settle_without_makers(r);
    assert_true(answered(r, id));
    assert_int_equal(r->answer.err, HSM_OK);
    assert_int_equal(r->b->maker_queue.n, n);
    for (struct job *j; (j = job_queue_get(&r->b->maker_queue)) != NULL;)
        job_finish(&r->b->maker[0], j, HSM_E_UNAVAILABLE, false);
    settle_without_makers(r);
    assert_int_equal(fill_the_line(r, 2048), MAKER_WORK_MAX);
    rig_done(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(from_the_stock),
        cmocka_unit_test(the_line_is_bounded_and_keeps_nobody_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
