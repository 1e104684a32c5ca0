/* Backup and restore of a key through the dispatcher. */
#include "boundary/boundary_testing.h"

#include <openssl/rand.h>
#include "boundary/key_backup_seal.h"
#include "boundary/seal_record.h"

#define BAD_TEXT                                                                                   \
    "Backup blob belongs to a different crypto domain and cannot be used with this instance."

static struct rig rig;
static uint8_t body[RING_FRAME_MAX], blob[KEY_BACKUP_TEXT_MAX], blob2[KEY_BACKUP_TEXT_MAX];
static size_t blob_n;

static void begin(void)
{
    rig_start(&rig, true);
    rig_serve(&rig);
    assert_int_equal(rig.ended, 0);
    assert_int_equal(rig_activate(&rig), HSM_OK);
    rig_make_crypto_user(&rig);
}

static int start(void **state)
{
    (void)state;
    rig_init(&rig);
    begin();
    return 0;
}

static int stop(void **state)
{
    (void)state;
    assert_int_equal(rig.ended, 0);
    rig_done(&rig);
    return 0;
}

/* The rig becomes another pool, which has the backup key of the one before when asked to. */
static void another_pool(bool same_domain)
{
    uint8_t backup[64];
    memcpy(backup, rig.roots.backup, sizeof backup);
    rig_done(&rig);
    rig_init(&rig);
    if (same_domain) {
        memcpy(rig.roots.backup, backup, sizeof backup);
        secret_buf_done(&rig.roots_text);
        assert_int_equal(roots_encode(&rig.roots, &rig.roots_text), HSM_OK);
    }
    begin();
}

static struct wire_key answered(void)
{
    struct wire_key k;
    assert_int_equal(wire_key_decode(bytes_of(rig.answer.body, rig.answer.body_n), &k), HSM_OK);
    return k;
}

static hsm_err restore(struct bytes value)
{
    const struct wire_key_backup m = {.value = value};
    struct wr w = wr_of(body, sizeof body);
    wire_key_backup_put(&w, &m);
    assert_int_equal(wr_ok(&w), HSM_OK);
    return rig_call(&rig, OP_KEY_RESTORE, rig_token_of(&rig, RIG_ADMIN, 3600), wr_view(&w));
}

/* Into blob. */
static hsm_err backup(const char *name)
{
    struct wire_key_backup m;
    hsm_err err = RIG_CALL(&rig, OP_KEY_BACKUP, key_name, .name = bytes_str(name));
    if (err != HSM_OK)
        return err;
    assert_int_equal(wire_key_backup_decode(bytes_of(rig.answer.body, rig.answer.body_n), &m),
                     HSM_OK);
    blob_n = m.value.n;
    memcpy(blob, m.value.p, blob_n);
    return HSM_OK;
}

static struct bytes saved(void)
{
    return bytes_of(blob, blob_n);
}

static void drop(const char *name, bool purge)
{
    assert_int_equal(RIG_CALL(&rig, OP_KEY_DELETE, key_name, .name = bytes_str(name)), HSM_OK);
    if (purge)
        assert_int_equal(RIG_CALL(&rig, OP_KEY_PURGE, key_name, .name = bytes_str(name)), HSM_OK);
}

/* Everything that can be asked about a key, as one string of bytes. */
static struct bytes shown(const char *name, uint8_t *dst, size_t cap)
{
    struct wr w = wr_of(dst, cap);
    const struct key *k = state_key(rig.b->state, bytes_str(name));
    assert_non_null(k);
    wr_u64(&w, k->created);
    wr_u32(&w, k->next_seq);
    for (unsigned i = 0; i < k->version_n; i++) {
        char hex[VERSION_HEX + 1];
        version_hex(&k->version[i]->id, hex);
        assert_int_equal(
            RIG_CALL(&rig, OP_KEY_GET, key_ref, .name = bytes_str(name), .version = bytes_str(hex)),
            HSM_OK);
        wr_bytes(&w, rig.answer.body, rig.answer.body_n);
    }
    assert_int_equal(RIG_CALL(&rig, OP_ROTATION_GET, key_name, .name = bytes_str(name)), HSM_OK);
    wr_bytes(&w, rig.answer.body, rig.answer.body_n);
    assert_int_equal(wr_ok(&w), HSM_OK);
    return wr_view(&w);
}

