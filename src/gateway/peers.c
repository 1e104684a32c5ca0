#include "gateway/peers.h"

#include <stdlib.h>
#include "base/clock.h"
#include "base/log.h"
#include "gateway/peers_join.h"
#include "wire/lease.h"

#define ASKED_MAX 64u

/* Of the leader: until when a member may answer from its state, and how far that is. */
struct member {
    uint64_t id;          /* 0: free */
    uint64_t lease_until; /* ms */
    uint64_t applied;
    uint64_t owes; /* to have applied this before it gets another lease */
};

/* A proof that the own boundary was asked for. */
struct asked {
    struct uuid nonce;
    uint64_t by; /* node; 0: free */
};

struct peers {
    struct control *control;
    struct store *store;
    struct peers_join *join;
    uint64_t self;
    uint64_t term;     /* in which this node leads; 0: it does not */
    uint64_t applied;  /* by the own boundary */
    uint64_t told;     /* applied, to the leader */
    uint64_t told_to;  /* node */
    uint64_t told_in;  /* term: one that leads anew has forgotten it */
    uint64_t released; /* as far as this node knows */
    uint64_t spread;   /* released, to the others */
    struct member member[STORE_MEMBERS_MAX];
    uint64_t known[STORE_MEMBERS_MAX]; /* members at the last look */
    size_t known_n;
    uint64_t gone_until;    /* ms: one that left, whoever led then, has no lease any more */
    uint64_t holders_until; /* ms: of the leader; others than the members may hold one until then */
    struct asked asked[ASKED_MAX];
    size_t asked_at;
    uv_timer_t expiry;
    uv_check_t turn; /* after each poll: what piled up goes out together, before the loop sleeps */
    bool is_stopping;
};

static uint64_t now_ms(void)
{
    return clock_mono_us() / 1000;
}

static struct member *member_of(struct peers *p, uint64_t id, bool make)
{
    struct member *free_one = NULL;
    for (size_t i = 0; i < STORE_MEMBERS_MAX; i++) {
        if (p->member[i].id == id)
            return &p->member[i];
        /* One that left keeps its place as long as its lease may last. */
        if (p->member[i].lease_until < now_ms() && (free_one == NULL || free_one->id != 0))
            free_one = &p->member[i];
    }
    if (!make || free_one == NULL)
        return NULL;
    *free_one = (struct member){.id = id};
    return free_one;
}

static void send_u64(struct peers *p, uint64_t to, uint16_t type, uint64_t value)
{
    uint8_t b[8];
    be64_put(b, value);
    (void)!store_send(p->store, to, type,
                      bytes_of(b, sizeof b)); /* repeated when a link comes up */
}

static bool is_among(uint64_t id, const struct store_member *m, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (m[i].id == id)
            return true;
    return false;
}

/* Every node notes when somebody left: the next leader must know, and it may be this one. */
static size_t look_at_members(struct peers *p, struct store_member m[STORE_MEMBERS_MAX])
{
    size_t n = store_members(p->store, m);
    for (size_t i = 0; i < p->known_n; i++)
        if (!is_among(p->known[i], m, n))
            p->gone_until = now_ms() + LEASE_MS + LEASE_DRIFT_MS;
    for (size_t i = 0; i < n; i++)
        p->known[i] = m[i].id;
    p->known_n = n;
    return n;
}

/* Leases that the leader before gave are not known: everybody may hold one, and so may a member
 * that has left since. */
static void begin_to_lead(struct peers *p)
{
    struct store_member m[STORE_MEMBERS_MAX];
    uint64_t until = now_ms() + LEASE_MS + LEASE_DRIFT_MS;
    size_t n = look_at_members(p, m);
    p->spread = 0;
    p->holders_until = p->gone_until;
    for (size_t i = 0; i < n; i++) {
        struct member *k = member_of(p, m[i].id, true);
        if (k != NULL)
            *k = (struct member){.id = m[i].id, .lease_until = until};
    }
}

/* Asked anew each time: what was true a moment ago does not count, nor does an earlier term. */
static bool leads(struct peers *p)
{
    uint64_t term = p->store != NULL ? store_term_led(p->store) : 0;
    if (term != 0 && term != p->term)
        begin_to_lead(p);
    p->term = term;
    return term != 0;
}

/* ---- released writes ---- */

static void set_released(struct peers *p, uint64_t index)
{
    uint8_t b[8];
    if (index <= p->released)
        return;
    p->released = index;
    struct wr w = wr_of(b, sizeof b);
    const struct wire_released m = {.index = index};
    wire_released_put(&w, &m);
    control_send(p->control, CTL_RELEASED, 0, wr_view(&w));
}

