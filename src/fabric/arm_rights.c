/* Built-in roles of the control plane, and what they allow. Pure. */
#include "fabric/arm_rights.h"

static const char *const everything[] = {"*", NULL};
static const char *const nothing[] = {NULL};
static const char *const reading[] = {"*/read", NULL};
static const char *const not_rights[] = {"Microsoft.Authorization/*/Delete",
                                         "Microsoft.Authorization/*/Write",
                                         "Microsoft.Authorization/elevateAccess/Action", NULL};
static const char *const hsm_actions[] = {
    "Microsoft.KeyVault/managedHSMs/*",
    "Microsoft.KeyVault/deletedManagedHsms/read",
    "Microsoft.KeyVault/locations/deletedManagedHsms/read",
    "Microsoft.KeyVault/locations/deletedManagedHsms/purge/action",
    "Microsoft.KeyVault/locations/managedHsmOperationResults/read",
    NULL};

const struct arm_role arm_roles[] = {
    {ARM_ROLE_OWNER, "Owner",
     "Grants full access to manage all resources, including the ability to assign roles.",
     everything, nothing},
    {"b24988ac-6180-42a0-ab88-20f7382dd24c", "Contributor",
     "Grants full access to manage all resources, but does not allow to assign roles.", everything,
     not_rights},
    {"acdd72a7-3385-48ef-bd42-f606fba81ae7", "Reader",
     "View all resources, but does not allow to make any changes.", reading, nothing},
    {"18500a29-7fe2-46b2-a342-b16a415e101d", "Managed HSM contributor",
     "Lets you manage managed HSM pools, but not access to them.", hsm_actions, nothing},
};
const size_t arm_roles_n = sizeof arm_roles / sizeof *arm_roles;

const struct arm_role *arm_role_find(struct bytes id)
{
    for (size_t i = id.n; i > 0; i--) {
        if (id.p[i - 1] == '/') {
            id = bytes_of(id.p + i, id.n - i);
            break;
        }
    }
    for (size_t i = 0; i < arm_roles_n; i++)
        if (bytes_ieq(id, bytes_str(arm_roles[i].id)))
            return &arm_roles[i];
    return NULL;
}

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

/* Greedy with one point to come back to: linear in practice, no recursion. */
static bool matches(const char *pattern, struct bytes text)
{
    const char *star = NULL;
    size_t i = 0, back = 0;
    while (i < text.n) {
        if (*pattern == '*') {
            star = ++pattern;
            back = i;
        } else if (*pattern != 0 && lower((uint8_t)*pattern) == lower(text.p[i])) {
            pattern++;
            i++;
        } else if (star != NULL) {
            pattern = star;
            i = ++back;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == 0;
}

static bool any(const char *const *patterns, struct bytes action)
{
    for (; *patterns != NULL; patterns++)
        if (matches(*patterns, action))
            return true;
    return false;
}

bool arm_role_allows(const struct arm_role *r, struct bytes action)
{
    return any(r->actions, action) && !any(r->not_actions, action);
}
