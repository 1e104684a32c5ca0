/* Which connection becomes the link is decided by the member with the smaller id alone: it sends
 * CONFIRM on the first one that gets as far, and closes the others. The one with the larger id
 * answers a hello with WELCOME and follows. So simultaneous dials cannot end in two links or in
 * none. */
#include "base/log.h"
#include "store/peer_internal.h"

/* A link that was heard of so recently is no remainder of the other side's former life. */
#define LIVELY_MS 300

hsm_err peer_link_queue(struct peer_conn *c, uint16_t type, uint64_t seq, struct bytes payload)
{
    if (!peer_buf_reserve(&c->out, PEER_FRAME_HEAD + payload.n))
        return HSM_E_NOMEM;
    peer_frame_head(c->out.p + c->out.n, type, seq, payload.n);
    if (payload.n > 0)
        memcpy(c->out.p + c->out.n + PEER_FRAME_HEAD, payload.p, payload.n);
    c->out.n += PEER_FRAME_HEAD + payload.n;
    c->dirty = true;
    peer_net_soon(c->net);
    return HSM_OK;
}

static bool say(struct peer_conn *c, enum peer_control what, struct bytes payload)
{
    if (peer_link_queue(c, (uint16_t)what, 0, payload) == HSM_OK)
        return true;
    peer_conn_close(c, "out of memory", true);
    return false;
}

static bool say_only(struct peer_conn *c, enum peer_control what)
{
    return say(c, what, bytes_of(NULL, 0));
}

static bool is_allowed(struct peer_conn *c)
{
    const struct peer_handlers *h = &c->net->h;
    if (h->allowed == NULL || h->allowed(h->ctx, c->peer->id, c->is_raft))
        return true;
    peer_conn_close(c, "it is not a member of the pool", true);
    return false;
}

void peer_link_hello(struct peer_conn *c)
{
    uint8_t buf[PEER_HELLO_MAX];
    if (!c->is_raft && !is_allowed(c))
        return;
    if (c->state != PEER_OFFERED)
        return;
    size_t n = peer_hello_make(buf, c->is_raft ? c->net->raft_address : "");
    (void)say(c, c->is_raft ? PEER_HELLO_RAFT : PEER_HELLO_LINK, bytes_of(buf, n));
}

/* ---- the decision ---- */

/* It is the link, unless a handler ended it at once. */
static void become_link(struct peer_conn *c)
{
    struct peer *p = c->peer;
    struct peer_net *net = c->net;
    struct peer_conn *other = p->dial;
    net->new_n -= !c->dialled;
    c->state = PEER_LINK;
    c->deadline = 0;
    c->heard_at = c->sent_at = peer_now();
    p->dial = NULL;
    if (other != NULL && other != c)
        peer_conn_close(other, NULL, false);
    if (p->link != NULL)
        peer_conn_close(p->link, NULL, false);
    if (c->state != PEER_LINK)
        return;
    p->link = c;
    p->up_at = c->heard_at;
    p->fails = 0;
    p->reason[0] = '\0';
    p->logged = false;
    peer_net_wake(net, c->sent_at + PEER_PING_MS);
    log_info("The link with partition %llu is up.", (unsigned long long)p->id - 1);
    net->h.up(net->h.ctx, p->id);
}

static void decide(struct peer_conn *c)
{
    const struct peer_conn *link = c->peer->link;
    if (link != NULL && peer_now() - link->heard_at < LIVELY_MS)
        peer_conn_close(c, NULL, false);
    else if (say_only(c, PEER_CONFIRM))
        become_link(c);
}

static void on_hello(struct peer_conn *c, const struct peer_frame *f)
{
    char address[PEER_ADDRESS_CAP];
    bool alone = peer_buf_len(&c->in) == 0;
    if (peer_hello_parse(f, address) != HSM_OK || !alone) {
        peer_conn_close(c, "malformed hello", true);
        return;
    }
    c->is_raft = f->type == PEER_HELLO_RAFT;
    if (!is_allowed(c) || c->state != PEER_HELLO)
        return;
    if (c->is_raft) {
        if (c->net->accept_cb == NULL)
            peer_conn_close(c, NULL, false);
        else if (say_only(c, PEER_CONFIRM))
            peer_stream_open(c, address);
    } else if (c->net->self < c->peer->id) {
        decide(c);
    } else if (say_only(c, PEER_WELCOME)) {
        c->state = PEER_OFFERED;
    }
}

