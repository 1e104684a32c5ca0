#include "gateway/peers_join.h"

#include <stdlib.h>
#include "gateway/peers.h"

#define MESSAGE_MAX (65536 + 64)

struct line {
    uint64_t node; /* 0: free */
    uint32_t theirs, ours;
};

struct peers_join {
    struct control *control;
    struct store *store;
    struct line line[PEERS_JOIN_MAX];
    uint32_t next;
    uint8_t buf[MESSAGE_MAX];
};

static struct line *by_theirs(struct peers_join *j, uint64_t node, uint32_t conn)
{
    for (size_t i = 0; i < PEERS_JOIN_MAX; i++)
        if (j->line[i].node == node && node != 0 && j->line[i].theirs == conn)
            return &j->line[i];
    return NULL;
}

static struct line *by_ours(struct peers_join *j, uint32_t conn)
{
    for (size_t i = 0; i < PEERS_JOIN_MAX; i++)
        if (j->line[i].node != 0 && j->line[i].ours == conn)
            return &j->line[i];
    return NULL;
}

static void send_peer(struct peers_join *j, uint64_t node, uint16_t type, const struct wr *w)
{
    if (wr_ok(w) == HSM_OK && j->store != NULL)
        (void)!store_send(j->store, node, type, wr_view(w)); /* TLS above notices what is lost */
}

static void send_close(struct peers_join *j, uint64_t node, uint32_t conn, unsigned err)
{
    struct wr w = wr_of(j->buf, sizeof j->buf);
    const struct wire_net_close m = {.conn = conn, .err = (uint16_t)err};
    wire_net_close_put(&w, &m);
    send_peer(j, node, PEERS_JOIN_CLOSE, &w);
}

static void tell_boundary_closed(struct peers_join *j, uint32_t conn, unsigned err)
{
    struct wr w = wr_of(j->buf, sizeof j->buf);
    const struct wire_net_close m = {.conn = conn, .err = (uint16_t)err};
    wire_net_close_put(&w, &m);
    control_send(j->control, CTL_NET_CLOSE, 0, wr_view(&w));
}

static void take_open(struct peers_join *j, uint64_t from, struct bytes payload)
{
    struct rd r = rd_of(payload);
    uint32_t conn;
    size_t at = 0;
    if (rd_u32(&r, &conn) != HSM_OK || rd_end(&r) != HSM_OK || by_theirs(j, from, conn) != NULL)
        return;
    while (at < PEERS_JOIN_MAX && j->line[at].node != 0)
        at++;
    if (at == PEERS_JOIN_MAX) {
        send_close(j, from, conn, HSM_E_THROTTLED);
        return;
    }
    struct line *l = &j->line[at];
    *l = (struct line){
        .node = from, .theirs = conn, .ours = PEERS_JOIN_INBOUND | (++j->next & 0x7fffffffu)};
    struct wr w = wr_of(j->buf, sizeof j->buf);
    const struct wire_peer_open m = {.conn = l->ours};
    wire_peer_open_put(&w, &m);
    control_send(j->control, CTL_PEER_OPEN, 0, wr_view(&w));
}

static void take_data(struct peers_join *j, uint64_t from, struct bytes payload)
{
    struct wire_net_data m;
    if (wire_net_data_decode(payload, &m) != HSM_OK)
        return;
    const struct line *l = by_theirs(j, from, m.conn);
    if (l == NULL)
        return;
    m.conn = l->ours;
    struct wr w = wr_of(j->buf, sizeof j->buf);
    wire_net_data_put(&w, &m);
    if (wr_ok(&w) == HSM_OK)
        control_send(j->control, CTL_NET_DATA, 0, wr_view(&w));
}

void peers_join_message(struct peers_join *j, uint64_t from, uint16_t type, struct bytes payload)
{
    struct wire_net_close m;
    if (type == PEERS_JOIN_OPEN) {
        take_open(j, from, payload);
    } else if (type == PEERS_JOIN_DATA) {
        take_data(j, from, payload);
    } else if (type == PEERS_JOIN_CLOSE && wire_net_close_decode(payload, &m) == HSM_OK) {
        struct line *l = by_theirs(j, from, m.conn);
        if (l == NULL)
            return;
        tell_boundary_closed(j, l->ours, m.err);
        *l = (struct line){0};
    }
}

void peers_join_lost(struct peers_join *j, uint64_t node)
{
    for (size_t i = 0; i < PEERS_JOIN_MAX; i++) {
        if (j->line[i].node != node)
            continue;
        tell_boundary_closed(j, j->line[i].ours, HSM_E_UNAVAILABLE);
        j->line[i] = (struct line){0};
    }
}

void peers_join_data(struct peers_join *j, const struct wire_net_data *m)
{
    const struct line *l = by_ours(j, m->conn);
    if (l == NULL)
        return;
    struct wr w = wr_of(j->buf, sizeof j->buf);
    const struct wire_net_data out = {.conn = l->theirs, .data = m->data};
    wire_net_data_put(&w, &out);
    send_peer(j, l->node, PEERS_JOIN_DATA, &w);
}

void peers_join_close(struct peers_join *j, const struct wire_net_close *m)
{
    struct line *l = by_ours(j, m->conn);
    if (l == NULL)
        return;
    send_close(j, l->node, l->theirs, m->err);
    *l = (struct line){0};
}

hsm_err peers_join_new(struct control *c, struct peers_join **ret)
{
    struct peers_join *j = calloc(1, sizeof *j);
    if (j == NULL)
        return HSM_E_NOMEM;
    j->control = c;
    *ret = j;
    return HSM_OK;
}

void peers_join_set_store(struct peers_join *j, struct store *s)
{
    j->store = s;
}

void peers_join_free(struct peers_join *j)
{
    free(j);
}
