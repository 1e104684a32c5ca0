/* hostile_gateway BOUNDARY: a gateway that lies, against the real boundary program.
 *
 * Whatever it does, nobody gets an answer that a valid token with a role would not get, and the
 * boundary either refuses or ends with the status that docs/boundary.md names: it never crashes.
 * KEYHOLD_SEED repeats a run's random part, KEYHOLD_ROUNDS makes it longer, KEYHOLD_VERBOSE shows
 * the boundary's log. */
#include "hostile.h"

#include "wire/ring_layout.h"

/* ---- identities ---- */

static struct bytes forged(const char *header, const char *oid, const char *tid, const char *iss,
                           long from_now, EVP_PKEY *key)
{
    static char token[TOKEN_CAP];
    char claims[1024];
    snprintf(
        claims, sizeof claims,
        "{\"iss\":\"%s\",\"aud\":\"%s\",\"tid\":\"%s\",\"oid\":\"%s\",\"nbf\":%ld,\"exp\":%ld}",
        iss, AUDIENCE, tid, oid, (long)time(NULL) + from_now - 3600, (long)time(NULL) + from_now);
    return token_of(token, header, claims, key, false);
}

static void refused_token(struct rig *r, struct bytes token, const char *what)
{
    uint8_t body[200];
    static const unsigned types[] = {OP_KEY_GET, OP_KEY_DELETE};
    for (unsigned i = 0; i < 2; i++) {
        const struct wire_key_ref get = {.name = bytes_str("ec")};
        const struct wire_key_name gone = {.name = bytes_str("ec")};
        struct wr w = wr_of(body, sizeof body);
        if (types[i] == OP_KEY_GET)
            wire_key_ref_put(&w, &get);
        else
            wire_key_name_put(&w, &gone);
        hsm_err err = rig_call(r, types[i], token, wr_view(&w));
        if (err == HSM_OK || r->answer.body_n != 0)
            fail_msg("%s: a forged token was answered", what);
        if (hsm_err_http(err) != 401)
            fail_msg("%s: %s", what, hsm_err_name(err));
    }
}

static void forged_identities(void **state)
{
    (void)state;
    struct rig *r = serve_store(&world.whole);
    EVP_PKEY *own = make_rsa(), *ec = make_ec();
    static const char k1[] = "{\"alg\":\"RS256\",\"kid\":\"k1\"}";
    static const char other[] = "72f988bf-86f1-41af-91ab-000000000000";
    char token[TOKEN_CAP], header[1400], jwk[1024];
    must_serve(r);
    refused_token(r, forged(k1, RIG_ADMIN, TENANT, ISSUER, 3600, own), "own key, true kid");
    refused_token(
        r, forged("{\"alg\":\"RS256\",\"kid\":\"k2\"}", RIG_ADMIN, TENANT, ISSUER, 3600, own),
        "own key, own kid");
    jwk_text(jwk, sizeof jwk, own, "k1", "");
    snprintf(header, sizeof header, "{\"alg\":\"RS256\",\"kid\":\"k1\",\"jwk\":%s}", jwk);
    refused_token(r, forged(header, RIG_ADMIN, TENANT, ISSUER, 3600, own), "key in the header");
    refused_token(r,
                  forged("{\"alg\":\"RS256\",\"kid\":\"k1\",\"jku\":\"https://localhost/k\"}",
                         RIG_ADMIN, TENANT, ISSUER, 3600, own),
                  "address of keys in the header");
    refused_token(r,
                  forged("{\"alg\":\"ES256\",\"kid\":\"k1\"}", RIG_ADMIN, TENANT, ISSUER, 3600, ec),
                  "another algorithm");
    refused_token(
        r, forged("{\"alg\":\"HS256\",\"kid\":\"k1\"}", RIG_ADMIN, TENANT, ISSUER, 3600, own),
        "a MAC");
    struct bytes good = forged(k1, RIG_ADMIN, TENANT, ISSUER, 3600, r->token_key);
    size_t head_n = (size_t)((const uint8_t *)memchr(good.p, '.', good.n) - good.p);
    int n = snprintf(token, sizeof token, "eyJhbGciOiJub25lIn0%.*s", (int)(good.n - head_n),
                     (const char *)good.p + head_n);
    refused_token(r, bytes_of(token, (size_t)n), "alg none over a true signature");
    char *end = strrchr(token, '.');
    assert_non_null(end);
    end[1] = 0;
    refused_token(r, bytes_str(token), "alg none");
    refused_token(r, bytes_of(good.p, good.n - 1), "a cut signature");
    refused_token(r, forged(k1, RIG_ADMIN, other, ISSUER, 3600, r->token_key), "another tenant");
    refused_token(
        r, forged(k1, RIG_ADMIN, TENANT, "https://sts.windows.net/common/", 3600, r->token_key),
        "another issuer");
    refused_token(r, forged(k1, RIG_ADMIN, TENANT, ISSUER, -400, r->token_key), "expired");
    refused_token(r, bytes_of(NULL, 0), "none");
    refused_token(r, bytes_str("..."), "dots");
    must_serve(r);
    EVP_PKEY_free(own);
    EVP_PKEY_free(ec);
    stop_boundary(r);
    honest_pair_works();
}

