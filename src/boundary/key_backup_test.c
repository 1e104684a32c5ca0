/* The form of a key's backup, and its seals. */
#include "boundary/key_backup_seal.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include "base/mutate.h"
#include "boundary/seal_record.h"
#include "codec/base64url.h"

static uint8_t buf[KEY_BACKUP_MAX + 16];
static uint8_t text[KEY_BACKUP_TEXT_MAX];
static const uint8_t salt[KEY_BACKUP_SALT_LEN] = {1, 2, 3};

struct sample {
    struct key_fields k;
    struct version_fields f[3];
    struct uuid id[3];
    unsigned n;
    uint8_t sealed[100];
};

static void make(struct sample *s)
{
    static const uint8_t point[32] = {7};
    *s = (struct sample){.n = 3};
    s->k = (struct key_fields){.display = bytes_str("Some-Key"), .created = 5, .next_seq = 9};
    for (unsigned i = 0; i < 3; i++) {
        s->id[i].b[0] = (uint8_t)(i + 1);
        s->f[i] = (struct version_fields){.key = bytes_str("some-key"),
                                          .seq = 2 * i,
                                          .kty = KTY_OCT,
                                          .attr_set = ATTR_ENABLED,
                                          .attr_flags = ATTR_ENABLED,
                                          .bits = 256,
                                          .ops = KEY_OP_WRAP,
                                          .created = 10 + i};
    }
    s->f[1].kty = KTY_EC;
    s->f[1].crv = CRV_P256;
    s->f[1].x = bytes_of(point, 32);
    s->f[1].y = bytes_of(point, 32);
    s->f[1].ops = KEY_OP_SIGN;
    s->f[2].attr_flags |= ATTR_EXPORTABLE;
    s->f[2].policy = bytes_str("{}");
    s->f[2].policy_immutable = 1;
}

static struct bytes written(const struct sample *s)
{
    struct wr w = wr_of(buf, KEY_BACKUP_MAX);
    key_backup_put_head(&w, salt, &s->k, s->n);
    for (unsigned i = 0; i < s->n; i++)
        key_backup_put_version(&w, &s->id[i], &s->f[i], bytes_of(s->sealed, sizeof s->sealed));
    assert_int_equal(wr_ok(&w), HSM_OK);
    return wr_view(&w);
}

static void round_trip(void **state)
{
    struct sample s;
    struct key_backup b;
    struct key_backup_version v;
    unsigned n = 0;
    (void)state;
    make(&s);
    assert_int_equal(key_backup_parse(written(&s), &b), HSM_OK);
    assert_int_equal(b.n, 3);
    assert_true(bytes_eq_str(b.key.display, "Some-Key") && b.key.created == 5);
    assert_memory_equal(b.salt.p, salt, sizeof salt);
    for (; key_backup_next(&b, &v); n++) {
        assert_memory_equal(v.id.b, s.id[n].b, 16);
        assert_int_equal(v.f.seq, s.f[n].seq);
        assert_int_equal(v.f.created, 10 + n);
        assert_int_equal(v.sealed_private.n, sizeof s.sealed);
    }
    assert_int_equal(n, 3);
    assert_false(key_backup_next(&b, &v));
}

static void refused(const struct sample *s, const char *what)
{
    struct key_backup b;
    if (key_backup_parse(written(s), &b) != HSM_E_MALFORMED)
        fail_msg("taken: %s", what);
}

