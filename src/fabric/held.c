/* From a request to its answer: the handler runs, what it staged is committed, then the answer goes
 * out. When the state changed in between, the handler runs again. */
#include <stdlib.h>
#include "base/secret.h"
#include "fabric/fabric.h"

#define RUNS_MAX 8

struct held {
    struct fabric *fabric;
    const struct http_request *http;
    uint64_t now_ms;
    struct changes *changes;
    unsigned runs;
    fabric_reply_fn reply;
    void *ctx;
    struct answer answer; /* a copy, in memory of its own */
};

static void drop_answer(struct held *h)
{
    if (h->answer.secret)
        secret_wipe(h->answer.body.p, h->answer.body.cap);
    free(h->answer.headers.p);
    free(h->answer.body.p);
    h->answer = (struct answer){0};
}

static bool copy(struct wr *dst, const struct wr *src, size_t more)
{
    uint8_t *p = malloc(src->n + more);
    if (p == NULL)
        return false;
    *dst = wr_of(p, src->n + more);
    wr_bytes(dst, src->p, src->n);
    return true;
}

/* With room for a refusal in its place. */
static bool keep_answer(struct held *h, const struct answer *a)
{
    drop_answer(h);
    h->answer.status = a->status;
    h->answer.secret = a->secret;
    return copy(&h->answer.headers, &a->headers, 64) && copy(&h->answer.body, &a->body, 1024);
}

static void finish(struct held *h, const struct answer *a)
{
    h->reply(h->ctx, a);
    drop_answer(h);
    changes_free(h->changes);
    free(h);
}

static void refuse(struct answer *a, hsm_err err)
{
    bool again = err != HSM_E_CONFLICT && hsm_err_http(err) >= 500;
    if (again)
        answer_header(a, "Retry-After", "1");
    answer_error(a, again ? 503 : hsm_err_http(err), hsm_err_code(again ? HSM_E_UNAVAILABLE : err),
                 hsm_err_text(err));
}

static void run(struct held *h);

static void on_committed(void *ctx, hsm_err err)
{
    struct held *h = ctx;
    if (err == HSM_E_CONFLICT && h->runs < RUNS_MAX) {
        run(h);
        return;
    }
    if (err != HSM_OK)
        refuse(&h->answer, err);
    finish(h, &h->answer);
}

static void run(struct held *h)
{
    struct answer a;
    h->runs++;
    changes_reset(h->changes, h->fabric->state);
    fabric_route(h->fabric, h->http, h->now_ms, h->changes, &a);
    bool has_changes = a.status < 400 && !changes_empty(h->changes);
    bool kept = !has_changes || keep_answer(h, &a);
    if (!kept)
        refuse(&a, HSM_E_NOMEM);
    if (!has_changes || !kept) {
        finish(h, &a);
        return;
    }
    if (a.secret)
        fabric_wipe(h->fabric);
    state_commit(h->fabric->state, h->changes, on_committed, h);
}

/* Without memory for anything else. */
static void answer_nomem(struct fabric *f, fabric_reply_fn reply, void *ctx)
{
    struct answer a = {.headers = wr_of(f->header_buf, sizeof f->header_buf),
                       .body = wr_of(f->body_buf, sizeof f->body_buf)};
    answer_header(&a, "Content-Type", "application/json; charset=utf-8");
    refuse(&a, HSM_E_NOMEM);
    reply(ctx, &a);
}

static void on_fresh(void *ctx, hsm_err err)
{
    struct held *h = ctx;
    if (err == HSM_OK) {
        run(h);
        return;
    }
    struct fabric *f = h->fabric;
    struct answer a = {.headers = wr_of(f->header_buf, sizeof f->header_buf),
                       .body = wr_of(f->body_buf, sizeof f->body_buf)};
    answer_header(&a, "Content-Type", "application/json; charset=utf-8");
    refuse(&a, err);
    finish(h, &a);
}

void fabric_ask(struct fabric *f, const struct http_request *http, uint64_t now_ms,
                fabric_reply_fn reply, void *ctx)
{
    struct held *h = calloc(1, sizeof *h);
    struct changes *c = changes_new(f->state);
    if (h == NULL || c == NULL) {
        free(h);
        changes_free(c);
        answer_nomem(f, reply, ctx);
        return;
    }
    *h = (struct held){
        .fabric = f, .http = http, .now_ms = now_ms, .changes = c, .reply = reply, .ctx = ctx};
    state_fresh(f->state, on_fresh, h);
}

/* Into the fabric's own buffers, where it may be already. */
static void take_answer(void *ctx, const struct answer *a)
{
    struct fabric *f = ctx;
    f->answer = (struct answer){.status = a->status,
                                .secret = a->secret,
                                .headers = wr_of(f->header_buf, sizeof f->header_buf),
                                .body = wr_of(f->body_buf, sizeof f->body_buf)};
    f->answer.headers.n = a->headers.n;
    f->answer.body.n = a->body.n;
    memmove(f->header_buf, a->headers.p, a->headers.n);
    memmove(f->body_buf, a->body.p, a->body.n);
}

void fabric_answer(struct fabric *f, const struct http_request *http, uint64_t now_ms,
                   struct answer *ret)
{
    f->answer = (struct answer){0};
    fabric_ask(f, http, now_ms, take_answer, f);
    HSM_ASSERT(f->answer.status != 0);
    *ret = f->answer;
}
