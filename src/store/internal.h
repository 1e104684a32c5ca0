/* What the files of the store share. All on the loop's thread but where it says otherwise. */
#ifndef STORE_INTERNAL_H
#define STORE_INTERNAL_H

#include <pthread.h>
#include <raft.h>
#include <raft/uv.h>
#include <stdatomic.h>
#include "store/db.h"
#include "store/dir.h"
#include "store/logscan.h"
#include "store/overlay.h"
#include "store/peer.h"
#include "store/seeds.h"
#include "store/store.h"

#define STORE_TEXT_MAX 640

enum store_phase {
    STORE_OPEN,
    STORE_STARTED,
    STORE_CLOSING,
    STORE_CLOSED
};
enum raft_phase {
    RAFT_PHASE_NONE,
    RAFT_PHASE_OPEN,
    RAFT_PHASE_CLOSING,
    RAFT_PHASE_CLOSED
};

struct proposal {
    struct raft_apply req; /* first: libraft hands it back */
    struct proposal *next, *prev;
    struct store *store;
    store_done_fn done;
    void *ctx;
    struct raft_buffer buf;
    uint8_t txn[16];  /* id of the transaction */
    uint64_t sent_to; /* node it was forwarded to */
    uint64_t sent_at; /* ms; first time */
};

struct proposals {
    struct proposal *first, *last;
};

struct flush {
    uv_work_t work;
    uv_sem_t ready; /* posted by the worker at its end */
    bool running;
    bool collected; /* somebody waited for it: nothing left for the loop to do */
    size_t n;       /* transactions, the first ones of the overlay */
    struct db_meta result;
    hsm_err err;
    char text[STORE_TEXT_MAX];
};

#define BARRIER_WAITERS 64
struct barrier_waiter {
    store_barrier_fn done;
    void *ctx;
};
struct barrier {
    struct raft_barrier req;
    struct store *store;
    size_t n;
    struct barrier_waiter waiter[BARRIER_WAITERS];
};

/* What a member said in a term that its log has. */
struct rewound_member {
    uint64_t id, term, stored;
    unsigned times; /* that it said less */
};

/* What a store with peers has besides. */
struct cluster {
    struct peer_net *net; /* NULL: one voter */
    bool join;
    struct seeds seeds;
    uint64_t gone[64]; /* ids that were removed */
    size_t gone_n;
    uint64_t leader;                   /* as last seen */
    uint64_t asked_at;                 /* ms; last request to be added */
    uint64_t known[STORE_MEMBERS_MAX]; /* members of the committed configuration */
    size_t known_n;
    uint64_t first_of_term;                     /* index; we lead since then; 0: we do not */
    uint64_t told[STORE_MEMBERS_MAX], all_told; /* commit index, see notice.c */
    uv_prepare_t notice;                        /* before the loop sleeps */
    struct barrier *barrier;                    /* collects waiters */
    unsigned barriers;                          /* given to libraft */
    uv_timer_t barrier_soon;
    struct raft_change change;
    bool changing;
    uint64_t no_promotion_until; /* ms: a removal waits for its turn */
    uint64_t promote, promoting; /* id to be made a voter: once it is added; next */
    struct raft_transfer transfer;
    bool transferring;
    struct proposal *forwarded; /* doubly linked */
    int (*io_snapshot_put)(struct raft_io *, unsigned, struct raft_io_snapshot_put *,
                           const struct raft_snapshot *, raft_io_snapshot_put_cb);
    int (*io_start)(struct raft_io *, unsigned, raft_io_tick_cb, raft_io_recv_cb);
    raft_io_recv_cb io_recv;
    struct rewound_member rewound[STORE_MEMBERS_MAX];
    struct fetch *fetch;   /* we fetch */
    struct offer *offered; /* others fetch from us */
    bool copying;          /* a worker makes a copy */
    uint64_t adopted;      /* index of a state that was fetched and is ahead of the log; 0: none */
    uint64_t term_led;
    bool closing, closed; /* the links */
};

struct store {
    uv_loop_t *loop;
    struct store_callbacks cb;
    uint64_t node_id;
    char address[128];
    unsigned threshold;
    enum store_phase phase;

    struct dir dir;
    struct db db;
    struct logscan scan;
    struct overlay overlay;
    uint64_t floor, records; /* at committed */
    uint64_t committed;      /* index of the last transaction judged */
    struct flush flush;
    hsm_err flush_err; /* HSM_E_DISK_FULL while flushes fail for that */

