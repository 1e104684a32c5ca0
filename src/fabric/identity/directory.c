#include "fabric/identity/directory.h"

#include <stdio.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include "base/ct.h"
#include "base/secret.h"
#include "fabric/identity/idfile.h"

#define DIRECTORY_FILE     "directory.json"
#define DIRECTORY_FILE_MAX 16384

void directory_done(struct directory *d)
{
    secret_wipe(d, sizeof *d);
}

const struct principal *directory_at(const struct directory *d, size_t i)
{
    const struct principal *all[DIRECTORY_PRINCIPALS] = {&d->user, &d->admin, &d->guest,
                                                         &d->managed};
    HSM_ASSERT(i < DIRECTORY_PRINCIPALS);
    return all[i];
}

const struct principal *directory_find_oid(const struct directory *d, struct bytes oid)
{
    for (size_t i = 0; i < DIRECTORY_PRINCIPALS; i++) {
        const struct principal *p = directory_at(d, i);
        if (bytes_ieq(oid, bytes_str(p->oid)))
            return p;
    }
    return NULL;
}

const struct principal *directory_find(const struct directory *d, struct bytes id)
{
    if (id.n == 0)
        return NULL;
    for (size_t i = 0; i < DIRECTORY_PRINCIPALS; i++) {
        const struct principal *p = directory_at(d, i);
        if (bytes_ieq(id, bytes_str(p->oid)) || bytes_ieq(id, bytes_str(p->client_id)) ||
            bytes_ieq(id, bytes_str(p->upn)))
            return p;
    }
    return NULL;
}

bool directory_is_member(const struct directory_group *g, const struct principal *p)
{
    for (size_t i = 0; i < g->member_n; i++) {
        if (bytes_eq_str(bytes_str(g->member[i]), p->oid))
            return true;
    }
    return false;
}

bool directory_secret_matches(const char *stored, struct bytes given)
{
    /* Digests first: the comparison then depends neither on the lengths nor on the contents. */
    uint8_t a[32], b[32];
    if (EVP_Digest(stored, strlen(stored), a, NULL, EVP_sha256(), NULL) != 1 ||
        EVP_Digest(given.n > 0 ? (const void *)given.p : "", given.n, b, NULL, EVP_sha256(),
                   NULL) != 1)
        return false;
    bool same = ct_eq(a, b, sizeof a);
    secret_wipe(a, sizeof a);
    secret_wipe(b, sizeof b);
    return same && stored[0] != 0;
}

static void new_guid(char dst[UUID_TEXT_LEN + 1])
{
    struct uuid u;
    uuid_new_v4(&u);
    uuid_format(&u, dst);
}

static void copy_text(char *dst, size_t cap, const char *src)
{
    snprintf(dst, cap, "%s", src);
}

static hsm_err new_app(struct principal *p, const char *name, size_t secret_len)
{
    p->kind = PRINCIPAL_APP;
    new_guid(p->oid);
    new_guid(p->client_id);
    copy_text(p->name, sizeof p->name, name);
    return secret_text_random(p->secret, secret_len);
}

static hsm_err directory_create(uint64_t now_ms, struct directory *ret)
{
    DEFER(directory_done) struct directory d = {.created_ms = now_ms};
    new_guid(d.tenant);
    new_guid(d.subscription);
    copy_text(d.tenant_name, sizeof d.tenant_name, "Keyhold development");
    copy_text(d.domain, sizeof d.domain, "keyhold.localhost");

    d.user.kind = PRINCIPAL_USER;
    new_guid(d.user.oid);
    copy_text(d.user.name, sizeof d.user.name, "Keyhold Administrator");
    copy_text(d.user.upn, sizeof d.user.upn, "admin@keyhold.localhost");
    TRY(secret_text_random(d.user.secret, 24));
    TRY(new_app(&d.admin, "keyhold-admin", 40));
    TRY(new_app(&d.guest, "keyhold-guest", 40));

    d.managed.kind = PRINCIPAL_MANAGED_IDENTITY;
    new_guid(d.managed.oid);
    new_guid(d.managed.client_id);
    copy_text(d.managed.name, sizeof d.managed.name, "keyhold-identity");
    TRY(secret_text_random(d.identity_header, 40));

    new_guid(d.group.oid);
    copy_text(d.group.name, sizeof d.group.name, "Keyhold people");
    copy_text(d.group.member[0], sizeof d.group.member[0], d.user.oid);
    d.group.member_n = 1;
    if (RAND_bytes(d.refresh_key, sizeof d.refresh_key) != 1)
        return HSM_E_INTERNAL;
    *ret = d;
    return HSM_OK;
}

hsm_err directory_load(const char *dir, struct directory *ret)
{
    DEFER(secret_buf_done) struct secret_buf text = {0};
    TRY(idfile_read(dir, DIRECTORY_FILE, &text));
    return directory_parse(bytes_of(text.p, text.n), ret);
}

static hsm_err directory_store(const char *dir, const struct directory *d)
{
    DEFER(secret_buf_done) struct secret_buf text = {0};
    TRY(secret_buf_new(&text, DIRECTORY_FILE_MAX));
    struct wr w = wr_of(text.p, text.n);
    TRY(directory_format(d, &w));
    return idfile_write(dir, DIRECTORY_FILE, wr_view(&w), 0600);
}

hsm_err directory_load_or_create(const char *dir, uint64_t now_ms, struct directory *ret)
{
    DEFER(idfile_close) int lock = -1;
    TRY(idfile_lock_dir(dir, &lock));
    hsm_err e = directory_load(dir, ret);
    if (e != HSM_E_NOT_FOUND)
        return e;
    DEFER(directory_done) struct directory d = {0};
    TRY(directory_create(now_ms, &d));
    TRY(directory_store(dir, &d));
    *ret = d;
    return HSM_OK;
}
