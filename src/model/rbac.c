#include "model/rbac.h"

#include "model/alg.h"

const char *data_action_name(enum data_action a)
{
    static const char *const names[] = {
#define A(name, text) [ACTION_##name] = DATA_ACTION_PREFIX text,
        DATA_ACTIONS(A)
#undef A
    };
    HSM_ASSERT((unsigned)a < ACTION__COUNT);
    return names[a];
}

action_set data_action_bit(struct bytes full)
{
    for (unsigned a = 0; a < ACTION__COUNT; a++) {
        if (bytes_ieq(full, bytes_str(data_action_name((enum data_action)a))))
            return ACTION_BIT(a);
    }
    return 0;
}

#define ON(name) ACTION_BIT(ACTION_##name)
#define ROLE_MANAGEMENT                                                                            \
    (ON(ROLE_ASSIGNMENTS_READ) | ON(ROLE_ASSIGNMENTS_WRITE) | ON(ROLE_ASSIGNMENTS_DELETE) |        \
     ON(ROLE_DEFINITIONS_READ) | ON(ROLE_DEFINITIONS_WRITE) | ON(ROLE_DEFINITIONS_DELETE))

/* Contents as the service returns them, which differ from its documentation in a few cells
 * (docs/PARITY.md). Order of the service's list; the Restore role is newer than that list. */
static const struct builtin_role builtin_roles[] = {
    /* 7b127d3c-77bd-4e3e-bbe0-dbb8971fa7f8 */
    {"Managed HSM Backup User",
     {{0x7b, 0x12, 0x7d, 0x3c, 0x77, 0xbd, 0x4e, 0x3e, 0xbb, 0xe0, 0xdb, 0xb8, 0x97, 0x1f, 0xa7,
       0xf8}},
     ON(BACKUP_START) | ON(BACKUP_STATUS) | ON(KEYS_BACKUP)},
    /* 33413926-3206-4cdd-b39a-83574fe37a17 */
    {"Managed HSM Crypto Service Encryption User",
     {{0x33, 0x41, 0x39, 0x26, 0x32, 0x06, 0x4c, 0xdd, 0xb3, 0x9a, 0x83, 0x57, 0x4f, 0xe3, 0x7a,
       0x17}},
     ON(KEYS_READ) | ON(KEYS_WRAP) | ON(KEYS_UNWRAP)},
    /* 21dbd100-6940-42c2-9190-5d6cb909625c */
    {"Managed HSM Crypto Service Release User",
     {{0x21, 0xdb, 0xd1, 0x00, 0x69, 0x40, 0x42, 0xc2, 0x91, 0x90, 0x5d, 0x6c, 0xb9, 0x09, 0x62,
       0x5c}},
     ON(KEYS_RELEASE)},
    /* 2c18b078-7c48-4d3a-af88-5a3a1b3f82b3 */
    {"Managed HSM Crypto Auditor",
     {{0x2c, 0x18, 0xb0, 0x78, 0x7c, 0x48, 0x4d, 0x3a, 0xaf, 0x88, 0x5a, 0x3a, 0x1b, 0x3f, 0x82,
       0xb3}},
     ON(ROLE_ASSIGNMENTS_READ) | ON(ROLE_DEFINITIONS_READ) | ON(KEYS_READ) | ON(DELETED_READ)},
    /* 4bd23610-cdcf-4971-bdee-bdc562cc28e4 */
    {"Managed HSM Policy Administrator",
     {{0x4b, 0xd2, 0x36, 0x10, 0xcd, 0xcf, 0x49, 0x71, 0xbd, 0xee, 0xbd, 0xc5, 0x62, 0xcc, 0x28,
       0xe4}},
     ROLE_MANAGEMENT},
    /* 21dbd100-6940-42c2-9190-5d6cb909625b */
    {"Managed HSM Crypto User",
     {{0x21, 0xdb, 0xd1, 0x00, 0x69, 0x40, 0x42, 0xc2, 0x91, 0x90, 0x5d, 0x6c, 0xb9, 0x09, 0x62,
       0x5b}},
     ON(ROLE_ASSIGNMENTS_READ) | ON(ROLE_DEFINITIONS_READ) | ON(KEYS_READ) | ON(KEYS_WRITE) |
         ON(KEYS_CREATE) | ON(KEYS_DELETE) | ON(KEYS_ROTATE) | ON(KEYS_IMPORT) | ON(KEYS_RELEASE) |
         ON(KEYS_BACKUP) | ON(KEYS_RESTORE) | ON(KEYS_ENCRYPT) | ON(KEYS_DECRYPT) | ON(KEYS_WRAP) |
         ON(KEYS_UNWRAP) | ON(KEYS_SIGN) | ON(KEYS_VERIFY) | ON(KEYS_DERIVE) | ON(RNG)},
    /* 515eb02d-2335-4d2d-92f2-b1cbdf9c3778 */
    {"Managed HSM Crypto Officer",
     {{0x51, 0x5e, 0xb0, 0x2d, 0x23, 0x35, 0x4d, 0x2d, 0x92, 0xf2, 0xb1, 0xcb, 0xdf, 0x9c, 0x37,
       0x78}},
     ROLE_MANAGEMENT | ON(DELETED_READ) | ON(DELETED_RECOVER) | ON(DELETED_PURGE) |
         ON(KEYS_EXPORT)},
    /* a290e904-7015-4bba-90c8-60543313cdb4 */
    {"Managed HSM Administrator",
     {{0xa2, 0x90, 0xe9, 0x04, 0x70, 0x15, 0x4b, 0xba, 0x90, 0xc8, 0x60, 0x54, 0x33, 0x13, 0xcd,
       0xb4}},
     ROLE_MANAGEMENT | ON(SD_DOWNLOAD) | ON(SD_DOWNLOAD_READ) | ON(SD_UPLOAD) | ON(SD_UPLOAD_READ) |
         ON(SD_TRANSFERKEY_READ) | ON(BACKUP_START) | ON(BACKUP_STATUS) | ON(RESTORE_START) |
         ON(RESTORE_STATUS) | ON(SETTINGS_READ) | ON(SETTINGS_WRITE)},
    /* 6efe6056-5259-49d2-8b3d-d3d73544b20b */
    {"Managed HSM Restore",
     {{0x6e, 0xfe, 0x60, 0x56, 0x52, 0x59, 0x49, 0xd2, 0x8b, 0x3d, 0xd3, 0xd7, 0x35, 0x44, 0xb2,
       0x0b}},
     ON(RESTORE_START) | ON(RESTORE_STATUS) | ON(KEYS_RESTORE)},
};
#define BUILTIN_N (sizeof builtin_roles / sizeof builtin_roles[0])

