/* What a path of Resource Manager names. Pure. */
#include "fabric/arm_internal.h"

const struct arm_type *arm_type_named(struct bytes name)
{
    for (size_t i = 0; i < arm_types_n; i++)
        if (bytes_ieq(name, bytes_str(arm_types[i]->name)))
            return arm_types[i];
    return NULL;
}

/* "NS/TYPE/TYPE" from the segments after "providers", names left out; with n segments in all. */
static bool type_name(const struct bytes *seg, size_t n, char *dst, size_t cap, size_t *ret_n)
{
    struct wr w = wr_of(dst, cap);
    wr_bytes(&w, seg[0].p, seg[0].n);
    for (size_t i = 1; i < n; i += 2) {
        wr_str(&w, "/");
        wr_bytes(&w, seg[i].p, seg[i].n);
    }
    *ret_n = w.n;
    return wr_ok(&w) == HSM_OK;
}

static const struct arm_type *type_of(const struct bytes *seg, size_t n)
{
    char name[ARM_ACTION_MAX];
    size_t len = 0;
    return n > 1 && type_name(seg, n, name, sizeof name, &len) ? arm_type_named(bytes_of(name, len))
                                                               : NULL;
}

static bool is_word(struct bytes seg, const char *word)
{
    return bytes_ieq(seg, bytes_str(word));
}

/* Index of the last "providers" that can begin a type; n: there is none. */
static size_t last_providers(const struct bytes *seg, size_t n)
{
    for (size_t i = n; i-- > 0;)
        if (is_word(seg[i], "providers") && i % 2 == 0)
            return i;
    return n;
}

static const struct arm_action *action_of(const struct arm_type *t, struct bytes word)
{
    for (const struct arm_action *x = t->actions; x != NULL && x->name != NULL; x++)
        if (bytes_ieq(word, bytes_str(x->name)))
            return x;
    return NULL;
}

static bool join(char *dst, size_t cap, const struct bytes *seg, size_t n)
{
    struct wr w = wr_of(dst, cap - 1);
    for (size_t i = 0; i < n; i++) {
        wr_str(&w, "/");
        wr_bytes(&w, seg[i].p, seg[i].n);
    }
    dst[wr_ok(&w) == HSM_OK ? w.n : 0] = 0;
    return wr_ok(&w) == HSM_OK && memchr(dst, 0, w.n) == NULL;
}

static void take_group(const struct url_target *url, struct arm_path *p)
{
    if (url->seg_n >= 2 && is_word(url->seg[0], "subscriptions"))
        p->subscription = url->seg[1];
    if (p->subscription.p != NULL && url->seg_n >= 4 && is_word(url->seg[2], "resourcegroups"))
        p->group = url->seg[3];
}

/* seg[at] is "providers"; sets what and how many segments the id has. */
static size_t classify(const struct url_target *url, size_t at, struct arm_path *p)
{
    const struct bytes *seg = url->seg + at + 1;
    size_t n = url->seg_n - at - 1; /* namespace, type, name, type, name... */
    p->type = type_of(seg, n);
    if (p->type != NULL) {
        bool whole = n % 2 == 1;
        p->what = whole ? ARM_RESOURCE : ARM_COLLECTION;
        /* The collection's id is what it is a list of: its parent, or where the type stands. */
        return whole ? url->seg_n : n > 2 ? url->seg_n - 1 : at;
    }
    if (n % 2 == 0 && n > 2 && (p->type = type_of(seg, n - 1)) != NULL) {
        p->action = action_of(p->type, seg[n - 1]);
        p->what = p->action != NULL ? ARM_ACTION : ARM_NOTHING;
        return url->seg_n - 1;
    }
    return url->seg_n;
}

static bool placed_right(const struct arm_path *p, const struct url_target *url, size_t at)
{
    bool on_scope = at > 4 || (at == 4 && p->group.p == NULL);
    bool listed = p->what == ARM_COLLECTION && url->seg_n - at == 3;
    if (p->type->place == ARM_ON_SCOPE)
        return true;
    return !on_scope && p->subscription.p != NULL && (p->group.p != NULL || listed);
}

hsm_err arm_path_of(const struct url_target *url, struct arm_path *ret)
{
    struct arm_path p = {0};
    take_group(url, &p);
    size_t at = last_providers(url->seg, url->seg_n), id_n = url->seg_n;
    if (at + 2 < url->seg_n) {
        p.space = url->seg[at + 1];
        p.type_word = url->seg[at + 2];
        id_n = classify(url, at, &p);
        if (p.type != NULL && !placed_right(&p, url, at))
            p.what = ARM_NOTHING;
        if (id_n > at) {
            p.child = p.type != NULL && id_n - at > 4;
            size_t parent_n = p.child ? id_n - 2 : at;
            if (!join(p.parent, sizeof p.parent, url->seg, parent_n))
                return HSM_E_RANGE;
        }
    }
    if (!join(p.id, sizeof p.id, url->seg, id_n))
        return HSM_E_RANGE;
    if (id_n > 0) {
        struct bytes last = url->seg[id_n - 1];
        if (last.n > ARM_NAME_MAX)
            return HSM_E_RANGE;
        memcpy(p.name, last.p, last.n);
    }
    *ret = p;
    return HSM_OK;
}

/* ---- ids ---- */

bool arm_key(struct bytes id, char dst[STATE_KEY_MAX + 1])
{
    if (id.n > STATE_KEY_MAX)
        return false;
    for (size_t i = 0; i < id.n; i++)
        dst[i] = (char)(id.p[i] >= 'A' && id.p[i] <= 'Z' ? id.p[i] + 32 : id.p[i]);
    dst[id.n] = 0;
    return true;
}

/* The first n segments of an id, or nothing when it has fewer. */
static struct bytes first_segments(struct bytes id, size_t n)
{
    for (size_t i = 1; i < id.n; i++)
        if (id.p[i] == '/' && --n == 0)
            return bytes_of(id.p, i);
    return n == 1 ? id : (struct bytes){0};
}

static bool begins(struct bytes id, const char *prefix)
{
    size_t n = strlen(prefix);
    return id.n >= n && bytes_ieq(bytes_of(id.p, n), bytes_of(prefix, n));
}

struct bytes arm_id_subscription(struct bytes id)
{
    return begins(id, "/subscriptions/") ? first_segments(id, 2) : (struct bytes){0};
}

struct bytes arm_id_group(struct bytes id)
{
    struct bytes s = arm_id_subscription(id);
    struct bytes rest = bytes_of(id.p + s.n, id.n - s.n);
    return s.n > 0 && begins(rest, "/resourcegroups/") ? first_segments(id, 4) : (struct bytes){0};
}

struct bytes arm_last_segment(struct bytes id)
{
    size_t i = id.n;
    while (i > 0 && id.p[i - 1] != '/')
        i--;
    return bytes_of(id.p + i, id.n - i);
}

const struct arm_type *arm_type_of_id(struct bytes id)
{
    struct bytes seg[sizeof((struct url_target *)0)->seg / sizeof(struct bytes)] = {0};
    size_t n = 0, start = 1;
    for (size_t i = 1; i <= id.n && n < sizeof seg / sizeof *seg; i++) {
        if (i == id.n || id.p[i] == '/') {
            seg[n++] = bytes_of(id.p + start, i - start);
            start = i + 1;
        }
    }
    size_t at = last_providers(seg, n);
    return at + 2 < n && (n - at) % 2 == 0 ? type_of(seg + at + 1, n - at - 1) : NULL;
}
