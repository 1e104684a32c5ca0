/* Keys made elsewhere: what is taken, and that every number that does not belong is found. */
#include "boundary/keymat_testing.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

/* A key with its numbers in buffers that tests may change. */
struct sample {
    struct keymat_spec spec;
    struct key_numbers g;
    struct secret_buf private_part;
    uint8_t computed[4][512]; /* d, dp, dq, qi */
};
static struct sample rsa[3], ec[4];

static struct bytes plain(struct bytes b)
{
    while (b.n > 0 && b.p[0] == 0)
        b = bytes_of(b.p + 1, b.n - 1);
    return b;
}

/* A number of the opened key that is not stored. */
static struct bytes computed(const struct keymat *k, const char *param, uint8_t room[512])
{
    BIGNUM *n = NULL;
    assert_int_equal(EVP_PKEY_get_bn_param(k->pkey, param, &n), 1);
    assert_true(BN_num_bytes(n) <= 512);
    size_t len = (size_t)BN_bn2bin(n, room);
    BN_clear_free(n);
    return bytes_of(room, len);
}

static void make(struct sample *s, enum key_type kty, enum key_curve crv, uint32_t bits)
{
    struct keymat_public pub;
    struct keymat_parts p;
    *s = (struct sample){.spec = {.kty = kty, .crv = crv, .bits = bits}};
    assert_int_equal(keymat_spec_check(&s->spec, &(const char *){NULL}), HSM_OK);
    assert_int_equal(keymat_generate(&s->spec, &s->private_part, &pub), HSM_OK);
    assert_int_equal(keymat_parts_decode(bytes_of(s->private_part.p, s->private_part.n), &p),
                     HSM_OK);
    if (kty == KTY_EC) {
        s->g = (struct key_numbers){.d = plain(p.scalar), .x = plain(p.x), .y = plain(p.y)};
        return;
    }
    struct keymat *k = NULL;
    assert_int_equal(keymat_open(bytes_of(s->private_part.p, s->private_part.n), &k), HSM_OK);
    s->g = (struct key_numbers){
        .n = plain(p.rsa[RSA_N]),
        .e = plain(p.rsa[RSA_E]),
        .p = plain(p.rsa[RSA_P]),
        .q = plain(p.rsa[RSA_Q]),
        .d = computed(k, OSSL_PKEY_PARAM_RSA_D, s->computed[0]),
        .dp = computed(k, OSSL_PKEY_PARAM_RSA_EXPONENT1, s->computed[1]),
        .dq = computed(k, OSSL_PKEY_PARAM_RSA_EXPONENT2, s->computed[2]),
        .qi = computed(k, OSSL_PKEY_PARAM_RSA_COEFFICIENT1, s->computed[3]),
    };
    keymat_unref(k);
}

static int make_keys(void **state)
{
    static const enum key_curve curves[4] = {CRV_P256, CRV_P256K, CRV_P384, CRV_P521};
    (void)state;
    for (uint32_t i = 0; i < 3; i++)
        make(&rsa[i], KTY_RSA, CRV_NONE, 2048 + 1024 * i);
    for (unsigned i = 0; i < 4; i++)
        make(&ec[i], KTY_EC, curves[i], 0);
    return 0;
}

static int free_keys(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++)
        secret_buf_done(&rsa[i].private_part);
    for (unsigned i = 0; i < 4; i++)
        secret_buf_done(&ec[i].private_part);
    return 0;
}

static hsm_err import(const struct key_numbers *g, enum key_type kty, enum key_curve crv,
                      struct secret_buf *ret, struct keymat_public *pub, const char **why)
{
    struct keymat_spec spec = {.kty = kty, .crv = crv};
    *why = NULL;
    hsm_err err = keymat_import_size(g, &spec, why);
    return err == HSM_OK ? keymat_import(g, &spec, ret, pub, why) : err;
}

static void refused_as(const struct key_numbers *g, enum key_type kty, enum key_curve crv,
                       const char *text)
{
    struct secret_buf b = {0};
    struct keymat_public pub;
    const char *why;
    assert_int_equal(import(g, kty, crv, &b, &pub, &why), HSM_E_BAD_PARAMETER);
    assert_null(b.p);
    if (why == NULL || strcmp(why, text) != 0)
        fail_msg("'%s', not '%s'", why == NULL ? "" : why, text);
}

static void refused(const struct key_numbers *g, const char *text)
{
    refused_as(g, KTY_RSA, CRV_NONE, text);
}

