/* Key transfer blobs: as text of a JWK member, and as the file itself. */
#include "codec/transfer_blob.h"

#include "codec/base64url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t file[TRANSFER_FILE_MAX * 2];
    static uint8_t buf[TRANSFER_CIPHERTEXT_MAX + 4];
    struct bytes in = bytes_of(data, size), decoded;
    struct transfer_blob b;
    const char *why = NULL;
    if (size <= b64_encoded_max(TRANSFER_FILE_MAX) &&
        transfer_file_decode(in, file, &decoded) == HSM_OK)
        HSM_ASSERT(decoded.n <= TRANSFER_FILE_MAX);
    if (transfer_blob_parse(in, buf, &b, &why) != HSM_OK) {
        HSM_ASSERT(why != NULL);
        return 0;
    }
    HSM_ASSERT(b.kek_name.n > 0 && (b.kek_version.n == 0 || b.kek_version.n == 32));
    HSM_ASSERT(b.ciphertext.p == buf && b.ciphertext.n <= TRANSFER_CIPHERTEXT_MAX);
    return 0;
}
