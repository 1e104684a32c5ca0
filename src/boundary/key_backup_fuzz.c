/* What parses is written again as the same bytes, version by version. */
#include "boundary/key_backup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t out[KEY_BACKUP_MAX];
    struct key_backup b;
    struct key_backup_version v;
    unsigned n = 0;
    if (key_backup_parse(bytes_of(data, size), &b) != HSM_OK)
        return 0;
    struct wr w = wr_of(out, sizeof out);
    key_backup_put_head(&w, b.salt.p, &b.key, b.n);
    for (; key_backup_next(&b, &v); n++)
        key_backup_put_version(&w, &v.id, &v.f, v.sealed_private);
    HSM_ASSERT(n == b.n && wr_ok(&w) == HSM_OK);
    HSM_ASSERT(bytes_eq(wr_view(&w), bytes_of(data, size)));
    return 0;
}