const struct builtin_role *builtin_role_at(unsigned i)
{
    return i < BUILTIN_N ? &builtin_roles[i] : NULL;
}

const struct builtin_role *builtin_role_find(const struct uuid *guid)
{
    for (unsigned i = 0; i < BUILTIN_N; i++) {
        if (memcmp(builtin_roles[i].guid.b, guid->b, sizeof guid->b) == 0)
            return &builtin_roles[i];
    }
    return NULL;
}

const struct uuid *builtin_role_administrator(void)
{
    static const struct uuid guid = {{0xa2, 0x90, 0xe9, 0x04, 0x70, 0x15, 0x4b, 0xba, 0x90, 0xc8,
                                      0x60, 0x54, 0x33, 0x13, 0xcd, 0xb4}};
    return &guid;
}

/* The next segment of a path; runs of slashes count as one. Empty at the end. */
static struct bytes next_segment(struct bytes *text)
{
    size_t i = 0;
    while (i < text->n && text->p[i] == '/')
        i++;
    size_t start = i;
    while (i < text->n && text->p[i] != '/')
        i++;
    struct bytes seg = {.p = i > start ? text->p + start : NULL, .n = i - start};
    if (i > 0)
        *text = bytes_of(text->p + i, text->n - i);
    return seg;
}

hsm_err scope_parse(struct bytes text, struct scope *ret)
{
    if (text.n > SCOPE_TEXT_MAX)
        return HSM_E_BAD_PARAMETER;
    struct bytes first = next_segment(&text);
    struct bytes key = next_segment(&text);
    if (next_segment(&text).n != 0)
        return HSM_E_BAD_PARAMETER;
    struct scope s = {.kind = SCOPE_ROOT};
    if (first.n != 0) {
        if (!bytes_ieq(first, bytes_str("keys")))
            return HSM_E_BAD_PARAMETER;
        s.kind = SCOPE_KEYS;
    }
    if (key.n != 0) {
        if (!key_name_valid(key))
            return HSM_E_BAD_PARAMETER;
        s.kind = SCOPE_KEY;
        s.key = key;
    }
    *ret = s;
    return HSM_OK;
}

void scope_format(const struct scope *s, char dst[SCOPE_TEXT_MAX + 1])
{
    struct wr w = wr_of(dst, SCOPE_TEXT_MAX);
    switch (s->kind) {
    case SCOPE_ROOT:
        wr_str(&w, "/");
        break;
    case SCOPE_KEYS:
        wr_str(&w, "/keys");
        break;
    case SCOPE_KEY:
        wr_str(&w, "/keys/");
        wr_bytes(&w, s->key.p, s->key.n);
        break;
    }
    HSM_ASSERT(!w.overflow);
    dst[w.n] = 0;
}

bool scope_equal(const struct scope *a, const struct scope *b)
{
    return a->kind == b->kind && (a->kind != SCOPE_KEY || bytes_ieq(a->key, b->key));
}

bool scope_covers(const struct scope *a, const struct scope *b)
{
    switch (a->kind) {
    case SCOPE_ROOT:
        return true;
    case SCOPE_KEYS:
        return b->kind != SCOPE_ROOT;
    case SCOPE_KEY:
        return scope_equal(a, b);
    }
    return false;
}
