/* The principals of directory.json as objects of the directory. */
#include <openssl/evp.h>
#include "base/clock.h"
#include "fabric/people.h"

void people_builtin_application(const struct principal *p, char ret[UUID_TEXT_LEN + 1])
{
    static const char mark[] = "keyhold application object ";
    char text[sizeof mark + UUID_TEXT_LEN];
    uint8_t digest[32] = {0};
    struct uuid u;
    size_t n = sizeof mark - 1;
    memcpy(text, mark, n);
    memcpy(text + n, p->oid, UUID_TEXT_LEN);
    HSM_ASSERT(EVP_Digest(text, n + UUID_TEXT_LEN, digest, NULL, EVP_sha256(), NULL) == 1);
    memcpy(u.b, digest, sizeof u.b);
    u.b[6] = (uint8_t)((u.b[6] & 0x0f) | 0x80); /* version 8: made as we like (RFC 9562) */
    u.b[8] = (uint8_t)((u.b[8] & 0x3f) | 0x80);
    uuid_format(&u, ret);
}

static void put_created(struct json_wr *j, const struct fabric *f)
{
    char when[32];
    clock_format_ms(f->provider.dir.created_ms, when, sizeof when);
    put_str(j, "createdDateTime", when);
}

static void put_user(struct json_wr *j, const struct principal *p)
{
    char nick[DIRECTORY_NAME_MAX + 1];
    size_t n = strcspn(p->upn, "@");
    memcpy(nick, p->upn, n);
    nick[n] = 0;
    put_str(j, "userPrincipalName", p->upn);
    put_str(j, "mail", p->upn);
    put_str(j, "mailNickname", nick);
    put_bool(j, "accountEnabled", true);
}

static void put_no_credentials(struct json_wr *j)
{
    json_name(j, "passwordCredentials");
    json_put_raw(j, bytes_str("[]"));
    json_name(j, "keyCredentials");
    json_put_raw(j, bytes_str("[]"));
}

static void put_sp(struct json_wr *j, const struct fabric *f, const struct principal *p)
{
    put_str(j, "appId", p->client_id);
    put_str(j, "appDisplayName", p->name);
    put_str(j, "appOwnerOrganizationId", f->provider.dir.tenant);
    put_str(j, "servicePrincipalType",
            p->kind == PRINCIPAL_MANAGED_IDENTITY ? "ManagedIdentity" : "Application");
    put_bool(j, "accountEnabled", true);
    json_name(j, "servicePrincipalNames");
    json_arr_open(j);
    json_put_str(j, p->client_id);
    json_arr_close(j);
    put_no_credentials(j);
}

static void put_principal(const struct fabric *f, const struct principal *p, struct json_wr *j)
{
    static const enum people_type types[] = {[PRINCIPAL_USER] = PEOPLE_USER,
                                             [PRINCIPAL_APP] = PEOPLE_SP,
                                             [PRINCIPAL_MANAGED_IDENTITY] = PEOPLE_MANAGED};
    put_str(j, "type", people_type_name[types[p->kind]]);
    json_name(j, "object");
    json_obj_open(j);
    put_str(j, "id", p->oid);
    put_str(j, "displayName", p->name);
    put_created(j, f);
    if (p->kind == PRINCIPAL_USER)
        put_user(j, p);
    else
        put_sp(j, f, p);
    json_obj_close(j);
}

static void put_application(const struct fabric *f, const struct principal *p, struct json_wr *j)
{
    char id[UUID_TEXT_LEN + 1];
    people_builtin_application(p, id);
    put_str(j, "type", people_type_name[PEOPLE_APPLICATION]);
    json_name(j, "object");
    json_obj_open(j);
    put_str(j, "id", id);
    put_str(j, "appId", p->client_id);
    put_str(j, "displayName", p->name);
    put_created(j, f);
    put_str(j, "signInAudience", "AzureADMyOrg");
    put_no_credentials(j);
    json_obj_close(j);
}

static void put_group(const struct fabric *f, struct json_wr *j)
{
    const struct directory_group *g = &f->provider.dir.group;
    put_str(j, "type", people_type_name[PEOPLE_GROUP]);
    json_name(j, "object");
    json_obj_open(j);
    put_str(j, "id", g->oid);
    put_str(j, "displayName", g->name);
    put_created(j, f);
    put_str(j, "mailNickname", "people");
    put_bool(j, "mailEnabled", false);
    put_bool(j, "securityEnabled", true);
    json_obj_close(j);
}

static const struct principal *app_at(const struct directory *d, size_t i)
{
    const struct principal *const apps[] = {&d->admin, &d->guest};
    return i < sizeof apps / sizeof *apps ? apps[i] : NULL;
}

bool people_builtin_id(const struct fabric *f, enum state_kind kind, size_t i,
                       char ret[UUID_TEXT_LEN + 1])
{
    const struct directory *d = &f->provider.dir;
    if (kind == STATE_PRINCIPAL && i < DIRECTORY_PRINCIPALS)
        memcpy(ret, directory_at(d, i)->oid, UUID_TEXT_LEN + 1);
    else if (kind == STATE_APPLICATION && app_at(d, i) != NULL)
        people_builtin_application(app_at(d, i), ret);
    else if (kind == STATE_DIRECTORY_GROUP && i == 0)
        memcpy(ret, d->group.oid, UUID_TEXT_LEN + 1);
    else
        return false;
    return true;
}

bool people_builtin(const struct fabric *f, enum state_kind kind, struct bytes oid, struct wr *out)
{
    char id[UUID_TEXT_LEN + 1];
    size_t i = 0;
    while (people_builtin_id(f, kind, i, id) && !bytes_ieq(oid, bytes_str(id)))
        i++;
    if (!people_builtin_id(f, kind, i, id))
        return false;
    struct json_wr j = json_wr_of(out);
    json_obj_open(&j);
    if (kind == STATE_PRINCIPAL)
        put_principal(f, directory_at(&f->provider.dir, i), &j);
    else if (kind == STATE_APPLICATION)
        put_application(f, app_at(&f->provider.dir, i), &j);
    else
        put_group(f, &j);
    json_obj_close(&j);
    return wr_ok(out) == HSM_OK;
}

bool people_builtin_find(const struct fabric *f, const char *space, struct bytes name,
                         char ret[UUID_TEXT_LEN + 1])
{
    const struct directory *d = &f->provider.dir;
    if (strcmp(space, "upn") == 0 && bytes_ieq(name, bytes_str(d->user.upn))) {
        memcpy(ret, d->user.oid, UUID_TEXT_LEN + 1);
        return true;
    }
    for (size_t i = 0; i < DIRECTORY_PRINCIPALS; i++) {
        const struct principal *p = directory_at(d, i);
        if (p->client_id[0] == 0 || !bytes_ieq(name, bytes_str(p->client_id)))
            continue;
        if (strcmp(space, "sp") == 0)
            memcpy(ret, p->oid, UUID_TEXT_LEN + 1);
        else if (strcmp(space, "app") == 0 && p->kind == PRINCIPAL_APP)
            people_builtin_application(p, ret);
        else
            return false;
        return true;
    }
    return false;
}
