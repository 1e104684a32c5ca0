/* Seal provider "file" (development). PATH.key: 32 random bytes, 0600. */
#include <openssl/rand.h>
#include "boundary/seal_internal.h"

static hsm_err make_key(const char *path, uint8_t *kek, char *text, size_t cap)
{
    if (RAND_priv_bytes(kek, KEK_LEN) != 1)
        return seal_say(HSM_E_INTERNAL, text, cap, "no random bytes for %s", path);
    return seal_file_write(path, bytes_of(kek, KEK_LEN), text, cap);
}

/* An existing key is used again: replaced before the sealed file it would, after a crash in
 * between, leave a pool that nothing can open. */
hsm_err seal_file_kek(const struct seal_spec *spec, const char *path, bool make, uint8_t *kek,
                      char *text, size_t cap)
{
    char kpath[SEAL_PATH_MAX];
    DEFER(secret_buf_done) struct secret_buf b = {0};
    TRY(seal_path(path, seal_suffix(spec->provider), kpath, text, cap));
    hsm_err err = seal_file_read(kpath, true, &b, text, cap);
    if (err == HSM_E_NOT_FOUND && make)
        return make_key(kpath, kek, text, cap);
    TRY(err);
    if (b.n != KEK_LEN)
        return seal_say(HSM_E_CORRUPT, text, cap,
                        "%s is damaged (%zu bytes instead of %u); restore it from a copy of the "
                        "data directory",
                        kpath, b.n, KEK_LEN);
    memcpy(kek, b.p, KEK_LEN);
    return HSM_OK;
}