static void create(const char *name, enum key_type kty)
{
    static const uint8_t tag[] = {0, 0, 0, 10, 0, 0, 0, 1, 'a', 0, 0, 0, 1, 'b'};
    assert_int_equal(RIG_CALL(&rig, OP_KEY_CREATE, key_create, .name = bytes_str(name),
                              .kty = (uint8_t)kty, .tags = bytes_of(tag, sizeof tag)),
                     HSM_OK);
}

static void use(const char *name, unsigned op, unsigned alg, const char *value)
{
    assert_int_equal(RIG_CALL(&rig, op, crypto, .name = bytes_str(name), .alg = (uint8_t)alg,
                              .value = bytes_str(value)),
                     HSM_OK);
}

/* A key with something of everything; the current version is an AES key. */
static void make_rich(const char *name)
{
    static const char policy[] = "{\"anyOf\":[{\"allOf\":[{\"claim\":\"c\",\"equals\":1}],"
                                 "\"authority\":\"https://a.example\"}],\"version\":\"1.0.0\"}";
    create(name, KTY_RSA);
    create(name, KTY_EC);
    assert_int_equal(RIG_CALL(&rig, OP_KEY_CREATE, key_create, .name = bytes_str(name),
                              .kty = KTY_EC, .crv = CRV_P521, .policy_immutable = 1,
                              .attr_set = ATTR_EXPORTABLE | ATTR_NBF | ATTR_EXP | ATTR_ENABLED,
                              .attr_flags = ATTR_EXPORTABLE, .nbf = 5, .exp = 9000000000u,
                              .release_policy = bytes_str(policy)),
                     HSM_OK);
    create(name, KTY_OCT);
    const struct wire_lifetime_action a = {.type = ROTATION_ROTATE,
                                           .after_create = bytes_str("P40D")};
    uint8_t list[200];
    struct wr w = wr_of(list, sizeof list);
    size_t at = wr_lv_open(&w);
    wire_lifetime_action_put(&w, &a);
    wr_lv_close(&w, at);
    assert_int_equal(RIG_CALL(&rig, OP_ROTATION_PUT, rotation_put, .name = bytes_str(name),
                              .actions = wr_view(&w)),
                     HSM_OK);
}

static void same_key_again(void **state)
{
    (void)state;
    static uint8_t before[20000], after[20000];
    make_rich("Rich");
    use("Rich", OP_WRAP, ALG_A256KW, "0123456789abcdef");
    struct bytes was = shown("Rich", before, sizeof before);
    assert_int_equal(backup("RICH"), HSM_OK);
    drop("rich", true);
    assert_int_equal(restore(saved()), HSM_OK);
    struct wire_key k = answered();
    assert_true(bytes_eq_str(k.name, "Rich"));
    assert_int_equal(k.kty, KTY_OCT);
    assert_true(bytes_eq(shown("Rich", after, sizeof after), was));
    use("Rich", OP_WRAP, ALG_A256KW, "0123456789abcdef");
    /* and over a restart */
    rig_stop(&rig);
    rig_start(&rig, false);
    rig_serve(&rig);
    assert_int_equal(rig.ended, 0);
    assert_true(bytes_eq(shown("Rich", after, sizeof after), was));
    /* Every version does what it did: the public halves are those of the answers before. */
    const struct key *found = state_key(rig.b->state, bytes_str("rich"));
    static const uint8_t algs[] = {ALG_RS256, ALG_ES256};
    for (unsigned i = 0; i < 2; i++) {
        char hex[VERSION_HEX + 1];
        struct wire_crypto_result r;
        uint8_t signature[256];
        version_hex(&found->version[i]->id, hex);
        const struct bytes digest = bytes_str("0123456789abcdef0123456789abcdef");
        assert_int_equal(RIG_CALL(&rig, OP_SIGN, crypto, .name = bytes_str("rich"),
                                  .version = bytes_str(hex), .alg = algs[i], .value = digest),
                         HSM_OK);
        assert_int_equal(
            wire_crypto_result_decode(bytes_of(rig.answer.body, rig.answer.body_n), &r), HSM_OK);
        memcpy(signature, r.value.p, r.value.n);
        assert_int_equal(RIG_CALL(&rig, OP_VERIFY, crypto, .name = bytes_str("rich"),
                                  .version = bytes_str(hex), .alg = algs[i],
                                  .value = bytes_of(signature, r.value.n), .digest = digest),
                         HSM_OK);
        assert_int_equal(
            wire_crypto_result_decode(bytes_of(rig.answer.body, rig.answer.body_n), &r), HSM_OK);
        assert_int_equal(r.verified, 1);
    }
}

