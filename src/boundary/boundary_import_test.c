/* Import through the dispatcher: where the clear key is meanwhile, and what becomes of it. */
#include "boundary/boundary_testing.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/rsa.h>
#include "base/secret_arena.h"
#include "codec/base64url.h"
#include "codec/json.h"

static struct rig rig;
static char rsa_text[4096];
static const char ec_text[] = "{\"kty\":\"EC\",\"crv\":\"P-256\",\"d\":\"AQ\"}";

static void put_number(struct json_wr *j, const char *name, const EVP_PKEY *k, const char *param)
{
    uint8_t raw[512];
    BIGNUM *n = NULL;
    assert_int_equal(EVP_PKEY_get_bn_param(k, param, &n), 1);
    json_name(j, name);
    json_put_b64u(j, bytes_of(raw, (size_t)BN_bn2bin(n, raw)));
    BN_clear_free(n);
}

static void make_rsa_text(void)
{
    EVP_PKEY *k = EVP_RSA_gen(2048);
    struct wr w = wr_of(rsa_text, sizeof rsa_text - 1);
    struct json_wr j = json_wr_of(&w);
    json_obj_open(&j);
    json_name(&j, "kty");
    json_put_str(&j, "RSA");
    put_number(&j, "n", k, OSSL_PKEY_PARAM_RSA_N);
    put_number(&j, "e", k, OSSL_PKEY_PARAM_RSA_E);
    put_number(&j, "d", k, OSSL_PKEY_PARAM_RSA_D);
    put_number(&j, "p", k, OSSL_PKEY_PARAM_RSA_FACTOR1);
    put_number(&j, "q", k, OSSL_PKEY_PARAM_RSA_FACTOR2);
    json_obj_close(&j);
    assert_int_equal(wr_ok(&w), HSM_OK);
    EVP_PKEY_free(k);
}

static int with_arena(void **state)
{
    (void)state;
    if (secret_init(8u << 20) != HSM_OK && secret_init(4u << 20) != HSM_OK)
        return -1;
    if (secret_take_over_openssl() != HSM_OK)
        return -1;
    make_rsa_text();
    return 0;
}

static int start(void **state)
{
    (void)state;
    rig_init(&rig);
    rig_start(&rig, true);
    rig_serve(&rig);
    assert_int_equal(rig.ended, 0);
    return 0;
}

/* The issuer does not give its keys yet. */
static int start_silent(void **state)
{
    (void)state;
    rig_init(&rig);
    rig_start(&rig, true);
    rig.net.mode = SERVER_SILENT;
    rig_serve(&rig);
    return 0;
}

static int start_active(void **state)
{
    (void)start(state);
    assert_int_equal(rig_activate(&rig), HSM_OK);
    rig_make_crypto_user(&rig);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    assert_int_equal(rig.ended, 0);
    rig_done(&rig);
    return 0;
}

static uint64_t post(unsigned lane, const char *name, const char *jwk)
{
    static uint8_t body[8192];
    const struct wire_key_import m = {.name = bytes_str(name), .key = bytes_str(jwk)};
    struct wr w = wr_of(body, sizeof body);
    wire_key_import_put(&w, &m);
    return rig_post(&rig, lane, OP_KEY_IMPORT, rig_token_of(&rig, RIG_ADMIN, 3600), wr_view(&w));
}

static hsm_err import(const char *name, const char *jwk)
{
    rig_wait(&rig, post(1, name, jwk));
    assert_true(rig.answer.there);
    return (hsm_err)rig.answer.err;
}

static bool holds(struct bytes b, const char *text)
{
    return memmem(b.p, b.n, text, strlen(text)) != NULL;
}

