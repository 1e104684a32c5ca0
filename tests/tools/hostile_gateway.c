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
    snprintf(claims, sizeof claims,
             "{\"iss\":\"%s\",\"aud\":\"%s\",\"tid\":\"%s\",\"oid\":\"%s\",\"nbf\":%ld,\"exp\":%ld}",
             iss, AUDIENCE, tid, oid, (long)time(NULL) + from_now - 3600,
             (long)time(NULL) + from_now);
    return token_of(token, header, claims, key, false);
}

static void refused_token(struct rig *r, struct bytes token, const char *what)
{
    uint8_t body[200];
    static const unsigned types[] = { OP_KEY_GET, OP_KEY_DELETE };
    for (unsigned i = 0; i < 2; i++) {
        const struct wire_key_ref get = { .name = bytes_str("ec") };
        const struct wire_key_name gone = { .name = bytes_str("ec") };
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
    refused_token(r, forged("{\"alg\":\"RS256\",\"kid\":\"k2\"}", RIG_ADMIN, TENANT, ISSUER, 3600,
                            own),
                  "own key, own kid");
    jwk_text(jwk, sizeof jwk, own, "k1", "");
    snprintf(header, sizeof header, "{\"alg\":\"RS256\",\"kid\":\"k1\",\"jwk\":%s}", jwk);
    refused_token(r, forged(header, RIG_ADMIN, TENANT, ISSUER, 3600, own), "key in the header");
    refused_token(r, forged("{\"alg\":\"RS256\",\"kid\":\"k1\",\"jku\":\"https://localhost/k\"}",
                            RIG_ADMIN, TENANT, ISSUER, 3600, own),
                  "address of keys in the header");
    refused_token(r, forged("{\"alg\":\"ES256\",\"kid\":\"k1\"}", RIG_ADMIN, TENANT, ISSUER, 3600,
                            ec),
                  "another algorithm");
    refused_token(r, forged("{\"alg\":\"HS256\",\"kid\":\"k1\"}", RIG_ADMIN, TENANT, ISSUER, 3600,
                            own),
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
    refused_token(r, forged(k1, RIG_ADMIN, TENANT, "https://sts.windows.net/common/", 3600,
                            r->token_key),
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
    uint8_t body[256], digest[32] = { 2 };
    const struct wire_crypto m = { .name = bytes_str("ec"), .alg = ALG_ES256,
                                   .value = bytes_of(digest, 32) };
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

static void hello(struct rig *r)
{
    RIG_CONTROL(r, CTL_HELLO, hello, .version = WIRE_VERSION, .lanes = RIG_LANES);
}

static struct rig *bare(void)
{
    struct rig *r = &world.rig;
    copy_store(r->store, &world.whole);
    start_boundary(r);
    return r;
}

static void send_get(struct rig *r, unsigned lane)
{
    uint8_t body[100];
    const struct wire_key_ref m = { .name = bytes_str("ec") };
    struct wr w = wr_of(body, sizeof body);
    wire_key_ref_put(&w, &m);
    (void)rig_post(r, lane, OP_KEY_GET, rig_token_of(r, RIG_ADMIN, 3600), wr_view(&w));
}

static void never_answered(struct rig *r, int code)
{
    must_end(r, code);
    assert_false(r->answer.there);
}

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
    static const unsigned on_control[] = { 0,           WIRE_OP__END,      WIRE_CTL__BASE,
                                           CTL_WELCOME, CTL_LOADED,        CTL_APPLIED,
                                           CTL_PROPOSE, CTL_NET_OPEN,      CTL_STATUS_RESULT,
                                           CTL_QUIESCED, WIRE_TYPE__END,   200,
                                           WIRE_ANSWER, 256,               65535,
                                           OP_KEY_GET,  OP_ROLE_ASSIGNMENT_PUT };
    static const unsigned on_request[] = { 0,          WIRE_OP__END,     WIRE_ANSWER, 300, 65535,
                                           CTL_HELLO,  CTL_LOAD_RECORDS, CTL_APPLY,
                                           CTL_STATUS, CTL_QUIESCE,      CTL_NET_DATA };
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
    const struct wire_key_create m = { .name = bytes_str("flip"), .kty = KTY_OCT };
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
    *s = (struct rig_store){ 0 };
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
    static const char *const names[] = { "seal", "seal.key" };
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
    static const enum server_mode modes[] = { SERVER_NORMAL, SERVER_GARBAGE, SERVER_REFUSES };
    for (unsigned i = 0; i < 3; i++) {
        net_use_cert(&r->net, own_cert, own_tls);
        serve(&r->net, own_jwks);
        r->net.mode = modes[i];
        r->token_key = own_token;
        r = serve_store(&world.whole);
        unsigned opened = r->net.opened;
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

static unsigned rounds(unsigned usual)
{
    const char *text = getenv("KEYHOLD_ROUNDS");
    return text != NULL ? (unsigned)strtoul(text, NULL, 10) : usual;
}

static size_t random_payload(uint8_t *p, size_t cap)
{
    size_t n = dice_below(4) == 0 ? dice_below((unsigned)cap) : dice_below(400);
    for (size_t i = 0; i < n; i++)
        p[i] = dice_below(3) == 0 ? 0 : (uint8_t)dice();
    return n;
}

/* A well-formed envelope with noise inside: it reaches the token checker and, with a good token,
 * the handlers. */
static size_t random_request(struct rig *r, uint8_t *p, size_t cap)
{
    static uint8_t noise[2000];
    size_t n = random_payload(noise, sizeof noise);
    struct bytes token = dice_below(3) == 0 ? bytes_of(noise, n) : rig_token_of(r, BOB, 3600);
    const struct wire_caller c = { .token = token, .host = bytes_of(noise, n % 200),
                                   .client_ip = bytes_of(noise, n % 60),
                                   .user_agent = bytes_of(noise, n % 500),
                                   .uri = bytes_of(noise, n), .api_version = bytes_str("7.4") };
    struct wr w = wr_of(p, cap);
    wire_caller_put(&w, &c);
    wr_bytes(&w, noise, dice_below(2) == 0 ? n : n % 5);
    return wr_ok(&w) == HSM_OK ? w.n : 0;
}

static void noise_frames(void **state)
{
    (void)state;
    static uint8_t payload[60000];
    unsigned frames = 0, ends = 0, total = rounds(60);
    for (unsigned round = 0; round < total; round++) {
        struct rig *r = serve_store(&world.whole);
        for (unsigned i = 0; i < 200 && r->ended == 0; i++, frames++) {
            unsigned lane = dice_below(RIG_LANES + 1);
            unsigned type = lane == 0 ? WIRE_CTL__BASE + dice_below(22) : dice_below(34);
            size_t n = lane > 0 && dice_below(8) > 0 ? random_request(r, payload, sizeof payload)
                                                     : random_payload(payload, sizeof payload);
            const struct ring_frame f = { .type = (uint16_t)type, .id = dice(),
                                          .payload = bytes_of(payload, n) };
            if (ring_write(r->gw.out[lane], &f, 1000) != HSM_OK)
                break;
            r->answer.there = false;
            rig_settle(r);
            if (r->answer.there && r->answer.err == HSM_OK && r->answer.body_n > 0)
                fail_msg("seed %llu: noise was answered", (unsigned long long)world.seed);
        }
        for (unsigned i = 0; i < 40 && r->ended == 0; i++) {
            rig_settle(r);
            usleep(500);
        }
        ends += r->ended != 0;
        if (r->ended >= 1000)
            fail_msg("seed %llu: signal %d", (unsigned long long)world.seed, r->ended - 1000);
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
        cmocka_unit_test(forged_identities),     cmocka_unit_test(replayed_request),
        cmocka_unit_test(too_early),             cmocka_unit_test(twice),
        cmocka_unit_test(wrong_types_and_lanes), cmocka_unit_test(replayed_transactions),
        cmocka_unit_test(history_with_a_hole),   cmocka_unit_test(flipped_verdicts),
        cmocka_unit_test(indices_go_back),       cmocka_unit_test(tampered_transactions),
        cmocka_unit_test(damaged_records),       cmocka_unit_test(older_records),
        cmocka_unit_test(records_of_another_pool), cmocka_unit_test(forged_key_server),
        cmocka_unit_test(noise_frames),          cmocka_unit_test(hostile_rings),
    };
    const char *seed = getenv("KEYHOLD_SEED");
    if (argc < 2) {
        (void)fprintf(stderr, "usage: hostile_gateway BOUNDARY [TEST]\n");
        return 2;
    }
    world.program = argv[1];
    if (argc > 2)
        cmocka_set_test_filter(argv[2]);
    world.seed = seed != NULL ? strtoull(seed, NULL, 10) : clock_mono_us();
    print_message("KEYHOLD_SEED=%llu\n", (unsigned long long)world.seed);
    return cmocka_run_group_tests(tests, make_world, drop_world);
}
