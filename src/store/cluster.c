/* The store of a pool of several partitions: links to the other members, how a node becomes one,
 * proposals that go to the leader. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/log.h"
#include "store/internal.h"
#include "store/logentry.h"

#define ADD_EVERY_MS       50
#define FORWARD_WAIT_MS    10000
#define PROMOTION_PAUSE_MS 3000
#define REFUSED_LEN        2

/* ---- who was removed: a file with a line for each, it outlives restarts ---- */

static void gone_path(const struct store *s, char *dst, size_t cap)
{
    snprintf(dst, cap, "%s-gone", s->dir.log);
}

static void gone_load(struct store *s)
{
    char path[4200], line[32];
    gone_path(s, path, sizeof path);
    FILE *f = fopen(path, "re");
    if (!f)
        return;
    while (s->cl.gone_n < sizeof s->cl.gone / sizeof s->cl.gone[0] && fgets(line, sizeof line, f))
        s->cl.gone[s->cl.gone_n++] = strtoull(line, NULL, 10);
    (void)fclose(f);
}

bool cluster_is_gone(const struct store *s, uint64_t id)
{
    for (size_t i = 0; i < s->cl.gone_n; i++)
        if (s->cl.gone[i] == id)
            return true;
    return false;
}

static void gone_add(struct store *s, uint64_t id)
{
    char path[4200], line[32];
    if (cluster_is_gone(s, id) || s->cl.gone_n == sizeof s->cl.gone / sizeof s->cl.gone[0])
        return;
    s->cl.gone[s->cl.gone_n++] = id;
    gone_path(s, path, sizeof path);
    int n = snprintf(line, sizeof line, "%llu\n", (unsigned long long)id);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || write(fd, line, (size_t)n) != n || fsync(fd) != 0)
        log_warn("%s cannot be written: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
}

/* ---- sending ---- */

/* Whoever does not get it asks again, or is asked again. */
void cluster_send(struct store *s, uint64_t to, uint16_t type, struct bytes payload)
{
    (void)!peer_send(s->cl.net, to, type, 0, payload);
}

hsm_err store_send(struct store *s, uint64_t to, uint16_t type, struct bytes payload)
{
    if (!s->cl.net || s->phase != STORE_STARTED)
        return HSM_E_UNAVAILABLE;
    return peer_send(s->cl.net, to, type, 0, payload);
}

/* ---- members ---- */

static const struct raft_server *server_of(const struct store *s, uint64_t id)
{
    if (s->raft_phase != RAFT_PHASE_OPEN)
        return NULL;
    const struct raft_configuration *c = &s->raft.configuration;
    for (unsigned i = 0; i < c->n; i++)
        if (c->servers[i].id == id)
            return &c->servers[i];
    return NULL;
}

size_t store_members(struct store *s, struct store_member ret[STORE_MEMBERS_MAX])
{
    if (s->raft_phase != RAFT_PHASE_OPEN)
        return 0;
    const struct raft_configuration *c = &s->raft.configuration;
    size_t n = c->n < STORE_MEMBERS_MAX ? c->n : STORE_MEMBERS_MAX;
    for (size_t i = 0; i < n; i++) {
        const struct raft_server *v = &c->servers[i];
        ret[i] = (struct store_member){
            .id = v->id,
            .role = v->role == RAFT_VOTER ? STORE_VOTER : STORE_SPARE,
            .linked = v->id == s->node_id || (s->cl.net && peer_net_up(s->cl.net, v->id)),
        };
        snprintf(ret[i].address, sizeof ret[i].address, "%s", v->address);
    }
    return n;
}

uint64_t cluster_leader(const struct store *s)
{
    raft_id id = 0;
    const char *address;
    if (s->raft_phase == RAFT_PHASE_OPEN)
        raft_leader((struct raft *)(uintptr_t)&s->raft, &id, &address);
    return id;
}

uint64_t store_leader(const struct store *s)
{
    return cluster_leader(s);
}

uint64_t store_term_led(const struct store *s)
{
    bool leads = s->raft_phase == RAFT_PHASE_OPEN && s->failed == HSM_OK &&
                 raft_state((struct raft *)(uintptr_t)&s->raft) == RAFT_LEADER;
    return leads ? raft_current_term(&s->raft) : 0;
}

uint64_t store_term(const struct store *s)
{
    return s->raft_phase == RAFT_PHASE_OPEN ? raft_current_term(&s->raft) : 0;
}

