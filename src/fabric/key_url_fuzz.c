/* What is a key's URL is put together from its parts again. */
#include "fabric/key_url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct key_url u;
    struct bytes text = bytes_of(data, size);
    if (pool_url_parse(text, &u) == HSM_OK)
        HSM_ASSERT(u.pool.n > 0 && u.name.n == 0 && u.version.n == 0);
    if (key_url_parse(text, &u) != HSM_OK)
        return 0;
    size_t n = sizeof "https://" - 1 + u.authority.n + sizeof "/keys/" - 1 + u.name.n;
    HSM_ASSERT(u.pool.n > 0 && u.pool.n < u.authority.n && u.name.n > 0);
    HSM_ASSERT(size == n + (u.version.n > 0 ? u.version.n + 1 : 0));
    HSM_ASSERT(u.version.n == 0 || u.version.n == KEY_URL_VERSION_LEN);
    return 0;
}