/* A frame of bob's from the time when he had the right, sent again. */
static void replayed_request(void **state)
{
    (void)state;
    struct rig *r = serve_store(&world.before);
    assert_int_equal(sign_as(r, BOB), HSM_OK);
    static uint8_t frame[8192];
    size_t n = 0;
    uint8_t body[256], digest[32] = {2};
    const struct wire_crypto m = {
        .name = bytes_str("ec"), .alg = ALG_ES256, .value = bytes_of(digest, 32)};
    struct wr w = wr_of(body, sizeof body);
    wire_crypto_put(&w, &m);
    rig_wait(r, rig_post(r, 1, OP_SIGN, rig_token_of(r, BOB, 3600), wr_view(&w)));
    assert_int_equal(r->answer.err, HSM_OK);
    n = sizeof frame < RING_FRAME_MAX ? sizeof frame : RING_FRAME_MAX;
    memcpy(frame, rig_out, n); /* rig_post() encodes there */
    assert_int_equal(RIG_CALL(r, OP_ROLE_ASSIGNMENT_DELETE, role_ref, .scope = bytes_str("/"),
                              .guid = bytes_str(BOB_ROLE)),
                     HSM_OK);
    struct wire_caller c;
    struct rd rd = rd_of(bytes_of(frame, n));
    assert_int_equal(wire_caller_get(&rd, &c), HSM_OK);
    size_t used = n - rd.n + w.n;
    for (unsigned i = 0; i < 5; i++) {
        r->answer.there = false;
        rig_send(r, 1 + i % RIG_LANES, OP_SIGN, 900000 + i, bytes_of(frame, used));
        rig_wait(r, 900000 + i);
        assert_true(r->answer.there);
        assert_int_equal(r->answer.err, HSM_E_DENIED);
        assert_int_equal(r->answer.body_n, 0);
    }
    stop_boundary(r);
    honest_pair_works();
}

/* ---- order of messages ---- */

static void too_early(void **state)
{
    (void)state;
    for (unsigned phase = 0; phase < 4; phase++) {
        struct rig *r = bare();
        if (phase > 0)
            hello(r);
        if (phase > 1)
            RIG_CONTROL(r, CTL_LOAD_BEGIN, load_begin, .index = r->store->index,
                        .digest = bytes_of(r->store->digest, r->store->digest_n));
        rig_settle(r);
        if (phase > 2) {
            stop_boundary(r);
            r = bare();
            hello(r);
            unsigned was = r->loaded;
            rig_load_store(r);
            rig_until(r, &r->loaded, was);
        }
        send_get(r, 1);
        never_answered(r, EXIT_PROTOCOL);
    }
    honest_pair_works();
}