/* Dial whoever is a member now; a member that is none any more was removed. */
static void follow_members(struct store *s)
{
    uint64_t before[STORE_MEMBERS_MAX];
    size_t n = 0;
    if (s->raft_phase != RAFT_PHASE_OPEN)
        return;
    for (size_t i = 0; i < s->cl.known_n; i++)
        before[n++] = s->cl.known[i];
    const struct raft_configuration *c = &s->raft.configuration_committed;
    s->cl.known_n = 0;
    for (unsigned i = 0; i < c->n && s->cl.known_n < STORE_MEMBERS_MAX; i++) {
        s->cl.known[s->cl.known_n++] = c->servers[i].id;
        if (!cluster_is_gone(s, c->servers[i].id) &&
            peer_net_set_address(s->cl.net, c->servers[i].id, c->servers[i].address) != HSM_OK)
            /* a pool that began as one partition: the settings have its address, or nobody does */
            log_debug("member %llu has no usable address", (unsigned long long)c->servers[i].id);
    }
    for (size_t i = 0; i < n; i++) {
        if (server_of(s, before[i]))
            continue;
        log_info("partition %llu is no member any more", (unsigned long long)before[i] - 1);
        gone_add(s, before[i]);
        cluster_send(s, before[i], MSG_GONE, bytes_str(""));
        peer_net_forget(s->cl.net, before[i]);
    }
}

static void on_changed(struct raft_change *req, int status)
{
    struct store *s = req->data;
    s->cl.changing = false;
    if (status != 0)
        log_info("a change of members did not happen: %s", raft_strerror(status));
    else if (s->cl.promote != 0)
        s->cl.promoting = s->cl.promote;
    s->cl.promote = 0;
}

static bool change_begin(struct store *s)
{
    if (s->cl.changing || !raftlog_is_leader(s))
        return false;
    s->cl.change.data = s;
    return s->cl.changing = true;
}

static void promote(struct store *s, uint64_t id)
{
    const struct raft_server *v = server_of(s, id);
    if (!v || v->role == RAFT_VOTER || uv_now(s->loop) < s->cl.no_promotion_until ||
        !change_begin(s))
        return;
    if (raft_assign(&s->raft, &s->cl.change, id, RAFT_VOTER, on_changed) != 0)
        s->cl.changing = false;
}

static void add(struct store *s, uint64_t id, const char *address)
{
    const struct raft_server *v = server_of(s, id);
    if (cluster_is_gone(s, id)) {
        cluster_send(s, id, MSG_GONE, bytes_str(""));
        return;
    }
    if (v) {
        promote(s, id);
        return;
    }
    if (!change_begin(s))
        return;
    log_info("partition %llu joins at %s", (unsigned long long)id - 1, address);
    s->cl.promote = id;
    if (raft_add(&s->raft, &s->cl.change, id, address, on_changed) != 0) {
        s->cl.changing = false;
        s->cl.promote = 0;
    }
}

static void take_add(struct store *s, uint64_t from, struct bytes payload)
{
    struct rd r = rd_of(payload);
    struct bytes address;
    char text[128];
    if (rd_lv(&r, sizeof text - 1, &address) != HSM_OK || rd_end(&r) != HSM_OK ||
        !raftlog_is_leader(s))
        return;
    snprintf(text, sizeof text, "%.*s", (int)address.n, (const char *)address.p);
    add(s, from, text);
}

/* Until we vote: ask everybody, only the leader acts. */
static void ask_to_be_added(struct store *s, uint64_t now)
{
    uint8_t buf[160];
    const struct raft_server *self = server_of(s, s->node_id);
    if (!s->cl.join || (self && self->role == RAFT_VOTER) || now - s->cl.asked_at < ADD_EVERY_MS)
        return;
    s->cl.asked_at = now;
    struct wr w = wr_of(buf, sizeof buf);
    wr_lv(&w, bytes_str(s->address));
    for (size_t i = 0; i < s->cl.seeds.n; i++)
        cluster_send(s, s->cl.seeds.seed[i].id, MSG_ADD, wr_view(&w));
    struct store_member m[STORE_MEMBERS_MAX];
    size_t n = store_members(s, m);
    for (size_t i = 0; i < n; i++)
        if (m[i].id != s->node_id)
            cluster_send(s, m[i].id, MSG_ADD, wr_view(&w));
}

hsm_err store_remove(struct store *s, uint64_t id)
{
    if (!s->cl.net || !raftlog_is_leader(s))
        return HSM_E_UNAVAILABLE;
    if (!server_of(s, id))
        return HSM_E_NOT_FOUND;
    if (!change_begin(s)) {
        /* One that never catches up would ask for its vote again and again. */
        s->cl.no_promotion_until = uv_now(s->loop) + PROMOTION_PAUSE_MS;
        return HSM_E_CONFLICT;
    }
    if (raft_remove(&s->raft, &s->cl.change, id, on_changed) == 0)
        return HSM_OK;
    s->cl.changing = false;
    return HSM_E_CONFLICT;
}

static void on_transferred(struct raft_transfer *req)
{
    struct store *s = req->data;
    s->cl.transferring = false;
}

