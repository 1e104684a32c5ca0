/* The principals of directory.json as struct people. */
#include "fabric/identity/directory.h"

static bool give(const struct principal *p, struct principal *ret)
{
    if (p != NULL)
        *ret = *p;
    return p != NULL;
}

static bool by_oid(void *ctx, struct bytes oid, struct principal *ret)
{
    return give(directory_find_oid(ctx, oid), ret);
}

static bool by_client(void *ctx, struct bytes client_id, struct principal *ret)
{
    for (size_t i = 0; client_id.n > 0 && i < DIRECTORY_PRINCIPALS; i++) {
        const struct principal *p = directory_at(ctx, i);
        if (bytes_ieq(client_id, bytes_str(p->client_id)))
            return give(p, ret);
    }
    return false;
}

static bool by_upn(void *ctx, struct bytes upn, struct principal *ret)
{
    const struct directory *d = ctx;
    return bytes_ieq(upn, bytes_str(d->user.upn)) && give(&d->user, ret);
}

static bool by_resource(void *ctx, struct bytes resource_id, struct principal *ret)
{
    (void)ctx, (void)resource_id, (void)ret;
    return false;
}

static size_t groups(void *ctx, const struct principal *p, char (*dst)[UUID_TEXT_LEN + 1],
                     size_t max)
{
    const struct directory *d = ctx;
    if (!directory_is_member(&d->group, p))
        return 0;
    if (max > 0)
        memcpy(dst[0], d->group.oid, sizeof d->group.oid);
    return 1;
}

static enum token_fault secret(void *ctx, const struct principal *app, struct bytes given,
                               uint64_t now_s)
{
    (void)ctx, (void)now_s;
    return directory_secret_matches(app->secret, given) ? TOKEN_OK : TOKEN_SECRET;
}

static enum token_fault certificate(void *ctx, const struct principal *app,
                                    const struct assertion *a, uint64_t now_s)
{
    (void)ctx, (void)app, (void)a, (void)now_s;
    return TOKEN_ASSERTION_KEY;
}

static bool redirect(void *ctx, const struct principal *app, struct bytes uri)
{
    (void)ctx, (void)app, (void)uri;
    return false;
}

struct people directory_people(const struct directory *d)
{
    union {
        const struct directory *d;
        void *ctx;
    } u = {.d = d}; /* the functions above only read */
    return (struct people){.ctx = u.ctx,
                           .by_oid = by_oid,
                           .by_client = by_client,
                           .by_upn = by_upn,
                           .by_resource = by_resource,
                           .groups = groups,
                           .secret = secret,
                           .certificate = certificate,
                           .redirect = redirect};
}
