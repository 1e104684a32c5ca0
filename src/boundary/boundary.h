/* The boundary process: its state, its threads, its end.
 *
 * Threads: the control thread (lane 0) alone changes the state; one worker per request lane; a pool
 * for slow operations. See docs/boundary.md. */
#ifndef BOUNDARY_BOUNDARY_H
#define BOUNDARY_BOUNDARY_H

#include <stdatomic.h>
#include "boundary/job.h"
#include "boundary/join.h"
#include "boundary/lease.h"
#include "boundary/roots.h"
#include "boundary/stock.h"

/* Exit codes, all but the first two after a line in the log. */
enum boundary_exit {
    EXIT_QUIESCED = 0, /* asked to stop */
    EXIT_USAGE = 64,
    EXIT_SETUP = 65,     /* seal file, pool.json, rings, memory */
    EXIT_SANDBOX = 66,   /* a part of the sandbox is not available */
    EXIT_PROTOCOL = 67,  /* the gateway broke the protocol */
    EXIT_INTEGRITY = 68, /* the gateway gave state that is not ours */
    EXIT_RESOURCES = 69, /* memory, or the gateway does not read any more */
    EXIT_JOINED = 70,    /* the root secrets came and are sealed: to be started again */
};

enum phase {
    PHASE_HELLO = 1,    /* nothing but CTL_HELLO */
    PHASE_LOAD = 2,     /* CTL_LOAD_BEGIN */
    PHASE_LOADING = 4,  /* CTL_LOAD_RECORDS, CTL_LOAD_END */
    PHASE_RESUME = 8,   /* CTL_AUDIT_RESUME */
    PHASE_SERVING = 16, /* requests and transactions */
    PHASE_REFUSED = 32, /* what was loaded is damaged: status and stop only */
    PHASE_JOIN = 64,    /* no root secrets yet: asks another boundary for them */
    PHASE__ALL = 127,
};

#define SLOW_THREADS_MAX 16u
#define SLOW_QUEUE_MAX   256u /* requests that wait for a thread of either pool */
#define MAKER_WORK_MAX   240u /* waits for one maker, in RSA-2048 keys: about a minute */
#define HELD_MAX         1024u
#define PARKED_BYTES_MAX (32u << 20) /* of requests that wait for issuer keys */

/* Jobs that wait for something of the control thread. */
struct held {
    pthread_mutex_t lock;
    struct job *parked;  /* for issuer keys */
    struct job *pending; /* for their transaction */
    struct job *blocked; /* for somebody else's, then to be run again */
    size_t parked_n, pending_n, blocked_n;
    uint64_t keys_generation; /* counts keys_changed() */
    struct job *lease;        /* for a lease */
    struct job *unreleased;   /* decided; the answer must not go out yet */
    size_t lease_n, lease_bytes, unreleased_n, unreleased_bytes;
};

/* own_join.c */
struct own_join {
    struct join_self *self; /* NULL: nobody can join here */
    struct join *join;      /* of either role; NULL as self is */
    bool is_joiner;
    bool no_genesis; /* this boundary never makes a pool */
    bool is_granted; /* the connection under way got the root secrets */
    bool is_over;    /* joiner: they came, and were sealed or not */
    hsm_err (*seal)(void *ctx, const struct roots *r);
    void *seal_ctx;
    uint32_t conn;        /* joiner: of the last connection */
    uint64_t started_us;  /* of the connection under way */
    uint64_t next_us;     /* joiner: when to ask again */
    const char *told[16]; /* reasons that the log has already */
    unsigned told_n;
};

struct boundary {
    struct ring_set rings;
    struct roots roots;
    const char *protection; /* level of the seal */
    bool fresh;             /* the root secrets are of this start */
    struct pool_init init;  /* pool.json */
    struct sealer *sealer;
    struct state *state;
    struct roles *roles;
    struct keycache *cache;
    struct stock *stock;
    struct audit *audit;
    _Atomic(struct auth *) auth; /* set once, when the pool record is known */
    atomic_uint phase;           /* enum phase */
    struct state_claim claim;    /* while loading */
    struct lease lease;
    struct own_join join;

    struct worker control;
    struct worker lane[RING_LANES_MAX + 1]; /* 1.. */
    struct job_queue inbox[RING_LANES_MAX + 1];
    struct worker slow[SLOW_THREADS_MAX];
    unsigned slow_n; /* threads of either pool */
    struct job_queue slow_queue;
    struct worker maker[SLOW_THREADS_MAX]; /* keys that were not prepared */
    struct job_queue maker_queue;
    struct job_queue own_done; /* own jobs without a transaction, for the control thread */
    struct held held;
    atomic_size_t secret_held; /* bytes of waiting frames in secret memory */
    uint8_t *import_reserve;   /* for a frame that finds no secret memory, one at a time */
    pthread_mutex_t import_lock;
    int control_event; /* wakes the control thread for a tick */

    pthread_t thread[RING_LANES_MAX + 2 * SLOW_THREADS_MAX + 1];
    unsigned thread_n;
    pthread_mutex_t gate_lock; /* threads wait until the sandbox is closed */
    pthread_cond_t gate_changed;
    bool gate_open;
    unsigned gate_waiting;
    int cpu[RING_LANES_MAX + 1]; /* of lane i; -1: lane number modulo processors */

    /* control thread's timers, monotonic microseconds */
    uint64_t next_checkpoint_us, next_mark_us, next_purge_us, next_genesis_us;
    uint64_t quiesce_us; /* deadline of an orderly stop; 0: none */
    uint64_t quiesce_id;
    uint64_t marked_seq;
    struct audit_position mark_next; /* to be sealed at the next turn */
    bool genesis_pending, purge_pending, rotation_pending;
    uint64_t next_rotation_us;
    uint64_t purge_at_s, purge_index; /* earliest date of the state of that index */
    bool tick_soon;