hsm_err store_transfer(struct store *s, uint64_t id)
{
    if (!s->cl.net || !raftlog_is_leader(s))
        return HSM_E_UNAVAILABLE;
    if (id != 0 && !server_of(s, id))
        return HSM_E_NOT_FOUND;
    if (s->cl.transferring)
        return HSM_E_CONFLICT;
    s->cl.transferring = true;
    s->cl.transfer.data = s;
    if (raft_transfer(&s->raft, &s->cl.transfer, id, on_transferred) == 0)
        return HSM_OK;
    s->cl.transferring = false;
    return HSM_E_CONFLICT;
}

/* ---- proposals that go to the leader ---- */

static void forwarded_remove(struct store *s, struct proposal *p)
{
    if (p->next)
        p->next->prev = p->prev;
    if (p->prev)
        p->prev->next = p->next;
    else
        s->cl.forwarded = p->next;
    p->next = p->prev = NULL;
}

bool cluster_forward(struct store *s, struct proposal *p)
{
    uint64_t leader = s->cl.net ? cluster_leader(s) : 0;
    uint64_t durable;
    struct bytes txn;
    if (leader == 0 || leader == s->node_id ||
        logentry_decode(bytes_of(p->buf.base, p->buf.len), &durable, &txn) != HSM_OK ||
        peer_send(s->cl.net, leader, MSG_PROPOSE, 0, txn) != HSM_OK)
        return false;
    p->sent_to = leader;
    if (p->sent_at == 0)
        p->sent_at = uv_now(s->loop) + 1;
    p->prev = NULL;
    p->next = s->cl.forwarded;
    if (p->next)
        p->next->prev = p;
    s->cl.forwarded = p;
    return true;
}

void cluster_applied(struct store *s, const uint8_t txn[16])
{
    for (struct proposal *p = s->cl.forwarded; p; p = p->next) {
        if (memcmp(p->txn, txn, sizeof p->txn) != 0)
            continue;
        forwarded_remove(s, p);
        propose_finish(p, HSM_OK);
        return;
    }
}

/* Proposed again, to whoever leads now: should it have been committed already, then the second one
 * is rejected by its revisions. */
static void take_back_from(struct store *s, uint64_t node, bool from_others)
{
    struct proposal *next;
    for (struct proposal *p = s->cl.forwarded; p; p = next) {
        next = p->next;
        if ((p->sent_to == node) == from_others)
            continue;
        forwarded_remove(s, p);
        propose_take_back(s, p);
    }
}

static void expire_forwarded(struct store *s, uint64_t now)
{
    struct proposal *next;
    for (struct proposal *p = s->cl.forwarded; p; p = next) {
        next = p->next;
        if (now + 1 - p->sent_at < FORWARD_WAIT_MS)
            continue;
        forwarded_remove(s, p);
        propose_finish(p, HSM_E_UNAVAILABLE);
    }
}

static void take_refused(struct store *s, struct bytes payload)
{
    struct rd r = rd_of(payload);
    struct bytes txn;
    uint16_t err;
    if (rd_bytes(&r, 16, &txn) != HSM_OK || rd_u16(&r, &err) != HSM_OK || rd_end(&r) != HSM_OK)
        return;
    for (struct proposal *p = s->cl.forwarded; p; p = p->next) {
        if (memcmp(p->txn, txn.p, txn.n) != 0)
            continue;
        forwarded_remove(s, p);
        if (err == HSM_E_DISK_FULL)
            propose_finish(p, HSM_E_DISK_FULL);
        else
            propose_take_back(s, p);
        return;
    }
}

/* ---- the leader's side ---- */

struct served {
    struct store *store;
    uint64_t from;
    uint8_t txn[16];
};

static void on_served(void *ctx, hsm_err err)
{
    struct served *v = ctx;
    uint8_t buf[18];
    struct wr w = wr_of(buf, sizeof buf);
    wr_bytes(&w, v->txn, sizeof v->txn);
    wr_u16(&w, (uint16_t)err);
    /* A proposal that was committed shows in the log; one whose fate is not known is tried again.
     */
    if (err != HSM_OK && v->store->cl.net && v->store->phase == STORE_STARTED)
        cluster_send(v->store, v->from, MSG_REFUSED, wr_view(&w));
    free(v);
}

static void take_proposal(struct store *s, uint64_t from, struct bytes txn)
{
    struct served *v = calloc(1, sizeof *v);
    if (!v || txn.n < sizeof v->txn) {
        free(v);
        return;
    }
    *v = (struct served){.store = s, .from = from};
    memcpy(v->txn, txn.p, sizeof v->txn);
    if (!raftlog_is_leader(s)) {
        on_served(v, HSM_E_UNAVAILABLE);
        return;
    }
    hsm_err err = store_propose(s, txn, on_served, v);
    if (err != HSM_OK)
        on_served(v, err);
}