static void names_in_use(void **state)
{
    (void)state;
    create("mine", KTY_OCT);
    assert_int_equal(backup("mine"), HSM_OK);
    unsigned proposals = rig.proposals;
    assert_int_equal(restore(saved()), HSM_E_CONFLICT);
    assert_string_equal(rig.answer.detail, "A key with the name mine already exists.");
    drop("mine", false);
    assert_int_equal(restore(saved()), HSM_E_CONFLICT);
    assert_string_equal(
        rig.answer.detail,
        "Key mine is currently in a deleted but recoverable state, and its name cannot be reused; "
        "in this state, the key can only be recovered or purged.");
    assert_int_equal(rig.proposals, proposals + 1);
    assert_int_equal(backup("mine"), HSM_E_KEY_NOT_FOUND);
    assert_int_equal(backup("never"), HSM_E_KEY_NOT_FOUND);
    assert_int_equal(backup("no/name"), HSM_E_INVALID_KEY_ID);
}

/* Two at the same time: one key. */
static void a_race(void **state)
{
    (void)state;
    create("race", KTY_OCT);
    assert_int_equal(backup("race"), HSM_OK);
    drop("race", true);
    const struct wire_key_backup m = {.value = saved()};
    struct wr w = wr_of(body, sizeof body);
    wire_key_backup_put(&w, &m);
    rig.on_txn = TXN_KEEP;
    struct bytes token = rig_token_of(&rig, RIG_ADMIN, 3600);
    uint64_t first = rig_post(&rig, 1, OP_KEY_RESTORE, token, wr_view(&w));
    rig_settle(&rig);
    uint64_t second = rig_post(&rig, 2, OP_KEY_RESTORE, token, wr_view(&w));
    rig_settle(&rig);
    assert_false(rig.answer.there);
    rig.on_txn = TXN_COMMIT;
    rig_commit(&rig, bytes_of(rig.kept, rig.kept_n));
    rig_wait(&rig, second);
    assert_true(first < second);
    assert_int_equal(rig.answer.err, HSM_E_CONFLICT);
    assert_int_equal(state_key(rig.b->state, bytes_str("race"))->version_n, 1);
}

static void pools(void **state)
{
    (void)state;
    create("moved", KTY_EC);
    struct uuid was = answered().version;
    assert_int_equal(backup("moved"), HSM_OK);
    another_pool(true);
    assert_int_equal(restore(saved()), HSM_OK);
    struct wire_key k = answered();
    assert_memory_equal(k.version.b, was.b, 16);
    use("moved", OP_SIGN, ALG_ES256, "0123456789abcdef0123456789abcdef");
    another_pool(false);
    unsigned proposals = rig.proposals;
    assert_int_equal(restore(saved()), HSM_E_BACKUP_BLOB);
    assert_string_equal(rig.answer.detail, "");
    assert_int_equal(rig.proposals, proposals);
}

static void garbage(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "x", "....", "eyJhbGciOiJkaXIifQ....", "{}"};
    create("g", KTY_OCT);
    assert_int_equal(backup("g"), HSM_OK);
    drop("g", true);
    unsigned proposals = rig.proposals;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(restore(bytes_str(bad[i])), HSM_E_BACKUP_BLOB);
    for (size_t at = 0; at < blob_n; at += 37) {
        blob[at] ^= 1;
        assert_int_equal(restore(saved()), HSM_E_BACKUP_BLOB);
        blob[at] ^= 1;
    }
    assert_int_equal(rig.proposals, proposals);
    assert_string_equal(hsm_err_text(HSM_E_BACKUP_BLOB), BAD_TEXT);
    assert_string_equal(hsm_err_code(HSM_E_BACKUP_BLOB), "MalformedBackupBlob");
    assert_int_equal(hsm_err_http(HSM_E_BACKUP_BLOB), 400);
    assert_int_equal(restore(saved()), HSM_OK);
}

