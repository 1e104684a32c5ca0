#include "gateway/relay.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include "base/log.h"

#define READ_SIZE 16384

struct relay_conn {
    struct relay *r;
    uint32_t id;
    uv_tcp_t tcp;
    uv_timer_t timer;
    uv_connect_t connect;
    unsigned handles; /* open ones: memory goes with the last */
    size_t to_send;   /* bytes accepted and not written yet */
    uint8_t buf[READ_SIZE];
};

struct relay {
    uv_loop_t *loop;
    struct control *c;
    struct sockaddr_storage addr;
    bool has_addr, is_stopping;
    struct relay_conn *conn[RELAY_CONNS_MAX];
    uint8_t frame[READ_SIZE + 64];
};

struct relay_write {
    uv_write_t req;
    struct relay_conn *conn;
    size_t n;
    char data[];
};

static void on_closed(uv_handle_t *h)
{
    struct relay_conn *k = h->data;
    if (--k->handles == 0)
        free(k);
}

/* Forget the connection; the boundary no longer hears of it. */
static void drop(struct relay_conn *k)
{
    struct relay *r = k->r;
    for (size_t i = 0; i < RELAY_CONNS_MAX; i++) {
        if (r->conn[i] == k)
            r->conn[i] = NULL;
    }
    if (!uv_is_closing((uv_handle_t *)&k->tcp)) {
        uv_close((uv_handle_t *)&k->tcp, on_closed);
        uv_close((uv_handle_t *)&k->timer, on_closed);
    }
}

static void tell_closed(struct relay *r, uint32_t id, hsm_err err)
{
    uint8_t buf[16];
    struct wr w = wr_of(buf, sizeof buf);
    struct wire_net_close m = {.conn = id, .err = (uint16_t)err};
    wire_net_close_put(&w, &m);
    if (!r->is_stopping)
        control_send(r->c, CTL_NET_CLOSE, 0, wr_view(&w));
}

static void end(struct relay_conn *k, hsm_err err)
{
    if (uv_is_closing((uv_handle_t *)&k->tcp))
        return;
    tell_closed(k->r, k->id, err);
    drop(k);
}

static struct relay_conn *find(struct relay *r, uint32_t id)
{
    for (size_t i = 0; i < RELAY_CONNS_MAX; i++) {
        if (r->conn[i] != NULL && r->conn[i]->id == id)
            return r->conn[i];
    }
    return NULL;
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *ret)
{
    struct relay_conn *k = h->data;
    (void)suggested;
    *ret = uv_buf_init((char *)k->buf, sizeof k->buf);
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
    struct relay_conn *k = s->data;
    struct relay *r = k->r;
    if (n == 0)
        return;
    if (n < 0) {
        end(k, n == UV_EOF ? HSM_OK : HSM_E_IO);
        return;
    }
    if (control_backlog(r->c) + (size_t)n > RELAY_BYTES_MAX) {
        end(k, HSM_E_RANGE);
        return;
    }
    struct wr w = wr_of(r->frame, sizeof r->frame);
    struct wire_net_data m = {.conn = k->id, .data = bytes_of(buf->base, (size_t)n)};
    wire_net_data_put(&w, &m);
    control_send(r->c, CTL_NET_DATA, 0, wr_view(&w));
}

static void on_connected(uv_connect_t *req, int status)
{
    struct relay_conn *k = req->data;
    if (status == UV_ECANCELED)
        return;
    if (status < 0 || uv_read_start((uv_stream_t *)&k->tcp, on_alloc, on_read) != 0)
        end(k, HSM_E_UNAVAILABLE);
}

static void on_timeout(uv_timer_t *t)
{
    end(t->data, HSM_E_TIMEOUT);
}

static struct relay_conn *conn_new(struct relay *r, uint32_t id)
{
    struct relay_conn *k = calloc(1, sizeof *k);
    if (k == NULL)
        return NULL;
    k->r = r;
    k->id = id;
    k->handles = 2;
    (void)uv_tcp_init(r->loop, &k->tcp);
    (void)uv_timer_init(r->loop, &k->timer);
    k->tcp.data = k;
    k->timer.data = k;
    k->connect.data = k;
    return k;
}

