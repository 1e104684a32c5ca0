/* From an HTTP request to a frame. The gateway cannot judge a token: whatever is wrong with a
 * request is told only after the boundary found the token good; without a token every request gets
 * the same challenge. */
#include <stdio.h>
#include "base/clock.h"
#include "gateway/front_internal.h"

static size_t min_n(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Terminated copy, cut to the room there is. */
static void copy_text(char *dst, size_t cap, struct bytes b)
{
    size_t n = min_n(b.n, cap - 1);
    if (n > 0)
        memcpy(dst, b.p, n);
    dst[n] = '\0';
}

/* The credentials of a Bearer authorization; empty when there are none. */
static struct bytes bearer_token(struct bytes authorization)
{
    struct bytes a = authorization;
    if (a.n < 7 || !bytes_ieq(bytes_of(a.p, 7), bytes_str("Bearer ")))
        return bytes_of(NULL, 0);
    a = bytes_of(a.p + 7, a.n - 7);
    while (a.n > 0 && a.p[0] == ' ')
        a = bytes_of(a.p + 1, a.n - 1);
    return a;
}

/* Host and port as they appear in key ids: lower case, no default port. */
static hsm_err host_authority(struct bytes host_header, char host[256], char *dst, size_t cap)
{
    uint16_t port = 0;
    TRY(host_parse(host_header, host, &port));
    if (port == 0 || port == 443)
        copy_text(dst, cap, bytes_str(host));
    else
        (void)snprintf(dst, cap, "%s:%u", host, port);
    return HSM_OK;
}

static const struct face *take_host(struct front *f, struct pending *p, struct bytes host_header)
{
    struct front_host *last = &f->host;
    char host[256];
    if (!bytes_eq(host_header, bytes_of(last->text, last->n)) || last->face == NULL) {
        last->face = NULL;
        if (host_authority(host_header, host, last->authority, sizeof last->authority) != HSM_OK ||
            host_header.n > sizeof last->text)
            return NULL;
        memcpy(last->text, host_header.p, host_header.n);
        last->n = host_header.n;
        last->face = faces_find(&f->shared->faces, host);
    }
    memcpy(p->ctx.authority, last->authority, sizeof p->ctx.authority);
    return last->face;
}

static void put_caller(const struct pending *p, const struct http_request *rq, struct bytes token,
                       struct bytes api_version, struct wr *w)
{
    const struct http1_head *h = rq->head;
    struct wire_caller c = {
        .activity = p->activity_id,
        .token = token,
        .host = bytes_of(p->ctx.authority, min_n(strlen(p->ctx.authority), 255)),
        .client_ip = bytes_of(rq->client_ip, min_n(strlen(rq->client_ip), FRONT_IP_MAX)),
        .user_agent = bytes_of(h->user_agent.p, min_n(h->user_agent.n, FRONT_AGENT_MAX)),
        .uri = bytes_of(h->target.p, min_n(h->target.n, FRONT_URI_MAX)),
        .api_version = api_version,
    };
    wire_caller_put(w, &c);
}

static hsm_err send_frame(struct front *f, unsigned type, uint64_t id, struct wr *w)
{
    TRY(wr_ok(w));
    struct ring_frame frame = {.type = (uint16_t)type, .id = id, .payload = wr_view(w)};
    return ring_write_quiet(f->out_ring, &frame, 0);
}

/* The refusal's record; id 0: the answer does not matter. */
static hsm_err send_refused(struct front *f, const struct pending *p, const struct http_request *rq,
                            struct bytes token, unsigned err, uint64_t id)
{
    struct wr w = wr_of(f->frame, RING_FRAME_MAX);
    struct wire_refused m = {
        .op = (uint16_t)p->ctx.op,
        .err = (uint16_t)err,
        .status = (uint16_t)hsm_err_http(err),
    };
    put_caller(p, rq, token, bytes_str(p->ctx.api_version), &w);
    wire_refused_put(&w, &m);
    return send_frame(f, OP_REFUSED, id, &w);
}

static void finish_busy(struct front *f, struct pending *p)
{
    front_finish_error(f, p, HSM_E_UNAVAILABLE, bytes_of(NULL, 0));
}

/* Answer at once, but never without the record being on its way. */
static void refuse_now(struct front *f, struct pending *p, const struct http_request *rq,
                       const struct outcome *o)
{
    if (send_refused(f, p, rq, bytes_of(NULL, 0), o->err, 0) != HSM_OK)
        finish_busy(f, p);
    else
        front_finish(f, p, o);
}

/* Tell the refusal once the boundary has accepted the token. */
static void refuse_later(struct front *f, struct pending *p, const struct http_request *rq,
                         struct bytes token, hsm_err err)
{
    p->refusal = err == HSM_E_MALFORMED || err == HSM_E_RANGE ? HSM_E_BAD_PARAMETER : err;
    if (send_refused(f, p, rq, token, p->refusal, front_slot_id(f, p)) != HSM_OK)
        finish_busy(f, p);
}

static void take_route(struct pending *p, const struct route *r)
{
    p->ctx.op = r->op;
    p->what = r->what;
    p->is_secret = front_op_is_secret(r->op);
    p->ctx.max = r->max;
    copy_text(p->ctx.name, sizeof p->ctx.name, r->name);
    copy_text(p->ctx.api_version, sizeof p->ctx.api_version, r->api_version);
}

/* Views of *ret_route lie in t and f->path. */
static hsm_err find_route(struct front *f, struct pending *p, const struct http_request *rq,
                          struct url_target *t, struct route *ret_route)
{
    if (url_parse(rq->head->target, f->path, sizeof f->path, t) != HSM_OK) {
        (void)snprintf(p->detail, sizeof p->detail, "The request path or query is malformed.");
        return HSM_E_BAD_PARAMETER;
    }
    hsm_err err = route_parse(rq->head->method, t, ret_route, p->detail);
    take_route(p, ret_route);
    return err;
}

static hsm_err build(struct front *f, struct pending *p, const struct http_request *rq,
                     struct bytes token, struct wr *w)
{
    struct url_target t;
    struct route r;
    TRY(find_route(f, p, rq, &t, &r));
    struct body_ctx c = {
        .toks = f->toks,
        .tok_cap = BODY_TOKENS_MAX,
        .scratch = &f->scratch,
        .detail = p->detail,
    };
    put_caller(p, rq, token, r.api_version, w);
    return body_write(&r, rq->body, &c, w);
}

/* Before the body is looked at; the path only says which operation is written down as refused. The
 * token goes along, so that the record names its owner. */
static bool is_refused_by_network(struct front *f, struct pending *p, const struct http_request *rq,
                                  struct bytes token)
{
    const struct firewall_room room = {
        .buf = f->out, .buf_n = FRONT_OUT_MAX, .toks = f->toks, .tok_n = BODY_TOKENS_MAX};
    struct url_target t;
    struct route r;
    hsm_err err = firewall_decide(f->shared->firewall, rq, token, &room);
    if (err == HSM_OK)
        return false;
    (void)!find_route(f, p, rq, &t, &r);
    p->detail[0] = '\0';
    if (err == HSM_E_FIREWALL_ADDRESS)
        (void)snprintf(p->detail, sizeof p->detail,
                       "Client address (%s) is not authorized and caller is not a trusted service.",
                       rq->client_ip);
    refuse_later(f, p, rq, token, err);
    return true;
}

static void forward(struct front *f, struct pending *p, const struct http_request *rq,
                    struct bytes token)
{
    struct wr w = wr_of(f->frame, RING_FRAME_MAX);
    hsm_err err = build(f, p, rq, token, &w);
    const bool is_secret = p->is_secret; /* p may be another request's after an answer */
    if (err == HSM_E_NOT_IMPLEMENTED) {  /* a feature inside a known operation */
        w = wr_of(f->frame, RING_FRAME_MAX);
        p->ctx.op = OP_UNIMPLEMENTED;
        put_caller(p, rq, token, bytes_str(p->ctx.api_version), &w);
        err = HSM_OK;
    }
    if (err != HSM_OK) {
        refuse_later(f, p, rq, token, err);
    } else if (send_frame(f, p->ctx.op, front_slot_id(f, p), &w) != HSM_OK) {
        finish_busy(f, p);
    }
    if (is_secret)
        secret_wipe(f->frame, w.n);
    scratch_clear(&f->scratch);
}

void front_request(void *ctx, struct http_exchange *x, const struct http_request *rq)
{
    struct front *f = ctx;
    struct pending *p = front_slot_take(f, x);
    if (p == NULL) {
        meter_refusal(f->meter, HSM_E_UNAVAILABLE);
        http_respond(x, 503, bytes_str("retry-after: 1\r\n"), bytes_of(NULL, 0), false);
        return;
    }
    uuid_new_v1(&p->activity_id);
    uuid_format(&p->activity_id, p->activity);
    if (audit_sink_is_broken(f->shared->audit)) {
        front_finish_error(f, p, HSM_E_DISK_FULL, bytes_of(NULL, 0));
        return;
    }
    p->face = take_host(f, p, rq->head->host);
    if (p->face == NULL) {
        struct outcome o = {.status = 421, .err = HSM_E_MISDIRECTED};
        refuse_now(f, p, rq, &o);
        return;
    }
    struct bytes token = bearer_token(rq->head->authorization);
    if (token.n == 0) {
        struct outcome o = {
            .status = 401, .err = HSM_E_TOKEN_MISSING, .challenge = true, .bare = true};
        refuse_now(f, p, rq, &o);
        return;
    }
    if (token.n > FRONT_TOKEN_MAX) {
        struct outcome o = {
            .status = 401, .err = HSM_E_TOKEN_MALFORMED, .challenge = true, .claims = true};
        refuse_now(f, p, rq, &o);
        return;
    }
    if (!is_refused_by_network(f, p, rq, token))
        forward(f, p, rq, token);
}

void front_refused(void *ctx, hsm_err err, const char *client_ip, struct wr *headers,
                   struct wr *out)
{
    struct front *f = ctx;
    struct uuid id;
    char activity[UUID_TEXT_LEN + 1];
    uuid_new_v1(&id);
    uuid_format(&id, activity);
    struct wr w = wr_of(f->frame, RING_FRAME_MAX);
    struct wire_caller c = {
        .activity = id,
        .client_ip = bytes_of(client_ip, min_n(strlen(client_ip), FRONT_IP_MAX)),
    };
    struct wire_refused m = {.err = (uint16_t)err, .status = (uint16_t)hsm_err_http(err)};
    wire_caller_put(&w, &c);
    wire_refused_put(&w, &m);
    /* Bytes that are no request carry no identity: a full lane must not stop this answer. */
    if (send_frame(f, OP_REFUSED, 0, &w) == HSM_OK)
        ring_flush(f->out_ring);
    meter_refusal(f->meter, err);
    struct reply r = {.is_error = true, .activity = activity};
    reply_headers(&r, headers);
    render_error(err, bytes_of(NULL, 0), activity, out);
}
