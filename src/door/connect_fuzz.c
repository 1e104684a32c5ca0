#include "door/connect.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char host[256];
    uint16_t port = 0;
    size_t used = 0;
    struct bytes in = bytes_of(data, n);

    (void)first_kind_of(in);
    if (connect_parse(in, host, &port, &used) != HSM_OK)
        return 0;
    HSM_ASSERT(used <= n && used <= CONNECT_HEAD_MAX && port != 0);
    HSM_ASSERT(memchr(host, 0, sizeof(host)) != NULL);
    /* a head that is complete is complete at its own length, and not one byte earlier */
    char again[256];
    HSM_ASSERT(connect_parse(bytes_of(data, used), again, &port, &used) == HSM_OK);
    HSM_ASSERT(connect_parse(bytes_of(data, used - 1), again, &port, &used) != HSM_OK);
    return 0;
}