static void known_key(void **state)
{
    (void)state;
    struct wire_crypto_result m;
    /* RFC 4231 4.3 (test case 2): the key is "Jefe" */
    static const uint8_t want[32] = {0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e,
                                     0x6a, 0x04, 0x24, 0x26, 0x08, 0x95, 0x75, 0xc7,
                                     0x5a, 0x00, 0x3f, 0x08, 0x9d, 0x27, 0x39, 0x83,
                                     0x9d, 0xec, 0x58, 0xb9, 0x64, 0xec, 0x38, 0x43};
    assert_int_equal(import("mac", "{\"kty\":\"oct\",\"k\":\"SmVmZQ\"}"), HSM_OK);
    struct wire_key k;
    assert_int_equal(wire_key_decode(bytes_of(rig.answer.body, rig.answer.body_n), &k), HSM_OK);
    assert_int_equal(k.kty, KTY_OCT);
    assert_int_equal(k.key_size, 0);
    assert_int_equal(k.key_ops, KEY_OP_SIGN | KEY_OP_VERIFY | KEY_OP_DERIVE);
    assert_int_equal(RIG_CALL(&rig, OP_SIGN, crypto, .name = bytes_str("mac"), .alg = ALG_HS256,
                              .value = bytes_str("what do ya want for nothing?")),
                     HSM_OK);
    assert_int_equal(wire_crypto_result_decode(bytes_of(rig.answer.body, rig.answer.body_n), &m),
                     HSM_OK);
    assert_int_equal(m.value.n, 32);
    assert_memory_equal(m.value.p, want, 32);
}

/* The job that waits for a maker holds the numbers in secret memory and nothing else. */
static void waiting_for_a_maker(void **state)
{
    (void)state;
    uint64_t id = post(1, "slow", rsa_text);
    (void)rig_lane(&rig, 1);
    struct job *j = rig.b->maker_queue.head;
    assert_non_null(j);
    assert_false(holds(j->payload, "\"d\""));
    assert_true(holds(j->payload, "slow"));
    assert_false(j->owned_is_secret);
    assert_non_null(j->make);
    assert_int_equal(j->make->given.d.n > 200, true);
    assert_true(j->make->given.d.p >= j->make->secret_given.p &&
                j->make->given.d.p < j->make->secret_given.p + j->make->secret_given.n);
    assert_false(holds(bytes_of(rig.b->lane[1].frame, RING_FRAME_MAX), "\"d\""));
    rig_wait(&rig, id);
    assert_int_equal(rig.answer.err, HSM_OK);
    assert_int_equal(RIG_CALL(&rig, OP_SIGN, crypto, .name = bytes_str("slow"), .alg = ALG_RS256,
                              .value = bytes_str("0123456789abcdef0123456789abcdef")),
                     HSM_OK);
}

/* Two at the same time: the second one runs again although its frame is wiped. */
static void runs_again(void **state)
{
    (void)state;
    rig.on_txn = TXN_KEEP;
    uint64_t first = post(1, "twice", ec_text);
    rig_settle(&rig);
    uint64_t second = post(2, "twice", ec_text);
    rig_settle(&rig);
    assert_false(rig.answer.there);
    assert_int_equal(rig.proposals, 5);
    rig.on_txn = TXN_COMMIT;
    rig_commit(&rig, bytes_of(rig.kept, rig.kept_n));
    rig_wait(&rig, second);
    assert_int_equal(rig.answer.err, HSM_OK);
    assert_true(first < second);
    const struct key *k = state_key(rig.b->state, bytes_str("twice"));
    assert_non_null(k);
    assert_int_equal(k->version_n, 2);
    assert_int_equal(k->version[0]->x_n, 32);
    assert_memory_equal(k->version[0]->data, k->version[1]->data, 64);
}