static void twice(void **state)
{
    (void)state;
    struct rig *r = bare();
    hello(r);
    hello(r);
    never_answered(r, EXIT_PROTOCOL);
    r = serve_store(&world.whole);
    hello(r);
    must_end(r, EXIT_PROTOCOL);
    r = serve_store(&world.whole);
    RIG_CONTROL(r, CTL_LOAD_BEGIN, load_begin, .index = 0);
    must_end(r, EXIT_PROTOCOL);
    r = serve_store(&world.whole);
    RIG_CONTROL(r, CTL_AUDIT_RESUME, audit_resume, .seq = 0);
    must_end(r, EXIT_PROTOCOL);
    r = bare();
    hello(r);
    rig_send(r, 0, CTL_LOAD_END, 1, bytes_of(NULL, 0));
    must_end(r, EXIT_PROTOCOL);
    r = bare();
    RIG_CONTROL(r, CTL_HELLO, hello, .version = WIRE_VERSION + 1, .lanes = RIG_LANES);
    must_end(r, EXIT_PROTOCOL);
    r = bare();
    RIG_CONTROL(r, CTL_HELLO, hello, .version = WIRE_VERSION, .lanes = RIG_LANES + 1);
    must_end(r, EXIT_PROTOCOL);
    honest_pair_works();
}

static void wrong_types_and_lanes(void **state)
{
    (void)state;
    static const unsigned on_control[] = {0,
                                          WIRE_OP__END,
                                          WIRE_CTL__BASE,
                                          CTL_WELCOME,
                                          CTL_LOADED,
                                          CTL_APPLIED,
                                          CTL_PROPOSE,
                                          CTL_NET_OPEN,
                                          CTL_STATUS_RESULT,
                                          CTL_QUIESCED,
                                          WIRE_TYPE__END,
                                          200,
                                          WIRE_ANSWER,
                                          256,
                                          65535,
                                          OP_KEY_GET,
                                          OP_ROLE_ASSIGNMENT_PUT};
    static const unsigned on_request[] = {0,          WIRE_OP__END, WIRE_ANSWER,      300,
                                          65535,      CTL_HELLO,    CTL_LOAD_RECORDS, CTL_APPLY,
                                          CTL_STATUS, CTL_QUIESCE,  CTL_NET_DATA};
    for (unsigned i = 0; i < sizeof on_control / sizeof on_control[0]; i++) {
        struct rig *r = serve_store(&world.whole);
        rig_send(r, 0, on_control[i], 1, bytes_of(NULL, 0));
        must_end(r, EXIT_PROTOCOL);
    }
    for (unsigned i = 0; i < sizeof on_request / sizeof on_request[0]; i++) {
        struct rig *r = serve_store(&world.whole);
        rig_send(r, 1 + i % RIG_LANES, on_request[i], 1, bytes_of(NULL, 0));
        never_answered(r, EXIT_PROTOCOL);
    }
    honest_pair_works();
}

/* ---- the relay ---- */

static void forged_key_server(void **state)
{
    (void)state;
    struct rig *r = &world.rig;
    EVP_PKEY *own_token = make_rsa(), *own_tls = make_ec();
    X509 *own_cert = make_cert(own_tls, "localhost", "DNS:localhost", NULL, NULL, 86400);
    char jwk[1024], own_jwks[1200], *honest = malloc(r->net.response_n);
    size_t honest_n = r->net.response_n;
    EVP_PKEY *token_key = r->token_key;
    assert_non_null(honest);
    memcpy(honest, r->net.response, honest_n);
    jwk_text(jwk, sizeof jwk, own_token, "k1", "");
    snprintf(own_jwks, sizeof own_jwks, "{\"keys\":[%s]}", jwk);
    static const enum server_mode modes[] = {SERVER_NORMAL, SERVER_GARBAGE, SERVER_REFUSES};
    for (unsigned i = 0; i < 3; i++) {
        net_use_cert(&r->net, own_cert, own_tls);
        serve(&r->net, own_jwks);
        r->net.mode = modes[i];
        r->token_key = own_token;
        unsigned opened = r->net.opened;
        r = serve_store(&world.whole);
        hsm_err err = sign_as(r, RIG_ADMIN);
        assert_true(err == HSM_E_UNAVAILABLE || hsm_err_http(err) == 401);
        assert_int_equal(r->answer.body_n, 0);
        assert_true(r->net.opened > opened); /* it was asked */
        assert_int_equal(r->ended, 0);
        stop_boundary(r);
    }
    r->net.mode = SERVER_NORMAL;
    r->token_key = token_key;
    net_use_cert(&r->net, r->cert, r->tls_key);
    set_response(&r->net, "", honest, honest_n);
    free(honest);
    X509_free(own_cert);
    EVP_PKEY_free(own_tls);
    EVP_PKEY_free(own_token);
    honest_pair_works();
}

