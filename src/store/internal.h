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

/* raftlog.c */
HSM_MUST_USE hsm_err raftlog_start(struct store *s);
void raftlog_close(struct store *s); /* store_closed_raft() when done */
bool raftlog_is_leader(struct store *s);

/* store.c */
void store_advance_close(struct store *s);

#endif