static void on_expiry(uv_timer_t *t);

/* Leader: everything that is applied wherever a lease may still be held. */
static void judge(struct peers *p)
{
    uint64_t now = now_ms(), index = p->applied, wake = 0;
    if (!leads(p))
        return;
    if (p->holders_until >= now) {
        index = p->released;
        wake = p->holders_until;
    }
    for (size_t i = 0; i < STORE_MEMBERS_MAX; i++) {
        const struct member *m = &p->member[i];
        if (m->id == 0 || m->id == p->self || m->lease_until < now || m->applied >= index)
            continue;
        index = m->applied;
        if (wake == 0 || m->lease_until < wake)
            wake = m->lease_until;
    }
    set_released(p, index);
    if (wake != 0)
        (void)uv_timer_start(&p->expiry, on_expiry, wake - now + 1, 0);
}

static void tell_leader(struct peers *p)
{
    uint64_t leader = store_leader(p->store), term = store_term(p->store);
    if (p->applied == 0 || leader == 0 || leader == p->self ||
        (p->told == p->applied && p->told_to == leader && p->told_in == term))
        return;
    p->told = p->applied;
    p->told_to = leader;
    p->told_in = term;
    send_u64(p, leader, PEERS_APPLIED, p->applied);
}

static void spread_released(struct peers *p)
{
    struct store_member m[STORE_MEMBERS_MAX];
    if (!leads(p) || p->spread == p->released)
        return;
    p->spread = p->released;
    size_t n = store_members(p->store, m);
    for (size_t i = 0; i < n; i++)
        if (m[i].id != p->self)
            send_u64(p, m[i].id, PEERS_RELEASED, p->released);
}

static void turn(struct peers *p)
{
    struct store_member m[STORE_MEMBERS_MAX];
    if (p->store == NULL || p->is_stopping)
        return;
    (void)look_at_members(p, m);
    judge(p);
    spread_released(p);
    tell_leader(p);
}

static void on_turn(uv_check_t *h)
{
    turn(h->data);
}

static void on_expiry(uv_timer_t *t)
{
    turn(t->data);
}

void peers_applied(struct peers *p, uint64_t index)
{
    p->applied = index;
}

uint64_t peers_released(const struct peers *p)
{
    return p->released;
}

/* ---- leases ---- */

struct lease_request {
    struct peers *peers;
    uint64_t by;
    struct uuid nonce;
};

static void on_proved(void *ctx, hsm_err err, uint64_t index)
{
    struct lease_request *r = ctx;
    struct peers *p = r->peers;
    uint8_t buf[32];
    if (err == HSM_OK && !p->is_stopping) {
        struct wr w = wr_of(buf, sizeof buf);
        const struct wire_lease_sign m = {.nonce = r->nonce, .index = index};
        p->asked[p->asked_at] = (struct asked){.nonce = r->nonce, .by = r->by};
        p->asked_at = (p->asked_at + 1) % ASKED_MAX;
        wire_lease_sign_put(&w, &m);
        control_send(p->control, CTL_LEASE_SIGN, 0, wr_view(&w));
    }
    free(r);
}

static void ask_for_proof(struct peers *p, uint64_t by, const struct uuid *nonce)
{
    struct lease_request *r = malloc(sizeof *r);
    if (r == NULL)
        return;
    *r = (struct lease_request){.peers = p, .by = by, .nonce = *nonce};
    store_barrier(p->store, on_proved, r);
}

void peers_lease_want(struct peers *p, const struct uuid *nonce)
{
    if (p->store == NULL)
        return;
    uint64_t leader = store_leader(p->store);
    if (leads(p))
        ask_for_proof(p, p->self, nonce);
    else if (leader != 0)
        (void)!store_send(p->store, leader, PEERS_LEASE_ASK, bytes_of(nonce->b, sizeof nonce->b));
}

static bool is_member(struct peers *p, uint64_t id)
{
    struct store_member m[STORE_MEMBERS_MAX];
    return is_among(id, m, store_members(p->store, m));
}

static void give(struct peers *p, const struct wire_lease_proof *m)
{
    uint8_t buf[96];
    struct wr w = wr_of(buf, sizeof buf);
    wire_lease_proof_put(&w, m);
    control_send(p->control, CTL_LEASE_GRANT, 0, wr_view(&w));
}