/* ---- noise ---- */

static size_t random_payload(uint8_t *p, size_t cap)
{
    size_t n = dice_below(4) == 0 ? dice_below((unsigned)cap) : dice_below(400);
    for (size_t i = 0; i < n; i++)
        p[i] = dice_below(3) == 0 ? 0 : (uint8_t)dice();
    return n;
}

/* A body that decodes, of one of three operations; everything in it is dice. */
static unsigned random_body(struct wr *w, struct bytes noise)
{
    static const char *const names[] = {"ec", "oct", "late", "none", "", "a/b", "EC"};
    static const unsigned uses[] = {OP_ENCRYPT, OP_DECRYPT, OP_WRAP, OP_UNWRAP, OP_SIGN, OP_VERIFY};
    struct bytes name = bytes_str(names[dice_below(7)]);
    const struct wire_crypto crypto = {.name = name,
                                       .alg = (uint8_t)dice_below(40),
                                       .value = noise,
                                       .digest = bytes_of(noise.p, noise.n % 65),
                                       .has = (uint8_t)dice(),
                                       .iv = bytes_of(noise.p, noise.n % 40),
                                       .aad = noise,
                                       .tag = bytes_of(noise.p, noise.n % 30)};
    const struct wire_list list = {
        .name = name, .max = (uint16_t)dice(), .skip = bytes_of(noise.p, noise.n % 100)};
    const struct wire_scope scope = {.scope = bytes_of(noise.p, noise.n % 100),
                                     .filter = (uint8_t)dice_below(5)};
    switch (dice_below(4)) {
    case 0:
        wire_list_put(w, &list);
        return dice_below(2) == 0 ? OP_KEY_LIST : OP_KEY_VERSIONS;
    case 1:
        wire_scope_put(w, &scope);
        return dice_below(2) == 0 ? OP_ROLE_ASSIGNMENT_LIST : OP_ROLE_DEFINITION_LIST;
    default:
        wire_crypto_put(w, &crypto);
        return uses[dice_below(6)];
    }
}

struct noise {
    unsigned lane, type;
    size_t n;
    bool is_admin; /* then an answer is no fault */
    uint8_t payload[60000];
};

/* Mostly well-formed envelopes, so that the token checker and the handlers see noise, too. */
static void random_frame(struct rig *r, struct noise *f)
{
    static uint8_t noise[2000];
    struct bytes some = bytes_of(noise, random_payload(noise, sizeof noise));
    f->lane = dice_below(64) == 0 ? 0 : 1 + dice_below(RIG_LANES);
    f->is_admin = false;
    f->type = f->lane == 0 ? WIRE_CTL__BASE + dice_below(22) : dice_below(34);
    if (f->lane == 0 || dice_below(64) == 0) {
        f->n = random_payload(f->payload, sizeof f->payload);
        return;
    }
    f->is_admin = dice_below(2) == 0;
    struct bytes token =
        dice_below(4) == 0 ? some : rig_token_of(r, f->is_admin ? RIG_ADMIN : BOB, 3600);
    const struct wire_caller c = {.token = token,
                                  .host = bytes_of(noise, some.n % 200),
                                  .client_ip = bytes_of(noise, some.n % 60),
                                  .user_agent = bytes_of(noise, some.n % 500),
                                  .uri = some,
                                  .api_version = bytes_str("7.4")};
    struct wr w = wr_of(f->payload, sizeof f->payload);
    wire_caller_put(&w, &c);
    f->type = random_body(&w, some);
    if (dice_below(64) == 0)
        wr_bytes(&w, noise, dice_below(4));
    assert_int_equal(wr_ok(&w), HSM_OK);
    f->n = w.n;
}

