/* From bytes to requests. A request's views point into `in` and `body`, which therefore do not
 * move from the complete head until the answer. */
#include <netinet/tcp.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/secret.h"
#include "net/http_internal.h"

#define IN_FIRST     4096
#define IN_MAX       32768 /* a whole head always fits */
#define IN_PLACE_MAX 16384
#define BODY_FIRST   8192
#define BODY_KEEP    16384
#define READS_MAX    16 /* per loop turn and connection */

_Static_assert(IN_MAX > HTTP1_HEAD_MAX + 1024, "a head and the start of chunks must fit");

/* Request bytes are wiped before memory is given back: they hold tokens and may hold key material
 * that the handler had no chance to declare secret. */
static void buf_free(uint8_t **p, size_t *cap, size_t used)
{
    if (*p != NULL && used > 0)
        secret_wipe(*p, used);
    free(*p);
    *p = NULL;
    *cap = 0;
}

void conn_input_free(struct conn *c)
{
    buf_free(&c->in, &c->in_cap, c->in_cap);
    buf_free(&c->body, &c->body_cap, c->body_cap);
    c->in_off = c->in_n = c->body_n = 0;
}

void conn_input_trim(struct conn *c)
{
    if (c->in_n == 0)
        conn_input_free(c);
}

/* Unconsumed bytes to the front of a buffer of at least cap bytes. */
static bool in_make_room(struct conn *c, size_t cap)
{
    size_t n = c->in_n - c->in_off;

    if (cap > c->in_cap) {
        uint8_t *fresh = malloc(cap);
        if (fresh == NULL)
            return false;
        if (n > 0)
            memcpy(fresh, c->in + c->in_off, n);
        buf_free(&c->in, &c->in_cap, c->in_n);
        c->in = fresh;
        c->in_cap = cap;
    } else if (c->in_off > 0) {
        memmove(c->in, c->in + c->in_off, n);
        secret_wipe(c->in + n, c->in_n - n);
    }
    c->in_off = 0;
    c->in_n = n;
    return true;
}

/* Room for at least n more bytes of a separate body, growing by doubling up to the limit. */
static bool body_make_room(struct conn *c, size_t n)
{
    size_t cap = c->body_cap > 0 ? c->body_cap : BODY_FIRST;

    if (c->body_cap - c->body_n >= n)
        return true;
    while (cap - c->body_n < n) {
        if (cap > SIZE_MAX / 2)
            return false;
        cap *= 2;
    }
    uint8_t *fresh = malloc(cap);
    if (fresh == NULL)
        return false;
    if (c->body_n > 0)
        memcpy(fresh, c->body, c->body_n);
    buf_free(&c->body, &c->body_cap, c->body_n);
    c->body = fresh;
    c->body_cap = cap;
    return true;
}

void conn_refuse(struct conn *c, hsm_err err)
{
    struct http_server *s = c->s;
    uint8_t headers[1024], body[2048];
    struct wr hw = wr_of(headers, sizeof(headers));
    struct wr bw = wr_of(body, sizeof(body));

    s->stats.refused++;
    if (s->h.refused != NULL)
        s->h.refused(s->h.ctx, err, c->client_ip, &hw, &bw);
    if (hw.overflow)
        hw.n = 0;
    if (bw.overflow)
        bw.n = 0;
    c->closing = true;
    conn_answer(c, hsm_err_http(err), wr_view(&hw), wr_view(&bw), false);
    conn_input_free(c);
}

void conn_request_done(struct conn *c, bool secret)
{
    if (secret) {
        if (c->in != NULL)
            secret_wipe(c->in + c->in_off, c->req_end - c->in_off);
        if (c->body != NULL)
            secret_wipe(c->body, c->body_n);
    }
    c->body_n = 0;
    if (c->body_cap > BODY_KEEP)
        buf_free(&c->body, &c->body_cap, c->body_cap);
    c->in_off = c->req_end;
    if (c->in_off == c->in_n)
        c->in_off = c->in_n = 0;
    c->scanned = 0;
}

