/* Known answers: RFC 3394, RFC 5649, NIST SP 800-38A and the GCM paper, RFC 4231, RFC 6979. */
#include "boundary/keymat_testing.h"

#include <openssl/evp.h>
#include "base/uuid.h"

static struct bytes unhex(const char *hex, uint8_t *dst, size_t cap)
{
    size_t n = strlen(hex) / 2;
    assert_true(n <= cap);
    assert_int_equal(hex_decode(dst, n, bytes_str(hex)), HSM_OK);
    return bytes_of(dst, n);
}

static void expect_bytes(struct bytes got, const char *hex)
{
    uint8_t want[256];
    struct bytes w = unhex(hex, want, sizeof want);
    assert_int_equal(got.n, w.n);
    assert_memory_equal(got.p, w.p, w.n);
}

static struct keymat *oct_of(const char *hex)
{
    uint8_t raw[64];
    struct bytes b = unhex(hex, raw, sizeof raw);
    return testing_oct(b.p, b.n);
}

struct wrap_row {
    unsigned alg;
    const char *key, *plain, *wrapped;
};
static const struct wrap_row wraps[] = {
    {ALG_A128KW, "000102030405060708090a0b0c0d0e0f", "00112233445566778899aabbccddeeff",
     "1fa68b0a8112b447aef34bd8fb5a7b829d3e862371d2cfe5"},
    {ALG_A192KW, "000102030405060708090a0b0c0d0e0f1011121314151617",
     "00112233445566778899aabbccddeeff", "96778b25ae6ca435f92b5b97c050aed2468ab8a17ad84e5d"},
    {ALG_A256KW, "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
     "00112233445566778899aabbccddeeff", "64e8c3f9ce0f5ba263e9777905818a2a93c8191e7d6e8ae7"},
    {ALG_A256KW, "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
     "00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f",
     "28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21"},
    {ALG_CKM_AES_KEY_WRAP, "000102030405060708090a0b0c0d0e0f", "00112233445566778899aabbccddeeff",
     "1fa68b0a8112b447aef34bd8fb5a7b829d3e862371d2cfe5"},
    {ALG_A192KWPAD, "5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8",
     "c37b7e6492584340bed12207808941155068f738",
     "138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a"},
    {ALG_A192KWPAD, "5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8", "466f7250617369",
     "afbeb0f07dfbf5419200f2ccb50bb24f"},
    {ALG_CKM_AES_KEY_WRAP_PAD, "5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8", "466f7250617369",
     "afbeb0f07dfbf5419200f2ccb50bb24f"},
};

