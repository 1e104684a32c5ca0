#include "gateway/relay.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include "base/log.h"

#define READ_SIZE  16384
#define EARLY_SIZE 8192

struct relay_conn {
    struct relay *r;
    uint32_t id;
    uv_tcp_t tcp;
    uv_timer_t timer;
    uv_connect_t connect;
    uv_getaddrinfo_t *lookup; /* under way */
    char host[256];           /* of an external issuer; else "" */
    uint16_t port;
    unsigned tried; /* of its addresses */
    bool is_up;
    uint8_t early[EARLY_SIZE]; /* what the boundary says before that: to whoever answers */
    size_t early_n;
    unsigned handles; /* open ones: memory goes with the last */
    size_t to_send;   /* bytes accepted and not written yet */
    uint8_t buf[READ_SIZE];
};

struct relay {
    uv_loop_t *loop;
    struct control *c;
    struct sockaddr_storage addr;
    struct issuer_hosts external;
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
    if (k->lookup != NULL) {
        k->lookup->data = NULL; /* its answer is for nobody */
        (void)uv_cancel((uv_req_t *)k->lookup);
        k->lookup = NULL;
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

static void try_next(struct relay_conn *k);
static void write_out(struct relay_conn *k, struct bytes data);

static void on_connected(uv_connect_t *req, int status)
{
    struct relay_conn *k = req->data;
    if (status == UV_ECANCELED)
        return;
    if (status < 0 && k->host[0] != 0) {
        try_next(k);
        return;
    }
    if (status < 0 || uv_read_start((uv_stream_t *)&k->tcp, on_alloc, on_read) != 0) {
        end(k, HSM_E_UNAVAILABLE);
        return;
    }
    k->is_up = true;
    if (k->early_n > 0)
        write_out(k, bytes_of(k->early, k->early_n));
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

static void connect_to(struct relay_conn *k, const struct sockaddr *addr)
{
    if (uv_tcp_connect(&k->connect, &k->tcp, addr, on_connected) != 0)
        end(k, HSM_E_UNAVAILABLE);
}

/* The n-th one, those of IPv4 first; NULL: there are no more. */
static const struct sockaddr *pick(const struct addrinfo *found, unsigned tried)
{
    const struct addrinfo *at[16];
    size_t n = 0;
    for (unsigned v6 = 0; v6 < 2; v6++) {
        for (const struct addrinfo *i = found; i != NULL && n < 16; i = i->ai_next) {
            if ((i->ai_family == AF_INET6) == (v6 == 1))
                at[n++] = i;
        }
    }
    return tried < n ? at[tried]->ai_addr : NULL;
}

static void on_found(uv_getaddrinfo_t *lookup, int status, struct addrinfo *found)
{
    struct relay_conn *k = lookup->data;
    if (k != NULL) {
        k->lookup = NULL;
        const struct sockaddr *addr = status == 0 ? pick(found, k->tried) : NULL;
        if (addr == NULL)
            end(k, HSM_E_UNAVAILABLE);
        else
            connect_to(k, addr);
    }
    uv_freeaddrinfo(found);
    free(lookup);
}

static void look_up(struct relay_conn *k)
{
    char service[8];
    const struct addrinfo want = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    uv_getaddrinfo_t *lookup = malloc(sizeof *lookup);
    (void)snprintf(service, sizeof service, "%u", k->port);
    if (lookup != NULL)
        lookup->data = k;
    if (lookup == NULL ||
        uv_getaddrinfo(k->r->loop, lookup, on_found, k->host, service, &want) != 0) {
        free(lookup);
        end(k, HSM_E_UNAVAILABLE);
        return;
    }
    k->lookup = lookup;
}

/* A connection of its own for the next address, in the place of this one. */
static void try_next(struct relay_conn *k)
{
    struct relay *r = k->r;
    size_t at = 0;
    while (at < RELAY_CONNS_MAX && r->conn[at] != k)
        at++;
    struct relay_conn *next = at < RELAY_CONNS_MAX ? conn_new(r, k->id) : NULL;
    if (next == NULL) {
        end(k, HSM_E_UNAVAILABLE);
        return;
    }
    memcpy(next->host, k->host, sizeof next->host);
    next->port = k->port;
    next->tried = k->tried + 1;
    memcpy(next->early, k->early, k->early_n);
    next->early_n = k->early_n;
    drop(k);
    r->conn[at] = next;
    (void)uv_timer_start(&next->timer, on_timeout, RELAY_TIMEOUT_MS, 0);
    look_up(next);
}

void relay_open(struct relay *r, const struct wire_net_open *m)
{
    size_t at = 0;
    char host[256] = "";
    while (at < RELAY_CONNS_MAX && r->conn[at] != NULL)
        at++;
    if (m->host.n < sizeof host && m->host.n > 0)
        memcpy(host, m->host.p, m->host.n);
    bool external = issuer_hosts_has(&r->external, host, m->port);
    bool refused = at == RELAY_CONNS_MAX || (!r->has_addr && !external) || r->is_stopping;
    struct relay_conn *k = refused || find(r, m->conn) != NULL ? NULL : conn_new(r, m->conn);
    if (k == NULL) {
        tell_closed(r, m->conn, HSM_E_UNAVAILABLE);
        return;
    }
    r->conn[at] = k;
    (void)uv_timer_start(&k->timer, on_timeout, RELAY_TIMEOUT_MS, 0);
    if (external) {
        memcpy(k->host, host, sizeof k->host);
        k->port = m->port;
        look_up(k);
    } else {
        connect_to(k, (const struct sockaddr *)&r->addr);
    }
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

static void write_out(struct relay_conn *k, struct bytes data)
{
    struct relay_write *w = NULL;
    if (k->to_send + data.n <= RELAY_BYTES_MAX)
        w = malloc(sizeof *w + data.n);
    if (w == NULL) {
        end(k, HSM_E_RANGE);
        return;
    }
    w->conn = k;
    w->n = data.n;
    if (w->n > 0)
        memcpy(w->data, data.p, w->n);
    uv_buf_t buf = uv_buf_init(w->data, (unsigned)w->n);
    if (uv_write(&w->req, (uv_stream_t *)&k->tcp, &buf, 1, on_written) != 0) {
        free(w);
        end(k, HSM_E_IO);
        return;
    }
    k->to_send += w->n;
}

void relay_data(struct relay *r, const struct wire_net_data *m)
{
    struct relay_conn *k = find(r, m->conn);
    if (k == NULL)
        return; /* closed meanwhile */
    if (k->host[0] == 0 || k->is_up) {
        write_out(k, m->data);
    } else if (m->data.n > sizeof k->early - k->early_n) {
        end(k, HSM_E_RANGE);
    } else if (m->data.n > 0) {
        memcpy(k->early + k->early_n, m->data.p, m->data.n);
        k->early_n += m->data.n;
    }
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

hsm_err relay_new(uv_loop_t *loop, struct control *c, const char *target,
                  const struct issuer_hosts *external, struct relay **ret)
{
    struct relay *r = calloc(1, sizeof *r);
    if (r == NULL)
        return HSM_E_NOMEM;
    r->loop = loop;
    r->c = c;
    r->external = *external;
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