void relay_open(struct relay *r, const struct wire_net_open *m)
{
    size_t at = 0;
    while (at < RELAY_CONNS_MAX && r->conn[at] != NULL)
        at++;
    bool refused = at == RELAY_CONNS_MAX || !r->has_addr || r->is_stopping;
    struct relay_conn *k = refused || find(r, m->conn) != NULL ? NULL : conn_new(r, m->conn);
    if (k == NULL) {
        tell_closed(r, m->conn, HSM_E_UNAVAILABLE);
        return;
    }
    r->conn[at] = k;
    (void)uv_timer_start(&k->timer, on_timeout, RELAY_TIMEOUT_MS, 0);
    if (uv_tcp_connect(&k->connect, &k->tcp, (const struct sockaddr *)&r->addr, on_connected) != 0)
        end(k, HSM_E_UNAVAILABLE);
}

static void on_written(uv_write_t *req, int status)
{
    struct relay_write *w = (struct relay_write *)req;
    if (status != UV_ECANCELED) {
        w->conn->to_send -= w->n;
        if (status < 0)
            end(w->conn, HSM_E_IO);
    }
    free(w);
}

void relay_data(struct relay *r, const struct wire_net_data *m)
{
    struct relay_conn *k = find(r, m->conn);
    if (k == NULL)
        return; /* closed meanwhile */
    struct relay_write *w = NULL;
    if (k->to_send + m->data.n <= RELAY_BYTES_MAX)
        w = malloc(sizeof *w + m->data.n);
    if (w == NULL) {
        end(k, HSM_E_RANGE);
        return;
    }
    w->conn = k;
    w->n = m->data.n;
    if (w->n > 0)
        memcpy(w->data, m->data.p, w->n);
    uv_buf_t buf = uv_buf_init(w->data, (unsigned)w->n);
    if (uv_write(&w->req, (uv_stream_t *)&k->tcp, &buf, 1, on_written) != 0) {
        free(w);
        end(k, HSM_E_IO);
        return;
    }
    k->to_send += w->n;
}

void relay_close(struct relay *r, const struct wire_net_close *m)
{
    struct relay_conn *k = find(r, m->conn);
    if (k != NULL)
        drop(k);
}

static hsm_err resolve(struct relay *r, const char *target)
{
    char host[256];
    const char *colon = strrchr(target, ':');
    if (colon == NULL || colon == target || (size_t)(colon - target) >= sizeof host)
        return HSM_E_BAD_PARAMETER;
    struct bytes h = bytes_of(target, (size_t)(colon - target));
    if (h.n > 2 && h.p[0] == '[' && h.p[h.n - 1] == ']')
        h = bytes_of(h.p + 1, h.n - 2);
    (void)snprintf(host, sizeof host, "%.*s", (int)h.n, (const char *)h.p);
    struct addrinfo want = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    if (getaddrinfo(host, colon + 1, &want, &found) != 0)
        return HSM_E_UNAVAILABLE;
    memcpy(&r->addr, found->ai_addr, found->ai_addrlen);
    r->has_addr = true;
    freeaddrinfo(found);
    return HSM_OK;
}

hsm_err relay_new(uv_loop_t *loop, struct control *c, const char *target, struct relay **ret)
{
    struct relay *r = calloc(1, sizeof *r);
    if (r == NULL)
        return HSM_E_NOMEM;
    r->loop = loop;
    r->c = c;
    hsm_err err = target != NULL ? resolve(r, target) : HSM_OK;
    if (err != HSM_OK) {
        free(r);
        return err;
    }
    *ret = r;
    return HSM_OK;
}

void relay_stop(struct relay *r)
{
    if (r == NULL)
        return;
    r->is_stopping = true;
    for (size_t i = 0; i < RELAY_CONNS_MAX; i++) {
        if (r->conn[i] != NULL)
            drop(r->conn[i]);
    }
}

void relay_free(struct relay *r)
{
    free(r);
}