static void deliver(struct conn *c, struct bytes body)
{
    struct http_server *s = c->s;

    conn_move(c, CONN_WAITING);
    c->deadline = UINT64_MAX;
    c->fresh = false;
    c->x.open = true;
    c->x.user = NULL;
    c->x.rq.head = &c->head;
    c->x.rq.body = body;
    c->x.rq.client_ip = c->client_ip;
    c->x.rq.endpoint = c->endpoint;
    c->x.rq.client_is_v6 = c->client_is_v6;
    s->delivered = true;
    s->stats.requests++;
    s->h.request(s->h.ctx, &c->x, &c->x.rq);
}

/* Parse the head at in_off; its views are good until `in` moves. */
static hsm_err head_parse(struct conn *c)
{
    return http1_parse(bytes_of(c->in + c->in_off, c->in_n - c->in_off), &c->head, &c->head_n);
}

/* Where the body will lie. In place needs room behind the head, which may move the head once. */
static hsm_err body_place(struct conn *c)
{
    size_t want = c->head.chunked ? 1024 : (size_t)c->head.content_length;
    size_t total = c->head_n + want;

    c->in_place = !c->head.chunked && total <= IN_PLACE_MAX;
    if ((c->in_place || c->head.chunked) && c->in_off + total > c->in_cap) {
        size_t cap = c->in_cap;
        while (cap < total)
            cap *= 2;
        if (!in_make_room(c, cap))
            return HSM_E_NOMEM;
        TRY(head_parse(c));
    }
    c->req_end = c->in_off + c->head_n;
    if (c->in_place) {
        c->req_end += want;
        return HSM_OK;
    }
    c->body_n = 0;
    c->chunks = (struct http1_chunks){0};
    if (c->head.chunked)
        return HSM_OK;
    /* what came with the head; it is less than the whole body, which is larger than `in` */
    size_t have = c->in_n - c->req_end;
    if (have > want)
        have = want;
    if (!body_make_room(c, have))
        return HSM_E_NOMEM;
    if (have > 0)
        memcpy(c->body, c->in + c->req_end, have);
    c->body_n = have;
    c->req_end += have;
    return HSM_OK;
}

/* A client whose socket has Nagle's algorithm on (urllib3 behind a proxy, so every Python program
 * there) sends the body only after the head was acknowledged, and the kernel would wait 40 ms with
 * that in the hope of an answer to put it on. */
static void acknowledge_now(const struct conn *c)
{
    const int one = 1;
    (void)setsockopt(c->fd, IPPROTO_TCP, TCP_QUICKACK, &one, sizeof(one));
}

static hsm_err head_done(struct conn *c)
{
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    struct http_server *s = c->s;

    c->x.rq.received_us = clock_mono_us();
    c->limit = s->h.body_limit != NULL ? s->h.body_limit(s->h.ctx, &c->head) : 0;
    if (c->limit == 0)
        c->limit = s->cfg.body_max;
    if (c->head.has_length && c->head.content_length > c->limit)
        return HSM_E_TOO_LARGE;
    TRY(body_place(c));
    if (!c->head.chunked && c->head.content_length == 0) {
        deliver(c, bytes_of(NULL, 0));
        return HSM_OK;
    }
    conn_move(c, CONN_BODY);
    conn_deadline(c, s->cfg.body_timeout_ms);
    if (c->head.expect_continue && c->head.minor >= 1 && c->in_n == c->in_off + c->head_n)
        conn_send(c, (const uint8_t *)go_on, sizeof(go_on) - 1, false);
    else if (c->in_n == c->in_off + c->head_n)
        acknowledge_now(c);
    return HSM_OK;
}

static hsm_err chunked_step(struct conn *c)
{
    struct bytes raw = bytes_of(c->in + c->req_end, c->in_n - c->req_end);
    size_t used = 0;

    if (raw.n == 0)
        return HSM_E_AGAIN;
    if (!body_make_room(c, raw.n))
        return HSM_E_NOMEM;
    /* The decoder compares whole chunks with what is left, so it is shown the limit; it appends no
     * more than it reads, and for that there is room. */
    struct wr w = {.p = c->body, .cap = c->limit, .n = c->body_n};
    hsm_err e = http1_chunks_feed(&c->chunks, raw, &w, &used);
    HSM_ASSERT(w.n <= c->body_cap);
    c->body_n = w.n;
    if (e == HSM_E_AGAIN) { /* all consumed: the next bytes go to the same place */
        secret_wipe(c->in + c->req_end, raw.n);
        c->in_n = c->req_end;
    } else if (e == HSM_OK) {
        c->req_end += used;
    }
    return e;
}