/* The same bytes as the key that was generated. */
static void taken(const struct sample *s, const struct key_numbers *g)
{
    struct secret_buf b = {0};
    struct keymat_public pub;
    const char *why;
    assert_int_equal(import(g, s->spec.kty, s->spec.crv, &b, &pub, &why), HSM_OK);
    assert_null(why);
    assert_int_equal(b.n, s->private_part.n);
    assert_memory_equal(b.p, s->private_part.p, b.n);
    struct bytes n = bytes_of(pub.n, pub.n_len);
    if (s->spec.kty == KTY_RSA)
        assert_true(bytes_eq(n, s->g.n) && bytes_eq(bytes_of(pub.e, pub.e_len), s->g.e));
    else
        assert_true(pub.x_len == key_curve_width(s->spec.crv) && pub.y_len == pub.x_len);
    secret_buf_done(&b);
}

/* A copy of the number, with something added to it. */
static struct bytes plus(struct bytes b, int word)
{
    static uint8_t room[8][600];
    static unsigned used;
    uint8_t *at = room[used++ % 8];
    BIGNUM *n = BN_bin2bn(b.p, (int)b.n, NULL);
    assert_int_equal(word >= 0 ? BN_add_word(n, (unsigned)word) : BN_sub_word(n, (unsigned)-word),
                     1);
    size_t len = (size_t)BN_bn2bin(n, at);
    BN_free(n);
    return bytes_of(at, len);
}

/* ---- RSA ------------------------------------------------------------------------------------- */
static void rsa_whole(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++)
        taken(&rsa[i], &rsa[i].g);
}

static void rsa_crt_numbers_are_computed(void **state)
{
    (void)state;
    struct key_numbers g = rsa[0].g;
    g.dp = g.dq = g.qi = bytes_of(NULL, 0);
    taken(&rsa[0], &g);
    g = rsa[0].g;
    g.dq = bytes_of(NULL, 0);
    taken(&rsa[0], &g);
}

/* p and q the other way round are another order of the same key. */
static void rsa_order_of_primes(void **state)
{
    struct secret_buf b = {0};
    struct keymat_public pub;
    const char *why;
    (void)state;
    struct key_numbers g = rsa[0].g;
    g.p = rsa[0].g.q;
    g.q = rsa[0].g.p;
    refused(&g, "JSON Web Key: dp is not d modulo p - 1.");
    g.dp = rsa[0].g.dq;
    g.dq = rsa[0].g.dp;
    refused(&g, "JSON Web Key: qi is not the inverse of q modulo p.");
    g.qi = bytes_of(NULL, 0);
    assert_int_equal(import(&g, KTY_RSA, CRV_NONE, &b, &pub, &why), HSM_OK);
    secret_buf_done(&b);
}

/* d modulo (p - 1)(q - 1) is as good as d modulo their least common multiple. */
static void rsa_d_of_either_kind(void **state)
{
    uint8_t other[256];
    struct secret_buf b = {0};
    struct keymat_public pub;
    const char *why;
    const struct key_numbers *g = &rsa[0].g;
    BN_CTX *ctx = BN_CTX_new();
    BIGNUM *p = BN_bin2bn(g->p.p, (int)g->p.n, NULL), *q = BN_bin2bn(g->q.p, (int)g->q.n, NULL);
    BIGNUM *phi = BN_new(), *d = BN_new(), *e = BN_bin2bn(g->e.p, (int)g->e.n, NULL);
    (void)state;
    BN_sub_word(p, 1);
    BN_sub_word(q, 1);
    BN_mul(phi, p, q, ctx);
    assert_non_null(BN_mod_inverse(d, e, phi, ctx));
    struct key_numbers changed = *g;
    changed.d = bytes_of(other, (size_t)BN_bn2bin(d, other));
    assert_int_equal(import(&changed, KTY_RSA, CRV_NONE, &b, &pub, &why), HSM_OK);
    secret_buf_done(&b);
    BN_free(p);
    BN_free(q);
    BN_free(phi);
    BN_free(d);
    BN_free(e);
    BN_CTX_free(ctx);
}

static void rsa_missing(void **state)
{
    static const struct bytes none;
    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        struct key_numbers g = rsa[0].g;
        struct bytes *const all[] = {&g.n, &g.e, &g.d, &g.p, &g.q};
        *all[i] = none;
        refused(&g, i < 3 ? "JSON Web Key: n, e and d of the RSA key are required."
                          : "JSON Web Key: p and q of the RSA key are required.");
    }
}

