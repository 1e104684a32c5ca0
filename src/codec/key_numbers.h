/* The numbers that make up a key, however they came: big-endian without leading zeros (k: as it
 * is); p == NULL: not there. */
#ifndef CODEC_KEY_NUMBERS_H
#define CODEC_KEY_NUMBERS_H

#include "base/bytes.h"

struct key_numbers {
    struct bytes n, e, d, p, q, dp, dq, qi; /* RSA; d also EC */
    struct bytes x, y;                      /* EC */
    struct bytes k;                         /* symmetric */
};

#endif
