/* The name found in a prefix is the name found in the whole, and is a host name. */
#include "codec/tls_hello.h"

#include "codec/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char host[256] = "?";
    char again[256] = "?";
    uint16_t port;
    hsm_err err = tls_hello_server_name(bytes_of(data, size), host);
    if (err == HSM_E_AGAIN)
        HSM_ASSERT(size < 16384);
    if (err != HSM_OK) {
        HSM_ASSERT(strcmp(host, "?") == 0);
        return 0;
    }
    if (host[0] != '\0')
        HSM_ASSERT(host_parse(bytes_str(host), again, &port) == HSM_OK && port == 0 &&
                   strcmp(host, again) == 0);
    for (size_t n = 0; n < size; n += 1 + size / 16) {
        hsm_err e = tls_hello_server_name(bytes_of(data, n), again);
        HSM_ASSERT(e == HSM_E_AGAIN || (e == HSM_OK && strcmp(host, again) == 0));
    }
    return 0;
}