static void rsa_sizes(void **state)
{
    static const char *const size = "JSON Web Key: the RSA key must have 2048, 3072 or 4096 bits.";
    static const char *const half = "JSON Web Key: p and q must have half the length of n.";
    static const uint8_t empty[1];
    uint8_t big[512];
    (void)state;
    memset(big, 0xff, sizeof big);
    struct key_numbers g = rsa[0].g;
    g.n = bytes_of(big, 128);
    refused(&g, size);
    g.n = bytes_of(big, 255);
    refused(&g, size);
    g.n = bytes_of(big, 320);
    refused(&g, size);
    g.n = bytes_of(empty, 0);
    refused(&g, size);
    g = rsa[0].g;
    g.p = bytes_of(big, 127);
    refused(&g, half);
    g.p = bytes_of(big, 129);
    refused(&g, half);
    g = rsa[0].g;
    g.q = bytes_of(empty, 0);
    refused(&g, half);
}

static void rsa_exponents(void **state)
{
    static const char *const text = "JSON Web Key: e must be an odd number from 3 to 2^64 - 1.";
    static const uint8_t one[1] = {1}, two[1] = {2}, even[3] = {1, 0, 0}, nine[9] = {1, [8] = 1};
    static const struct bytes bad[] = {
        {one, 0}, {one, 1}, {two, 1}, {even, 3}, {nine, 9},
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct key_numbers g = rsa[0].g;
        g.e = bad[i];
        refused(&g, text);
    }
    struct key_numbers g = rsa[0].g;
    g.e = bytes_of("\x03", 1);
    refused(&g, "JSON Web Key: d does not fit e, p and q.");
    g = rsa[0].g;
    g.d = plus(g.d, 2);
    refused(&g, "JSON Web Key: d does not fit e, p and q.");
    g.d = g.n;
    refused(&g, "JSON Web Key: d is not smaller than n.");
    g.d = bytes_of("", 0);
    refused(&g, "JSON Web Key: d does not fit e, p and q.");
    g.d = bytes_of(one, 1);
    refused(&g, "JSON Web Key: d does not fit e, p and q.");
}

static void rsa_numbers_of_another_key(void **state)
{
    struct sample other;
    (void)state;
    make(&other, KTY_RSA, CRV_NONE, 2048);
    const struct {
        size_t at;
        const char *text;
    } rows[] = {
        {offsetof(struct key_numbers, n), "JSON Web Key: n is not the product of p and q."},
        {offsetof(struct key_numbers, d), "JSON Web Key: d does not fit e, p and q."},
        {offsetof(struct key_numbers, p), "JSON Web Key: n is not the product of p and q."},
        {offsetof(struct key_numbers, q), "JSON Web Key: n is not the product of p and q."},
        {offsetof(struct key_numbers, dp), "JSON Web Key: dp is not d modulo p - 1."},
        {offsetof(struct key_numbers, dq), "JSON Web Key: dq is not d modulo q - 1."},
        {offsetof(struct key_numbers, qi), "JSON Web Key: qi is not the inverse of q modulo p."},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct key_numbers g = rsa[0].g;
        struct bytes *mine = (struct bytes *)(void *)((uint8_t *)&g + rows[i].at);
        const struct bytes *foreign =
            (const struct bytes *)(const void *)((const uint8_t *)&other.g + rows[i].at);
        *mine = *foreign;
        if (rows[i].at == offsetof(struct key_numbers, d))
            *mine = plus(rsa[0].g.d, 4); /* the other one might be larger than n */
        refused(&g, rows[i].text);
    }
    secret_buf_done(&other.private_part);
}

/* A modulus whose factors are no primes, or too near to each other, with everything else right. */
struct made {
    uint8_t room[8][600];
    struct key_numbers g;
};

