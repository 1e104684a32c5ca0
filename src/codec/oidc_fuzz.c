/* Input: an issuer, a line end, metadata. */
#include <stddef.h>
#include <stdint.h>
#include "codec/oidc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char issuer[512], host[256], path[OIDC_PATH_MAX];
    uint16_t port = 0;
    const uint8_t *cut = size == 0 ? NULL : memchr(data, '\n', size);
    if (cut == NULL || (size_t)(cut - data) >= sizeof issuer)
        return 0;
    size_t n = (size_t)(cut - data);
    memcpy(issuer, data, n);
    issuer[n] = 0;
    if (oidc_issuer_parse(bytes_of(data, n), host, &port, path) == HSM_OK)
        HSM_ASSERT(host[0] != 0 && port != 0 && strchr(path, ' ') == NULL);
    if (oidc_metadata_parse(bytes_of(cut + 1, size - n - 1), issuer, path) == HSM_OK)
        HSM_ASSERT(path[0] == '/' && strpbrk(path, " \r\n#") == NULL);
    return 0;
}
