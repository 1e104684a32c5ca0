#include "gateway/joining.h"

#include <stdio.h>
#include <stdlib.h>
#include "base/log.h"
#include "gateway/peers.h"
#include "store/peer.h"
#include "store/seeds.h"

#define AGAIN_MS 20

struct joining {
    struct control *control;
    struct peer_net *net;
    struct seeds seeds;
    size_t turn;
    uint64_t node; /* member that the connection goes to; 0: none */
    uint32_t conn;
    bool waits; /* the connection, for any link */
    bool heard; /* something came back */
    size_t said_n;
    uint8_t said[16384]; /* by the boundary before: said again to another member */
    uv_timer_t again;
    uint8_t buf[65536 + 64];
};

static void tell_closed(struct joining *j, uint32_t conn, unsigned err)
{
    struct wr w = wr_of(j->buf, sizeof j->buf);
    const struct wire_net_close m = {.conn = conn, .err = (uint16_t)err};
    wire_net_close_put(&w, &m);
    control_send(j->control, CTL_NET_CLOSE, 0, wr_view(&w));
}

static void on_again(uv_timer_t *t);

/* The member has no time, or is none yet: another one, soon. Once something came back the boundary
 * decides. */
static void lost(struct joining *j, unsigned err)
{
    j->node = 0;
    if (j->heard) {
        tell_closed(j, j->conn, err);
        return;
    }
    j->waits = true;
    (void)uv_timer_start(&j->again, on_again, AGAIN_MS, 0);
}

static void refuse(struct joining *j, uint64_t from, struct bytes payload)
{
    struct rd r = rd_of(payload);
    struct wire_net_close m = {.err = HSM_E_UNAVAILABLE};
    struct wr w = wr_of(j->buf, sizeof j->buf);
    if (rd_u32(&r, &m.conn) != HSM_OK)
        return;
    wire_net_close_put(&w, &m);
    (void)!peer_send(j->net, from, PEERS_JOIN_CLOSE, 0, wr_view(&w));
}

static void on_message(void *ctx, uint64_t from, uint16_t type, uint64_t seq, struct bytes payload)
{
    struct joining *j = ctx;
    struct wire_net_data data;
    struct wire_net_close gone;
    (void)seq;
    if (type == PEERS_JOIN_OPEN) {
        refuse(j, from, payload); /* we have no secrets ourselves */
    } else if (from != j->node) {
        return;
    } else if (type == PEERS_JOIN_DATA && wire_net_data_decode(payload, &data) == HSM_OK &&
               data.conn == j->conn) {
        j->heard = true;
        control_send(j->control, CTL_NET_DATA, 0, payload);
    } else if (type == PEERS_JOIN_CLOSE && wire_net_close_decode(payload, &gone) == HSM_OK &&
               gone.conn == j->conn) {
        lost(j, gone.err);
    }
}

static void on_down(void *ctx, uint64_t id)
{
    struct joining *j = ctx;
    if (id == j->node)
        lost(j, HSM_E_UNAVAILABLE);
}

static void say(struct joining *j)
{
    struct wr w = wr_of(j->buf, sizeof j->buf);
    const struct wire_net_data m = {.conn = j->conn, .data = bytes_of(j->said, j->said_n)};
    if (j->said_n == 0)
        return;
    wire_net_data_put(&w, &m);
    if (peer_send(j->net, j->node, PEERS_JOIN_DATA, 0, wr_view(&w)) != HSM_OK)
        lost(j, HSM_E_UNAVAILABLE);
}

static void try_open(struct joining *j)
{
    uint8_t b[8];
    struct wr w = wr_of(b, sizeof b);
    wr_u32(&w, j->conn);
    for (size_t i = 0; i < j->seeds.n && j->waits; i++) {
        uint64_t id = j->seeds.seed[j->turn++ % j->seeds.n].id;
        if (peer_send(j->net, id, PEERS_JOIN_OPEN, 0, wr_view(&w)) == HSM_OK) {
            j->node = id;
            j->waits = false;
            say(j);
        }
    }
}

/* Without a link it waits for one; the boundary gives up by itself. */
void joining_open(struct joining *j, const struct wire_net_open *m)
{
    j->node = 0;
    j->conn = m->conn;
    j->waits = true;
    j->heard = false;
    j->said_n = 0;
    try_open(j);
}

static void on_up(void *ctx, uint64_t id)
{
    (void)id;
    try_open(ctx);
}

static void on_again(uv_timer_t *t)
{
    try_open(t->data);
}

void joining_data(struct joining *j, const struct wire_net_data *m)
{
    if (m->conn != j->conn || (j->node == 0 && !j->waits))
        return;
    if (!j->heard) {
        if (m->data.n > sizeof j->said - j->said_n) {
            lost(j, HSM_E_RANGE);
            return;
        }
        if (m->data.n > 0)
            memcpy(j->said + j->said_n, m->data.p, m->data.n);
        j->said_n += m->data.n;
    }
    struct wr w = wr_of(j->buf, sizeof j->buf);
    wire_net_data_put(&w, m);
    if (j->node != 0 && (wr_ok(&w) != HSM_OK ||
                         peer_send(j->net, j->node, PEERS_JOIN_DATA, 0, wr_view(&w)) != HSM_OK))
        lost(j, HSM_E_UNAVAILABLE);
}

void joining_close(struct joining *j, const struct wire_net_close *m)
{
    struct wr w = wr_of(j->buf, sizeof j->buf);
    wire_net_close_put(&w, m);
    if (m->conn == j->conn)
        j->waits = false;
    if (j->node == 0 || m->conn != j->conn)
        return;
    (void)!peer_send(j->net, j->node, PEERS_JOIN_CLOSE, 0, wr_view(&w));
    j->node = 0;
}

hsm_err joining_new(uv_loop_t *loop, struct control *c, uint64_t self,
                    const struct store_peers *peers, struct joining **ret, char *text, size_t cap)
{
    struct joining *j = calloc(1, sizeof *j);
    if (j == NULL)
        return HSM_E_NOMEM;
    const struct peer_config cfg = {.self = self,
                                    .pool = peers->pool,
                                    .listen = peers->listen,
                                    .cert = peers->cert,
                                    .key = peers->key,
                                    .ca = peers->ca};
    const struct peer_handlers h = {.ctx = j, .message = on_message, .up = on_up, .down = on_down};
    j->control = c;
    (void)uv_timer_init(loop, &j->again);
    j->again.data = j;
    hsm_err err = seeds_parse(peers->seeds, &j->seeds);
    if (err != HSM_OK)
        (void)snprintf(text, cap, "--peers is not 1=HOST:PORT,2=HOST:PORT");
    if (err == HSM_OK)
        err = peer_net_open(loop, &cfg, &h, &j->net, text, cap);
    for (size_t i = 0; err == HSM_OK && i < j->seeds.n; i++)
        err = peer_net_set_address(j->net, j->seeds.seed[i].id, j->seeds.seed[i].address);
    if (err != HSM_OK) {
        uv_close((uv_handle_t *)&j->again, NULL); /* the process ends */
        return err;
    }
    log_info("this partition joins the pool: its boundary asks the others for the root secrets");
    *ret = j;
    return HSM_OK;
}
