/* Kinds of keys as they are counted: by type and size. Pure. */
#ifndef MODEL_KEY_CLASS_H
#define MODEL_KEY_CLASS_H

#include <stdint.h>

enum key_class {
    KEY_CLASS_RSA_2048,
    KEY_CLASS_RSA_3072,
    KEY_CLASS_RSA_4096,
    KEY_CLASS_P256,
    KEY_CLASS_P256K,
    KEY_CLASS_P384,
    KEY_CLASS_P521,
    KEY_CLASS_OCT_128,
    KEY_CLASS_OCT_192,
    KEY_CLASS_OCT_256,
    KEY_CLASS__COUNT
};
/* kty, crv: model/alg.h. KEY_CLASS__COUNT: there is no such key. */
enum key_class key_class_of(unsigned kty, unsigned crv, uint32_t bits);
/* "RSA-2048", "EC-P-256", "oct-256", ... */
const char *key_class_name(enum key_class c);

#endif