/* From shared memory straight to secret memory: the buffer of the other frames never sees it. */
static void the_frame_is_in_secret_memory(void **state)
{
    (void)state;
    struct ring_frame f;
    struct worker *w = &rig.b->lane[1];
    size_t used = secret_used();
    uint64_t id = post(1, "inside", ec_text);
    assert_int_equal(lane_read(w, &f), HSM_OK);
    assert_int_equal(f.type, OP_KEY_IMPORT);
    assert_true(holds(f.payload, "\"d\""));
    assert_true(arena_owns(f.payload.p));
    assert_true(arena_owns(f.payload.p + f.payload.n - 1));
    assert_false(holds(bytes_of(w->frame, RING_FRAME_MAX), "\"d\""));
    assert_false(holds(bytes_of(rig.gw.map, rig.gw.map_n), "\"d\""));
    assert_true(lane_frame(w, &f));
    lane_release(w, &f);
    assert_null(w->import);
    rig_wait(&rig, id);
    assert_int_equal(rig.answer.err, HSM_OK);
    assert_true(secret_used() < used + 16384);

    const struct wire_key_ref m = {.name = bytes_str("inside")};
    uint8_t body[100];
    struct wr wr = wr_of(body, sizeof body);
    wire_key_ref_put(&wr, &m);
    (void)rig_post(&rig, 1, OP_KEY_GET, rig_token_of(&rig, RIG_ADMIN, 3600), wr_view(&wr));
    assert_int_equal(lane_read(w, &f), HSM_OK);
    assert_ptr_equal(f.payload.p, w->frame);
    assert_true(holds(f.payload, "inside"));
    lane_release(w, &f);
    assert_false(holds(bytes_of(w->frame, RING_FRAME_MAX), "inside"));
}

/* Secret memory is full: imports take turns in what was put aside. */
static void the_reserve(void **state)
{
    (void)state;
    struct ring_frame f;
    struct worker *w = &rig.b->lane[1];
    void *fill = NULL;
    (void)post(1, "full", rsa_text);
    for (size_t n = 1u << 20; n >= 16; n -= n / 16 + 1) /* each class of blocks */
        for (void **p; (p = (void **)secret_alloc(n)) != NULL; fill = p)
            *p = fill;
    assert_int_equal(lane_read(w, &f), HSM_OK);
    assert_ptr_equal(f.payload.p, rig.b->import_reserve);
    assert_true(arena_owns(f.payload.p));
    assert_int_not_equal(pthread_mutex_trylock(&rig.b->import_lock), 0);
    lane_release(w, &f);
    assert_false(holds(bytes_of(rig.b->import_reserve, IMPORT_FRAME_MAX), "\"d\""));
    assert_int_equal(pthread_mutex_trylock(&rig.b->import_lock), 0);
    (void)pthread_mutex_unlock(&rig.b->import_lock);
    for (void **p = (void **)fill; p != NULL; p = (void **)fill) {
        fill = *p;
        secret_free(p);
    }
    assert_int_equal(import("later", ec_text), HSM_OK);
}

/* The longest message is taken, a longer frame is none. */
static void longest_frame(void **state)
{
    (void)state;
    static uint8_t body[IMPORT_FRAME_MAX + 16], blank[65536];
    struct ring_frame f;
    struct worker *w = &rig.b->lane[1];
    const struct wire_key_import m = {.name = bytes_of(blank, 127),
                                      .key = bytes_of(blank, 32768),
                                      .tags = bytes_of(blank, 40960),
                                      .release_policy = bytes_of(blank, 65536)};
    const struct wire_caller c = {.token = bytes_of(blank, 16384),
                                  .host = bytes_of(blank, 255),
                                  .client_ip = bytes_of(blank, 64),
                                  .user_agent = bytes_of(blank, 512),
                                  .uri = bytes_of(blank, 2048),
                                  .api_version = bytes_of(blank, 32)};
    struct wr out = wr_of(body, sizeof body);
    wire_caller_put(&out, &c);
    wire_key_import_put(&out, &m);
    assert_int_equal(wr_ok(&out), HSM_OK);
    rig_send(&rig, 1, OP_KEY_IMPORT, 1, wr_view(&out));
    assert_int_equal(lane_read(w, &f), HSM_OK);
    assert_int_equal(f.payload.n, out.n);
    lane_release(w, &f);
    rig_send(&rig, 1, OP_KEY_IMPORT, 1, bytes_of(body, IMPORT_FRAME_MAX + 1));
    assert_int_equal(lane_read(w, &f), HSM_E_CORRUPT);
}