/* ---- backups that no backup wrote ------------------------------------------------------------ */
struct forged {
    struct wr w;
    struct key_backup_sealer s;
};
static const uint8_t salt[KEY_BACKUP_SALT_LEN] = {5};

static void forge_begin(struct forged *f, const char *name, unsigned n)
{
    static uint8_t content[KEY_BACKUP_MAX + 16];
    const struct key_fields k = {.display = bytes_str(name), .created = 1, .next_seq = n};
    f->w = wr_of(content, KEY_BACKUP_MAX);
    key_backup_put_head(&f->w, salt, &k, n);
    assert_int_equal(key_backup_sealer_init(&rig.roots, salt, &f->s), HSM_OK);
}

static void forge_add(struct forged *f, const struct uuid *id, const struct version_fields *v,
                      struct bytes private_part)
{
    uint8_t sealed[KEY_BACKUP_PRIVATE_MAX];
    assert_int_equal(key_backup_seal_private(&f->s, id, private_part, sealed), HSM_OK);
    key_backup_put_version(&f->w, id, v, bytes_of(sealed, private_part.n + SEAL_PRIVATE_OVERHEAD));
}

static struct bytes forge_end(struct forged *f)
{
    struct wr out = wr_of(blob2, sizeof blob2);
    assert_int_equal(wr_ok(&f->w), HSM_OK);
    assert_int_equal(key_backup_close(&rig.roots, f->w.p, f->w.n, &out), HSM_OK);
    key_backup_sealer_done(&f->s);
    return wr_view(&out);
}

static void fields_of(const struct keymat_spec *spec, const struct keymat_public *pub,
                      const char *name, uint32_t seq, struct version_fields *ret)
{
    *ret = (struct version_fields){.key = bytes_str(name),
                                   .seq = seq,
                                   .kty = (uint8_t)spec->kty,
                                   .crv = (uint8_t)spec->crv,
                                   .bits = spec->bits,
                                   .attr_set = ATTR_ENABLED,
                                   .attr_flags = ATTR_ENABLED,
                                   .ops = KEY_OP_SIGN,
                                   .n = bytes_of(pub->n, pub->n_len),
                                   .e = bytes_of(pub->e, pub->e_len),
                                   .x = bytes_of(pub->x, pub->x_len),
                                   .y = bytes_of(pub->y, pub->y_len)};
}

static void inconsistent_parts(void **state)
{
    (void)state;
    struct keymat_spec spec = {.kty = KTY_EC, .crv = CRV_P256, .bits = 256};
    struct secret_buf mine = {0}, other = {0};
    struct keymat_public pub, unused;
    struct version_fields v;
    struct forged f;
    const struct uuid id = {{1}};
    assert_int_equal(keymat_generate(&spec, &mine, &pub), HSM_OK);
    assert_int_equal(keymat_generate(&spec, &other, &unused), HSM_OK);
    fields_of(&spec, &pub, "odd", 0, &v);
    const struct bytes parts[] = {bytes_of(other.p, other.n), bytes_str("no private part at all"),
                                  bytes_of(mine.p, mine.n - 1), bytes_of(mine.p, mine.n)};
    for (size_t i = 0; i < 4; i++) {
        forge_begin(&f, "odd", 1);
        forge_add(&f, &id, &v, parts[i]);
        assert_int_equal(restore(forge_end(&f)), i < 3 ? HSM_E_BACKUP_BLOB : HSM_OK);
    }
    /* the same version id under another name */
    v.key = bytes_str("odd2");
    forge_begin(&f, "odd2", 1);
    forge_add(&f, &id, &v, parts[3]);
    assert_int_equal(restore(forge_end(&f)), HSM_E_CONFLICT);
    assert_string_equal(rig.answer.detail,
                        "A version of the backup belongs to another key of this HSM.");
    assert_null(state_key(rig.b->state, bytes_str("odd2")));
    secret_buf_done(&mine);
    secret_buf_done(&other);
}

