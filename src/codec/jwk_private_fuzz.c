/* What parses has the promised form: numbers lie in the buffer, within their limits, without
 * leading zeros; what does not parse leaves nothing behind. */
#include "codec/jwk_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t buf[JWK_NUMBERS_MAX];

static void check(struct bytes b, size_t max)
{
    if (b.p == NULL)
        return;
    HSM_ASSERT(b.n <= max);
    HSM_ASSERT(b.p >= buf && b.n <= (size_t)(buf + sizeof buf - b.p));
    HSM_ASSERT(b.n == 0 || b.p[0] != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct jwk_private j = {0};
    const char *member = NULL;
    if (jwk_private_parse(bytes_of(data, size), buf, &j, &member) != HSM_OK) {
        HSM_ASSERT(j.num.n.p == NULL && j.num.k.p == NULL);
        for (size_t i = 0; i < sizeof buf; i++)
            HSM_ASSERT(buf[i] == 0);
        return 0;
    }
    check(j.num.n, JWK_MODULUS_MAX);
    check(j.num.d, JWK_MODULUS_MAX);
    check(j.num.e, 8);
    check(j.num.p, JWK_MODULUS_MAX / 2);
    check(j.num.q, JWK_MODULUS_MAX / 2);
    check(j.num.dp, JWK_MODULUS_MAX / 2);
    check(j.num.dq, JWK_MODULUS_MAX / 2);
    check(j.num.qi, JWK_MODULUS_MAX / 2);
    check(j.num.x, 66);
    check(j.num.y, 66);
    HSM_ASSERT(j.num.k.n <= JWK_K_MAX && j.op_n <= JWK_OPS_MAX);
    return 0;
}
