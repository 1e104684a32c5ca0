#include "fabric/meter.h"

#include <stdlib.h>
#include "fabric/arm_type.h"
#include "fabric/operation.h"
#include "fabric/usage.h"

struct sample {
    struct meter *meter;
    char pool[32], region[64];
    bool waits, is_there;
    uint64_t at_ms;
    struct key_amounts keys;
    uint64_t counter;
};
struct meter {
    uint64_t asked_ms;
    char after[STATE_KEY_MAX + 1]; /* pools up to this key were asked in this round */
    size_t after_n;
    struct sample sample[METER_POOLS_MAX];
    size_t n;
};

static void on_usage(void *ctx, const struct node_answer *a)
{
    struct sample *s = ctx;
    int64_t n = 0;
    s->waits = false;
    if (a->err != HSM_OK ||
        key_amounts_read(&a->doc, json_get(&a->doc, 0, "keys"), &s->keys) != HSM_OK)
        return;
    uint32_t v = json_get(&a->doc, 0, "operations");
    if (v == JSON_NONE || json_int(&a->doc, v, &n) != HSM_OK || n < 0)
        return;
    s->counter = (uint64_t)n;
    s->is_there = true;
}

/* Was that key's turn in this round before? */
static bool had_turn(const struct meter *m, struct bytes key)
{
    size_t n = key.n < m->after_n ? key.n : m->after_n;
    int r = n > 0 ? memcmp(key.p, m->after, n) : 0;
    return m->after_n > 0 && (r < 0 || (r == 0 && key.n <= m->after_n));
}

struct asking {
    struct fabric *f;
    uint64_t now_ms;
};

static bool ask_pool(void *ctx, const struct document *d)
{
    const struct asking *q = ctx;
    struct meter *m = q->f->meter;
    struct json_tok tok[64];
    struct json_doc doc;
    char node[NODE_NAME_MAX + 1];
    bool deleted = false;
    uint8_t line[128];
    struct wr w = wr_of(line, sizeof line);
    struct json_wr j = json_wr_of(&w);
    if (d->key.n > STATE_KEY_MAX || had_turn(m, d->key))
        return true;
    if (m->n == METER_POOLS_MAX)
        return false;
    struct sample *s = &m->sample[m->n];
    memcpy(m->after, d->key.p, d->key.n);
    m->after_n = d->key.n;
    if (json_parse(d->json, tok, 64, &doc) != HSM_OK ||
        !arm_string(&doc, 0, "name", s->pool, sizeof s->pool) ||
        !arm_string(&doc, 0, "location", s->region, sizeof s->region) ||
        !arm_string(&doc, 0, "node", node, sizeof node) ||
        json_bool(&doc, json_get(&doc, 0, "deleted"), &deleted) != HSM_OK || deleted)
        return true;
    json_obj_open(&j);
    put_str(&j, "op", "usage");
    put_str(&j, "name", s->pool);
    json_obj_close(&j);
    s->meter = m;
    s->waits = true;
    s->is_there = false;
    s->at_ms = q->now_ms;
    m->n++;
    nodes_ask(q->f->nodes, node, wr_view(&w), on_usage, s);
    return true;
}

static void ask_all(struct fabric *f, uint64_t now_ms)
{
    struct meter *m = f->meter;
    struct asking q = {f, now_ms};
    m->n = 0;
    m->asked_ms = now_ms;
    state_each(f->state, STATE_POOL, bytes_of(NULL, 0), ask_pool, &q);
    if (m->n < METER_POOLS_MAX)
        m->after_n = 0; /* the round is over */
}

/* What was answered is staged; it stays for the case that the commit is in vain, and a sample that
 * is staged twice counts once. */
static void look(struct fabric *f, struct changes *c, uint64_t now_ms)
{
    struct meter *m = f->meter;
    bool waits = false;
    for (size_t i = 0; i < m->n; i++) {
        const struct sample *s = &m->sample[i];
        waits = waits || s->waits;
        if (s->is_there)
            usage_sample(c, s->pool, s->region, s->at_ms, &s->keys, s->counter);
    }
    bool due = now_ms >= m->asked_ms + METER_PERIOD_MS || now_ms < m->asked_ms;
    if (!waits && due && changes_empty(c) && f->nodes != NULL)
        ask_all(f, now_ms);
}

hsm_err meter_open(struct fabric *f)
{
    f->meter = calloc(1, sizeof *f->meter);
    if (f->meter == NULL)
        return HSM_E_NOMEM;
    return operations_add_look(f->operations, METER_LOOK_MS, look);
}

void meter_free(struct meter *m)
{
    free(m);
}