static bool try_numbers(const BIGNUM *p, const BIGNUM *q, struct made *m)
{
    BN_CTX *ctx = BN_CTX_new();
    BN_CTX_start(ctx);
    BIGNUM *n = BN_CTX_get(ctx), *e = BN_CTX_get(ctx), *d = BN_CTX_get(ctx), *p1 = BN_CTX_get(ctx),
           *q1 = BN_CTX_get(ctx), *phi = BN_CTX_get(ctx);
    BN_set_word(e, 65537);
    BN_mul(n, p, q, ctx);
    BN_sub(p1, p, BN_value_one());
    BN_sub(q1, q, BN_value_one());
    BN_mul(phi, p1, q1, ctx);
    bool ok = BN_num_bits(n) == 2048 && BN_mod_inverse(d, e, phi, ctx) != NULL;
    if (ok) {
        const BIGNUM *const all[] = {n, e, d, p, q};
        struct bytes *const dst[] = {&m->g.n, &m->g.e, &m->g.d, &m->g.p, &m->g.q};
        m->g = (struct key_numbers){0};
        for (unsigned i = 0; i < 5; i++)
            *dst[i] = bytes_of(m->room[i], (size_t)BN_bn2bin(all[i], m->room[i]));
    }
    BN_CTX_end(ctx);
    BN_CTX_free(ctx);
    return ok;
}

static void rsa_composite_factors(void **state)
{
    static struct made m;
    BIGNUM *p = BN_bin2bn(rsa[0].g.p.p, (int)rsa[0].g.p.n, NULL);
    BIGNUM *a = BN_new(), *b = BN_new(), *c = BN_new();
    BN_CTX *ctx = BN_CTX_new();
    (void)state;
    do { /* a product of two primes of half the length */
        assert_int_equal(BN_generate_prime_ex(a, 512, 0, NULL, NULL, NULL), 1);
        assert_int_equal(BN_generate_prime_ex(b, 512, 0, NULL, NULL, NULL), 1);
        assert_int_equal(BN_mul(c, a, b, ctx), 1);
    } while (BN_num_bits(c) != 1024 || !try_numbers(p, c, &m));
    refused(&m.g, "JSON Web Key: p or q is not a prime.");
    assert_true(try_numbers(c, p, &m));
    refused(&m.g, "JSON Web Key: p or q is not a prime.");
    BN_free(p);
    BN_free(a);
    BN_free(b);
    BN_free(c);
    BN_CTX_free(ctx);
}

static void rsa_factors_near_each_other(void **state)
{
    static struct made m;
    BIGNUM *p = BN_bin2bn(rsa[0].g.p.p, (int)rsa[0].g.p.n, NULL);
    BIGNUM *q = BN_dup(p);
    (void)state;
    if (try_numbers(p, q, &m)) /* p times p */
        refused(&m.g, "JSON Web Key: p and q are too close to each other.");
    do
        BN_add_word(q, 2);
    while (!try_numbers(p, q, &m));
    refused(&m.g, "JSON Web Key: p and q are too close to each other.");
    BN_free(p);
    BN_free(q);
}

/* ---- EC -------------------------------------------------------------------------------------- */
static void ec_whole_and_without_point(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        struct key_numbers g = ec[i].g;
        taken(&ec[i], &g);
        g.x = g.y = bytes_of(NULL, 0);
        taken(&ec[i], &g);
    }
}

static void ec_bad_numbers(void **state)
{
    static const char *const range = "JSON Web Key: d is not in the range of the curve.";
    static const char *const point = "JSON Web Key: x and y are not the public key of d.";
    static const char *const both = "JSON Web Key: x and y of the EC key belong together.";
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        uint8_t big[67];
        enum key_curve crv = ec[i].spec.crv;
        size_t width = key_curve_width(crv);
        struct key_numbers g = ec[i].g;
        memset(big, 0xff, sizeof big);
        g.d = bytes_of("", 0);
        refused_as(&g, KTY_EC, crv, range);
        g.d = bytes_of(big, width);
        refused_as(&g, KTY_EC, crv, range);
        g.d = bytes_of(big, width + 1);
        refused_as(&g, KTY_EC, crv, range);
        g.d = bytes_of(NULL, 0);
        refused_as(&g, KTY_EC, crv, "JSON Web Key: d of the EC key is required.");
        g = ec[i].g;
        g.x = plus(g.x, 1);
        refused_as(&g, KTY_EC, crv, point);
        g = ec[i].g;
        g.y = plus(g.y, 1);
        refused_as(&g, KTY_EC, crv, point);
        g = ec[i].g;
        g.x = bytes_of("", 0);
        refused_as(&g, KTY_EC, crv, point);
        g.x = bytes_of(NULL, 0);
        refused_as(&g, KTY_EC, crv, both);
        g = ec[i].g;
        g.y = bytes_of(NULL, 0);
        refused_as(&g, KTY_EC, crv, both);
    }
    refused_as(&ec[0].g, KTY_EC, CRV_P256K, point);
    refused_as(&ec[0].g, KTY_EC, CRV_NONE,
               "JSON Web Key: crv of the EC key is missing or unknown.");
    refused_as(&ec[0].g, KTY_EC, (enum key_curve)9,
               "JSON Web Key: crv of the EC key is missing or unknown.");
}

