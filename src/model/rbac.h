/* Local RBAC, pure: actions, built-in roles, scopes, the decision. Source: the service's recorded
 * role definitions (built-in GUIDs and contents, role x action matrix). */
#ifndef MODEL_RBAC_H
#define MODEL_RBAC_H

#include <stdbool.h>
#include <stdint.h>
#include "base/bytes.h"
#include "base/uuid.h"
#include "model/actions.def"

enum data_action {
#define A(name, text) ACTION_##name,
    DATA_ACTIONS(A)
#undef A
    ACTION__COUNT
};
typedef uint64_t action_set; /* bit = enum data_action */
_Static_assert(ACTION__COUNT <= 64, "action_set is 64 bits wide");
#define ACTION_BIT(a)      ((action_set)1 << (a))
#define DATA_ACTION_PREFIX "Microsoft.KeyVault/managedHsm/"

/* Full string "Microsoft.KeyVault/managedHsm/keys/create". Static. */
const char *data_action_name(enum data_action a);
/* Bit of a full action string (case-insensitive), 0 when not one of ours. */
action_set data_action_bit(struct bytes full);

struct builtin_role {
    const char *name;
    struct uuid guid;
    action_set actions;
};
/* NULL at the end: builtin_role_at(0), (1), ... in the order in which the service lists them. */
const struct builtin_role *builtin_role_at(unsigned i);
const struct builtin_role *builtin_role_find(const struct uuid *guid);
/* Guid of Managed HSM Administrator, the role that must never be without a holder at "/". */
const struct uuid *builtin_role_administrator(void);

enum scope_kind {
    SCOPE_ROOT,
    SCOPE_KEYS,
    SCOPE_KEY
};
struct scope {
    enum scope_kind kind;
    struct bytes key; /* SCOPE_KEY: name as written; compared ASCII case-insensitively */
};
#define SCOPE_TEXT_MAX 160
/* "/", "" and any number of slashes = root; "/keys"; "/keys/NAME" (leading slash optional).
 * HSM_E_BAD_PARAMETER otherwise. */
HSM_MUST_USE hsm_err scope_parse(struct bytes text, struct scope *ret);
/* Canonical text: "/", "/keys", "/keys/NAME". */
void scope_format(const struct scope *s, char dst[SCOPE_TEXT_MAX + 1]);
/* An assignment at a covers a request at b: "/" covers all; "/keys" covers itself and every key
 * scope; a key scope covers itself. */
bool scope_covers(const struct scope *a, const struct scope *b);
bool scope_equal(const struct scope *a, const struct scope *b);

#endif