/* The own boundary signed. The lease counts from when the other one asked, which was before now. */
void peers_lease_proof(struct peers *p, const struct wire_lease_proof *m)
{
    uint8_t buf[96];
    struct asked *a = NULL;
    for (size_t i = 0; i < ASKED_MAX && a == NULL; i++)
        if (p->asked[i].by != 0 && memcmp(p->asked[i].nonce.b, m->nonce.b, sizeof m->nonce.b) == 0)
            a = &p->asked[i];
    if (a == NULL)
        return;
    uint64_t by = a->by;
    *a = (struct asked){0};
    if (by == p->self) {
        give(p, m);
        return;
    }
    struct member *member = leads(p) && is_member(p, by) ? member_of(p, by, true) : NULL;
    /* What others wait for is not held up twice by one that does not get on. */
    if (member == NULL || member->applied < member->owes)
        return;
    member->owes = p->applied;
    member->lease_until = now_ms() + LEASE_MS + LEASE_DRIFT_MS;
    struct wr w = wr_of(buf, sizeof buf);
    wire_lease_proof_put(&w, m);
    (void)!store_send(p->store, by, PEERS_LEASE_PROOF, wr_view(&w));
    /* One that became a member since it was spread last knows nothing of it yet. */
    send_u64(p, by, PEERS_RELEASED, p->released);
}

/* ---- from other gateways ---- */

static bool take_u64(struct bytes payload, uint64_t *ret)
{
    struct rd r = rd_of(payload);
    return rd_u64(&r, ret) == HSM_OK && rd_end(&r) == HSM_OK;
}

static void take_ask(struct peers *p, uint64_t from, struct bytes payload)
{
    struct uuid nonce;
    if (payload.n != sizeof nonce.b || !leads(p))
        return;
    memcpy(nonce.b, payload.p, sizeof nonce.b);
    ask_for_proof(p, from, &nonce);
}

void peers_message(struct peers *p, uint64_t from, uint16_t type, struct bytes payload)
{
    struct wire_lease_proof proof;
    uint64_t index;
    if (type == PEERS_LEASE_ASK) {
        take_ask(p, from, payload);
    } else if (type == PEERS_LEASE_PROOF) {
        if (wire_lease_proof_decode(payload, &proof) == HSM_OK)
            give(p, &proof);
    } else if (type == PEERS_APPLIED) {
        struct member *m = leads(p) ? member_of(p, from, true) : NULL;
        if (m != NULL && take_u64(payload, &index))
            m->applied = index;
    } else if (type == PEERS_RELEASED) {
        if (!leads(p) && take_u64(payload, &index))
            set_released(p, index);
    } else {
        peers_join_message(p->join, from, type, payload);
    }
}

void peers_link(struct peers *p, uint64_t id, bool up)
{
    if (up)
        p->spread = p->told_to = 0; /* told again */
    else
        peers_join_lost(p->join, id);
}

void peers_net_data(struct peers *p, const struct wire_net_data *m)
{
    peers_join_data(p->join, m);
}

void peers_net_close(struct peers *p, const struct wire_net_close *m)
{
    peers_join_close(p->join, m);
}

/* ---- life ---- */

hsm_err peers_new(uv_loop_t *loop, struct control *c, uint64_t self, struct peers **ret)
{
    struct peers *p = calloc(1, sizeof *p);
    if (p == NULL)
        return HSM_E_NOMEM;
    p->control = c;
    p->self = self;
    if (peers_join_new(c, &p->join) != HSM_OK) {
        free(p);
        return HSM_E_NOMEM;
    }
    (void)uv_timer_init(loop, &p->expiry);
    (void)uv_check_init(loop, &p->turn);
    p->expiry.data = p;
    p->turn.data = p;
    (void)uv_check_start(&p->turn, on_turn);
    *ret = p;
    return HSM_OK;
}

void peers_set_store(struct peers *p, struct store *s)
{
    p->store = s;
    p->applied = store_loaded_index(s);
    p->gone_until = now_ms() + LEASE_MS + LEASE_DRIFT_MS; /* who left while this node was away */
    peers_join_set_store(p->join, s);
}

void peers_stop(struct peers *p)
{
    if (p == NULL || p->is_stopping)
        return;
    p->is_stopping = true;
    p->store = NULL;
    uv_close((uv_handle_t *)&p->expiry, NULL);
    uv_close((uv_handle_t *)&p->turn, NULL);
}

void peers_free(struct peers *p)
{
    if (p == NULL)
        return;
    peers_join_free(p->join);
    free(p);
}
