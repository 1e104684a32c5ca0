/* What a node's door must have for the private endpoints, and telling it. */
#include <stdio.h>
#include <stdlib.h>
#include "base/text.h"
#include "fabric/arm_internal.h"
#include "fabric/network.h"

#define LOOK_MS  200
#define AWAY_MS  1000
#define LIMIT_MS 600000 /* then the node hears of it with the next change */

/* ---- the line ---- */

static uint16_t port_of(struct fabric *f, const struct json_doc *d, const struct endpoint *e)
{
    char text[8];
    long port = 0;
    const char *colon = strchr(f->config.hsm_suffix, ':');
    if (endpoint_tag(f, d, e, "keyhold-port", text, sizeof text) &&
        text_number(text, 65535, &port) && port > 0)
        return (uint16_t)port;
    return colon != NULL && text_number(colon + 1, 65535, &port) ? (uint16_t)port : 443;
}

struct listing {
    const char *node;
    struct json_wr *j;
    size_t n;
};

static void put_word(struct json_wr *j, struct fabric *f, const struct json_doc *d,
                     const struct endpoint *e, const char *tag, const char *member)
{
    char text[64];
    if (endpoint_tag(f, d, e, tag, text, sizeof text) && text[0] != 0)
        put_str(j, member, text);
}

static bool put_endpoint(void *ctx, struct fabric *f, const struct arm_resource *r)
{
    struct listing *l = ctx;
    struct endpoint e;
    struct hsm_pool pool;
    char status[32], description[512], id[HSM_ENDPOINT_ID_MAX + 1];
    if (!endpoint_read(&r->json, &e) ||
        !hsm_pool_find(f, arm_last_segment(bytes_str(e.hsm)), &pool) || pool.deleted ||
        strcmp(pool.node, l->node) != 0)
        return true;
    endpoint_status(f, &e, status, sizeof status, description, sizeof description);
    if (strcmp(status, "Approved") != 0)
        return true;
    l->n++;
    if (l->j == NULL)
        return true;
    hsm_endpoint_id(bytes_str(e.id), id);
    json_obj_open(l->j);
    put_str(l->j, "id", id);
    put_str(l->j, "pool", pool.name);
    put_str(l->j, "address", e.address);
    put_int(l->j, "port", port_of(f, &r->json, &e));
    put_word(l->j, f, &r->json, &e, "keyhold-device", "device");
    put_word(l->j, f, &r->json, &e, "keyhold-netns", "netns");
    json_obj_close(l->j);
    return true;
}

bool network_node_line(struct fabric *f, const char *node, struct wr *w)
{
    struct json_wr j = json_wr_of(w);
    struct listing l = {.node = node, .j = &j};
    json_obj_open(&j);
    put_str(&j, "op", "endpoints");
    json_name(&j, "list");
    json_arr_open(&j);
    arm_each(f, bytes_str("/subscriptions/"), &network_endpoint_type, put_endpoint, &l);
    json_arr_close(&j);
    json_obj_close(&j);
    return wr_ok(w) == HSM_OK;
}

/* ---- operations ---- */

static bool is_away(const struct step *s, const struct node_answer *a)
{
    bool away = a->err == HSM_E_UNAVAILABLE || a->err == HSM_E_TIMEOUT || a->err == HSM_E_AGAIN;
    return away && s->now_ms - s->op->created_ms < LIMIT_MS;
}

static void ask_node(struct fabric *f, struct step *s, const char *node, step_answer_fn *then)
{
    uint8_t text[NODE_LINE_MAX];
    struct wr w = wr_of(text, sizeof text - 1);
    if (network_node_line(f, node, &w))
        step_ask(s, node, wr_view(&w), then);
    else
        step_failed(s, "TooManyPrivateEndpoints", "The node has too many private endpoints.");
}

/* Stage the endpoint with its state; the rest as it is. */
static void stage_state(const struct arm_resource *r, struct step *s, const char *state)
{
    static const char *const own[] = {"properties", NULL}, *const word[] = {"provisioningState",
                                                                            NULL};
    uint8_t *text = malloc(ARM_DOCUMENT_MAX);
    if (text == NULL)
        return;
    struct wr w = wr_of(text, ARM_DOCUMENT_MAX);
    struct json_wr j = json_wr_of(&w);
    json_obj_open(&j);
    arm_copy_except(&j, &r->json, 0, own);
    json_name(&j, "properties");
    json_obj_open(&j);
    put_str(&j, "provisioningState", state);
    arm_copy_except(&j, &r->json, arm_properties(&r->json), word);
    json_obj_close(&j);
    json_obj_close(&j);
    if (wr_ok(&w) == HSM_OK)
        changes_put(s->changes, STATE_RESOURCE, bytes_str(s->op->target), wr_view(&w));
    free(text);
}

