/* No foreign text opens; what we sealed opens to the same bytes, and not after any change. */
#include "codec/jwe.h"

#define IN_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t cek[JWE_CEK_LEN] = {7, 7, 7};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static EVP_PKEY *rsa;
    char text[3 * IN_MAX];
    struct secret_buf got = {0};
    if (rsa == NULL)
        rsa = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
    HSM_ASSERT(rsa != NULL);
    if (size < 2 || size > IN_MAX)
        return 0;
    HSM_ASSERT(jwe_open_dir(bytes_of(data, size), cek, "k", &got) == HSM_E_CRYPTO);
    HSM_ASSERT(jwe_open_rsa(bytes_of(data, size), rsa, &got) == HSM_E_CRYPTO);
    struct wr w = wr_of(text, sizeof text);
    HSM_ASSERT(jwe_seal_dir(cek, "k", bytes_of(data, size), &w) == HSM_OK);
    HSM_ASSERT(w.n <= jwe_text_max(size, 1, 0));
    HSM_ASSERT(jwe_open_dir(wr_view(&w), cek, "k", &got) == HSM_OK);
    HSM_ASSERT(got.n == size && memcmp(got.p, data, size) == 0);
    secret_buf_done(&got);
    /* the input says what to change */
    size_t at = (size_t)(data[0] << 8 | data[1]) % w.n;
    uint8_t mask = data[size - 1] == 0 ? 1 : data[size - 1];
    text[at] = (char)(text[at] ^ mask);
    HSM_ASSERT(jwe_open_dir(wr_view(&w), cek, "k", &got) == HSM_E_CRYPTO);
    return 0;
}
