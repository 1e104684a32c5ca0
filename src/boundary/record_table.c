#include "boundary/record_table.h"

#include <stdlib.h>

#define CAP_MIN 256u

static struct record *numbered(const struct record_table *t, uint32_t number)
{
    return &t->chunk[number / RECORD_CHUNK][number % RECORD_CHUNK];
}

static size_t home_of(const struct record_table *t, const uint8_t *rid)
{
    return (size_t)be64_get(rid) & (t->cap - 1);
}

void record_table_done(struct record_table *t)
{
    for (size_t i = 0; i < t->chunk_n; i++)
        free(t->chunk[i]);
    free(t->chunk);
    free(t->slot);
    free(t->spare);
    *t = (struct record_table){0};
}

struct record *record_at(const struct record_table *t, size_t i)
{
    return t->slot[i] == 0 ? NULL : numbered(t, t->slot[i] - 1);
}

struct record *record_find(const struct record_table *t, const uint8_t rid[RID_LEN])
{
    if (t->cap == 0)
        return NULL;
    for (size_t i = home_of(t, rid);; i = (i + 1) & (t->cap - 1)) {
        struct record *r = record_at(t, i);
        if (r == NULL || memcmp(r->rid, rid, RID_LEN) == 0)
            return r;
    }
}

static size_t free_slot(const struct record_table *t, const uint8_t *rid)
{
    size_t i = home_of(t, rid);
    while (t->slot[i] != 0)
        i = (i + 1) & (t->cap - 1);
    return i;
}

static hsm_err grow_slots(struct record_table *t, size_t want)
{
    struct record_table bigger = *t;
    bigger.cap = want;
    bigger.slot = (uint32_t *)calloc(want, sizeof *bigger.slot);
    if (bigger.slot == NULL)
        return HSM_E_NOMEM;
    for (size_t i = 0; i < t->cap; i++)
        if (t->slot[i] != 0)
            bigger.slot[free_slot(&bigger, record_at(t, i)->rid)] = t->slot[i];
    free(t->slot);
    *t = bigger;
    return HSM_OK;
}

/* An array with room for want members, at least doubled. */
static hsm_err grow(void **array, size_t *cap, size_t want, size_t size)
{
    if (want <= *cap)
        return HSM_OK;
    size_t n = *cap * 2 > want ? *cap * 2 : want;
    void *p = realloc(*array, n * size);
    if (p == NULL)
        return HSM_E_NOMEM;
    *array = p;
    *cap = n;
    return HSM_OK;
}

static hsm_err add_chunk(struct record_table *t)
{
    void *list = t->chunk;
    TRY(grow(&list, &t->chunk_cap, t->chunk_n + 1, sizeof t->chunk[0]));
    t->chunk = (struct record **)list;
    struct record *c = (struct record *)malloc(RECORD_CHUNK * sizeof *c);
    if (c == NULL)
        return HSM_E_NOMEM;
    t->chunk[t->chunk_n++] = c;
    return HSM_OK;
}

hsm_err record_reserve(struct record_table *t, size_t extra)
{
    size_t want = t->cap == 0 ? CAP_MIN : t->cap;
    while (t->n + extra > want / 4 * 3)
        want *= 2;
    if (want > UINT32_MAX / 2)
        return HSM_E_NOMEM;
    if (want != t->cap)
        TRY(grow_slots(t, want));
    /* Every record that is there may be removed one day: removing must not fail. */
    void *spare = t->spare;
    TRY(grow(&spare, &t->spare_cap, t->n + extra, sizeof t->spare[0]));
    t->spare = (uint32_t *)spare;
    while (t->spare_n + t->chunk_n * RECORD_CHUNK - t->next < extra)
        TRY(add_chunk(t));
    return HSM_OK;
}

struct record *record_insert(struct record_table *t, const uint8_t rid[RID_LEN])
{
    HSM_ASSERT(t->n + 1 < t->cap);
    uint32_t number = t->spare_n > 0 ? t->spare[--t->spare_n] : t->next++;
    HSM_ASSERT(number < t->chunk_n * RECORD_CHUNK);
    struct record *r = numbered(t, number);
    *r = (struct record){.revision = 1};
    memcpy(r->rid, rid, RID_LEN);
    t->slot[free_slot(t, rid)] = number + 1;
    t->n++;
    return r;
}

/* Close the gap: move later members of the run back unless that would put them before their home.
 */
void record_remove(struct record_table *t, struct record *r)
{
    size_t mask = t->cap - 1;
    size_t hole = home_of(t, r->rid);
    while (record_at(t, hole) != r)
        hole = (hole + 1) & mask;
    HSM_ASSERT(t->spare_n < t->spare_cap);
    t->spare[t->spare_n++] = t->slot[hole] - 1;
    for (size_t i = (hole + 1) & mask; t->slot[i] != 0; i = (i + 1) & mask) {
        const struct record *moved = record_at(t, i);
        HSM_ASSERT(moved != NULL);
        size_t home = home_of(t, moved->rid);
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            t->slot[hole] = t->slot[i];
            hole = i;
        }
    }
    t->slot[hole] = 0;
    t->n--;
}