#define REFUSED(change)                                                                            \
    do {                                                                                           \
        struct sample s;                                                                           \
        make(&s);                                                                                  \
        change;                                                                                    \
        refused(&s, #change);                                                                      \
    } while (0)

static void what_does_not_fit(void **state)
{
    static const uint8_t tag[] = {0, 0, 0, 5, 0, 0, 0, 9, 'x'};
    (void)state;
    REFUSED(s.n = 0);
    REFUSED(s.k.deleted_date = 7);
    REFUSED(s.k.purge_date = 7);
    REFUSED(s.k.display = bytes_str("a/b"));
    REFUSED(s.k.next_seq = 4);
    REFUSED(s.f[0].key = bytes_str("Some-Key"));
    REFUSED(s.f[0].key = bytes_str("other"));
    REFUSED(s.f[1].seq = 0);
    REFUSED(s.f[2].seq = 1);
    REFUSED(s.id[2] = s.id[0]);
    REFUSED(s.f[0].kty = KTY_NONE);
    REFUSED(s.f[0].kty = 9);
    REFUSED(s.f[0].crv = CRV_P256);
    REFUSED(s.f[0].x = bytes_str("x"));
    REFUSED(s.f[1].crv = CRV_P384);
    REFUSED(s.f[1].crv = 99);
    REFUSED(s.f[1].y.n = 31);
    REFUSED(s.f[1].n = bytes_str("n"));
    REFUSED(s.f[0].kty = KTY_RSA);
    REFUSED(s.f[0].ops = 1u << 30);
    REFUSED(s.f[0].attr_set = 0x80);
    REFUSED(s.f[0].attr_flags = 0x80);
    REFUSED(s.f[0].attr_flags |= ATTR_EXPORTABLE);
    REFUSED(s.f[0].policy = bytes_str("{}"));
    REFUSED(s.f[0].policy_immutable = 1);
    REFUSED(s.f[2].policy_immutable = 2);
    REFUSED(s.f[0].tags = bytes_of(tag, sizeof tag));
}

static void counts(void **state)
{
    struct sample s;
    struct key_backup b;
    (void)state;
    make(&s);
    struct bytes whole = written(&s);
    size_t count_at = 4 + 1 + KEY_BACKUP_SALT_LEN + 4 + (1 + 4 + 8 + 8 + 8 + 8 + 4);
    assert_int_equal(buf[count_at + 1], 3);
    buf[count_at + 1] = 2;
    assert_int_equal(key_backup_parse(whole, &b), HSM_E_MALFORMED);
    buf[count_at + 1] = 4;
    assert_int_equal(key_backup_parse(whole, &b), HSM_E_MALFORMED);
    buf[count_at] = 1;
    assert_int_equal(key_backup_parse(whole, &b), HSM_E_MALFORMED);
    whole = written(&s);
    assert_int_equal(key_backup_parse(bytes_of(whole.p, whole.n - 1), &b), HSM_E_MALFORMED);
    assert_int_equal(key_backup_parse(bytes_of(whole.p, whole.n + 1), &b), HSM_E_MALFORMED);
    assert_int_equal(key_backup_parse(bytes_of(whole.p, 0), &b), HSM_E_MALFORMED);
    assert_int_equal(key_backup_parse(bytes_of(buf, KEY_BACKUP_MAX + 1), &b), HSM_E_MALFORMED);
}

static void one_mutant(struct bytes mutant, void *arg)
{
    struct key_backup b;
    struct key_backup_version v;
    unsigned n = 0;
    (void)arg;
    if (key_backup_parse(mutant, &b) != HSM_OK)
        return;
    while (key_backup_next(&b, &v))
        n++;
    assert_int_equal(n, b.n);
}

static void mutations(void **state)
{
    struct sample s;
    (void)state;
    make(&s);
    s.n = 2;
    mutate_each(written(&s), one_mutant, NULL);
}

/* ---- seals ----------------------------------------------------------------------------------- */
static struct roots pool, other;

/* Another pool: everything is its own. */
static int make_roots(void **state)
{
    (void)state;
    assert_int_equal(roots_generate("one", &pool), HSM_OK);
    assert_int_equal(roots_generate("two", &other), HSM_OK);
    return 0;
}

static int free_roots(void **state)
{
    (void)state;
    roots_done(&pool);
    roots_done(&other);
    return 0;
}

static struct bytes closed(const struct roots *r)
{
    struct sample s;
    make(&s);
    struct wr w = wr_of(text, sizeof text);
    assert_int_equal(key_backup_close(r, buf, written(&s).n, &w), HSM_OK);
    return wr_view(&w);
}

static hsm_err opened(const struct roots *r, struct bytes t)
{
    static uint8_t room[KEY_BACKUP_TEXT_MAX];
    struct key_backup b = {0};
    hsm_err err = key_backup_open(r, t, room, sizeof room, &b);
    assert_true(err == HSM_OK ? b.n == 3 : b.n == 0);
    return err;
}

static void envelope(void **state)
{
    static const char head[] = "{\"alg\":\"dir\",\"enc\":\"A256CBC-HS512\",\"kid\":\"backup-"
                               "protection-key\"}";
    uint8_t header[200];
    size_t n;
    (void)state;
    struct bytes t = closed(&pool);
    size_t dot = (size_t)((const uint8_t *)memchr(t.p, '.', t.n) - t.p);
    assert_int_equal(b64u_decode(header, bytes_of(t.p, dot), &n), HSM_OK);
    assert_true(bytes_eq_str(bytes_of(header, n), head));
    assert_int_equal(opened(&pool, t), HSM_OK);
    assert_int_equal(opened(&other, t), HSM_E_BACKUP_BLOB);
    /* a pool of the same security domain has the backup key and nothing else */
    uint8_t own[64];
    memcpy(own, other.backup, sizeof own);
    memcpy(other.backup, pool.backup, sizeof own);
    assert_int_equal(opened(&other, t), HSM_OK);
    memcpy(other.backup, own, sizeof own);
}

static void one_damage(struct bytes t, void *arg)
{
    (void)arg;
    assert_int_equal(opened(&pool, t), HSM_E_BACKUP_BLOB);
}

static void damaged_envelopes(void **state)
{
    static const char *const garbage[] = {"", ".", "....", "a.b.c.d.e", "{}", "\xff\xff"};
    (void)state;
    for (size_t i = 0; i < sizeof garbage / sizeof garbage[0]; i++)
        one_damage(bytes_str(garbage[i]), NULL);
    struct bytes t = closed(&pool);
    for (size_t bit = 0; bit < 8 * t.n; bit += 11)
        mutate_call(t.p, t.n, bit, one_damage, NULL);
    for (size_t n = 0; n < t.n; n += 7)
        mutate_call(t.p, n, SIZE_MAX, one_damage, NULL);
    /* authentic, but no backup */
    struct wr w = wr_of(text, sizeof text);
    memset(buf, 'x', 100);
    assert_int_equal(key_backup_close(&pool, buf, 100, &w), HSM_OK);
    one_damage(wr_view(&w), NULL);
}

static void largest(void **state)
{
    (void)state;
    struct wr w = wr_of(text, sizeof text);
    assert_int_equal(key_backup_close(&pool, buf, KEY_BACKUP_MAX, &w), HSM_OK);
    assert_true(w.n > KEY_BACKUP_MAX && w.n <= KEY_BACKUP_TEXT_MAX);
}

static void private_parts(void **state)
{
    uint8_t sealed[64 + SEAL_PRIVATE_OVERHEAD];
    const struct bytes plain = bytes_str("0123456789abcdef0123456789abcdef0123456789abcdef01234567"
                                         "89abcdef");
    const struct uuid id = {{9}}, id2 = {{8}};
    const uint8_t salt2[KEY_BACKUP_SALT_LEN] = {1, 2, 4};
    struct key_backup_sealer s, by_salt, by_pool;
    struct secret_buf got = {0};
    (void)state;
    assert_int_equal(key_backup_sealer_init(&pool, salt, &s), HSM_OK);
    assert_int_equal(key_backup_sealer_init(&pool, salt2, &by_salt), HSM_OK);
    assert_int_equal(key_backup_sealer_init(&other, salt, &by_pool), HSM_OK);
    assert_int_equal(key_backup_seal_private(&s, &id, plain, sealed), HSM_OK);
    const struct bytes b = bytes_of(sealed, sizeof sealed);
    assert_int_equal(key_backup_open_private(&s, &id, b, &got), HSM_OK);
    assert_true(bytes_eq(bytes_of(got.p, got.n), plain));
    secret_buf_done(&got);
    assert_int_equal(key_backup_open_private(&s, &id2, b, &got), HSM_E_BACKUP_BLOB);
    assert_int_equal(key_backup_open_private(&by_salt, &id, b, &got), HSM_E_BACKUP_BLOB);
    assert_int_equal(key_backup_open_private(&by_pool, &id, b, &got), HSM_E_BACKUP_BLOB);
    for (size_t i = 0; i < sizeof sealed; i++) {
        sealed[i] ^= 1;
        assert_int_equal(key_backup_open_private(&s, &id, b, &got), HSM_E_BACKUP_BLOB);
        assert_int_equal(key_backup_open_private(&s, &id, bytes_of(sealed, i), &got),
                         HSM_E_BACKUP_BLOB);
        sealed[i] ^= 1;
    }
    key_backup_sealer_done(&s);
    key_backup_sealer_done(&by_salt);
    key_backup_sealer_done(&by_pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip), cmocka_unit_test(what_does_not_fit),
        cmocka_unit_test(counts),     cmocka_unit_test(mutations),
        cmocka_unit_test(envelope),   cmocka_unit_test(damaged_envelopes),
        cmocka_unit_test(largest),    cmocka_unit_test(private_parts),
    };
    return cmocka_run_group_tests(tests, make_roots, free_roots);
}
