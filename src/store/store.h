/* The replicated store of sealed records: a log (libraft) and an applied state (LMDB).
 *
 * The store sees only record ids (32-byte keyed hashes), revisions and sealed bytes; all of them
 * come inside transactions (struct wire_txn in wire/messages.def) that a boundary made. A
 * transaction commits through the log; applying it is deterministic: every operation must name the
 * revision that the record has now (0: absent), the new revision must be larger, and a record that
 * is created must get a revision above every revision ever removed (the floor) — otherwise the
 * whole transaction is rejected. The rule itself is model/revision.h, shared with the boundary.
 *
 * Everything runs on the loop's thread that was given to store_open(), but store_propose(), which
 * is thread-safe. One code path for 1 and for 3 voters. */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <uv.h>
#include "base/bytes.h"

#define STORE_RID_LEN    32
#define STORE_DIGEST_MAX 256

struct store;

struct store_callbacks {
    void *ctx;
    /* A committed transaction, in log order, each index once per life of the store object, after
     * store_start(). accepted: the store's verdict. The bytes are valid during the call. */
    void (*committed)(void *ctx, uint64_t index, bool accepted, struct bytes txn);
    /* This node may propose now / no longer (leadership). */
    void (*leader)(void *ctx, bool is_leader);
    /* The store cannot go on (I/O error, damage): err and a text that says what to do. The process
     * should end; nothing acknowledged is lost. */
    void (*fatal)(void *ctx, hsm_err err, const char *text);
    /* A pool of several partitions only. A message of another gateway, by store_send(); the link to
     * another gateway came up or went down. */
    void (*message)(void *ctx, uint64_t from, uint16_t type, struct bytes payload);
    void (*link)(void *ctx, uint64_t id, bool up);
};

/* Links to the other partitions (store/peer.h). */
struct store_peers {
    const char *pool, *listen, *cert, *key, *ca;
    const char *seeds; /* "1=host:port,2=…": where to look for the pool; may be "" */
    bool join;         /* never make a pool of its own: the leader adds this node */
};

struct store_config {
    const char *dir;                 /* created 0700 when absent */
    uint64_t node_id;                /* > 0 */
    const char *address;             /* of this node, where peers reach it (one voter: any text) */
    const struct store_peers *peers; /* NULL: one voter, no links */
    size_t map_size;                 /* LMDB map, 0: 16 GiB (address space only) */
    unsigned snapshot_threshold;     /* log entries, 0: 4096 */
};

/* Open or create. HSM_E_CORRUPT: torn beyond repair or damaged page, HSM_E_DISK_FULL, HSM_E_IO,
 * HSM_E_CONFLICT: another process has it, HSM_E_BAD_PARAMETER: another node's directory; text[cap]
 * then says which file and what to do. */
HSM_MUST_USE hsm_err store_open(uv_loop_t *loop, const struct store_config *cfg,
                                const struct store_callbacks *cb, struct store **ret, char *text,
                                size_t cap);

/* The applied state on disk, before store_start(): index and digest last given to store_applied()
 * that were flushed, and every record once. */
uint64_t store_loaded_index(const struct store *s);
struct bytes store_loaded_digest(const struct store *s);
typedef hsm_err (*store_record_fn)(void *ctx, const uint8_t rid[STORE_RID_LEN], uint64_t revision,
                                   struct bytes sealed);
HSM_MUST_USE hsm_err store_each(struct store *s, store_record_fn fn, void *ctx);

/* Start the log: committed() is called for everything after the loaded index, old and new. After
 * an error only store_close() is of use; fatal() is called with the text, too. */
HSM_MUST_USE hsm_err store_start(struct store *s);
/* What made store_each(), store_start() or the running store fail; "" when nothing did. Lives as
 * long as the store. */
const char *store_failure(const struct store *s);

/* Propose a transaction (copied). Any thread, until store_close(). HSM_E_MALFORMED: not a
 * transaction, HSM_E_UNAVAILABLE: closing; done is not called then. done is called on the loop's
 * thread: HSM_OK when it was committed to the log (committed() was called before), HSM_E_DISK_FULL,
 * HSM_E_UNAVAILABLE (no leader, stopping) when it certainly was not, HSM_E_IO when that is unknown.
 */
typedef void (*store_done_fn)(void *ctx, hsm_err err);
HSM_MUST_USE hsm_err store_propose(struct store *s, struct bytes txn, store_done_fn done,
                                   void *ctx);

/* The boundary has taken the transaction at index and gives its digest of the state there. The
 * store writes the state to LMDB up to such indices only, so that records and digest on disk always
 * belong together. Indices in order, none left out. */
void store_applied(struct store *s, uint64_t index, struct bytes digest);

/* Flush everything applied to LMDB and sync (tests, orderly stop). */
HSM_MUST_USE hsm_err store_flush(struct store *s);

/* Orderly stop: no more callbacks after done. The object is freed; but after a failure of the log
 * (fatal) its memory and some handles of the loop may stay: the process is to end. */
void store_close(struct store *s, void (*done)(void *ctx), void *ctx);

struct store_info {
    uint64_t applied, flushed, log_last;
    uint64_t records;
    bool leader, voter;
    uint64_t node_id, leader_id, term; /* leader_id 0: none is known */
    hsm_err obstacle;                  /* why writes are refused just now; HSM_OK: they are not */
};
void store_info(struct store *s, struct store_info *ret);

/* ---- several partitions ---- */

#define STORE_MEMBERS_MAX 16
#define STORE_MESSAGE_MIN 100 /* types below are the store's own */

enum store_role {
    STORE_SPARE,
    STORE_VOTER
};
struct store_member {
    uint64_t id;
    char address[128];
    enum store_role role;
    bool linked;
};
/* Cheap: the term in which this node leads just now, 0 when it does not; who leads, 0: unknown. */
uint64_t store_term_led(const struct store *s);
uint64_t store_term(const struct store *s); /* newest that this node knows */
uint64_t store_leader(const struct store *s);
/* Number of members of the newest configuration, written to ret (at most STORE_MEMBERS_MAX). */
size_t store_members(struct store *s, struct store_member ret[STORE_MEMBERS_MAX]);

/* HSM_E_UNAVAILABLE: no link, HSM_E_THROTTLED, HSM_E_RANGE: as peer_send(). */
HSM_MUST_USE hsm_err store_send(struct store *s, uint64_t to, uint16_t type, struct bytes payload);

/* Prove leadership by an entry that commits after the call; many callers share one. done gets
 * HSM_OK and the index that was applied then (committed() was called up to it), or
 * HSM_E_UNAVAILABLE. Always called, later. */
typedef void (*store_barrier_fn)(void *ctx, hsm_err err, uint64_t index);
void store_barrier(struct store *s, store_barrier_fn done, void *ctx);

/* Leader only (else HSM_E_UNAVAILABLE). HSM_E_NOT_FOUND, HSM_E_CONFLICT: another change is under
 * way. Asynchronous: the members tell when it happened. transfer: id 0: any. */
HSM_MUST_USE hsm_err store_remove(struct store *s, uint64_t id);
HSM_MUST_USE hsm_err store_transfer(struct store *s, uint64_t id);

#endif
