/* A member whose log is shorter than what it said it had: its disk was put back to an earlier day.
 *
 * libraft does not expect that. A leader that saw a member store an entry never sends the entry
 * again, so such a member would stay behind for as long as this leader leads. The next one asks
 * what the member has and sends the rest. So the lead is given away to a member that has all. */
#include "base/log.h"
#include "store/internal.h"

#define SEEN_TIMES 5u /* what was under way when a connection broke does not count */

static struct rewound_member *member_of(struct store *s, uint64_t id)
{
    struct rewound_member *m = s->cl.rewound;
    for (size_t i = 0; i < STORE_MEMBERS_MAX; i++)
        if (m[i].id == id || m[i].id == 0) {
            m[i].id = id;
            return &m[i];
        }
    return NULL;
}

static void give_away(struct store *s, uint64_t id)
{
    const struct raft_configuration *c = &s->raft.configuration;
    for (unsigned i = 0; i < c->n; i++) {
        uint64_t to = c->servers[i].id;
        if (to == id || to == s->node_id || c->servers[i].role != RAFT_VOTER ||
            !peer_net_up(s->cl.net, to) || store_transfer(s, to) != HSM_OK)
            continue;
        log_warn("partition %llu lost entries that it had stored (an old copy of its disk?): "
                 "partition %llu shall lead and send them again",
                 (unsigned long long)id - 1, (unsigned long long)to - 1);
        return;
    }
}

static void look(struct store *s, uint64_t id, const struct raft_append_entries_result *r)
{
    uint64_t term = store_term_led(s);
    struct rewound_member *m = member_of(s, id);
    if (m == NULL || term == 0 || r->term != term)
        return;
    if (m->term != term)
        *m = (struct rewound_member){.id = id, .term = term};
    if (r->last_log_index >= m->stored) {
        m->times = 0;
        if (r->rejected == 0)
            m->stored = r->last_log_index;
    } else if (++m->times >= SEEN_TIMES) {
        m->times = 0;
        give_away(s, id);
    }
}

static void on_recv(struct raft_io *io, struct raft_message *m)
{
    struct store *s = (struct store *)(void *)((char *)io - offsetof(struct store, io));
    if (m->type == RAFT_APPEND_ENTRIES_RESULT)
        look(s, m->server_id, &m->append_entries_result);
    s->cl.io_recv(io, m);
}

int rewound_io_start(struct raft_io *io, unsigned ms, raft_io_tick_cb tick, raft_io_recv_cb recv)
{
    struct store *s = (struct store *)(void *)((char *)io - offsetof(struct store, io));
    s->cl.io_recv = recv;
    return s->cl.io_start(io, ms, tick, on_recv);
}