static void on_answer(struct peer_conn *c)
{
    if (c->is_raft)
        peer_stream_open(c, NULL);
    else if (c->net->self < c->peer->id)
        decide(c);
    else
        become_link(c);
}

/* What may come in the state OFFERED. */
static uint16_t awaited(const struct peer_conn *c)
{
    return !c->is_raft && c->net->self < c->peer->id ? PEER_WELCOME : PEER_CONFIRM;
}

static void on_frame(struct peer_conn *c, const struct peer_frame *f)
{
    struct peer_net *net = c->net;
    if (c->state == PEER_LINK && f->type <= PEER_TYPE_MAX)
        net->h.message(net->h.ctx, c->peer->id, f->type, f->seq, f->payload);
    else if (c->state == PEER_LINK && f->type == PEER_PING)
        ;
    else if (c->state == PEER_HELLO && (f->type == PEER_HELLO_LINK || f->type == PEER_HELLO_RAFT))
        on_hello(c, f);
    else if (c->state == PEER_OFFERED && f->type == awaited(c))
        on_answer(c);
    else
        peer_conn_close(c, "frame out of turn", true);
}

/* ---- input ---- */

/* All complete frames; returns how many bytes the one that has begun lacks. */
static size_t parse(struct peer_conn *c)
{
    struct peer_frame f;
    size_t total = PEER_FRAME_HEAD;
    while (c->state >= PEER_HELLO && c->state <= PEER_LINK) {
        size_t have = peer_buf_len(&c->in);
        hsm_err err = peer_frame_parse(bytes_of(c->in.p + c->in.off, have), &f, &total);
        if (err == HSM_E_AGAIN)
            return total - have;
        if (err != HSM_OK) {
            peer_conn_close(c, "malformed frame", true);
            break;
        }
        peer_buf_take(&c->in, total);
        on_frame(c, &f);
    }
    return 0;
}

void peer_link_input(struct peer_conn *c)
{
    size_t budget = PEER_TURN_BYTES;
    size_t lacking = PEER_FRAME_HEAD;
    if (peer_buf_len(&c->in) > 0)
        lacking = parse(c);
    while (c->readable && budget > 0 && c->state >= PEER_HELLO && c->state <= PEER_LINK) {
        if (!peer_buf_reserve(&c->in, lacking)) {
            peer_conn_close(c, "out of memory", true);
            return;
        }
        size_t n = peer_conn_read(c, budget);
        if (n == 0)
            break;
        budget -= n;
        lacking = parse(c);
    }
    if (c->state == PEER_CLOSED || c->state == PEER_STREAM)
        return;
    c->kick = c->readable;
    if (c->remote_eof)
        peer_conn_close(c, "the other side closed the connection", c->state == PEER_LINK);
}

void peer_link_tick(struct peer_conn *c, uint64_t now)
{
    if (now >= c->heard_at + PEER_SILENCE_MS) {
        c->readable = true; /* it may have been us who did not listen */
        peer_conn_drive(c);
        if (c->state == PEER_LINK && now >= c->heard_at + PEER_SILENCE_MS) {
            struct peer *p = c->peer;
            peer_stream_close_all(c->net, p);
            peer_conn_close(c, "nothing was heard from it for a second", true);
        }
    }
    if (c->state != PEER_LINK)
        return;
    bool idle = peer_buf_len(&c->out) == 0;
    if (idle && now >= c->sent_at + PEER_PING_MS && !say_only(c, PEER_PING))
        return;
    uint64_t ping_at =
        idle && c->sent_at + PEER_PING_MS > now ? c->sent_at + PEER_PING_MS : now + PEER_PING_MS;
    uint64_t silent_at = c->heard_at + PEER_SILENCE_MS;
    peer_net_wake(c->net, ping_at < silent_at ? ping_at : silent_at);
}
