#include "boundary/commands.h"

#include "boundary/control.h"
#include "boundary/keys.h"
#include "boundary/rng.h"
#include "boundary/settings.h"

/* A body that does not decode was not made by our gateway. */
#define O(op, req, res, name, http)                                                                \
    static hsm_err check_##op(struct bytes body)                                                   \
    {                                                                                              \
        struct wire_##req m;                                                                       \
        return wire_##req##_decode(body, &m);                                                      \
    }
WIRE_OPS(O)
#undef O

/* A command of clients: served once the store's state is loaded and the audit log continues. */
#define REQUEST(op, active, act, scoped, fn)                                                       \
    [op] = {.lane = LANE_REQUEST,                                                                  \
            .phases = PHASE_SERVING,                                                               \
            .needs_activation = (active),                                                          \
            .action = ACTION_##act,                                                                \
            .scope = (scoped),                                                                     \
            .handler = (fn),                                                                       \
            .check = check_##op}
/* A message of the gateway itself. */
#define CONTROL(ctl, when, fn) [ctl] = {.lane = LANE_CONTROL, .phases = (when), .control = (fn)}

#define AFTER_HELLO (PHASE__ALL & ~(unsigned)PHASE_HELLO)

static const struct command table[256] = {
    REQUEST(OP_KEY_CREATE, true, KEYS_CREATE, SCOPED_KEYS, keys_handle_create),
    REQUEST(OP_KEY_IMPORT, true, KEYS_IMPORT, SCOPED_KEYS, keys_handle_import),
    REQUEST(OP_KEY_BACKUP, true, KEYS_BACKUP, SCOPED_KEY, keys_handle_backup),
    REQUEST(OP_KEY_RESTORE, true, KEYS_RESTORE, SCOPED_KEYS, keys_handle_restore),
    REQUEST(OP_KEY_GET, true, KEYS_READ, SCOPED_KEY, keys_handle_get),
    REQUEST(OP_KEY_LIST, true, KEYS_READ, SCOPED_KEYS, keys_handle_list),
    REQUEST(OP_KEY_VERSIONS, true, KEYS_READ, SCOPED_KEY, keys_handle_versions),
    REQUEST(OP_KEY_UPDATE, true, KEYS_WRITE, SCOPED_KEY, keys_handle_update),
    REQUEST(OP_KEY_DELETE, true, KEYS_DELETE, SCOPED_KEY, keys_handle_delete),
    REQUEST(OP_DELETED_GET, true, DELETED_READ, SCOPED_KEY, keys_handle_deleted_get),
    REQUEST(OP_DELETED_LIST, true, DELETED_READ, SCOPED_KEYS, keys_handle_deleted_list),
    REQUEST(OP_KEY_RECOVER, true, DELETED_RECOVER, SCOPED_KEY, keys_handle_recover),
    REQUEST(OP_KEY_PURGE, true, DELETED_PURGE, SCOPED_KEY, keys_handle_purge),
    REQUEST(OP_ENCRYPT, true, KEYS_ENCRYPT, SCOPED_KEY, keys_handle_crypto),
    REQUEST(OP_DECRYPT, true, KEYS_DECRYPT, SCOPED_KEY, keys_handle_crypto),
    REQUEST(OP_WRAP, true, KEYS_WRAP, SCOPED_KEY, keys_handle_crypto),
    REQUEST(OP_UNWRAP, true, KEYS_UNWRAP, SCOPED_KEY, keys_handle_crypto),
    REQUEST(OP_SIGN, true, KEYS_SIGN, SCOPED_KEY, keys_handle_crypto),
    REQUEST(OP_VERIFY, true, KEYS_VERIFY, SCOPED_KEY, keys_handle_crypto),
    REQUEST(OP_ROLE_DEFINITION_LIST, true, ROLE_DEFINITIONS_READ, SCOPED_FIELD,
            roles_handle_definition_list),
    REQUEST(OP_ROLE_DEFINITION_GET, true, ROLE_DEFINITIONS_READ, SCOPED_FIELD,
            roles_handle_definition_get),
    REQUEST(OP_ROLE_DEFINITION_PUT, true, ROLE_DEFINITIONS_WRITE, SCOPED_FIELD,
            roles_handle_definition_put),
    REQUEST(OP_ROLE_DEFINITION_DELETE, true, ROLE_DEFINITIONS_DELETE, SCOPED_FIELD,
            roles_handle_definition_delete),
    REQUEST(OP_ROLE_ASSIGNMENT_LIST, true, ROLE_ASSIGNMENTS_READ, SCOPED_FIELD,
            roles_handle_assignment_list),
    REQUEST(OP_ROLE_ASSIGNMENT_GET, true, ROLE_ASSIGNMENTS_READ, SCOPED_FIELD,
            roles_handle_assignment_get),
    REQUEST(OP_ROLE_ASSIGNMENT_PUT, true, ROLE_ASSIGNMENTS_WRITE, SCOPED_FIELD,
            roles_handle_assignment_put),
    REQUEST(OP_ROLE_ASSIGNMENT_DELETE, true, ROLE_ASSIGNMENTS_DELETE, SCOPED_FIELD,
            roles_handle_assignment_delete),
    REQUEST(OP_SD_DOWNLOAD, false, SD_DOWNLOAD, SCOPED_ROOT, sd_handle_download),
    REQUEST(OP_SD_DOWNLOAD_STATUS, false, SD_DOWNLOAD_READ, SCOPED_ROOT, sd_handle_status),
    REQUEST(OP_SD_UPLOAD_STATUS, false, SD_UPLOAD_READ, SCOPED_ROOT, sd_handle_status),
    REQUEST(OP_KEY_ROTATE, true, KEYS_ROTATE, SCOPED_KEY, keys_handle_rotate),
    REQUEST(OP_ROTATION_GET, true, KEYS_READ, SCOPED_KEY, keys_handle_rotation_get),
    REQUEST(OP_ROTATION_PUT, true, KEYS_WRITE, SCOPED_KEY, keys_handle_rotation_put),
    REQUEST(OP_RNG, true, RNG, SCOPED_ROOT, rng_handle_bytes),
    REQUEST(OP_SETTING_LIST, true, SETTINGS_READ, SCOPED_ROOT, settings_handle_list),
    REQUEST(OP_SETTING_GET, true, SETTINGS_READ, SCOPED_ROOT, settings_handle_get),
    REQUEST(OP_SETTING_UPDATE, true, SETTINGS_WRITE, SCOPED_ROOT, settings_handle_update),
    REQUEST(OP_UNIMPLEMENTED, false, KEYS_READ, SCOPED_NONE, NULL),
    REQUEST(OP_REFUSED, false, KEYS_READ, SCOPED_NONE, NULL),

    CONTROL(CTL_HELLO, PHASE_HELLO, control_hello),
    CONTROL(CTL_LOAD_BEGIN, PHASE_LOAD, control_load_begin),
    CONTROL(CTL_LOAD_RECORDS, PHASE_LOADING, control_load_records),
    CONTROL(CTL_LOAD_END, PHASE_LOADING, control_load_end),
    CONTROL(CTL_AUDIT_RESUME, PHASE_RESUME, control_audit_resume),
    CONTROL(CTL_APPLY, PHASE_SERVING, control_apply),
    CONTROL(CTL_TXN_FAILED, PHASE_SERVING, control_txn_failed),
    CONTROL(CTL_NET_DATA, PHASE_SERVING | PHASE_JOIN, control_net_data),
    CONTROL(CTL_NET_CLOSE, PHASE_SERVING | PHASE_JOIN, control_net_close),
    CONTROL(CTL_PEER_OPEN, PHASE_SERVING, control_peer_open),
    CONTROL(CTL_LEASE_SIGN, PHASE_SERVING, control_lease_sign),
    CONTROL(CTL_LEASE_GRANT, PHASE_SERVING, control_lease_grant),
    CONTROL(CTL_RELEASED, PHASE_SERVING, control_released),
    CONTROL(CTL_STATUS, AFTER_HELLO, control_status),
    CONTROL(CTL_QUIESCE, AFTER_HELLO, control_quiesce),
};

const struct command *command_find(unsigned type)
{
    if (type >= sizeof table / sizeof table[0] || table[type].phases == 0)
        return NULL;
    return &table[type];
}