    struct raft raft;
    struct raft_io io;
    struct raft_fsm fsm;
    struct raft_uv_transport transport;
    struct raft_tracer tracer;
    enum raft_phase raft_phase;
    atomic_bool write_failed; /* set by the tracer, maybe in a worker */
    int (*io_set_term)(struct raft_io *, raft_term);
    int (*io_set_vote)(struct raft_io *, raft_id);
    bool leader_told;
    uint64_t snapshot;      /* index of the newest one */
    size_t log_bytes;       /* proposed since then */
    struct proposals held;  /* not yet given to libraft */
    struct proposal *given; /* to libraft, not answered; doubly linked */
    size_t in_flight, in_flight_bytes;
    uint64_t progress_at; /* ms: an answer of libraft, or nothing was in flight */
    uint64_t held_since;  /* ms; 0: nothing is held */
    uint64_t room_at;     /* ms: the log had room prepared, or the disk had none */

    uv_async_t wake;
    uv_timer_t tick, flush_timer;
    unsigned handles; /* open ones */
    hsm_err failed;
    bool failure_told;
    char failure[STORE_TEXT_MAX];
    void (*close_done)(void *ctx);
    void *close_ctx;

    struct cluster cl;

    pthread_mutex_t lock; /* guards the two below: any thread */
    struct proposals incoming;
    bool refusing;
};

/* Note the first failure; cb.fatal is called from the loop later. */
void store_fail(struct store *s, hsm_err err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* flush.c */
void flush_schedule(struct store *s); /* soon, on a worker */
hsm_err flush_now(struct store *s);   /* all that is acknowledged, here */
bool flush_busy(const struct store *s);
void flush_timer_cb(uv_timer_t *t);

/* propose.c */
void propose_drain(struct store *s); /* give libraft what it may have now */
void propose_watch(struct store *s); /* now and then: does libraft still answer? */
void propose_fail_all(struct store *s, hsm_err err);
void propose_abandon(struct store *s); /* answer what libraft never will */
bool propose_snapshot_due(const struct store *s);
/* Why nothing can be committed for a while, as far as it is known without trying. */
hsm_err propose_obstacle(const struct store *s);

void propose_take_back(struct store *s, struct proposal *p); /* to the held ones, first */
void propose_finish(struct proposal *p, hsm_err err);
/* A transaction came out of the log. */
void propose_saw(struct store *s, const uint8_t txn[16]);

/* cluster.c: links, members, forwarded proposals */
enum store_message {
    MSG_PROPOSE = 1, /* transaction */
    MSG_REFUSED,     /* id of the transaction, u16 err */
    MSG_ADD,         /* lv address: make me a member */
    MSG_GONE,        /* you were removed */
    MSG_FETCH,       /* make a copy of your state for me */
    MSG_COPY,        /* u64 size; it is there */
    MSG_PART,        /* u64 offset, u32 length: send that */
    MSG_DATA,        /* u64 offset, bytes */
};
HSM_MUST_USE hsm_err cluster_open(struct store *s, const struct store_config *cfg, char *text,
                                  size_t cap);
void cluster_tick(struct store *s);
void cluster_send(struct store *s, uint64_t to, uint16_t type, struct bytes payload);
void cluster_close(struct store *s, void (*done)(void *ctx)); /* answers everything that waits */
bool cluster_is_voter(const struct store *s);
bool cluster_forward(struct store *s, struct proposal *p);
void cluster_applied(struct store *s, const uint8_t txn[16]);
bool cluster_is_gone(const struct store *s, uint64_t id);
uint64_t cluster_leader(const struct store *s);

/* notice.c */
void notice_start(struct store *s);

/* barrier.c */
void barrier_submit_cb(uv_timer_t *t);
void barrier_fail(struct store *s);

/* rewound.c: instead of libraft's raft_io.start */
int rewound_io_start(struct raft_io *io, unsigned ms, raft_io_tick_cb tick, raft_io_recv_cb recv);

/* fetch.c */
int fetch_snapshot_put(struct raft_io *io, unsigned trailing, struct raft_io_snapshot_put *req,
                       const struct raft_snapshot *snapshot, raft_io_snapshot_put_cb cb);
void fetch_message(struct store *s, uint64_t from, uint16_t type, struct bytes payload);
void fetch_tick(struct store *s);
void fetch_link_down(struct store *s, uint64_t id);
void fetch_close(struct store *s);
/* At the start: a copy that was fetched and not put into its place. */
HSM_MUST_USE hsm_err fetch_adopt(struct store *s, uint64_t snapshot, uint64_t loaded, bool *ret,
                                 char *text, size_t cap);
bool fetch_is_ahead(const struct store *s); /* the log may end before the state */
void fetch_caught_up(const struct store *s);

/* raftlog.c */
HSM_MUST_USE hsm_err raftlog_start(struct store *s);
void raftlog_close(struct store *s); /* store_closed_raft() when done */
bool raftlog_is_leader(struct store *s);
struct store *store_of_io(struct raft_io *io);
/* Index of the state that a snapshot stands for. HSM_E_CORRUPT. */
HSM_MUST_USE hsm_err raftlog_manifest_index(const struct raft_buffer *b, uint64_t *ret);

/* store.c */
void store_advance_close(struct store *s);

#endif
