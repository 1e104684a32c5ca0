/* UUIDs in their 36-character text form and as 16 bytes (RFC 4122). Lower case on output. */
#ifndef BASE_UUID_H
#define BASE_UUID_H

#include <stdbool.h>
#include <stdint.h>
#include "base/bytes.h"

struct uuid {
    uint8_t b[16];
};
#define UUID_TEXT_LEN 36

/* Exactly 8-4-4-4-12 hex digits, either case. */
HSM_MUST_USE hsm_err uuid_parse(struct bytes text, struct uuid *ret);
void uuid_format(const struct uuid *u, char dst[UUID_TEXT_LEN + 1]);
/* Random version 4, from libcrypto's generator. */
void uuid_new_v4(struct uuid *ret);
/* Time based version 1 shape with a random node, as request ids have. Thread-safe. */
void uuid_new_v1(struct uuid *ret);

/* Lower-case hex; dst has room for 2n+1. */
void hex_encode(char *dst, const uint8_t *src, size_t n);
/* Exactly 2n hex digits into n bytes. */
HSM_MUST_USE hsm_err hex_decode(uint8_t *dst, size_t n, struct bytes text);

#endif
