#include "boundary/key_record.h"

#include <stdlib.h>

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

struct bytes key_canonical(struct bytes name, char dst[KEY_NAME_MAX + 1])
{
    HSM_ASSERT(name.n <= KEY_NAME_MAX);
    for (size_t i = 0; i < name.n; i++)
        dst[i] = (char)lower(name.p[i]);
    dst[name.n] = '\0';
    return bytes_of(dst, name.n);
}

/* Order of the canonical forms. */
static int name_cmp(struct bytes a, struct bytes b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    for (size_t i = 0; i < n; i++) {
        int d = (int)lower(a.p[i]) - (int)lower(b.p[i]);
        if (d != 0)
            return d;
    }
    return (a.n > b.n) - (a.n < b.n);
}

/* before[l]: where the link at level l to the first key not before (after: beyond) name lies. */
static struct key *seek(const struct key_index *x, struct bytes name, bool beyond,
                        struct key *const **before)
{
    struct key *const *links = x->head;
    for (unsigned l = KEY_LEVELS_MAX; l-- > 0;) {
        while (links[l] != NULL) {
            int d = name_cmp(key_display(links[l]), name);
            if (d > 0 || (d == 0 && !beyond))
                break;
            links = links[l]->next;
        }
        if (before != NULL)
            before[l] = links + l;
    }
    return links[0];
}

struct key *key_index_find(const struct key_index *x, struct bytes name)
{
    struct key *k = seek(x, name, false, NULL);
    return k != NULL && name_cmp(key_display(k), name) == 0 ? k : NULL;
}

struct key *key_index_after(const struct key_index *x, struct bytes name)
{
    return seek(x, name, name.n > 0, NULL);
}

/* The links belong to x, which the caller may change. */
static struct key **writable(struct key *const *link)
{
    return (struct key **)(uintptr_t)link;
}

void key_index_insert(struct key_index *x, struct key *k)
{
    struct key *const *before[KEY_LEVELS_MAX];
    (void)seek(x, key_display(k), false, before);
    for (unsigned l = 0; l < k->levels; l++) {
        k->next[l] = *before[l];
        *writable(before[l]) = k;
    }
    x->n++;
}

void key_index_remove(struct key_index *x, struct key *k)
{
    struct key *const *before[KEY_LEVELS_MAX];
    (void)seek(x, key_display(k), false, before);
    for (unsigned l = 0; l < k->levels; l++)
        *writable(before[l]) = k->next[l];
    x->n--;
}

/* A quarter of the keys reaches each next level. The order of names is the clients' choice, the
 * levels are not, so nobody can make the list degenerate. */
static unsigned draw_levels(struct key_index *x)
{
    x->random ^= x->random << 13;
    x->random ^= x->random >> 7;
    x->random ^= x->random << 17;
    unsigned levels = 1;
    for (uint64_t v = x->random; (v & 3) == 0 && levels < KEY_LEVELS_MAX; v >>= 2)
        levels++;
    return levels;
}

hsm_err key_new(struct key_index *x, struct bytes display, struct key **ret)
{
    if (x->random == 0)
        x->random = 0x9e3779b97f4a7c15u ^ (uint64_t)(uintptr_t)x;
    unsigned levels = draw_levels(x);
    HSM_ASSERT(display.n <= KEY_NAME_MAX);
    struct key *k = (struct key *)malloc(sizeof *k + levels * sizeof k->next[0] + display.n);
    if (k == NULL)
        return HSM_E_NOMEM;
    *k = (struct key){.name_n = (uint8_t)display.n, .levels = (uint8_t)levels};
    k->display = (char *)&k->next[levels];
    memcpy(k->display, display.p, display.n);
    *ret = k;
    return HSM_OK;
}

void key_free(struct key *k)
{
    if (k == NULL)
        return;
    free(k->version);
    free(k->rotation);
    free(k);
}