/* Nobody has looked at the token yet: the frame waits in secret memory. */
static void waiting_for_issuer_keys(void **state)
{
    (void)state;
    uint64_t id = post(1, "early", rsa_text);
    rig_settle(&rig);
    struct job *j = rig.b->held.parked;
    assert_non_null(j);
    assert_true(j->owned_is_secret);
    assert_true(holds(j->payload, "\"d\""));
    assert_int_equal(atomic_load(&rig.b->secret_held), j->payload.n + 1);
    rig.net.mode = SERVER_NORMAL;
    rig_wait(&rig, id);
    assert_int_equal(rig.answer.err, HSM_E_NOT_ACTIVATED);
    assert_int_equal(atomic_load(&rig.b->secret_held), 0);
}

/* Whoever has no good token cannot fill secret memory: what is too much is answered 503. */
static void not_too_many_of_them(void **state)
{
    (void)state;
    unsigned n = 0;
    while (rig.b->held.parked_n == n) {
        assert_true(n < 400);
        (void)post(1, "flood", rsa_text);
        rig_settle(&rig);
        n++;
    }
    assert_true(n > 20);
    assert_true(rig.answer.there);
    assert_int_equal(rig.answer.err, HSM_E_UNAVAILABLE);
    assert_true(atomic_load(&rig.b->secret_held) <= (size_t)512 << 10);
    held_expire(rig.b, clock_mono_us() + 7000000u);
    rig_settle(&rig);
    assert_int_equal(atomic_load(&rig.b->secret_held), 0);
}

static void refusals_change_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *jwk, *text;
    } rows[] = {
        {"{", "JSON Web Key: it is not a valid JSON object."},
        {"[]", "JSON Web Key: it is not a valid JSON object."},
        {"{\"kty\":\"oct\",\"k\":\"AA\",\"k\":\"AA\"}",
         "JSON Web Key: it is not a valid JSON object."},
        {"{\"kty\":\"EC\",\"crv\":\"P-256\",\"d\":\"AA\"}",
         "JSON Web Key: d is not in the range of the curve."},
        {"{\"kty\":\"EC\",\"crv\":\"P-256\",\"d\":\"AQ\",\"x\":\"AQ\",\"y\":\"AQ\"}",
         "JSON Web Key: x and y are not the public key of d."},
        {"{\"kty\":\"oct\",\"k\":\"!\"}", "JSON Web Key: k property is malformed."},
    };
    unsigned proposals = rig.proposals;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(import("no", rows[i].jwk), HSM_E_BAD_PARAMETER);
        assert_string_equal(rig.answer.detail, rows[i].text);
        assert_true(strlen(rows[i].jwk) < 3 || strstr(rig.audit, rows[i].jwk) == NULL);
    }
    assert_int_equal(import("no/such", "{\"kty\":\"oct\",\"k\":\"AA\"}"), HSM_E_INVALID_KEY_ID);
    assert_int_equal(rig.proposals, proposals);
    assert_null(state_key(rig.b->state, bytes_str("no")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(known_key, start_active, stop),
        cmocka_unit_test_setup_teardown(waiting_for_a_maker, start_active, stop),
        cmocka_unit_test_setup_teardown(the_frame_is_in_secret_memory, start_active, stop),
        cmocka_unit_test_setup_teardown(the_reserve, start_active, stop),
        cmocka_unit_test_setup_teardown(longest_frame, start, stop),
        cmocka_unit_test_setup_teardown(runs_again, start_active, stop),
        cmocka_unit_test_setup_teardown(waiting_for_issuer_keys, start_silent, stop),
        cmocka_unit_test_setup_teardown(not_too_many_of_them, start_silent, stop),
        cmocka_unit_test_setup_teardown(refusals_change_nothing, start_active, stop),
    };
    return cmocka_run_group_tests(tests, with_arena, NULL);
}
