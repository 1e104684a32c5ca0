#include "model/key_class.h"

#include "base/bytes.h"
#include "model/alg.h"

static const struct {
    const char *name;
    unsigned kty, crv;
    uint32_t bits; /* 0: any */
} classes[KEY_CLASS__COUNT] = {
    [KEY_CLASS_RSA_2048] = {"RSA-2048", KTY_RSA, CRV_NONE, 2048},
    [KEY_CLASS_RSA_3072] = {"RSA-3072", KTY_RSA, CRV_NONE, 3072},
    [KEY_CLASS_RSA_4096] = {"RSA-4096", KTY_RSA, CRV_NONE, 4096},
    [KEY_CLASS_P256] = {"EC-P-256", KTY_EC, CRV_P256, 0},
    [KEY_CLASS_P256K] = {"EC-P-256K", KTY_EC, CRV_P256K, 0},
    [KEY_CLASS_P384] = {"EC-P-384", KTY_EC, CRV_P384, 0},
    [KEY_CLASS_P521] = {"EC-P-521", KTY_EC, CRV_P521, 0},
    [KEY_CLASS_OCT_128] = {"oct-128", KTY_OCT, CRV_NONE, 128},
    [KEY_CLASS_OCT_192] = {"oct-192", KTY_OCT, CRV_NONE, 192},
    [KEY_CLASS_OCT_256] = {"oct-256", KTY_OCT, CRV_NONE, 256},
};

enum key_class key_class_of(unsigned kty, unsigned crv, uint32_t bits)
{
    for (unsigned i = 0; i < KEY_CLASS__COUNT; i++)
        if (classes[i].kty == kty &&
            (classes[i].bits == 0 ? classes[i].crv == crv : classes[i].bits == bits))
            return (enum key_class)i;
    return KEY_CLASS__COUNT;
}

const char *key_class_name(enum key_class c)
{
    HSM_ASSERT(c < KEY_CLASS__COUNT);
    return classes[c].name;
}