/* HSM_E_AGAIN: bytes are missing. */
static hsm_err body_step(struct conn *c)
{
    if (c->head.chunked) {
        TRY(chunked_step(c));
        deliver(c, bytes_of(c->body, c->body_n));
        return HSM_OK;
    }
    size_t want = (size_t)c->head.content_length;
    if (c->in_place) {
        if (c->in_n < c->req_end)
            return HSM_E_AGAIN;
        deliver(c, bytes_of(c->in + c->in_off + c->head_n, want));
        return HSM_OK;
    }
    if (c->body_n < want)
        return HSM_E_AGAIN;
    deliver(c, bytes_of(c->body, want));
    return HSM_OK;
}

static hsm_err head_step(struct conn *c)
{
    const uint8_t *p = c->in + c->in_off;
    size_t n = c->in_n - c->in_off;

    /* a client that sends byte by byte does not get its head parsed for every byte */
    if (n < HTTP1_HEAD_MAX && memchr(p + c->scanned, '\n', n - c->scanned) == NULL) {
        c->scanned = n;
        return HSM_E_AGAIN;
    }
    c->scanned = n;
    TRY(head_parse(c));
    return head_done(c);
}

/* Go as far as the received bytes allow. true: more bytes are needed. */
static bool parse(struct conn *c)
{
    hsm_err e = HSM_OK;

    while (e == HSM_OK) {
        if (c->state == CONN_IDLE) {
            if (c->in_off == c->in_n)
                return true;
            conn_move(c, CONN_HEAD);
            conn_deadline(c, c->s->cfg.head_timeout_ms);
            c->scanned = 0;
            e = head_step(c);
        } else if (c->state == CONN_HEAD) {
            e = head_step(c);
        } else if (c->state == CONN_BODY) {
            e = body_step(c);
        } else {
            return false;
        }
    }
    if (e == HSM_E_AGAIN)
        return true;
    if (c->state != CONN_CLOSED)
        conn_refuse(c, e);
    return false;
}

/* Whether the next bytes go straight to the separate body. */
static bool to_body(const struct conn *c)
{
    return c->state == CONN_BODY && !c->in_place && !c->head.chunked;
}

/* Where the next bytes go. */
static bool target(struct conn *c, uint8_t **ret_p, size_t *ret_room)
{
    if (to_body(c)) {
        size_t left = (size_t)c->head.content_length - c->body_n;
        if (!body_make_room(c, 1))
            return false;
        *ret_p = c->body + c->body_n;
        *ret_room = c->body_cap - c->body_n < left ? c->body_cap - c->body_n : left;
        return true;
    }
    if (c->state != CONN_BODY && c->in_n == c->in_cap) {
        size_t cap = c->in_off > 0 ? c->in_cap : c->in_cap * 2;
        if (cap > IN_MAX || !in_make_room(c, cap > 0 ? cap : IN_FIRST))
            return false;
    }
    *ret_p = c->in + c->in_n;
    *ret_room = c->in_cap - c->in_n;
    return *ret_room > 0;
}

static bool fill(struct conn *c)
{
    uint8_t *p = NULL;
    size_t room = 0;

    if (!c->sock_ready && SSL_has_pending(c->ssl) == 0)
        return false;
    if (!target(c, &p, &room)) {
        c->broken = true;
        conn_close(c, false);
        return false;
    }
    c->trimmed = false;
    size_t n = conn_tls_read(c, p, room);
    if (n == 0)
        return false;
    if (to_body(c)) {
        c->body_n += n;
    } else {
        c->in_n += n;
    }
    return true;
}

void conn_input(struct conn *c)
{
    for (unsigned i = 0; i < READS_MAX; i++) {
        if (!parse(c) || !fill(c))
            return;
    }
    /* others first; the socket is writable, so the loop comes back at once */
    c->kick = parse(c);
}

void conn_input_early(struct conn *c)
{
    if (!c->sock_ready)
        return;
    if (c->in_n == c->in_cap) {
        c->paused = true;
        return;
    }
    c->in_n += conn_tls_read(c, c->in + c->in_n, c->in_cap - c->in_n);
}
