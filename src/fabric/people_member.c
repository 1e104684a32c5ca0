/* Who is in which group. */
#include "fabric/people.h"

#define MEMBER_KEY_MAX (2 + UUID_TEXT_LEN + 1 + UUID_TEXT_LEN)

/* "g/A/B" or "m/A/B"; b.n == 0: the prefix of all of A. */
static struct bytes member_key(char letter, struct bytes a, struct bytes b,
                               uint8_t buf[MEMBER_KEY_MAX])
{
    struct uuid u;
    char text[UUID_TEXT_LEN + 1];
    struct wr w = wr_of(buf, MEMBER_KEY_MAX);
    wr_u8(&w, (uint8_t)letter);
    wr_str(&w, "/");
    if (uuid_parse(a, &u) != HSM_OK)
        return bytes_of(NULL, 0);
    uuid_format(&u, text);
    wr_str(&w, text);
    wr_str(&w, "/");
    if (b.n > 0) {
        if (uuid_parse(b, &u) != HSM_OK)
            return bytes_of(NULL, 0);
        uuid_format(&u, text);
        wr_str(&w, text);
    }
    return wr_view(&w);
}

static bool is_builtin_member(const struct fabric *f, struct bytes group, struct bytes member)
{
    const struct directory *d = &f->provider.dir;
    const struct principal *p = directory_find_oid(d, member);
    return bytes_ieq(group, bytes_str(d->group.oid)) && p != NULL &&
           directory_is_member(&d->group, p);
}

bool people_is_member(const struct fabric *f, struct bytes group, struct bytes member)
{
    uint8_t buf[MEMBER_KEY_MAX];
    struct bytes key = member_key('g', group, member, buf);
    return is_builtin_member(f, group, member) ||
           (key.n > 0 && member.n > 0 && state_get(f->state, STATE_MEMBER, key) != NULL);
}

void people_stage_member(struct changes *c, struct bytes group, struct bytes member)
{
    uint8_t buf[MEMBER_KEY_MAX];
    changes_put(c, STATE_MEMBER, member_key('g', group, member, buf), bytes_str("{}"));
    changes_put(c, STATE_MEMBER, member_key('m', member, group, buf), bytes_str("{}"));
}

void people_unstage_member(struct changes *c, struct bytes group, struct bytes member)
{
    uint8_t buf[MEMBER_KEY_MAX];
    changes_delete(c, STATE_MEMBER, member_key('g', group, member, buf));
    changes_delete(c, STATE_MEMBER, member_key('m', member, group, buf));
}

struct ids {
    people_id_fn fn;
    void *ctx;
};

static bool each_id(void *ctx, const struct document *d)
{
    const struct ids *i = ctx;
    return d->key.n != MEMBER_KEY_MAX ||
           i->fn(i->ctx, bytes_of(d->key.p + d->key.n - UUID_TEXT_LEN, UUID_TEXT_LEN));
}

static void each_of(const struct fabric *f, char letter, struct bytes a, people_id_fn fn, void *ctx)
{
    uint8_t buf[MEMBER_KEY_MAX];
    struct ids i = {.fn = fn, .ctx = ctx};
    struct bytes prefix = member_key(letter, a, bytes_of(NULL, 0), buf);
    if (prefix.n > 0)
        state_each(f->state, STATE_MEMBER, prefix, each_id, &i);
}

void people_members(const struct fabric *f, struct bytes group, people_id_fn fn, void *ctx)
{
    const struct directory_group *g = &f->provider.dir.group;
    for (size_t i = 0; bytes_ieq(group, bytes_str(g->oid)) && i < g->member_n; i++) {
        if (!fn(ctx, bytes_str(g->member[i])))
            return;
    }
    each_of(f, 'g', group, fn, ctx);
}

void people_groups_direct(const struct fabric *f, struct bytes member, people_id_fn fn, void *ctx)
{
    const struct directory_group *g = &f->provider.dir.group;
    if (is_builtin_member(f, bytes_str(g->oid), member) && !fn(ctx, bytes_str(g->oid)))
        return;
    each_of(f, 'm', member, fn, ctx);
}

struct closure {
    char (*dst)[UUID_TEXT_LEN + 1];
    size_t n, max;
    bool more;
};

static bool add_group(void *ctx, struct bytes oid)
{
    struct closure *c = ctx;
    for (size_t i = 0; i < c->n; i++) {
        if (memcmp(c->dst[i], oid.p, UUID_TEXT_LEN) == 0)
            return true;
    }
    c->more = c->n == c->max;
    if (c->more)
        return false;
    memcpy(c->dst[c->n], oid.p, UUID_TEXT_LEN);
    c->dst[c->n++][UUID_TEXT_LEN] = 0;
    return true;
}

size_t people_groups(const struct fabric *f, struct bytes member, char (*dst)[UUID_TEXT_LEN + 1],
                     size_t max)
{
    struct closure c = {.dst = dst, .max = max};
    people_groups_direct(f, member, add_group, &c);
    for (size_t i = 0; i < c.n && !c.more; i++)
        people_groups_direct(f, bytes_str(c.dst[i]), add_group, &c);
    return c.more ? max + 1 : c.n;
}

struct unstage {
    struct changes *c;
    struct bytes oid;
    bool is_group;
};

static bool unstage_one(void *ctx, struct bytes other)
{
    const struct unstage *u = ctx;
    people_unstage_member(u->c, u->is_group ? u->oid : other, u->is_group ? other : u->oid);
    return true;
}

void people_unstage_all(const struct fabric *f, struct changes *c, struct bytes oid)
{
    struct unstage u = {.c = c, .oid = oid, .is_group = true};
    each_of(f, 'g', oid, unstage_one, &u);
    u.is_group = false;
    each_of(f, 'm', oid, unstage_one, &u);
}
