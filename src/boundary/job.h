/* One request on its way through the boundary, and the worker that runs it. A job begins in a
 * worker's own slot; when it has to wait (issuer keys, the slow pool, a commit) it moves to the
 * heap with a copy of its frame. */
#ifndef BOUNDARY_JOB_H
#define BOUNDARY_JOB_H

#include "boundary/audit.h"
#include "boundary/handler.h"
#include "boundary/key_backup.h"
#include "boundary/keymat.h"
#include "boundary/state.h"
#include "boundary/txn.h"
#include "wire/ring.h"

#define JOB_RESULT_MAX   950000u
#define JOB_CRYPTO_MAX   (131072u + 1024u)
#define JOB_ATTEMPTS_MAX 8u

enum job_kind {
    JOB_REQUEST,
    JOB_GENESIS, /* the boundary's own transactions have no lane */
    JOB_AUDIT_MARK,
    JOB_PURGE,         /* end of a deleted key's retention */
    JOB_ROTATE,        /* of a key that is due; begins in the slow pool */
    JOB_ROTATION_NOTE, /* in the key's record: notified, or not rotated */
};

/* A key made, or checked, outside of the state lock, for the handler to use. */
struct made_key {
    struct keymat_spec spec;
    struct secret_buf secret_given; /* import: the numbers lie in here */
    struct key_numbers given;
    uint32_t ops;       /* import: what the JWK says */
    struct keymat *kek; /* import of a wrapped key: to be unwrapped with this first */
    uint8_t *wrapped;   /* heap */
    size_t wrapped_n;
    struct secret_buf secret_private;
    struct keymat_public pub;
};
void made_key_free(struct made_key *m); /* NULL is fine */

struct crypto_work {
    struct keymat *key;
    struct wire_crypto in;
    struct uuid version;
    uint32_t op;
    uint8_t name[KEY_NAME_MAX]; /* as created */
    size_t name_n;
};

/* The backup of a key that is written or read. */
struct key_backup_work {
    struct key_backup content; /* its views lie in buf; private parts in the seal of the pool */
    size_t n;
    uint8_t buf[];
};

struct job {
    struct request rq; /* first member: handlers get &job->rq */
    struct worker *w;  /* that runs it now */
    enum job_kind kind;
    unsigned lane;
    uint64_t frame_id;
    struct bytes payload; /* frame: envelope and body */
    uint8_t *owned;       /* copy behind payload, or NULL */
    bool owned_is_secret; /* it lies in secret memory */
    bool on_heap;
    uint64_t started_us;
    uint64_t deadline_us; /* while it waits */
    unsigned attempts;    /* runs that lost a race */
    hsm_err own_err;      /* of an own job that ended without a transaction */
    unsigned sheds;       /* runs that ended for want of secret memory */

    /* What the state it was decided on says of its answer, see lease.h: */
    bool want_lease;            /* it was not current for certain */
    uint64_t lease_us;          /* lease at the time */
    uint64_t lease_deadline_us; /* of the wait for one */
    uint64_t index;             /* the answer tells of transactions up to here */
    unsigned held_err;          /* hsm_err of an answer that waits for its release */

    /* What a handler asks for besides an answer: */
    bool want_slow;                  /* to be run by the pool for slow operations */
    bool want_key;                   /* a key by make, then to be run again */
    struct made_key *make;           /* heap; secret part filled once made */
    hsm_err (*after)(struct job *j); /* rest of the work, without the state lock */
    hsm_err (*work)(struct job *j);  /* without the state lock, then the handler runs again */
    struct crypto_work crypto;
    struct key_backup_work *backup; /* heap */

    /* While its transaction is on its way: */
    struct uuid txn_id;
    struct uuid blocked_by; /* another one of ours, not settled yet, that changes the same record */
    uint8_t *rids;          /* records it changes, RID_LEN bytes each */
    size_t rid_n;
    uint8_t *result; /* the answer to give when it was applied */
    size_t result_n;
    unsigned weight; /* in a queue that is bounded by work */
    struct job *next;
};
static inline struct job *job_of(struct request *rq)
{
    return (struct job *)(void *)rq;
}

/* Buffers of one thread, allocated once. */
struct worker {
    struct boundary *b;
    unsigned lane;            /* 0: control and the pools */
    struct job_queue *serves; /* its pool's, or NULL */
    struct seal_ctx *sc;
    struct auth_memo *memo;
    uint8_t *frame;      /* RING_FRAME_MAX */
    uint8_t *import;     /* the present frame when it is an import; secret memory */
    uint8_t *out;        /* result frame under construction */
    uint8_t *txn_buf;    /* RING_FRAME_MAX */
    uint8_t *crypto_buf; /* JOB_CRYPTO_MAX */
    size_t crypto_used;
    uint8_t *record_buf; /* record bodies under construction */
    uint8_t *line;       /* audit text */
    struct wr out_wr;
    struct txn txn;
    struct job job;
    uint32_t dirty; /* lanes with answers that were not flushed; bit 31: audit ring */
};
#define WORKER_RECORD_MAX (160u * 1024u)
HSM_MUST_USE hsm_err worker_init(struct worker *w, struct boundary *b, unsigned lane,
                                 struct job_queue *serves);
void worker_done(struct worker *w);
/* Wake the readers of what was written since the last call; audit ring first. */
void worker_flush(struct worker *w);

/* A bounded queue of jobs; event: descriptor to signal besides the condition, or -1. */
struct job_queue {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    struct job *head, *tail;
    size_t n, max;
    size_t weight, weight_max; /* of all jobs in it */
    int event;
    bool closed;
};
HSM_MUST_USE hsm_err job_queue_init(struct job_queue *q, size_t max, size_t weight_max, int event);
void job_queue_done(struct job_queue *q);
bool job_queue_put(struct job_queue *q, struct job *j); /* false: full or closed */
struct job *job_queue_get(struct job_queue *q);         /* NULL: empty */
struct job *job_queue_wait(struct job_queue *q);        /* NULL: closed */
void job_queue_close(struct job_queue *q);

/* Wipe a part of a job's frame: a secret that the handler has taken over. Frames are copies that
 * belong to their job, so writing to them is all right. */
void job_wipe(struct bytes part);
/* Take everything a job holds; frees it when it lies on the heap. */
void job_end(struct job *j);
/* The same job on the heap (j itself when it is there already): the slot is free then. NULL when
 * there is no memory; j is unchanged then. */
struct job *job_hold(struct job *j);

#endif