static void key_wrap_answers(void **state)
{
    static struct done d;
    (void)state;
    for (size_t i = 0; i < sizeof wraps / sizeof wraps[0]; i++) {
        const struct wrap_row *row = &wraps[i];
        uint8_t value[64];
        struct keymat *k = oct_of(row->key);
        struct wire_crypto in = {.alg = (uint8_t)row->alg,
                                 .value = unhex(row->plain, value, sizeof value)};
        /* Twice, so that a kept context gives the same. */
        for (int round = 0; round < 2; round++) {
            testing_run(k, KEY_OP_WRAP, &in, &d);
            assert_int_equal(d.err, HSM_OK);
            expect_bytes(d.res.value, row->wrapped);
        }
        in.value = unhex(row->wrapped, value, sizeof value);
        for (int round = 0; round < 2; round++) {
            testing_run(k, KEY_OP_UNWRAP, &in, &d);
            assert_int_equal(d.err, HSM_OK);
            expect_bytes(d.res.value, row->plain);
        }
        for (size_t bit = 0; bit < in.value.n * 8; bit++) {
            value[bit / 8] ^= (uint8_t)(1u << bit % 8);
            testing_run(k, KEY_OP_UNWRAP, &in, &d);
            assert_int_equal(d.err, HSM_E_CRYPTO);
            value[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        keymat_unref(k);
    }
}

struct gcm_row {
    unsigned alg;
    const char *key, *iv, *aad, *plain, *cipher, *tag;
};
static const struct gcm_row gcms[] = {
    {ALG_A128GCM, "00000000000000000000000000000000", "000000000000000000000000", "", "", "",
     "58e2fccefa7e3061367f1d57a4e7455a"},
    {ALG_A128GCM, "feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888",
     "feedfacedeadbeeffeedfacedeadbeefabaddad2",
     "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449"
     "a6b525b16aedf5aa0de657ba637b39",
     "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac"
     "84aa051ba30b396a0aac973d58e091",
     "5bc94fbc3221a5db94fae95ae7121a47"},
    {ALG_A192GCM, "feffe9928665731c6d6a8f9467308308feffe9928665731c", "cafebabefacedbaddecaf888",
     "feedfacedeadbeeffeedfacedeadbeefabaddad2",
     "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449"
     "a6b525b16aedf5aa0de657ba637b39",
     "3980ca0b3c00e841eb06fac4872a2757859e1ceaa6efd984628593b40ca1e19c7d773d00c144c525ac619d18c8"
     "4a3f4718e2448b2fe324d9ccda2710",
     "2519498e80f1478f37ba55bd6d27618c"},
    {ALG_A256GCM, "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
     "cafebabefacedbaddecaf888", "feedfacedeadbeeffeedfacedeadbeefabaddad2",
     "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449"
     "a6b525b16aedf5aa0de657ba637b39",
     "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056"
     "828838c5f61e6393ba7a0abcc9f662",
     "76fc6ece0f4e1768cddf8853bb2d551b"},
};

static void gcm_answers(void **state)
{
    static struct done d;
    (void)state;
    for (size_t i = 0; i < sizeof gcms / sizeof gcms[0]; i++) {
        const struct gcm_row *row = &gcms[i];
        uint8_t value[64], iv[12], aad[32], tag[16];
        struct keymat *k = oct_of(row->key);
        struct wire_crypto in = {
            .alg = (uint8_t)row->alg,
            .value = unhex(row->cipher, value, sizeof value),
            .has = CRYPTO_HAS_IV | CRYPTO_HAS_AAD | CRYPTO_HAS_TAG,
            .iv = unhex(row->iv, iv, sizeof iv),
            .aad = unhex(row->aad, aad, sizeof aad),
            .tag = unhex(row->tag, tag, sizeof tag),
        };
        for (int round = 0; round < 2; round++) {
            testing_run(k, KEY_OP_DECRYPT, &in, &d);
            assert_int_equal(d.err, HSM_OK);
            expect_bytes(d.res.value, row->plain);
            assert_int_equal(d.res.has, 0);
        }
        for (size_t bit = 0; bit < 128; bit++) {
            tag[bit / 8] ^= (uint8_t)(1u << bit % 8);
            testing_run(k, KEY_OP_DECRYPT, &in, &d);
            assert_int_equal(d.err, HSM_E_CRYPTO);
            tag[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        keymat_unref(k);
    }
}

static const struct {
    unsigned alg;
    const char *key, *cipher;
} cbcs[] = {
    /* SP 800-38A F.2 */
    {ALG_A128CBC, "2b7e151628aed2a6abf7158809cf4f3c",
     "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2"},
    {ALG_A192CBC, "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b",
     "4f021db243bc633d7178183a9fa071e8b4d9ada9ad7dedf4e5e738763f69145a"},
    {ALG_A256CBC, "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
     "f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d"},
};

static void cbc_answers(void **state)
{
    static const char plain[] = "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51";
    static struct done d;
    (void)state;
    for (size_t i = 0; i < sizeof cbcs / sizeof cbcs[0]; i++) {
        uint8_t value[64], iv[16];
        struct keymat *k = oct_of(cbcs[i].key);
        struct wire_crypto in = {
            .alg = (uint8_t)cbcs[i].alg,
            .value = unhex(plain, value, sizeof value),
            .has = CRYPTO_HAS_IV,
            .iv = unhex("000102030405060708090a0b0c0d0e0f", iv, sizeof iv),
        };
        testing_run(k, KEY_OP_ENCRYPT, &in, &d);
        assert_int_equal(d.err, HSM_OK);
        expect_bytes(d.res.value, cbcs[i].cipher);
        expect_bytes(d.res.iv, "000102030405060708090a0b0c0d0e0f");
        in.value = unhex(cbcs[i].cipher, value, sizeof value);
        testing_run(k, KEY_OP_DECRYPT, &in, &d);
        assert_int_equal(d.err, HSM_OK);
        expect_bytes(d.res.value, plain);
        assert_int_equal(d.res.has, 0);
        keymat_unref(k);
    }
}

static void hmac_answers(void **state)
{
    static const struct {
        unsigned alg;
        const char *mac;
    } rows[] = {
        /* RFC 4231 case 2 */
        {ALG_HS256, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
        {ALG_HS384, "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69"
                    "e2c78b3239ecfab21649"},
        {ALG_HS512, "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a"
                    "994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737"},
    };
    static struct done d;
    (void)state;
    struct keymat *k = testing_oct((const uint8_t *)"Jefe", 4);
    for (size_t i = 0; i < 3; i++) {
        struct wire_crypto in = {.alg = (uint8_t)rows[i].alg,
                                 .value = bytes_str("what do ya want for nothing?")};
        for (int round = 0; round < 3; round++) {
            testing_run(k, KEY_OP_SIGN, &in, &d);
            assert_int_equal(d.err, HSM_OK);
            expect_bytes(d.res.value, rows[i].mac);
        }
        uint8_t mac[64];
        in.digest = in.value;
        in.value = unhex(rows[i].mac, mac, sizeof mac);
        testing_run(k, KEY_OP_VERIFY, &in, &d);
        assert_int_equal(d.err, HSM_OK);
        assert_int_equal(d.res.verified, 1);
        in.value.n--;
        testing_run(k, KEY_OP_VERIFY, &in, &d);
        assert_int_equal(d.err, HSM_OK);
        assert_int_equal(d.res.verified, 0);
        in.value.n++;
        mac[5] ^= 1;
        testing_run(k, KEY_OP_VERIFY, &in, &d);
        assert_int_equal(d.res.verified, 0);
    }
    keymat_unref(k);
}

static const struct {
    enum key_curve crv;
    uint32_t bits;
    unsigned alg;
    const char *md, *d, *x, *y, *r, *s;
} ecdsas[] = {
    /* RFC 6979 A.2, message "sample" */
    {CRV_P256, 256, ALG_ES256, "SHA256",
     "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721",
     "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6",
     "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299",
     "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716",
     "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"},
    {CRV_P521, 521, ALG_ES512, "SHA512",
     "00fad06daa62ba3b25d2fb40133da757205de67f5bb0018fee8c86e1b68c7e75caa896eb32f1f47c70855836a6"
     "d16fcc1466f6d8fbec67db89ec0c08b0e996b83538",
     "01894550d0785932e00eaa23b694f213f8c3121f86dc97a04e5a7167db4e5bcd371123d46e45db6b5d5370a7f2"
     "0fb633155d38ffa16d2bd761dcac474b9a2f5023a4",
     "00493101c962cd4d2fddf782285e64584139c2f91b47f87ff82354d6630f746a28a0db25741b5b34a828008b22"
     "acc23f924faafbd4d33f81ea66956dfeaa2bfdfcf5",
     "00c328fafcbd79dd77850370c46325d987cb525569fb63c5d3bc53950e6d4c5f174e25a1ee9017b5d450606add"
     "152b534931d7d4e8455cc91f9b15bf05ec36e377fa",
     "00617cce7cf5064806c467f678d3b4080d6f1cc50af26ca209417308281b68af282623eaa63e5b5c0723d8b8c3"
     "7ff0777b1a20f8ccb1dccc43997f1ee0e44da4a67a"},
};

static void ecdsa_answers(void **state)
{
    static struct done d;
    (void)state;
    for (size_t i = 0; i < sizeof ecdsas / sizeof ecdsas[0]; i++) {
        uint8_t raw[512], num[66], sig[132], digest[64];
        unsigned md_n = 0;
        struct keymat *k = NULL;
        struct wr w = wr_of(raw, sizeof raw);
        keymat_head_put(&w, KTY_EC, ecdsas[i].crv, ecdsas[i].bits);
        wr_lv(&w, unhex(ecdsas[i].d, num, sizeof num));
        wr_lv(&w, unhex(ecdsas[i].x, num, sizeof num));
        wr_lv(&w, unhex(ecdsas[i].y, num, sizeof num));
        assert_int_equal(keymat_open(wr_view(&w), &k), HSM_OK);
        size_t width = key_curve_width(ecdsas[i].crv);
        unhex(ecdsas[i].r, sig, width);
        unhex(ecdsas[i].s, sig + width, width);
        assert_int_equal(
            EVP_Digest("sample", 6, digest, &md_n, EVP_get_digestbyname(ecdsas[i].md), NULL), 1);
        struct wire_crypto in = {.alg = (uint8_t)ecdsas[i].alg,
                                 .value = bytes_of(sig, 2 * width),
                                 .digest = bytes_of(digest, md_n)};
        testing_run(k, KEY_OP_VERIFY, &in, &d);
        assert_int_equal(d.err, HSM_OK);
        assert_int_equal(d.res.verified, 1);
        sig[width - 1] ^= 1;
        testing_run(k, KEY_OP_VERIFY, &in, &d);
        assert_int_equal(d.err, HSM_OK);
        assert_int_equal(d.res.verified, 0);
        keymat_unref(k);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(key_wrap_answers), cmocka_unit_test(gcm_answers),
        cmocka_unit_test(cbc_answers),      cmocka_unit_test(hmac_answers),
        cmocka_unit_test(ecdsa_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
