#include "gateway/joining.h"

#include <stdio.h>
#include <stdlib.h>
#include "base/log.h"
#include "gateway/peers.h"
#include "store/peer.h"
#include "store/seeds.h"

struct joining {
    struct control *control;
    struct peer_net *net;
    struct seeds seeds;
    size_t turn;
    uint64_t node; /* member that the connection goes to; 0: none */
    uint32_t conn;
    uint8_t buf[65536 + 64];
};

static void tell_closed(struct joining *j, uint32_t conn, unsigned err)
{
    struct wr w = wr_of(j->buf, sizeof j->buf);
    const struct wire_net_close m = {.conn = conn, .err = (uint16_t)err};
    wire_net_close_put(&w, &m);
    control_send(j->control, CTL_NET_CLOSE, 0, wr_view(&w));
}

static void on_message(void *ctx, uint64_t from, uint16_t type, uint64_t seq, struct bytes payload)
{
    struct joining *j = ctx;
    struct wire_net_data data;
    struct wire_net_close gone;
    (void)seq;
    if (from != j->node)
        return;
    if (type == PEERS_JOIN_DATA && wire_net_data_decode(payload, &data) == HSM_OK &&
        data.conn == j->conn) {
        control_send(j->control, CTL_NET_DATA, 0, payload);
    } else if (type == PEERS_JOIN_CLOSE && wire_net_close_decode(payload, &gone) == HSM_OK &&
               gone.conn == j->conn) {
        j->node = 0;
        control_send(j->control, CTL_NET_CLOSE, 0, payload);
    }
}

static void on_down(void *ctx, uint64_t id)
{
    struct joining *j = ctx;
    if (id != j->node)
        return;
    j->node = 0;
    tell_closed(j, j->conn, HSM_E_UNAVAILABLE);
}

void joining_open(struct joining *j, const struct wire_net_open *m)
{
    uint8_t b[8];
    struct wr w = wr_of(b, sizeof b);
    wr_u32(&w, m->conn);
    for (size_t i = 0; i < j->seeds.n && j->node == 0; i++) {
        uint64_t id = j->seeds.seed[j->turn++ % j->seeds.n].id;
        if (peer_send(j->net, id, PEERS_JOIN_OPEN, 0, wr_view(&w)) == HSM_OK) {
            j->node = id;
            j->conn = m->conn;
            return;
        }
    }
    tell_closed(j, m->conn, HSM_E_UNAVAILABLE);
}

void joining_data(struct joining *j, const struct wire_net_data *m)
{
    struct wr w = wr_of(j->buf, sizeof j->buf);
    wire_net_data_put(&w, m);
    if (j->node == 0 || m->conn != j->conn)
        return;
    if (wr_ok(&w) != HSM_OK ||
        peer_send(j->net, j->node, PEERS_JOIN_DATA, 0, wr_view(&w)) != HSM_OK) {
        j->node = 0;
        tell_closed(j, m->conn, HSM_E_UNAVAILABLE);
    }
}

void joining_close(struct joining *j, const struct wire_net_close *m)
{
    struct wr w = wr_of(j->buf, sizeof j->buf);
    wire_net_close_put(&w, m);
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
    const struct peer_handlers h = {.ctx = j, .message = on_message, .down = on_down};
    j->control = c;
    hsm_err err = seeds_parse(peers->seeds, &j->seeds);
    if (err != HSM_OK)
        (void)snprintf(text, cap, "--peers is not 1=HOST:PORT,2=HOST:PORT");
    if (err == HSM_OK)
        err = peer_net_open(loop, &cfg, &h, &j->net, text, cap);
    for (size_t i = 0; err == HSM_OK && i < j->seeds.n; i++)
        err = peer_net_set_address(j->net, j->seeds.seed[i].id, j->seeds.seed[i].address);
    if (err != HSM_OK) {
        free(j); /* the process ends */
        return err;
    }
    log_info("this partition joins the pool: its boundary asks the others for the root secrets");
    *ret = j;
    return HSM_OK;
}
