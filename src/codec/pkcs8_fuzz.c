/* What parses lies inside the input and has no leading zeros; one changed byte never crashes. */
#include "codec/pkcs8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(struct bytes in, struct bytes b)
{
    if (b.p == NULL)
        return;
    HSM_ASSERT(b.p >= in.p && b.n <= (size_t)(in.p + in.n - b.p));
    HSM_ASSERT(b.n == 0 || b.p[0] != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in = bytes_of(data, size);
    struct pkcs8_key k = {0};
    if (pkcs8_parse(in, &k) != HSM_OK)
        return 0;
    const struct bytes all[] = {k.num.n,  k.num.e,  k.num.d,  k.num.p, k.num.q,
                                k.num.dp, k.num.dq, k.num.qi, k.num.x, k.num.y};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        check(in, all[i]);
    HSM_ASSERT(k.is_ec ? k.curve.n > 0 && k.num.n.p == NULL
                       : k.num.n.p != NULL && k.curve.p == NULL);
    return 0;
}
