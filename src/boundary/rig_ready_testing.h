/* What makes the pool of a rig ready for work; the last part of boundary_testing.h. */
#ifndef BOUNDARY_RIG_READY_TESTING_H
#define BOUNDARY_RIG_READY_TESTING_H

#include "boundary/boundary_testing.h"

/* Give the administrator the Crypto User and Crypto Officer roles as well. */
static inline void rig_make_crypto_user(struct rig *r)
{
    static const char *const roles[] = {"Managed HSM Crypto User", "Managed HSM Crypto Officer"};
    for (unsigned i = 0; i < 2; i++) {
        const struct builtin_role *role = NULL;
        for (unsigned at = 0; (role = builtin_role_at(at)) != NULL; at++)
            if (strcmp(role->name, roles[i]) == 0)
                break;
        assert_non_null(role);
        char id[200], guid[37], name[37];
        struct uuid u;
        uuid_new_v4(&u);
        uuid_format(&u, name);
        uuid_format(&role->guid, guid);
        snprintf(id, sizeof id,
                 "Microsoft.KeyVault/providers/Microsoft.Authorization/"
                 "roleDefinitions/%s",
                 guid);
        assert_int_equal(RIG_CALL(r, OP_ROLE_ASSIGNMENT_PUT, role_assignment_put,
                                  .scope = bytes_str("/"), .guid = bytes_str(name),
                                  .principal = bytes_str(RIG_ADMIN), .role_id = bytes_str(id)),
                         HSM_OK);
    }
}

/* Activate with three custodians. */
static inline hsm_err rig_activate(struct rig *r)
{
    static uint8_t list[32768];
    struct wr w = wr_of(list, sizeof list);
    for (unsigned i = 0; i < 3; i++) {
        const struct wire_sd_cert c = {.der = rig_custodian(i)};
        size_t at = wr_lv_open(&w);
        wire_sd_cert_put(&w, &c);
        wr_lv_close(&w, at);
    }
    return RIG_CALL(r, OP_SD_DOWNLOAD, sd_download, .required = 2, .certificates = wr_view(&w));
}

#endif
