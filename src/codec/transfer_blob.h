/* Key transfer blob: the file in which another HSM's key comes, wrapped for a key exchange key of
 * this one (schema_version 1.0.0, enc CKM_RSA_AES_KEY_WRAP). Nothing in it is authenticated but the
 * wrapped key by itself. Pure, no allocation. */
#ifndef CODEC_TRANSFER_BLOB_H
#define CODEC_TRANSFER_BLOB_H

#include "base/bytes.h"

#define TRANSFER_FILE_MAX       16384 /* bytes; real ones have up to about 4,600 */
#define TRANSFER_CIPHERTEXT_MAX 4096

struct transfer_blob {
    struct bytes kek_name; /* view into the file: of header.kid https://HOST/keys/NAME[/VERSION] */
    struct bytes kek_version; /* empty when kid has none */
    struct bytes ciphertext;  /* view into buf */
};

/* The text of a JWK's key_hsm, base64url or base64, with or without padding, into
 * buf[b64_decoded_max(text.n)]. HSM_E_MALFORMED; HSM_E_RANGE above TRANSFER_FILE_MAX. */
HSM_MUST_USE hsm_err transfer_file_decode(struct bytes text, uint8_t *buf, struct bytes *ret_file);
/* buf: TRANSFER_CIPHERTEXT_MAX + 4 bytes. HSM_E_MALFORMED; *ret_why says to the client what it is
 * that does not fit (static text). Members that are not needed are ignored. */
HSM_MUST_USE hsm_err transfer_blob_parse(struct bytes file, uint8_t *buf, struct transfer_blob *ret,
                                         const char **ret_why);

#endif