static void after_endpoint(struct fabric *f, struct step *s, const struct node_answer *a)
{
    struct arm_resource r;
    if (is_away(s, a)) {
        step_again(s, AWAY_MS);
        return;
    }
    if (arm_find(f, bytes_str(s->op->target), &r))
        stage_state(&r, s, a->err == HSM_OK ? "Succeeded" : "Failed");
    if (a->err == HSM_OK)
        step_done(s);
    else
        step_failed(s, "InternalServerError",
                    a->text[0] != 0 ? a->text : "The node of the managed HSM does not answer.");
}

static void endpoint_step(struct fabric *f, struct step *s)
{
    struct arm_resource r;
    struct endpoint e;
    struct hsm_pool pool;
    if (!arm_find(f, bytes_str(s->op->target), &r) || !endpoint_read(&r.json, &e)) {
        step_done(s); /* deleted meanwhile */
    } else if (!hsm_pool_find(f, arm_last_segment(bytes_str(e.hsm)), &pool)) {
        stage_state(&r, s, "Failed");
        step_failed(s, "InvalidResourceReference", "The managed HSM is gone.");
    } else {
        ask_node(f, s, pool.node, after_endpoint);
    }
}

static void after_door(struct fabric *f, struct step *s, const struct node_answer *a)
{
    (void)f;
    if (is_away(s, a))
        step_again(s, AWAY_MS);
    else if (a->err == HSM_OK)
        step_done(s);
    else
        step_failed(s, "InternalServerError", a->text);
}

static void door_step(struct fabric *f, struct step *s)
{
    ask_node(f, s, s->op->target, after_door);
}

/* ---- changes ---- */

static bool has(struct bytes key, const char *word)
{
    return key.n > 0 && memmem(key.p, key.n, word, strlen(word)) != NULL;
}

static void on_change(void *ctx, enum state_kind kind, struct bytes key, const struct document *now)
{
    struct fabric *f = ctx;
    (void)now;
    if (kind == STATE_POOL)
        f->network.pools = true;
    if (kind != STATE_RESOURCE)
        return;
    f->network.door = f->network.door || has(key, "/privateendpointconnections/") ||
                      has(key, "/microsoft.network/privateendpoints/") ||
                      has(key, "/microsoft.network/virtualnetworks/");
    f->network.dns = f->network.dns || has(key, "/microsoft.network/privatednszones/");
}

struct telling {
    struct fabric *f;
    struct changes *c;
    uint64_t now_ms;
};

static bool tell_node(void *ctx, const struct document *d)
{
    const struct telling *t = ctx;
    char id[UUID_TEXT_LEN + 1];
    operation_start(t->c, NETWORK_OP_DOOR, d->key, bytes_str(OPERATION_DATA_EMPTY), t->now_ms, id);
    return true;
}

static bool has_endpoints(struct fabric *f)
{
    struct listing l = {.node = NODE_LOCAL};
    arm_each(f, bytes_str("/subscriptions/"), &network_endpoint_type, put_endpoint, &l);
    return l.n > 0 || state_count(f->state, STATE_NODE, bytes_str("")) > 0;
}

static void look(struct fabric *f, struct changes *c, uint64_t now_ms)
{
    char id[UUID_TEXT_LEN + 1];
    struct telling t = {.f = f, .c = c, .now_ms = now_ms};
    bool pools = f->network.pools && has_endpoints(f);
    if (f->network.dns)
        network_dns_write(f, now_ms);
    if (f->network.door || pools) {
        operation_start(c, NETWORK_OP_DOOR, bytes_str(NODE_LOCAL), bytes_str(OPERATION_DATA_EMPTY),
                        now_ms, id);
        state_each(f->state, STATE_NODE, bytes_str(""), tell_node, &t);
    }
    f->network.door = f->network.pools = f->network.dns = false;
}

hsm_err network_open(struct fabric *f)
{
    TRY(operations_add(f->operations, NETWORK_OP_ENDPOINT, endpoint_step));
    TRY(operations_add(f->operations, NETWORK_OP_DOOR, door_step));
    TRY(state_watch(f->state, on_change, f));
    return operations_add_look(f->operations, LOOK_MS, look);
}

void network_ready(struct fabric *f)
{
    f->network.door = f->network.dns = true;
}