    atomic_bool stop;
    atomic_int ended; /* exit code + 1 once the end was decided */
    /* The program logs the text and exits, tests note it. */
    void (*on_end)(struct boundary *b, int code, const char *text);
};

/* Envelope and message of an import at their longest. */
#define IMPORT_FRAME_MAX ((size_t)160 << 10)

struct boundary_config {
    const struct roots *roots; /* taken over; NULL when joining */
    const char *protection;    /* level of the seal, static text */
    bool fresh;
    struct pool_init *init; /* taken over */
    struct ring_set rings;  /* taken over */
    const int *cpu;         /* per lane, cpu_n of them */
    unsigned cpu_n;
    unsigned slow_threads;           /* of either pool; 0: half of the processors, at least 1 */
    unsigned prepared[STOCK__SIZES]; /* RSA keys to keep ready */
    size_t cache_bytes;              /* opened keys; 0: half of the secret memory */
    uint32_t partition;
    bool alone;                  /* the only voter of its pool: needs no lease */
    struct join_self *join_self; /* taken over; NULL: nobody can join here */
    bool no_genesis;             /* never propose a new pool */
    bool joining;                /* there are no root secrets: ask another boundary */
    hsm_err (*seal_roots)(void *ctx, const struct roots *r); /* when joining */
    void *seal_ctx;
};
/* Everything but threads. */
HSM_MUST_USE hsm_err boundary_new(const struct boundary_config *c, struct boundary **ret);
/* After all threads ended. */
void boundary_free(struct boundary *b);

/* Start the workers; they wait at the gate. The sandbox closes in between. */
HSM_MUST_USE hsm_err boundary_start(struct boundary *b);
void boundary_open_gate(struct boundary *b);
/* The control thread's loop; returns when the boundary was stopped. */
void boundary_control(struct boundary *b);
/* Ask all threads to end, and wait for them (tests). */
void boundary_stop(struct boundary *b);

/* Log and end the process. In tests it returns; the caller must then give up its work. */
void boundary_end(struct boundary *b, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static inline bool boundary_has_ended(struct boundary *b)
{
    return atomic_load(&b->ended) != 0;
}
static inline enum phase boundary_phase(struct boundary *b)
{
    return (enum phase)atomic_load(&b->phase);
}

/* ---- lane_frame.c ---- */
/* The next frame of a request lane, copied to where its kind belongs: a key that comes in is in
 * clear, so its frame lies in secret memory. Errors as of ring_read. */
HSM_MUST_USE hsm_err lane_read(struct worker *w, struct ring_frame *ret);
/* After its work: wiped. */
void lane_release(struct worker *w, const struct ring_frame *f);

/* ---- lanes.c ---- */
void boundary_wake_control(struct boundary *b);
void *lane_main(void *worker);
void *slow_main(void *worker);
void *maker_main(void *worker);
void *stock_main(void *boundary);
/* One frame of a request lane, or false when the boundary ended. */
bool lane_frame(struct worker *w, const struct ring_frame *f);
/* Write to a ring without waking the reader; waits for room. false: the boundary ended. */
bool ring_put(struct boundary *b, struct ring *r, const struct ring_frame *f);

/* ---- control.c ---- */
/* One frame of the control lane; false when the boundary ended. */
bool control_frame(struct boundary *b, const struct ring_frame *f);
/* Timers; call about every 250 ms. */
void control_tick(struct boundary *b, uint64_t mono_us);
/* Message to the gateway on the control lane. Thread-safe. */
bool control_send(struct boundary *b, unsigned type, uint64_t id, struct bytes payload);

/* ---- held.c ---- */
/* Let j (on the heap) wait for issuer keys. generation: of the keys before its token was looked at;
 * HSM_E_AGAIN when they changed meanwhile: run it again at once. HSM_E_THROTTLED: too many wait, or
 * too many bytes; whoever sends these has shown no good token. */
HSM_MUST_USE hsm_err held_park(struct job *j, uint64_t generation);
uint64_t held_generation(struct boundary *b);
void held_keys_changed(struct boundary *b);
/* Give a job back to the worker of its lane. Control thread. */
void held_run_again(struct job *j);
/* Register j (on the heap) as waiting for its transaction. HSM_E_AGAIN: another one under way
 * changes the same record; j now waits for that and will be run again. Without this, many writers
 * of one key would mostly lose races against each other. HSM_E_THROTTLED: too many wait. */
HSM_MUST_USE hsm_err held_pend(struct job *j);
/* The waiting job of that transaction, taken out; NULL: none of ours. */
struct job *held_take(struct boundary *b, const struct uuid *txn);
void held_expire(struct boundary *b, uint64_t mono_us);
size_t held_pending(struct boundary *b); /* answers of writes that are not out */

/* ---- held_lease.c ---- */
/* Let j (on the heap) wait for a lease. HSM_E_AGAIN: there is another one than j saw; run it again.
 * HSM_E_THROTTLED: too many wait. */
HSM_MUST_USE hsm_err held_park_lease(struct job *j);
size_t held_lease_waits(struct boundary *b);
/* Let the answer of j (on the heap; held_err) wait until j->index is released. is_commit: of a
 * transaction, which has its deadline and its place already. HSM_E_AGAIN: it is; finish now. */
HSM_MUST_USE hsm_err held_await_release(struct job *j, bool is_commit);
/* Control thread. */
void held_lease_granted(struct boundary *b);
void held_released(struct boundary *b, uint64_t index);
void held_lease_expire(struct boundary *b, uint64_t mono_us);
void held_free(struct boundary *b);

#endif