static void noise_frames(void **state)
{
    (void)state;
    static struct noise f;
    unsigned frames = 0, ends = 0, total = rounds(60);
    for (unsigned round = 0; round < total; round++) {
        struct rig *r = serve_store(&world.whole);
        for (unsigned i = 0; i < 200 && r->ended == 0; i++, frames++) {
            random_frame(r, &f);
            const struct ring_frame out = {
                .type = (uint16_t)f.type, .id = dice(), .payload = bytes_of(f.payload, f.n)};
            if (ring_write(r->gw.out[f.lane], &out, 1000) != HSM_OK)
                break;
            r->answer.there = false;
            rig_settle(r);
            for (unsigned k = 0; k < 50 && !r->answer.there && r->ended == 0 && !IN_THREAD; k++) {
                usleep(100);
                rig_settle(r);
            }
            if (r->answer.there && r->answer.id == out.id && !f.is_admin && r->answer.err == HSM_OK)
                fail_msg("seed %llu: noise was answered", (unsigned long long)world.seed);
        }
        ends += r->ended != 0;
        if (r->ended >= 1000)
            fail_msg("seed %llu: signal %d", (unsigned long long)world.seed, r->ended - 1000);
        if (r->ended != 0 && r->ended != EXIT_PROTOCOL + 1 && r->ended != EXIT_INTEGRITY + 1 &&
            r->ended != EXIT_QUIESCED + 1)
            fail_msg("seed %llu: ended with %d", (unsigned long long)world.seed, r->ended);
        stop_boundary(r);
    }
    print_message("%u frames, %u of %u boundaries ended\n", frames, ends, total);
    honest_pair_works();
}

static struct ring_shared *shared_of(struct rig *r, unsigned ring)
{
    return (struct ring_shared *)(void *)((uint8_t *)r->gw.map + (size_t)ring * RING_SLOT);
}

/* The shared words of every ring, and the bytes of a frame's header, are anything. */
static void hostile_rings(void **state)
{
    (void)state;
    if (IN_THREAD)
        skip(); /* ring_test does it there */
    unsigned total = rounds(40);
    for (unsigned round = 0; round < total; round++) {
        struct rig *r = serve_store(&world.whole);
        unsigned count = ring_count(RIG_LANES);
        for (unsigned i = 0; i < 30; i++) {
            struct ring_shared *sh = shared_of(r, dice_below(count));
            uint64_t v = dice_below(2) == 0 ? dice() : atomic_load(&sh->tail) + dice_below(64);
            if (dice_below(2) == 0)
                atomic_store(&sh->tail, v);
            else
                atomic_store(&sh->head, v);
            uint8_t *data = (uint8_t *)sh + RING_HEADER_PAGE;
            for (unsigned k = 0; k < 64; k++)
                data[dice_below(4096)] = (uint8_t)dice();
        }
        const uint64_t one = 1;
        for (unsigned i = 0; i < r->fds.event_n; i++)
            assert_int_equal(write(r->fds.event[i], &one, sizeof one), sizeof one);
        for (unsigned i = 0; i < 200 && r->ended == 0; i++) {
            rig_note_end(r);
            usleep(500);
        }
        if (r->ended != 0 && r->ended != EXIT_PROTOCOL + 1)
            fail_msg("seed %llu: ended with %d", (unsigned long long)world.seed, r->ended);
        stop_boundary(r);
    }
    honest_pair_works();
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forged_identities),
        cmocka_unit_test(replayed_request),
        cmocka_unit_test(too_early),
        cmocka_unit_test(twice),
        cmocka_unit_test(wrong_types_and_lanes),
        cmocka_unit_test(forged_key_server),
        cmocka_unit_test(noise_frames),
        cmocka_unit_test(hostile_rings),
    };
    if (!take_arguments(argc, argv))
        return 2;
    return cmocka_run_group_tests(tests, make_world, drop_world);
}
