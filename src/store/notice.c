/* What is committed, told at once. libraft's followers learn the commit index with the next entries
 * or the next heartbeat; a write that waits for all of them would wait for that. So the leader
 * sends a heartbeat of its own, through libraft's own connection, as soon as a commit is known:
 * an AppendEntries without entries whose previous entry is the committed one. It goes only to
 * followers that are known to hold that entry, which therefore never reject it. */
#include <stdlib.h>
#include "store/internal.h"

static void on_sent(struct raft_io_send *req, int status)
{
    (void)status;
    raft_free(req);
}

static void tell(struct store *s, const struct raft_server *v, raft_index commit)
{
    const struct raft_message m = {
        .type = RAFT_APPEND_ENTRIES,
        .server_id = v->id,
        .server_address = v->address,
        .append_entries = {.term = raft_current_term(&s->raft),
                           .prev_log_index = commit,
                           .prev_log_term = raft_current_term(&s->raft),
                           .leader_commit = commit},
    };
    struct raft_io_send *req = raft_malloc(sizeof *req);
    if (req && s->io.send(&s->io, req, &m, on_sent) != 0)
        raft_free(req);
}

/* A leader commits by counting entries of its own term only, so the entry at the commit index is of
 * this term, if it was committed since the election. */
static void tell_all(struct store *s)
{
    raft_index commit = raft_commit_index(&s->raft);
    if (commit < s->cl.first_of_term)
        return;
    bool all = true;
    const struct raft_configuration *c = &s->raft.configuration;
    for (unsigned i = 0; i < c->n && i < STORE_MEMBERS_MAX; i++) {
        raft_index match;
        if (c->servers[i].id == s->node_id || s->cl.told[i] >= commit)
            continue;
        if (raft_match_index(&s->raft, c->servers[i].id, &match) == 0 && match >= commit) {
            tell(s, &c->servers[i], commit);
            s->cl.told[i] = commit;
        } else {
            all = false;
        }
    }
    s->cl.all_told = all ? commit : 0;
}

static void on_prepare(uv_prepare_t *h)
{
    struct store *s = h->data;
    if (s->phase != STORE_STARTED || s->failed != HSM_OK)
        return;
    if (!raftlog_is_leader(s)) {
        s->cl.first_of_term = 0;
        return;
    }
    if (s->cl.first_of_term == 0 || s->cl.term_led != raft_current_term(&s->raft)) {
        s->cl.term_led = raft_current_term(&s->raft);
        memset(s->cl.told, 0, sizeof s->cl.told);
        s->cl.first_of_term = raft_last_index(&s->raft) + 1;
        s->cl.all_told = 0;
    }
    if (raft_commit_index(&s->raft) != s->cl.all_told)
        tell_all(s);
}

void notice_start(struct store *s)
{
    (void)uv_prepare_start(&s->cl.notice, on_prepare);
}