/* The last scalar of the curve is one, its successor is not. */
static void ec_order(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        uint8_t order[66];
        struct secret_buf b = {0};
        struct keymat_public pub;
        const char *why;
        EVP_PKEY *k = EVP_PKEY_Q_keygen(NULL, NULL, "EC", keymat_group_name(ec[i].spec.crv));
        BIGNUM *n = NULL;
        assert_int_equal(EVP_PKEY_get_bn_param(k, OSSL_PKEY_PARAM_EC_ORDER, &n), 1);
        struct key_numbers g = {.d = bytes_of(order, (size_t)BN_bn2bin(n, order))};
        refused_as(&g, KTY_EC, ec[i].spec.crv, "JSON Web Key: d is not in the range of the curve.");
        g.d = plus(g.d, -1);
        assert_int_equal(import(&g, KTY_EC, ec[i].spec.crv, &b, &pub, &why), HSM_OK);
        secret_buf_done(&b);
        g.d = bytes_of("\x01", 1);
        assert_int_equal(import(&g, KTY_EC, ec[i].spec.crv, &b, &pub, &why), HSM_OK);
        secret_buf_done(&b);
        BN_free(n);
        EVP_PKEY_free(k);
    }
}

/* ---- oct ------------------------------------------------------------------------------------- */
static void oct_lengths(void **state)
{
    static struct done d;
    uint8_t key[65];
    (void)state;
    for (size_t n = 1; n <= 64; n++) {
        struct secret_buf b = {0};
        struct keymat_public pub;
        struct keymat *k = NULL;
        const char *why;
        memset(key, (int)n, sizeof key);
        const struct key_numbers g = {.k = bytes_of(key, n)};
        assert_int_equal(import(&g, KTY_OCT, CRV_NONE, &b, &pub, &why), HSM_OK);
        assert_int_equal(pub.n_len + pub.e_len + pub.x_len + pub.y_len, 0);
        assert_int_equal(keymat_open(bytes_of(b.p, b.n), &k), HSM_OK);
        struct wire_crypto in = {.alg = ALG_HS256, .value = bytes_str("message")};
        testing_run(k, KEY_OP_SIGN, &in, &d);
        assert_int_equal(d.err, HSM_OK);
        /* an AES algorithm of any kind needs an AES key */
        in = (struct wire_crypto){.alg = ALG_CKM_AES_KEY_WRAP, .value = bytes_of(key, 16)};
        testing_run(k, KEY_OP_WRAP, &in, &d);
        bool aes = n == 16 || n == 24 || n == 32;
        assert_int_equal(d.err, aes ? HSM_OK : HSM_E_BAD_PARAMETER);
        keymat_unref(k);
        secret_buf_done(&b);
    }
    const struct key_numbers none = {.k = bytes_of(key, 0)}, long_k = {.k = bytes_of(key, 65)};
    refused_as(&none, KTY_OCT, CRV_NONE, "JSON Web Key: k of the oct key is missing or empty.");
    refused_as(&long_k, KTY_OCT, CRV_NONE,
               "JSON Web Key: k property of oct key is too large, maximum size is 64");
    refused_as(&rsa[0].g, KTY_OCT, CRV_NONE, "JSON Web Key: k of the oct key is missing or empty.");
    refused_as(&rsa[0].g, KTY_NONE, CRV_NONE, "JSON Web Key: kty is missing or unknown.");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rsa_whole),
        cmocka_unit_test(rsa_crt_numbers_are_computed),
        cmocka_unit_test(rsa_order_of_primes),
        cmocka_unit_test(rsa_d_of_either_kind),
        cmocka_unit_test(rsa_missing),
        cmocka_unit_test(rsa_sizes),
        cmocka_unit_test(rsa_exponents),
        cmocka_unit_test(rsa_numbers_of_another_key),
        cmocka_unit_test(rsa_composite_factors),
        cmocka_unit_test(rsa_factors_near_each_other),
        cmocka_unit_test(ec_whole_and_without_point),
        cmocka_unit_test(ec_bad_numbers),
        cmocka_unit_test(ec_order),
        cmocka_unit_test(oct_lengths),
    };
    return cmocka_run_group_tests(tests, make_keys, free_keys);
}