/* ---- links ---- */

static void on_message(void *ctx, uint64_t from, uint16_t type, uint64_t seq, struct bytes payload)
{
    struct store *s = ctx;
    (void)seq;
    if (s->phase != STORE_STARTED || s->failed != HSM_OK)
        return;
    if (type >= STORE_MESSAGE_MIN) {
        if (s->cb.message)
            s->cb.message(s->cb.ctx, from, type, payload);
        return;
    }
    if (type == MSG_PROPOSE && server_of(s, from))
        take_proposal(s, from, payload);
    else if (type == MSG_REFUSED)
        take_refused(s, payload);
    else if (type == MSG_ADD)
        take_add(s, from, payload);
    else if (type == MSG_GONE && server_of(s, from))
        store_fail(s, HSM_E_DENIED, "This partition was removed from its pool.");
    else if ((type != MSG_FETCH && type != MSG_PART) || server_of(s, from))
        fetch_message(s, from, type, payload); /* only members get the state */
}

static void on_up(void *ctx, uint64_t id)
{
    struct store *s = ctx;
    if (s->cb.link)
        s->cb.link(s->cb.ctx, id, true);
    uv_async_send(&s->wake);
}

static void on_down(void *ctx, uint64_t id)
{
    struct store *s = ctx;
    take_back_from(s, id, false);
    fetch_link_down(s, id);
    if (s->cb.link)
        s->cb.link(s->cb.ctx, id, false);
}

static bool is_allowed(void *ctx, uint64_t id, bool is_raft)
{
    const struct store *s = ctx;
    return !cluster_is_gone(s, id) && (!is_raft || server_of(s, id) || s->cl.join);
}

hsm_err cluster_open(struct store *s, const struct store_config *cfg, char *text, size_t cap)
{
    const struct store_peers *p = cfg->peers;
    const struct peer_config peer = {.self = cfg->node_id,
                                     .pool = p->pool,
                                     .listen = p->listen,
                                     .cert = p->cert,
                                     .key = p->key,
                                     .ca = p->ca};
    const struct peer_handlers h = {
        .ctx = s, .message = on_message, .up = on_up, .down = on_down, .allowed = is_allowed};
    s->cl.join = p->join;
    if (seeds_parse(p->seeds, &s->cl.seeds) != HSM_OK) {
        snprintf(text, cap, "The list of peers is not \"1=host:port,2=host:port\".");
        return HSM_E_BAD_PARAMETER;
    }
    gone_load(s);
    TRY(peer_net_open(s->loop, &peer, &h, &s->cl.net, text, cap));
    for (size_t i = 0; i < s->cl.seeds.n; i++) {
        if (cluster_is_gone(s, s->cl.seeds.seed[i].id))
            continue;
        hsm_err err =
            peer_net_set_address(s->cl.net, s->cl.seeds.seed[i].id, s->cl.seeds.seed[i].address);
        if (err != HSM_OK) {
            snprintf(text, cap, "The address of a peer is not of use: %s.",
                     s->cl.seeds.seed[i].address);
            return err;
        }
    }
    return HSM_OK;
}

void cluster_tick(struct store *s)
{
    uint64_t now = uv_now(s->loop);
    uint64_t leader = cluster_leader(s);
    follow_members(s);
    ask_to_be_added(s, now);
    expire_forwarded(s, now);
    fetch_tick(s);
    if (s->cl.promoting != 0 && !s->cl.changing) {
        uint64_t id = s->cl.promoting;
        s->cl.promoting = 0;
        promote(s, id);
    }
    if (leader == s->cl.leader)
        return;
    s->cl.leader = leader;
    if (leader != 0)
        take_back_from(s, leader, true);
    uv_async_send(&s->wake);
}

bool cluster_is_voter(const struct store *s)
{
    const struct raft_server *v = server_of(s, s->node_id);
    return v && v->role == RAFT_VOTER;
}

struct closing {
    struct store *store;
    void (*done)(void *ctx);
};

static void on_net_closed(void *ctx)
{
    struct closing c = *(struct closing *)ctx;
    free(ctx);
    c.store->cl.net = NULL;
    c.store->cl.closing = false;
    c.store->cl.closed = true;
    c.done(c.store);
}

void cluster_close(struct store *s, void (*done)(void *ctx))
{
    while (s->cl.forwarded) {
        struct proposal *p = s->cl.forwarded;
        forwarded_remove(s, p);
        propose_finish(p, HSM_E_UNAVAILABLE);
    }
    barrier_fail(s);
    struct closing *c = malloc(sizeof *c);
    if (!c) {
        s->cl.closed = true; /* the process ends */
        done(s);
        return;
    }
    *c = (struct closing){s, done};
    s->cl.closing = true;
    peer_net_close(s->cl.net, on_net_closed, c);
}
