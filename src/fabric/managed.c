#include "fabric/managed.h"

#include <stdio.h>
#include "base/clock.h"
#include "fabric/people.h"

static void new_guid(char dst[UUID_TEXT_LEN + 1])
{
    struct uuid u;
    uuid_new_v4(&u);
    uuid_format(&u, dst);
}

static void put_view(struct json_wr *j, const char *name, struct bytes value)
{
    json_name(j, name);
    json_put_bytes(j, value);
}

static void put_object(struct json_wr *j, const struct fabric *f, const struct managed_want *want,
                       const struct managed_identity *id, uint64_t now_ms)
{
    char when[32];
    clock_format_ms(now_ms, when, sizeof when);
    json_name(j, "object");
    json_obj_open(j);
    put_str(j, "id", id->principal_id);
    put_str(j, "appId", id->client_id);
    put_view(j, "displayName", want->name);
    put_str(j, "createdDateTime", when);
    put_str(j, "appOwnerOrganizationId", f->provider.dir.tenant);
    put_str(j, "servicePrincipalType", "ManagedIdentity");
    put_bool(j, "accountEnabled", true);
    json_name(j, "alternativeNames");
    json_arr_open(j);
    json_put_str(j, want->user_assigned ? "isExplicit=True" : "isExplicit=False");
    json_put_bytes(j, want->resource_id);
    json_arr_close(j);
    json_name(j, "servicePrincipalNames");
    json_arr_open(j);
    json_put_str(j, id->client_id);
    json_arr_close(j);
    json_obj_close(j);
}

hsm_err identity_create_managed(struct fabric *f, struct changes *c,
                                const struct managed_want *want, uint64_t now_ms,
                                struct managed_identity *ret)
{
    static uint8_t text[4096];
    struct managed_identity id = {.user_assigned = want->user_assigned};
    if (want->name.n == 0 || want->name.n > DIRECTORY_NAME_MAX || want->resource_id.n == 0 ||
        want->resource_id.n > PRINCIPAL_RESOURCE_MAX - 4)
        return HSM_E_BAD_PARAMETER;
    new_guid(id.principal_id);
    new_guid(id.client_id);
    struct wr w = wr_of(text, sizeof text);
    struct json_wr j = json_wr_of(&w);
    json_obj_open(&j);
    put_str(&j, "type", people_type_name[PEOPLE_MANAGED]);
    put_object(&j, f, want, &id, now_ms);
    put_view(&j, "resourceId", want->resource_id);
    put_bool(&j, "systemAssigned", !want->user_assigned);
    json_obj_close(&j);
    if (wr_ok(&w) != HSM_OK)
        return HSM_E_BAD_PARAMETER;
    changes_put(c, STATE_PRINCIPAL, bytes_str(id.principal_id), wr_view(&w));
    people_stage_name(c, "sp", bytes_str(id.client_id), id.principal_id);
    people_stage_name(c, "res", want->resource_id, id.principal_id);
    *ret = id;
    return HSM_OK;
}

static bool find(const struct fabric *f, struct bytes principal_id, struct principal *ret)
{
    static struct people_object o;
    return people_get(f, STATE_PRINCIPAL, principal_id, &o) && o.type == PEOPLE_MANAGED &&
           people_principal(&o, ret);
}

hsm_err identity_delete(struct fabric *f, struct changes *c, struct bytes principal_id)
{
    struct principal p;
    char named[UUID_TEXT_LEN + 1];
    if (!find(f, principal_id, &p) ||
        directory_find_oid(&f->provider.dir, bytes_str(p.oid)) != NULL)
        return HSM_OK;
    changes_delete(c, STATE_PRINCIPAL, bytes_str(p.oid));
    people_unstage_name(c, "sp", bytes_str(p.client_id));
    /* A resource that was given another identity, perhaps just now, has that one there. */
    if (people_find_staged(f, c, "res", bytes_str(p.resource_id), named) &&
        strcmp(named, p.oid) == 0)
        people_unstage_name(c, "res", bytes_str(p.resource_id));
    people_unstage_all(f, c, bytes_str(p.oid));
    return HSM_OK;
}

hsm_err identity_find_managed(struct fabric *f, struct bytes principal_id,
                              struct managed_identity *ret)
{
    struct principal p;
    if (!find(f, principal_id, &p))
        return HSM_E_NOT_FOUND;
    *ret = (struct managed_identity){.user_assigned = !p.system_assigned};
    memcpy(ret->principal_id, p.oid, sizeof ret->principal_id);
    memcpy(ret->client_id, p.client_id, sizeof ret->client_id);
    return HSM_OK;
}

hsm_err managed_token(struct fabric *f, struct bytes principal_id, struct bytes resource,
                      uint64_t now_ms, struct wr *out)
{
    struct principal p;
    if (!find(f, principal_id, &p) || p.disabled)
        return HSM_E_NOT_FOUND;
    return provider_access_token(&f->provider, &p, resource, bytes_str(p.client_id), now_ms / 1000,
                                 out);
}
