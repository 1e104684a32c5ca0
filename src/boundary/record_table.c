#include "boundary/record_table.h"

#include <stdlib.h>

#define CAP_MIN 256u

static size_t home_of(const struct record_table *t, const uint8_t *rid)
{
    return (size_t)be64_get(rid) & (t->cap - 1);
}

void record_table_done(struct record_table *t)
{
    free(t->slot);
    *t = (struct record_table){ 0 };
}

struct record *record_find(const struct record_table *t, const uint8_t rid[RID_LEN])
{
    if (t->cap == 0)
        return NULL;
    for (size_t i = home_of(t, rid);; i = (i + 1) & (t->cap - 1)) {
        struct record *r = &t->slot[i];
        if (r->revision == 0)
            return NULL;
        if (memcmp(r->rid, rid, RID_LEN) == 0)
            return r;
    }
}

static struct record *free_slot(const struct record_table *t, const uint8_t *rid)
{
    size_t i = home_of(t, rid);
    while (t->slot[i].revision != 0)
        i = (i + 1) & (t->cap - 1);
    return &t->slot[i];
}

hsm_err record_reserve(struct record_table *t, size_t extra)
{
    size_t want = t->cap == 0 ? CAP_MIN : t->cap;
    while ((t->n + extra) > want / 4 * 3)
        want *= 2;
    if (want == t->cap)
        return HSM_OK;
    struct record_table bigger = { .cap = want, .n = t->n };
    bigger.slot = (struct record *)calloc(want, sizeof *bigger.slot);
    if (bigger.slot == NULL)
        return HSM_E_NOMEM;
    for (size_t i = 0; i < t->cap; i++)
        if (t->slot[i].revision != 0)
            *free_slot(&bigger, t->slot[i].rid) = t->slot[i];
    free(t->slot);
    *t = bigger;
    return HSM_OK;
}

struct record *record_insert(struct record_table *t, const uint8_t rid[RID_LEN])
{
    HSM_ASSERT(t->n + 1 < t->cap);
    struct record *r = free_slot(t, rid);
    *r = (struct record){ .revision = 1 };
    memcpy(r->rid, rid, RID_LEN);
    t->n++;
    return r;
}

/* Close the gap: move later members of the run back unless that would put them before their home. */
void record_remove(struct record_table *t, struct record *r)
{
    size_t mask = t->cap - 1;
    size_t hole = (size_t)(r - t->slot);
    for (size_t i = (hole + 1) & mask; t->slot[i].revision != 0; i = (i + 1) & mask) {
        size_t home = home_of(t, t->slot[i].rid);
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            t->slot[hole] = t->slot[i];
            hole = i;
        }
    }
    t->slot[hole] = (struct record){ 0 };
    t->n--;
}