/* As many versions as a key can have, of the largest kind. */
static void hundred_of_the_largest(void **state)
{
    (void)state;
    struct keymat_spec spec = {.kty = KTY_RSA, .bits = 4096};
    struct secret_buf part = {0};
    struct keymat_public pub;
    struct version_fields v;
    struct forged f;
    assert_int_equal(keymat_generate(&spec, &part, &pub), HSM_OK);
    forge_begin(&f, "large", KEY_VERSIONS_MAX);
    for (unsigned i = 0; i < KEY_VERSIONS_MAX; i++) {
        const struct uuid id = {{(uint8_t)i, 0xee}};
        fields_of(&spec, &pub, "large", i, &v);
        forge_add(&f, &id, &v, bytes_of(part.p, part.n));
    }
    assert_int_equal(restore(forge_end(&f)), HSM_OK);
    assert_int_equal(state_key(rig.b->state, bytes_str("large"))->version_n, KEY_VERSIONS_MAX);
    assert_int_equal(backup("large"), HSM_OK);
    assert_in_range(blob_n, 160000, 260000);
    drop("large", true);
    assert_int_equal(restore(saved()), HSM_OK);
    assert_int_equal(state_key(rig.b->state, bytes_str("large"))->version_n, KEY_VERSIONS_MAX);
    use("large", OP_SIGN, ALG_RS256, "0123456789abcdef0123456789abcdef");
    secret_buf_done(&part);
}

/* What could not be restored is not backed up either. */
static void too_large(void **state)
{
    (void)state;
    static char policy[65000];
    size_t n = (size_t)snprintf(policy, sizeof policy,
                                "{\"anyOf\":[{\"allOf\":[{\"claim\":\"c\",\"equals\":1}");
    while (n < 60000)
        n += (size_t)snprintf(policy + n, sizeof policy - n,
                              ",{\"claim\":\"c\",\"equals\":\"%02000d\"}", 0);
    (void)snprintf(policy + n, sizeof policy - n,
                   "],\"authority\":\"https://a.example\"}],\"version\":\"1.0.0\"}");
    for (unsigned i = 0; i < 11; i++) {
        assert_int_equal(RIG_CALL(&rig, OP_KEY_CREATE, key_create, .name = bytes_str("big"),
                                  .kty = KTY_OCT, .attr_set = ATTR_EXPORTABLE,
                                  .attr_flags = ATTR_EXPORTABLE,
                                  .release_policy = bytes_str(policy)),
                         HSM_OK);
        hsm_err err = backup("big");
        assert_int_equal(err, i < 10 ? HSM_OK : HSM_E_BAD_PARAMETER);
    }
    assert_string_equal(rig.answer.detail,
                        "The key is too large for a backup: its versions with their tags and "
                        "release policies take more than 660000 bytes.");
    drop("big", true);
    assert_int_equal(restore(saved()), HSM_OK);
    assert_int_equal(state_key(rig.b->state, bytes_str("big"))->version_n, 10);
}

static void limit_of_keys(void **state)
{
    (void)state;
    create("last", KTY_OCT);
    assert_int_equal(backup("last"), HSM_OK);
    drop("last", true);
    create("other", KTY_OCT);
    rig.b->state->pool.max_keys = 1;
    assert_int_equal(restore(saved()), HSM_E_BAD_PARAMETER);
    assert_string_equal(rig.answer.detail, "The HSM can hold at most 1 keys.");
    rig.b->state->pool.max_keys = 2;
    assert_int_equal(restore(saved()), HSM_OK);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, start, stop)
    const struct CMUnitTest tests[] = {
        T(same_key_again), T(names_in_use),  T(a_race),
        T(pools),          T(garbage),       T(inconsistent_parts),
        T(too_large),      T(limit_of_keys), T(hundred_of_the_largest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
