/* Key wrap against libcrypto's own, and malformed paddings, which its wrap cipher can make because
 * it takes any initial value. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <openssl/rand.h>
#include "boundary/keymat_impl.h"

#define MAX 1024u

static const uint8_t key[32] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

static EVP_CIPHER_CTX *context(const char *name, const uint8_t *iv, bool encrypt)
{
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, name, NULL);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    EVP_CIPHER_CTX_set_flags(ctx, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
    assert_int_equal(EVP_CipherInit_ex2(ctx, cipher, key, iv, encrypt, NULL), 1);
    EVP_CIPHER_free(cipher);
    return ctx;
}

static size_t reference(const char *name, const uint8_t *iv, struct bytes in, uint8_t *out)
{
    EVP_CIPHER_CTX *ctx = context(name, iv, true);
    int n = 0;
    assert_int_equal(EVP_CipherUpdate(ctx, out, &n, in.p, (int)in.n), 1);
    EVP_CIPHER_CTX_free(ctx);
    return (size_t)n;
}

static hsm_err unwrap(bool padded, struct bytes wrapped, struct wr *ret)
{
    EVP_CIPHER_CTX *aes = context("AES-256-ECB", NULL, false);
    hsm_err err = keywrap_unwrap(aes, padded, wrapped, ret);
    EVP_CIPHER_CTX_free(aes);
    return err;
}

static void same_as_libcrypto(void **state)
{
    (void)state;
    static const char *const names[] = {"AES-256-WRAP", "AES-256-WRAP-PAD"};
    static uint8_t plain[MAX], want[MAX + 16], got[MAX + 16], back[MAX + 16];
    RAND_bytes(plain, sizeof plain);
    for (unsigned padded = 0; padded < 2; padded++) {
        EVP_CIPHER_CTX *aes = context("AES-256-ECB", NULL, true);
        for (size_t n = padded ? 1 : 16; n <= 300; n += padded ? 1 : 8) {
            struct wr w = wr_of(got, sizeof got);
            struct wr b = wr_of(back, sizeof back);
            size_t want_n = reference(names[padded], NULL, bytes_of(plain, n), want);
            assert_int_equal(keywrap_wrap(aes, padded, bytes_of(plain, n), &w), HSM_OK);
            assert_int_equal(w.n, want_n);
            assert_memory_equal(got, want, want_n);
            assert_int_equal(unwrap(padded, wr_view(&w), &b), HSM_OK);
            assert_int_equal(b.n, n);
            assert_memory_equal(back, plain, n);
        }
        EVP_CIPHER_CTX_free(aes);
    }
}

static void room_is_checked(void **state)
{
    (void)state;
    uint8_t out[40], plain[16] = {7}, wrapped[24];
    EVP_CIPHER_CTX *aes = context("AES-256-ECB", NULL, true);
    struct wr w = wr_of(out, 23);
    assert_int_equal(keywrap_wrap(aes, false, bytes_of(plain, 16), &w), HSM_E_TOO_LARGE);
    w = wr_of(out, 24);
    assert_int_equal(keywrap_wrap(aes, false, bytes_of(plain, 16), &w), HSM_OK);
    memcpy(wrapped, out, 24);
    w = wr_of(out, 15);
    assert_int_equal(unwrap(false, bytes_of(wrapped, 24), &w), HSM_E_TOO_LARGE);
    w = wr_of(out, 16);
    assert_int_equal(unwrap(false, bytes_of(wrapped, 24), &w), HSM_OK);
    EVP_CIPHER_CTX_free(aes);
}

/* Every length that the register can name, for every number of zeros that are really there. */
static void paddings(void **state)
{
    (void)state;
    for (size_t n = 2; n <= 4; n++) {
        for (size_t zeros = 0; zeros <= 9; zeros++) {
            for (size_t mli = 0; mli <= n * 8 + 9; mli++) {
                uint8_t plain[32], wrapped[48], out[48];
                uint8_t iv[8] = {0xa6, 0x59, 0x59, 0xa6, 0, 0, 0, (uint8_t)mli};
                memset(plain, 0x5c, sizeof plain);
                memset(plain + n * 8 - zeros, 0, zeros);
                struct wr w = wr_of(out, sizeof out);
                size_t wrapped_n = reference("AES-256-WRAP", iv, bytes_of(plain, n * 8), wrapped);
                hsm_err err = unwrap(true, bytes_of(wrapped, wrapped_n), &w);
                bool good = mli <= n * 8 && mli > (n - 1) * 8 && n * 8 - mli <= zeros;
                assert_int_equal(err, good ? HSM_OK : HSM_E_CRYPTO);
                if (good) {
                    assert_int_equal(w.n, mli);
                    assert_memory_equal(out, plain, mli);
                } else {
                    static const uint8_t nothing[32];
                    assert_int_equal(w.n, 0);
                    assert_memory_equal(out, nothing, n * 8);
                }
            }
        }
    }
}

static void registers(void **state)
{
    (void)state;
    uint8_t plain[16] = {9}, wrapped[32], out[32];
    for (unsigned bit = 0; bit < 64; bit++) {
        uint8_t kw[8] = {0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6};
        uint8_t kwp[8] = {0xa6, 0x59, 0x59, 0xa6, 0, 0, 0, 16};
        kw[bit / 8] ^= (uint8_t)(1u << bit % 8);
        kwp[bit / 8] ^= (uint8_t)(1u << bit % 8);
        struct wr w = wr_of(out, sizeof out);
        size_t n = reference("AES-256-WRAP", kw, bytes_of(plain, 16), wrapped);
        assert_int_equal(unwrap(false, bytes_of(wrapped, n), &w), HSM_E_CRYPTO);
        n = reference("AES-256-WRAP", kwp, bytes_of(plain, 16), wrapped);
        /* The lowest bits say how many zeros there are, and the text ends with 15 of them. */
        hsm_err want = bit >= 56 && (kwp[7] > 8 && kwp[7] <= 16) ? HSM_OK : HSM_E_CRYPTO;
        w = wr_of(out, sizeof out);
        assert_int_equal(unwrap(true, bytes_of(wrapped, n), &w), want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_as_libcrypto),
        cmocka_unit_test(room_is_checked),
        cmocka_unit_test(paddings),
        cmocka_unit_test(registers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
