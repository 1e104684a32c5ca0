#include <stdlib.h>
#include "fabric/state_internal.h"
#include "fabric/state_seal.h"

struct document *document_new(enum state_kind kind, uint64_t revision, struct bytes key,
                              struct bytes json)
{
    struct document *d = malloc(sizeof *d + STATE_RID_LEN + key.n + json.n);
    if (d == NULL)
        return NULL;
    uint8_t *at = (uint8_t *)(d + 1);
    state_rid(kind, key, at);
    at += STATE_RID_LEN;
    *d = (struct document){.kind = kind,
                           .revision = revision,
                           .key = bytes_of(at, key.n),
                           .json = bytes_of(at + key.n, json.n)};
    memcpy(at, key.p, key.n);
    if (json.n > 0)
        memcpy(at + key.n, json.p, json.n);
    return d;
}

struct changes *changes_new(const struct state *s)
{
    struct changes *c = calloc(1, sizeof *c);
    if (c == NULL)
        return NULL;
    *c = (struct changes){.state = s, .base = s->version};
    c->last = &c->first;
    return c;
}

static void drop_all(struct changes *c)
{
    while (c->first != NULL) {
        struct change *one = c->first;
        c->first = one->next;
        free(one->doc);
        free(one);
    }
}

void changes_reset(struct changes *c, const struct state *s)
{
    drop_all(c);
    *c = (struct changes){.state = s, .base = s->version};
    c->last = &c->first;
}

void changes_free(struct changes *c)
{
    if (c == NULL)
        return;
    drop_all(c);
    free(c);
}

static struct change *find(const struct changes *c, enum state_kind kind, struct bytes key)
{
    for (struct change *one = c->first; one != NULL; one = one->next) {
        if (one->doc->kind == kind && bytes_eq(one->doc->key, key))
            return one;
    }
    return NULL;
}

static hsm_err stage(struct changes *c, enum state_kind kind, struct bytes key, struct bytes json,
                     bool is_delete)
{
    if (key.n == 0 || key.n > STATE_KEY_MAX)
        return HSM_E_RANGE;
    if (json.n > STATE_JSON_MAX)
        return HSM_E_TOO_LARGE;
    struct document *d = document_new(kind, c->base + 1, key, json);
    if (d == NULL)
        return HSM_E_NOMEM;
    struct change *one = find(c, kind, key);
    if (one != NULL) {
        c->size -= one->doc->json.n;
        free(one->doc);
    } else if ((one = calloc(1, sizeof *one)) == NULL) {
        free(d);
        return HSM_E_NOMEM;
    } else {
        *c->last = one;
        c->last = &one->next;
        c->size += key.n + 128;
        c->n++;
    }
    c->size += json.n;
    one->doc = d;
    one->is_delete = is_delete;
    return c->size <= STATE_TXN_MAX ? HSM_OK : HSM_E_TOO_LARGE;
}

void changes_put(struct changes *c, enum state_kind kind, struct bytes key, struct bytes json)
{
    hsm_err e = stage(c, kind, key, json, false);
    if (c->err == HSM_OK)
        c->err = e;
}

void changes_delete(struct changes *c, enum state_kind kind, struct bytes key)
{
    hsm_err e = stage(c, kind, key, bytes_of(NULL, 0), true);
    if (c->err == HSM_OK)
        c->err = e;
}

bool changes_empty(const struct changes *c)
{
    return c->first == NULL && c->err == HSM_OK;
}

const struct document *changes_get(const struct changes *c, enum state_kind kind, struct bytes key)
{
    const struct change *one = find(c, kind, key);
    if (one == NULL)
        return state_get(c->state, kind, key);
    return one->is_delete ? NULL : one->doc;
}
