#include "boundary/key_rotation.h"

#include <stdlib.h>

/* ---- the part of the record ---- */

void key_rotation_put(const struct rotation *r, struct wr *w)
{
    wr_lv(w, rotation_text(&r->policy.expiry));
    wr_u8(w, (uint8_t)r->policy.action_n);
    for (unsigned i = 0; i < r->policy.action_n; i++) {
        const struct rotation_action *a = &r->policy.action[i];
        wr_u8(w, (uint8_t)a->type);
        wr_lv(w, rotation_text(&a->after_create));
        wr_lv(w, rotation_text(&a->before_expiry));
    }
    wr_u64(w, r->created);
    wr_u64(w, r->updated);
    wr_u64(w, r->rotated);
    wr_u64(w, r->failed);
    wr_u32(w, r->notified);
}

hsm_err key_rotation_get(struct rd *r, struct rotation *ret)
{
    struct rotation_wish wish[ROTATION_ACTIONS_MAX];
    struct rotation f = {0};
    struct bytes expiry;
    const char *why;
    uint8_t n;
    TRY(rd_lv(r, DURATION_TEXT_MAX, &expiry));
    TRY(rd_u8(r, &n));
    if (n > ROTATION_ACTIONS_MAX)
        return HSM_E_MALFORMED;
    for (unsigned i = 0; i < n; i++) {
        uint8_t type;
        TRY(rd_u8(r, &type));
        TRY(rd_lv(r, DURATION_TEXT_MAX, &wish[i].after_create));
        TRY(rd_lv(r, DURATION_TEXT_MAX, &wish[i].before_expiry));
        wish[i].type = type;
    }
    TRY(rotation_policy_make(expiry, wish, n, &f.policy, &why));
    TRY(rd_u64(r, &f.created));
    TRY(rd_u64(r, &f.updated));
    TRY(rd_u64(r, &f.rotated));
    TRY(rd_u64(r, &f.failed));
    TRY(rd_u32(r, &f.notified));
    *ret = f;
    return HSM_OK;
}

/* ---- the heap; places count from 1 ---- */

void rotation_index_done(struct rotation_index *x)
{
    free(x->heap);
    *x = (struct rotation_index){0};
}

static bool is_before(const struct key *a, const struct key *b)
{
    return a->rotation->next.at < b->rotation->next.at;
}

static void put_at(struct rotation_index *x, size_t place, struct key *k)
{
    x->heap[place - 1] = k;
    k->rotation->place = place;
}

/* k goes to where it belongs, beginning with a place that is free for it. */
static void settle(struct rotation_index *x, size_t place, struct key *k)
{
    for (; place > 1 && is_before(k, x->heap[place / 2 - 1]); place /= 2)
        put_at(x, place, x->heap[place / 2 - 1]);
    for (size_t child = place * 2; child <= x->n; child = place * 2) {
        if (child < x->n && is_before(x->heap[child], x->heap[child - 1]))
            child++;
        if (!is_before(x->heap[child - 1], k))
            break;
        put_at(x, place, x->heap[child - 1]);
        place = child;
    }
    put_at(x, place, k);
}

void rotation_index_remove(struct rotation_index *x, struct key *k)
{
    if (k->rotation == NULL || k->rotation->place == 0)
        return;
    size_t place = k->rotation->place;
    struct key *last = x->heap[--x->n];
    k->rotation->place = 0;
    if (last != k)
        settle(x, place, last);
}

static hsm_err make_room(struct rotation_index *x)
{
    if (x->n < x->cap)
        return HSM_OK;
    size_t cap = x->cap == 0 ? 64 : x->cap * 2;
    void *p = realloc(x->heap, cap * sizeof(struct key *));
    if (p == NULL)
        return HSM_E_NOMEM;
    x->heap = (struct key **)p;
    x->cap = cap;
    return HSM_OK;
}

static struct rotation_step next_step(const struct key *k)
{
    const struct key_version *v = key_current(k);
    if (v == NULL || key_is_deleted(k))
        return (struct rotation_step){.at = ROTATION_NEVER};
    const struct rotation_version current = {
        .number = v->seq,
        .enabled = (v->attr_flags & ATTR_ENABLED) != 0,
        .has_exp = (v->attr_set & ATTR_EXP) != 0,
        .created = v->created,
        .exp = v->exp,
    };
    return rotation_next(&k->rotation->r, &current);
}

hsm_err rotation_index_update(struct rotation_index *x, struct key *k)
{
    if (k->rotation == NULL)
        return HSM_OK;
    k->rotation->next = next_step(k);
    if (k->rotation->next.at == ROTATION_NEVER) {
        rotation_index_remove(x, k);
        return HSM_OK;
    }
    if (k->rotation->place == 0) {
        TRY(make_room(x));
        k->rotation->place = ++x->n;
    }
    settle(x, k->rotation->place, k);
    return HSM_OK;
}

hsm_err key_set_rotation(struct rotation_index *x, struct key *k, const struct rotation *r)
{
    if (r == NULL) {
        rotation_index_remove(x, k);
        free(k->rotation);
        k->rotation = NULL;
        return HSM_OK;
    }
    if (k->rotation == NULL)
        k->rotation = (struct key_rotation *)calloc(1, sizeof *k->rotation);
    if (k->rotation == NULL)
        return HSM_E_NOMEM;
    k->rotation->r = *r;
    return rotation_index_update(x, k);
}
