/* The whole path of a request: start, activation, keys, roles, restart. */
#include "boundary/boundary_testing.h"

static struct rig rig;

static struct wire_key answered_key(struct rig *r)
{
    struct wire_key k;
    assert_int_equal(wire_key_decode(bytes_of(r->answer.body, r->answer.body_n), &k), HSM_OK);
    return k;
}

static int start(void **state)
{
    (void)state;
    rig_init(&rig);
    rig_start(&rig, true);
    rig_serve(&rig);
    assert_int_equal(rig.ended, 0);
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

static void activation(void **state)
{
    (void)state;
    struct rig *r = &rig;
    rig_init(r);
    rig_start(r, true);
    rig_serve(r);
    assert_int_equal(r->ended, 0);
    assert_int_equal(r->welcome_fresh, 1);
    assert_int_equal(r->proposals, 1);
    assert_int_equal(RIG_CALL(r, OP_KEY_GET, key_ref, .name = bytes_str("k")), HSM_E_NOT_ACTIVATED);
    assert_int_equal(RIG_CALL(r, OP_ROLE_ASSIGNMENT_LIST, scope, .scope = bytes_str("/")),
                     HSM_E_NOT_ACTIVATED);
    assert_int_equal(RIG_CALL(r, OP_SD_DOWNLOAD_STATUS, empty, 0), HSM_E_NOT_FOUND);
    assert_int_equal(rig_activate(r), HSM_OK);
    assert_int_equal(r->proposals, 2);
    assert_int_equal(RIG_CALL(r, OP_SD_UPLOAD_STATUS, empty, 0), HSM_OK);
    /* A second download is a fresh file, not a second activation. */
    assert_int_equal(rig_activate(r), HSM_OK);
    assert_int_equal(r->proposals, 2);
    assert_int_equal(
        RIG_CALL(r, OP_KEY_CREATE, key_create, .name = bytes_str("K1"), .kty = KTY_OCT),
        HSM_E_DENIED);
    assert_string_equal(r->answer.detail,
                        "Not authorized to access Microsoft.KeyVault/managedHsm/keys/create on "
                        "/keys");
    assert_int_equal(r->answer.challenge, 0);
    assert_int_equal(RIG_CALL(r, OP_UNIMPLEMENTED, empty, 0), HSM_E_NOT_IMPLEMENTED);
    rig_done(r);
}

static void tokens(void **state)
{
    (void)state;
    struct rig *r = &rig;
    uint8_t body[64];
    struct wr w = wr_of(body, sizeof body);
    const struct wire_key_ref ref = {.name = bytes_str("k")};
    wire_key_ref_put(&w, &ref);
    assert_int_equal(rig_call(r, OP_KEY_GET, bytes_str("no.token.atall"), wr_view(&w)),
                     HSM_E_TOKEN_MALFORMED);
    assert_int_equal(r->answer.challenge, 1);
    assert_int_equal(rig_call(r, OP_KEY_GET, bytes_of(NULL, 0), wr_view(&w)), HSM_E_TOKEN_MISSING);
    assert_int_equal(rig_call(r, OP_KEY_GET, rig_token_of(r, RIG_ADMIN, -3600), wr_view(&w)),
                     HSM_E_TOKEN_EXPIRED);
    const char *other = "cccccccc-1111-4222-8333-bbbbbbbbbbbb";
    assert_int_equal(rig_call(r, OP_KEY_GET, rig_token_of(r, other, 60), wr_view(&w)),
                     HSM_E_DENIED);
    assert_int_equal(RIG_CALL(r, OP_KEY_GET, key_ref, .name = bytes_str("a/b")),
                     HSM_E_INVALID_KEY_ID);
    struct wr dw = wr_of(body, sizeof body);
    const struct wire_sd_download sd = {.required = 2};
    wire_sd_download_put(&dw, &sd);
    assert_int_equal(rig_call(r, OP_SD_DOWNLOAD, rig_token_of(r, other, 60), wr_view(&dw)),
                     HSM_E_DENIED);
    assert_string_equal(r->answer.detail, "Not authorized to perform Security Domain backup.");
}

static void create_and_use(void **state)
{
    (void)state;
    struct rig *r = &rig;
    const struct {
        unsigned kty, crv, size, alg;
        size_t digest;
    } cases[] = {
        {KTY_RSA, 0, 2048, ALG_PS256, 32},
        {KTY_RSA, 0, 3072, ALG_RS512, 64},
        {KTY_EC, CRV_P256, 0, ALG_ES256, 32},
        {KTY_EC, CRV_P521, 0, ALG_ES512, 64},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char name[32];
        uint8_t digest[64] = {1, 2, 3}, signature[600];
        struct wire_crypto_result res;
        snprintf(name, sizeof name, "Key-%u", i);
        assert_int_equal(RIG_CALL(r, OP_KEY_CREATE, key_create, .name = bytes_str(name),
                                  .kty = (uint8_t)cases[i].kty, .crv = (uint8_t)cases[i].crv,
                                  .key_size = cases[i].size),
                         HSM_OK);
        struct wire_key k = answered_key(r);
        assert_true(bytes_eq_str(k.name, name));
        assert_int_equal(k.attr_flags, ATTR_ENABLED);
        assert_int_equal(k.recoverable_days, 7);
        assert_int_equal(RIG_CALL(r, OP_SIGN, crypto, .name = bytes_str(name),
                                  .alg = (uint8_t)cases[i].alg,
                                  .value = bytes_of(digest, cases[i].digest)),
                         HSM_OK);
        struct bytes body = bytes_of(r->answer.body, r->answer.body_n);
        assert_int_equal(wire_crypto_result_decode(body, &res), HSM_OK);
        size_t n = res.value.n;
        memcpy(signature, res.value.p, n);
        for (unsigned good = 2; good-- > 0; signature[7] ^= 1) {
            assert_int_equal(RIG_CALL(r, OP_VERIFY, crypto, .name = bytes_str(name),
                                      .alg = (uint8_t)cases[i].alg, .value = bytes_of(signature, n),
                                      .digest = bytes_of(digest, cases[i].digest)),
                             HSM_OK);
            body = bytes_of(r->answer.body, r->answer.body_n);
            assert_int_equal(wire_crypto_result_decode(body, &res), HSM_OK);
            assert_int_equal(res.verified, good);
        }
    }
    assert_int_equal(RIG_CALL(r, OP_SIGN, crypto, .name = bytes_str("Key-0"), .alg = ALG_ES256,
                              .value = bytes_str("x")),
                     HSM_E_BAD_PARAMETER);
}

static void wrap_round(void **state)
{
    (void)state;
    struct rig *r = &rig;
    uint8_t wrapped[64];
    struct wire_crypto_result res;
    const struct bytes secret = bytes_str("0123456789abcdef0123456789abcdef");
    assert_int_equal(
        RIG_CALL(r, OP_KEY_CREATE, key_create, .name = bytes_str("aes"), .kty = KTY_OCT), HSM_OK);
    assert_int_equal(answered_key(r).key_size, 0);
    assert_int_equal(
        RIG_CALL(r, OP_WRAP, crypto, .name = bytes_str("AES"), .alg = ALG_A256KW, .value = secret),
        HSM_OK);
    assert_int_equal(wire_crypto_result_decode(bytes_of(r->answer.body, r->answer.body_n), &res),
                     HSM_OK);
    assert_int_equal(res.value.n, 40);
    memcpy(wrapped, res.value.p, 40);
    assert_int_equal(RIG_CALL(r, OP_UNWRAP, crypto, .name = bytes_str("aes"), .alg = ALG_A256KW,
                              .value = bytes_of(wrapped, 40)),
                     HSM_OK);
    assert_int_equal(wire_crypto_result_decode(bytes_of(r->answer.body, r->answer.body_n), &res),
                     HSM_OK);
    assert_true(bytes_eq(res.value, secret));
    wrapped[3] ^= 1;
    assert_int_equal(RIG_CALL(r, OP_UNWRAP, crypto, .name = bytes_str("aes"), .alg = ALG_A256KW,
                              .value = bytes_of(wrapped, 40)),
                     HSM_E_CRYPTO);
}

static void life_of_a_key(void **state)
{
    (void)state;
    struct rig *r = &rig;
    char version[33], text[200];
    assert_int_equal(RIG_CALL(r, OP_KEY_GET, key_ref, .name = bytes_str("Life")),
                     HSM_E_KEY_NOT_FOUND);
    assert_string_equal(r->answer.detail, "Key not found: https://" RIG_HOST "/keys/Life");
    assert_int_equal(
        RIG_CALL(r, OP_KEY_CREATE, key_create, .name = bytes_str("Life"), .kty = KTY_EC), HSM_OK);
    struct wire_key k = answered_key(r);
    version_hex(&k.version, version);
    assert_int_equal(
        RIG_CALL(r, OP_KEY_CREATE, key_create, .name = bytes_str("LIFE"), .kty = KTY_OCT), HSM_OK);
    assert_true(bytes_eq_str(answered_key(r).name, "Life"));
    assert_int_equal(
        RIG_CALL(r, OP_KEY_GET, key_ref, .name = bytes_str("life"), .version = bytes_str(version)),
        HSM_OK);
    assert_int_equal(answered_key(r).kty, KTY_EC);
    version[0] = version[0] == '0' ? '1' : '0';
    assert_int_equal(
        RIG_CALL(r, OP_KEY_GET, key_ref, .name = bytes_str("life"), .version = bytes_str(version)),
        HSM_E_KEY_NOT_FOUND);
    snprintf(text, sizeof text, "Key not found: https://%s/keys/life/%s", RIG_HOST, version);
    assert_string_equal(r->answer.detail, text);
    assert_int_equal(RIG_CALL(r, OP_KEY_RECOVER, key_name, .name = bytes_str("life")),
                     HSM_E_KEY_NOT_FOUND);
    assert_string_equal(r->answer.detail, "Key not found: https://" RIG_HOST "/deletedkeys/life");
    assert_int_equal(RIG_CALL(r, OP_KEY_DELETE, key_name, .name = bytes_str("life")), HSM_OK);
    k = answered_key(r);
    assert_int_equal(k.purge_date - k.deleted_date, 7 * 86400);
    assert_int_equal(RIG_CALL(r, OP_KEY_GET, key_ref, .name = bytes_str("life")),
                     HSM_E_KEY_NOT_FOUND);
    assert_int_equal(RIG_CALL(r, OP_DELETED_GET, key_name, .name = bytes_str("life")), HSM_OK);
    assert_int_equal(
        RIG_CALL(r, OP_KEY_CREATE, key_create, .name = bytes_str("life"), .kty = KTY_OCT),
        HSM_E_CONFLICT);
    assert_string_equal(r->answer.detail,
                        "Key life is currently in a deleted but recoverable state, and its name "
                        "cannot be reused; in this state, the key can only be recovered or "
                        "purged.");
    assert_int_equal(RIG_CALL(r, OP_KEY_RECOVER, key_name, .name = bytes_str("life")), HSM_OK);
    assert_int_equal(RIG_CALL(r, OP_KEY_VERSIONS, list, .name = bytes_str("life")), HSM_OK);
    assert_int_equal(RIG_CALL(r, OP_KEY_DELETE, key_name, .name = bytes_str("life")), HSM_OK);
    size_t before = r->store->n;
    assert_int_equal(RIG_CALL(r, OP_KEY_PURGE, key_name, .name = bytes_str("life")), HSM_OK);
    assert_int_equal(before - r->store->n, 3);
    assert_int_equal(RIG_CALL(r, OP_DELETED_GET, key_name, .name = bytes_str("life")),
                     HSM_E_KEY_NOT_FOUND);
    assert_int_equal(
        RIG_CALL(r, OP_KEY_CREATE, key_create, .name = bytes_str("life"), .kty = KTY_OCT), HSM_OK);
}

static void update(void **state)
{
    (void)state;
    struct rig *r = &rig;
    uint8_t tags[2000];
    struct wr w = wr_of(tags, sizeof tags);
    for (unsigned i = 0; i < 16; i++) {
        char name[8];
        snprintf(name, sizeof name, "t%u", i);
        const struct wire_tag t = {.name = bytes_str(name), .value = bytes_str("v")};
        size_t at = wr_lv_open(&w);
        wire_tag_put(&w, &t);
        wr_lv_close(&w, at);
    }
    assert_int_equal(RIG_CALL(r, OP_KEY_CREATE, key_create, .name = bytes_str("u"), .kty = KTY_OCT,
                              .tags = wr_view(&w)),
                     HSM_E_BAD_PARAMETER);
    assert_int_equal(RIG_CALL(r, OP_KEY_CREATE, key_create, .name = bytes_str("u"), .kty = KTY_OCT,
                              .attr_set = ATTR_EXPORTABLE, .attr_flags = ATTR_EXPORTABLE),
                     HSM_E_BAD_PARAMETER);
    assert_string_equal(r->answer.detail, "Exportable keys must have release policy");
    assert_int_equal(RIG_CALL(r, OP_KEY_CREATE, key_create, .name = bytes_str("u"), .kty = KTY_OCT,
                              .release_policy = bytes_str("{}")),
                     HSM_E_BAD_PARAMETER);
    assert_string_equal(r->answer.detail, "Non-exportable keys must not have release policy");
    assert_int_equal(RIG_CALL(r, OP_KEY_CREATE, key_create, .name = bytes_str("u"), .kty = KTY_OCT,
                              .attr_set = ATTR_EXP, .exp = 5000000000u),
                     HSM_OK);
    assert_int_equal(RIG_CALL(r, OP_KEY_UPDATE, key_update, .name = bytes_str("u"),
                              .attr_set = ATTR_EXPORTABLE | ATTR_ENABLED, .attr_flags = 0,
                              .has_ops = 1, .key_ops = KEY_OP_WRAP),
                     HSM_OK);
    struct wire_key k = answered_key(r);
    assert_int_equal(k.attr_flags, 0);
    assert_int_equal(k.key_ops, KEY_OP_WRAP);
    assert_int_equal(k.exp, 5000000000u);
    assert_int_equal(RIG_CALL(r, OP_WRAP, crypto, .name = bytes_str("u"), .alg = ALG_A256KW,
                              .value = bytes_str("0123456789abcdef")),
                     HSM_E_FORBIDDEN);
    assert_int_equal(RIG_CALL(r, OP_KEY_UPDATE, key_update, .name = bytes_str("u"),
                              .attr_set = ATTR_EXPORTABLE, .attr_flags = ATTR_EXPORTABLE),
                     HSM_E_BAD_PARAMETER);
    assert_int_equal(RIG_CALL(r, OP_KEY_UPDATE, key_update, .name = bytes_str("u"),
                              .attr_set = ATTR_ENABLED, .attr_flags = ATTR_ENABLED),
                     HSM_OK);
    assert_int_equal(RIG_CALL(r, OP_WRAP, crypto, .name = bytes_str("u"), .alg = ALG_A256KW,
                              .value = bytes_str("0123456789abcdef")),
                     HSM_OK);
}

/* Walk all pages; returns the number of items. */
static unsigned walk(struct rig *r, unsigned op, const char *name, unsigned max, char *order)
{
    uint8_t skip[512];
    size_t skip_n = 0;
    unsigned n = 0;
    do {
        struct wire_key_page p;
        struct bytes item;
        assert_int_equal(RIG_CALL(r, op, list, .name = bytes_str(name), .max = (uint16_t)max,
                                  .skip = bytes_of(skip, skip_n)),
                         HSM_OK);
        struct bytes body = bytes_of(r->answer.body, r->answer.body_n);
        assert_int_equal(wire_key_page_decode(body, &p), HSM_OK);
        while (wire_list_next(&p.items, &item)) {
            struct wire_key k;
            assert_int_equal(wire_key_decode(item, &k), HSM_OK);
            assert_int_equal(k.n.n + k.x.n, 0);
            n++;
            if (order != NULL)
                strncat(order, (const char *)k.name.p, k.name.n < 4 ? k.name.n : 4);
        }
        skip_n = p.skip.n;
        memcpy(skip, p.skip.p, skip_n);
    } while (skip_n > 0);
    return n;
}

static void lists(void **state)
{
    (void)state;
    struct rig *r = &rig;
    char order[200] = "";
    const char *names[] = {"zz-1", "Mm-1", "AA-1", "mm-2", "aa-2", "Zz-2", "aa-1"};
    unsigned before = walk(r, OP_KEY_LIST, "", 3, NULL);
    for (unsigned i = 0; i < 7; i++)
        assert_int_equal(
            RIG_CALL(r, OP_KEY_CREATE, key_create, .name = bytes_str(names[i]), .kty = KTY_OCT),
            HSM_OK);
    for (unsigned max = 1; max <= 25; max += 4)
        assert_int_equal(walk(r, OP_KEY_LIST, "", max, NULL), before + 6);
    (void)walk(r, OP_KEY_LIST, "", 2, order);
    assert_non_null(strstr(order, "AA-1aa-2"));
    assert_non_null(strstr(order, "Mm-1mm-2"));
    assert_non_null(strstr(order, "zz-1Zz-2"));
    assert_int_equal(walk(r, OP_KEY_VERSIONS, "Aa-1", 1, NULL), 2);
    assert_int_equal(walk(r, OP_KEY_VERSIONS, "nobody", 25, NULL), 0);
    assert_int_equal(walk(r, OP_DELETED_LIST, "", 25, NULL), 0);
    assert_int_equal(RIG_CALL(r, OP_KEY_DELETE, key_name, .name = bytes_str("mm-2")), HSM_OK);
    assert_int_equal(walk(r, OP_DELETED_LIST, "", 25, NULL), 1);
    assert_int_equal(walk(r, OP_KEY_LIST, "", 25, NULL), before + 5);
    const char *bad[] = {"!!!!", "A", "YS9i", "////"};
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(RIG_CALL(r, OP_KEY_LIST, list, .skip = bytes_str(bad[i])),
                         HSM_E_BAD_PARAMETER);
    assert_int_equal(RIG_CALL(r, OP_KEY_LIST, list, .max = 26), HSM_E_BAD_PARAMETER);
    assert_int_equal(
        RIG_CALL(r, OP_KEY_VERSIONS, list, .name = bytes_str("aa-1"), .skip = bytes_str("YWE")),
        HSM_E_BAD_PARAMETER);
}

static void restart(void **state)
{
    (void)state;
    struct rig *r = &rig;
    assert_int_equal(
        RIG_CALL(r, OP_KEY_CREATE, key_create, .name = bytes_str("Stays"), .kty = KTY_EC), HSM_OK);
    struct uuid id = answered_key(r).version;
    rig_send(r, 0, CTL_QUIESCE, 3, bytes_of(NULL, 0));
    rig_settle(r);
    assert_int_equal(r->quiesced, 1);
    assert_int_equal(r->ended, EXIT_QUIESCED + 1);
    rig_stop(r);
    rig_start(r, false);
    rig_serve(r);
    assert_int_equal(r->loaded_err, HSM_OK);
    assert_int_equal(r->welcome_fresh, 0);
    assert_null(strstr(r->audit, "\"gap\":true"));
    assert_int_equal(RIG_CALL(r, OP_KEY_GET, key_ref, .name = bytes_str("stays")), HSM_OK);
    assert_memory_equal(answered_key(r).version.b, id.b, 16);
    uint8_t digest[32] = {5};
    assert_int_equal(RIG_CALL(r, OP_SIGN, crypto, .name = bytes_str("stays"), .alg = ALG_ES256,
                              .value = bytes_of(digest, 32)),
                     HSM_OK);
    rig_send(r, 0, CTL_STATUS, 4, bytes_of(NULL, 0));
    rig_settle(r);
    assert_int_equal(r->statuses, 1);
    assert_int_equal(r->status.pool_state, POOL_ACTIVE);
    assert_int_equal(r->status.applied, r->store->index);
    assert_int_equal(r->status.retention_days, 7);
    assert_int_equal(r->status.purge_protection, 0);
    assert_int_equal(r->status.keys, r->b->state->active.n + r->b->state->deleted.n);
    assert_int_equal(r->status.deleted, r->b->state->deleted.n);
    assert_int_equal(r->status.issuers, 1);
    assert_int_equal(r->status.issuers_known, 1);
    assert_int_equal(r->status.keys_awaited + r->status.commits_awaited + r->status.turns_awaited +
                         r->status.lanes_queued + r->status.slow_queued + r->status.makers_queued,
                     0);
}

/* An edited pool.json does not change what the pool was made with: nothing is served. */
static void made_once(void **state)
{
    (void)state;
    struct rig *r = &rig;
    static const struct {
        const char *from, *to;
    } edits[] = {
        {"\"retentionDays\":7,", "\"retentionDays\":8,"},
        {"\"retentionDays\":7,", "\"retentionDays\":7,\"purgeProtection\":true,"},
        {"\"retentionDays\":7,", ""},
        {"\"name\":\"dev\"", "\"name\":\"dew\""},
        {"\"tenant\":\"7", "\"tenant\":\"8"},
    };
    char was[sizeof r->pool_json];
    memcpy(was, r->pool_json, sizeof was);
    rig_send(r, 0, CTL_QUIESCE, 3, bytes_of(NULL, 0));
    rig_settle(r);
    for (size_t i = 0; i < sizeof edits / sizeof edits[0]; i++) {
        const char *at = strstr(was, edits[i].from);
        assert_non_null(at);
        int n = snprintf(r->pool_json, sizeof r->pool_json, "%.*s%s%s", (int)(at - was), was,
                         edits[i].to, at + strlen(edits[i].from));
        assert_true(n > 0 && (size_t)n < sizeof r->pool_json);
        rig_stop(r);
        rig_start(r, false);
        rig_serve(r);
        assert_int_equal(r->loaded_err, HSM_E_CORRUPT);
        assert_non_null(strstr(r->loaded_detail, "which never changes"));
        assert_int_equal(atomic_load(&r->b->phase), PHASE_REFUSED);
    }
    memcpy(r->pool_json, was, sizeof was);
    rig_stop(r);
    rig_start(r, false);
    rig_serve(r);
    assert_int_equal(r->loaded_err, HSM_OK);
}

/* Versions and keys have limits. */
static void limits(void **state)
{
    (void)state;
    struct rig *r = &rig;
    for (unsigned i = 0; i < KEY_VERSIONS_MAX; i++)
        assert_int_equal(
            RIG_CALL(r, OP_KEY_CREATE, key_create, .name = bytes_str("many"), .kty = KTY_OCT),
            HSM_OK);
    assert_int_equal(
        RIG_CALL(r, OP_KEY_CREATE, key_create, .name = bytes_str("many"), .kty = KTY_OCT),
        HSM_E_BAD_PARAMETER);
    assert_int_equal(walk(r, OP_KEY_VERSIONS, "many", 25, NULL), KEY_VERSIONS_MAX);
    assert_int_equal(RIG_CALL(r, OP_KEY_DELETE, key_name, .name = bytes_str("many")), HSM_OK);
    /* 101 records in one transaction. */
    assert_int_equal(RIG_CALL(r, OP_KEY_PURGE, key_name, .name = bytes_str("many")), HSM_OK);
    r->b->state->pool.max_keys = (uint32_t)(r->b->state->active.n + r->b->state->deleted.n);
    assert_int_equal(
        RIG_CALL(r, OP_KEY_CREATE, key_create, .name = bytes_str("one-more"), .kty = KTY_OCT),
        HSM_E_BAD_PARAMETER);
    r->b->state->pool.max_keys = KEYS_MAX_DEFAULT;
}

/* The clock passes the end of the retention: the boundary purges by itself. */
static void retention_ends(void **state)
{
    (void)state;
    struct rig *r = &rig;
    for (unsigned i = 0; i < 3; i++) {
        char name[16];
        snprintf(name, sizeof name, "old-%u", i);
        assert_int_equal(
            RIG_CALL(r, OP_KEY_CREATE, key_create, .name = bytes_str(name), .kty = KTY_OCT),
            HSM_OK);
        assert_int_equal(RIG_CALL(r, OP_KEY_DELETE, key_name, .name = bytes_str(name)), HSM_OK);
    }
    uint64_t had = r->b->state->deleted.n;
    assert_true(had >= 3);
    rig_clock_ahead_s = 6 * 86400;
    r->b->next_purge_us = 0;
    rig_settle(r);
    assert_int_equal(r->b->state->deleted.n, had);
    rig_clock_ahead_s = 8 * 86400;
    for (unsigned i = 0; i < 2 * had; i++) {
        r->b->next_purge_us = 0;
        rig_settle(r);
    }
    assert_int_equal(r->b->state->deleted.n, 0);
    rig_clock_ahead_s = 0;
}

/* The issuer is silent: the request waits, then gets its answer once there are keys. */
static void waits_for_keys(void **state)
{
    (void)state;
    struct rig *r = &rig;
    rig_init(r);
    rig_start(r, true);
    r->net.mode = SERVER_SILENT;
    rig_serve(r);
    const struct wire_empty none = {0};
    (void)none;
    uint64_t id =
        rig_post(r, 1, OP_SD_DOWNLOAD_STATUS, rig_token_of(r, RIG_ADMIN, 60), bytes_of(NULL, 0));
    rig_settle(r);
    assert_false(r->answer.there);
    assert_int_equal(r->b->held.parked_n, 1);
    rig_send(r, 0, CTL_STATUS, 4, bytes_of(NULL, 0));
    rig_settle(r);
    assert_int_equal(r->status.keys_awaited, 1);
    assert_int_equal(r->status.issuers_known, 0);
    r->net.mode = SERVER_NORMAL;
    rig_wait(r, id);
    assert_true(r->answer.there);
    assert_int_equal(r->answer.err, HSM_E_NOT_FOUND);
    assert_int_equal(r->b->held.parked_n, 0);
    rig_done(r);
}

int main(void)
{
    const struct CMUnitTest alone[] = {
        cmocka_unit_test(activation),
        cmocka_unit_test(waits_for_keys),
    };
    const struct CMUnitTest shared[] = {
        cmocka_unit_test(tokens),         cmocka_unit_test(create_and_use),
        cmocka_unit_test(wrap_round),     cmocka_unit_test(life_of_a_key),
        cmocka_unit_test(update),         cmocka_unit_test(lists),
        cmocka_unit_test(restart),        cmocka_unit_test(limits),
        cmocka_unit_test(retention_ends), cmocka_unit_test(made_once),
    };
    int failed = cmocka_run_group_tests(alone, NULL, NULL);
    return failed + cmocka_run_group_tests(shared, start, stop);
}
