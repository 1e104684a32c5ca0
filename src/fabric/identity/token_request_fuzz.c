/* Input: content type line, authorization line, body. */
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "fabric/identity/token_request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct bytes take_line(const uint8_t **p, size_t *n)
{
    const uint8_t *start = *p;
    const uint8_t *end = *n == 0 ? NULL : memchr(start, '\n', *n);
    size_t k = end == NULL ? *n : (size_t)(end - start);
    size_t used = end == NULL ? k : k + 1;
    *p += used;
    *n -= used;
    return bytes_of(start, k);
}

static bool inside(struct bytes v, const uint8_t *buf, size_t n)
{
    return v.p == NULL || (v.p >= buf && v.n <= n && (size_t)(v.p - buf) <= n - v.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t buf[TOKEN_REQUEST_BUF(8192, 8192)];
    struct token_request q;
    if (size > 8192)
        return 0;
    struct bytes type = take_line(&data, &size);
    struct bytes authorization = take_line(&data, &size);
    if (type.n == 0)
        type = bytes_str("application/x-www-form-urlencoded");
    if (token_request_parse(type, authorization, bytes_of(data, size), buf, sizeof buf, &q) !=
        TOKEN_OK)
        return 0;
    HSM_ASSERT(q.client_id.n > 0);
    HSM_ASSERT(q.resource.p == NULL || token_resource_is_valid(q.resource));
    HSM_ASSERT(q.grant != GRANT_CLIENT_CREDENTIALS || q.resource.n > 0);
    HSM_ASSERT(inside(q.client_id, buf, sizeof buf) && inside(q.client_secret, buf, sizeof buf) &&
               inside(q.username, buf, sizeof buf) && inside(q.password, buf, sizeof buf) &&
               inside(q.refresh_token, buf, sizeof buf) && inside(q.resource, buf, sizeof buf));
    return 0;
}
